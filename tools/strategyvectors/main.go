// strategyvectors runs the defaulting, preparation, validation and printing of Kubernetes itself over the cases
// in tests/unit/api/resources/cases and writes what came out beside them. The unit tests hold Orch to it.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// Case is one YAML document of a case file.
type Case struct {
	Name        string                     `json:"name"`
	Base        string                     `json:"base"`
	Patch       json.RawMessage            `json:"patch,omitempty"`
	Edit        map[string]json.RawMessage `json:"edit,omitempty"`
	Old         json.RawMessage            `json:"old,omitempty"`
	OldEdit     map[string]json.RawMessage `json:"oldEdit,omitempty"`
	Update      bool                       `json:"update,omitempty"`
	Subresource string                     `json:"subresource,omitempty"`
}

// Expected is what Kubernetes makes of a case.
type Expected struct {
	Name     string          `json:"name"`
	Decode   string          `json:"decode,omitempty"`
	Errors   []string        `json:"errors,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
	Object   json.RawMessage `json:"object,omitempty"`
	Cells    []any           `json:"cells,omitempty"`
}

func documents(path string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, doc := range bytes.Split(append([]byte("\n"), data...), []byte("\n---\n")) {
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		j, err := utilyaml.ToJSON(doc)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", path, err)
		}
		if string(j) != "null" {
			out = append(out, j)
		}
	}
	return out, nil
}

func readBases(path string) (map[string]any, error) {
	docs, err := documents(path)
	if err != nil {
		return nil, err
	}
	bases := map[string]any{}
	for _, doc := range docs {
		var one map[string]any
		if err := json.Unmarshal(doc, &one); err != nil {
			return nil, err
		}
		for name, object := range one {
			bases[name] = object
		}
	}
	return bases, nil
}

func deepCopy(v any) any {
	data, _ := json.Marshal(v)
	var out any
	_ = json.Unmarshal(data, &out)
	return out
}

func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = mergePatch(t[k], v)
		}
	}
	return t
}

// setAt puts a value at a JSON pointer, making objects on the way; null removes; an index one past the end
// appends.
func setAt(node any, steps []string, value any) any {
	if len(steps) == 0 {
		return value
	}
	step := strings.ReplaceAll(strings.ReplaceAll(steps[0], "~1", "/"), "~0", "~")
	if list, ok := node.([]any); ok {
		var i int
		if _, err := fmt.Sscanf(step, "%d", &i); err != nil || i > len(list) {
			panic("bad index " + step)
		}
		if i == len(list) {
			return append(list, setAt(nil, steps[1:], value))
		}
		list[i] = setAt(list[i], steps[1:], value)
		return list
	}
	object, ok := node.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	if len(steps) == 1 && value == nil {
		delete(object, step)
		return object
	}
	object[step] = setAt(object[step], steps[1:], value)
	return object
}

func build(base any, patch json.RawMessage, edit map[string]json.RawMessage) (any, error) {
	object := deepCopy(base)
	if len(patch) > 0 {
		var p any
		if err := json.Unmarshal(patch, &p); err != nil {
			return nil, err
		}
		object = mergePatch(object, p)
	}
	var pointers []string
	for pointer := range edit {
		pointers = append(pointers, pointer)
	}
	sort.Strings(pointers)
	for _, pointer := range pointers {
		var value any
		if err := json.Unmarshal(edit[pointer], &value); err != nil {
			return nil, err
		}
		object = setAt(object, strings.Split(pointer, "/")[1:], value)
	}
	return object, nil
}

func runCase(bases map[string]any, c Case) (Expected, error) {
	base, ok := bases[c.Base]
	if !ok {
		return Expected{}, fmt.Errorf("case %q: no base %q", c.Name, c.Base)
	}
	object, err := build(base, c.Patch, c.Edit)
	if err != nil {
		return Expected{}, err
	}
	var old any
	if c.Update || c.Subresource != "" || len(c.Old) > 0 || len(c.OldEdit) > 0 {
		if old, err = build(base, c.Old, c.OldEdit); err != nil {
			return Expected{}, err
		}
	}
	e, err := judge(object, old, c.Subresource)
	e.Name = c.Name
	return e, err
}

func main() {
	dir := flag.String("dir", "../../tests/unit/api/resources/cases", "folder of the cases")
	check := flag.Bool("check", false, "exit with 1 if a file is not up to date")
	flag.Parse()
	bases, err := readBases(filepath.Join(*dir, "bases.yaml"))
	fail(err)
	files, err := filepath.Glob(filepath.Join(*dir, "*.yaml"))
	fail(err)
	stale := false
	for _, file := range files {
		if filepath.Base(file) == "bases.yaml" {
			continue
		}
		docs, err := documents(file)
		fail(err)
		results := []Expected{}
		for _, doc := range docs {
			var c Case
			decoder := json.NewDecoder(bytes.NewReader(doc))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&c); err != nil {
				fail(fmt.Errorf("%s: %v in %s", file, err, doc))
			}
			e, err := runCase(bases, c)
			if err != nil {
				fail(fmt.Errorf("%s: %s: %v", file, c.Name, err))
			}
			results = append(results, e)
		}
		var out bytes.Buffer
		out.WriteString("[\n")
		for i, e := range results {
			var one bytes.Buffer
			encoder := json.NewEncoder(&one)
			encoder.SetEscapeHTML(false)
			fail(encoder.Encode(e))
			out.Write(bytes.TrimSpace(one.Bytes()))
			if i+1 < len(results) {
				out.WriteString(",")
			}
			out.WriteString("\n")
		}
		out.WriteString("]\n")
		target := strings.TrimSuffix(file, ".yaml") + ".expected.json"
		before, _ := os.ReadFile(target)
		if bytes.Equal(before, out.Bytes()) {
			continue
		}
		stale = true
		if *check {
			fmt.Println("not up to date:", target)
			continue
		}
		fail(os.WriteFile(target, out.Bytes(), 0o644))
		fmt.Println("wrote", target)
	}
	if *check && stale {
		os.Exit(1)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
