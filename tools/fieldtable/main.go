package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

type output struct {
	path string
	make func() (string, error)
}

func main() {
	root := flag.String("root", "../..", "the repository's root folder")
	check := flag.Bool("check", false, "compare the committed files with fresh ones instead of writing them")
	flag.Parse()
	outputs := []output{
		{"src/api/schema/kubernetes.schema", fieldTable},
		{"src/api/resources/builtin.rows", resourceRows},
	}
	failed := false
	for _, o := range outputs {
		fresh, err := o.make()
		path := filepath.Join(*root, o.path)
		if err == nil && *check {
			var old []byte
			if old, err = os.ReadFile(path); err == nil && string(old) != fresh {
				err = fmt.Errorf("is not what the generator writes; run it without -check")
			}
		} else if err == nil {
			if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
				err = os.WriteFile(path, []byte(fresh), 0o644)
			}
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "fieldtable: %s: %v\n", o.path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
