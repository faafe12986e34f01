package main

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
)

// writeFunctions lists every overload of an environment: name, id, "member" or "global", and the signature.
func writeFunctions(path string, env *cel.Env) error {
	var lines []string
	functions := env.Functions()
	names := make([]string, 0, len(functions))
	for name, f := range functions {
		if !f.IsDeclarationDisabled() {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		for _, o := range functions[name].OverloadDecls() {
			style := "global"
			if o.IsMemberFunction() {
				style = "member"
			}
			lines = append(lines, fmt.Sprintf("%s %s %s (%s) %s", name, o.ID(), style, list(o.ArgTypes()),
				checker.FormatCELType(o.ResultType())))
		}
	}
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

func list(args []*types.Type) string {
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = checker.FormatCELType(a)
	}
	return strings.Join(texts, ", ")
}
