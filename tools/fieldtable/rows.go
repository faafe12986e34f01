package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/controlplane"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"
)

// columnsByKind records the columns that kube-apiserver registers for each internal kind.
type columnsByKind map[schema.GroupKind][]metav1.TableColumnDefinition

// TableHandler makes columnsByKind a printers.PrintHandler. The kind is found through the print function's
// first parameter: the internal Go type it prints.
func (c columnsByKind) TableHandler(columns []metav1.TableColumnDefinition, printFunc interface{}) error {
	object := reflect.New(reflect.TypeOf(printFunc).In(0).Elem()).Interface().(runtime.Object)
	kinds, _, err := legacyscheme.Scheme.ObjectKinds(object)
	if err != nil {
		return nil // a helper type that is not an API kind
	}
	for _, kind := range kinds {
		c[kind.GroupKind()] = columns
	}
	return nil
}

func allColumns() columnsByKind {
	columns := columnsByKind{}
	printersinternal.AddHandlers(columns)
	name := metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name"}
	// These two are not in the scheme of kube-apiserver's core: their servers bring their own columns.
	columns[schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}] =
		[]metav1.TableColumnDefinition{name, {Name: "Created At", Type: "date"}}
	columns[schema.GroupKind{Group: "apiregistration.k8s.io", Kind: "APIService"}] =
		[]metav1.TableColumnDefinition{name, {Name: "Service", Type: "string"}, {Name: "Available", Type: "string"},
			{Name: "Age", Type: "string"}}
	// Has a printer, but its store does not use it.
	delete(columns, schema.GroupKind{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"})
	return columns
}

// servedVersions lists the group versions that kube-apiserver serves with no --runtime-config.
func servedVersions() map[schema.GroupVersion]bool {
	served := map[schema.GroupVersion]bool{
		{Group: "apiextensions.k8s.io", Version: "v1"}:   true,
		{Group: "apiregistration.k8s.io", Version: "v1"}: true,
	}
	for version, enabled := range controlplane.DefaultAPIResourceConfigSource().GroupVersionConfigs {
		if enabled {
			served[version] = true
		}
	}
	return served
}

func moduleDir(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func readJSON(path string, into interface{}) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

type priority struct{ group, version int }

// parsePriorities reads the map literals {Group: g, Version: v}: {Group: n, Version: m} of a Go file.
func parsePriorities(path string, into map[schema.GroupVersion]priority) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return err
	}
	fields := func(literal ast.Expr) map[string]string {
		values := map[string]string{}
		composite, ok := literal.(*ast.CompositeLit)
		if !ok {
			return values
		}
		for _, element := range composite.Elts {
			pair, ok := element.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			key, isIdent := pair.Key.(*ast.Ident)
			value, isLiteral := pair.Value.(*ast.BasicLit)
			if isIdent && isLiteral {
				values[key.Name] = value.Value
			}
		}
		return values
	}
	ast.Inspect(file, func(node ast.Node) bool {
		pair, ok := node.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, value := fields(pair.Key), fields(pair.Value)
		group, errGroup := strconv.Unquote(key["Group"])
		version, errVersion := strconv.Unquote(key["Version"])
		groupPriority, errG := strconv.Atoi(value["Group"])
		versionPriority, errV := strconv.Atoi(value["Version"])
		if errGroup == nil && errVersion == nil && errG == nil && errV == nil {
			into[schema.GroupVersion{Group: group, Version: version}] = priority{groupPriority, versionPriority}
		}
		return true
	})
	return nil
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func list(words []string) string { return dash(strings.Join(words, ",")) }

// storageVersion tells in which group version kube-apiserver keeps a resource.
func storageVersion(version schema.GroupVersion, resource string) schema.GroupVersion {
	if resource == "events" {
		return schema.GroupVersion{Version: "v1"} // both event groups share the core one
	}
	if prioritized := legacyscheme.Scheme.PrioritizedVersionsForGroup(version.Group); len(prioritized) > 0 {
		return prioritized[0]
	}
	return version
}

func groupVersionText(version schema.GroupVersion) string {
	return dash(version.Group) + "/" + version.Version
}

func discoveryFile(dir string, version schema.GroupVersion) string {
	if version.Group == "" {
		return filepath.Join(dir, "api__"+version.Version+".json")
	}
	return filepath.Join(dir, "apis__"+version.Group+"__"+version.Version+".json")
}

type rowWriter struct {
	out     *strings.Builder
	columns columnsByKind
}

func (w rowWriter) writeResource(version schema.GroupVersion, resource metav1.APIResource) {
	scope := "C"
	if resource.Namespaced {
		scope = "N"
	}
	fmt.Fprintf(w.out, "R\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", dash(version.Group), version.Version,
		resource.Kind, resource.Name, dash(resource.SingularName), scope, list(resource.ShortNames),
		list(resource.Categories), list(resource.Verbs),
		groupVersionText(storageVersion(version, resource.Name)), dash(resource.StorageVersionHash))
	for _, column := range w.columns[schema.GroupKind{Group: version.Group, Kind: resource.Kind}] {
		fmt.Fprintf(w.out, "C\t%s\t%s\t%s\t%d\n", column.Name, column.Type, dash(column.Format), column.Priority)
	}
}

func (w rowWriter) writeSubresource(name string, resource metav1.APIResource) {
	version := "-"
	if resource.Version != "" {
		version = groupVersionText(schema.GroupVersion{Group: resource.Group, Version: resource.Version})
	}
	fmt.Fprintf(w.out, "S\t%s\t%s\t%s\t%s\n", name, version, resource.Kind, list(resource.Verbs))
}

func (w rowWriter) writeVersion(dir string, version schema.GroupVersion) error {
	var resources metav1.APIResourceList
	if err := readJSON(discoveryFile(dir, version), &resources); err != nil {
		return err
	}
	sort.Slice(resources.APIResources, func(i, j int) bool {
		return resources.APIResources[i].Name < resources.APIResources[j].Name
	})
	for _, resource := range resources.APIResources {
		if strings.Contains(resource.Name, "/") {
			continue
		}
		w.writeResource(version, resource)
		for _, sub := range resources.APIResources {
			if parent, name, found := strings.Cut(sub.Name, "/"); found && parent == resource.Name {
				w.writeSubresource(name, sub)
			}
		}
	}
	return nil
}

// resourceRows writes the row table: what kube-apiserver of this version answers on discovery, restricted to
// the versions served by default, with the columns it prints.
func resourceRows() (string, error) {
	kubernetes, err := moduleDir("k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	priorities := map[schema.GroupVersion]priority{}
	for _, path := range []string{"pkg/controlplane/apiserver/aggregator.go", "cmd/kube-apiserver/app/aggregator.go"} {
		if err := parsePriorities(filepath.Join(kubernetes, path), priorities); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(kubernetes, "api", "discovery")
	var groups metav1.APIGroupList
	if err := readJSON(filepath.Join(dir, "apis.json"), &groups); err != nil {
		return "", err
	}
	core := metav1.APIGroup{Versions: []metav1.GroupVersionForDiscovery{{Version: "v1"}}}
	groups.Groups = append([]metav1.APIGroup{core}, groups.Groups...)

	served := servedVersions()
	writer := rowWriter{out: &strings.Builder{}, columns: allColumns()}
	fmt.Fprintf(writer.out, "# Written by tools/fieldtable; its README describes the records.\n")
	for _, group := range groups.Groups {
		var versions []schema.GroupVersion
		for _, version := range group.Versions {
			candidate := schema.GroupVersion{Group: group.Name, Version: version.Version}
			if served[candidate] {
				versions = append(versions, candidate)
			}
		}
		if len(versions) == 0 {
			continue
		}
		for _, version := range versions {
			// 0 for apiregistration.k8s.io, which has no APIService: it always comes first.
			p := priorities[version]
			fmt.Fprintf(writer.out, "G\t%s\t%s\t%d\t%d\n", dash(group.Name), version.Version, p.group, p.version)
		}
		for _, version := range versions {
			if err := writer.writeVersion(dir, version); err != nil {
				return "", err
			}
		}
	}
	return writer.out.String(), nil
}
