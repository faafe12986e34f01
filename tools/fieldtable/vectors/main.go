// Command vectors writes what Kubernetes' own Go library does with chosen inputs, as test data for
// src/api/schema: scalars.jsonl (texts of quantities, times and so on) and objects.jsonl (decoding errors,
// canonical JSON and protobuf bytes of objects).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func writeLines(path string, records []interface{}) error {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for _, record := range records {
		if err := encoder.Encode(record); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte(out.String()), 0o644)
}

func main() {
	folder := flag.String("out", "../../../tests/unit/api/schema/testdata", "where to write")
	every := flag.Bool("every", false, "a filled object of every kind, not only of some: large, for a thorough check by hand")
	flag.Parse()
	objects, err := objectRecords(*every)
	if err == nil {
		err = os.MkdirAll(*folder, 0o755)
	}
	if err == nil {
		err = writeLines(filepath.Join(*folder, "scalars.jsonl"), scalarRecords())
	}
	if err == nil {
		err = writeLines(filepath.Join(*folder, "objects.jsonl"), objects)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}
