// celvectors asks Kubernetes' own CEL environment (k8s.io/apiserver/pkg/cel/environment) what the expressions in
// tests/unit/api/cel/cases compile and evaluate to and what they cost, and writes it beside them. The unit tests
// hold Orch to it. It also lists the environment's functions, the table src/api/cel is made from.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := "../.."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root string) error {
	env, err := baseEnv()
	if err != nil {
		return err
	}
	if err := writeFunctions(filepath.Join(root, "src/api/cel/functions.table"), env); err != nil {
		return err
	}
	return writeVectors(filepath.Join(root, "tests/unit/api/cel"))
}
