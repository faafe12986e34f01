package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	admission "k8s.io/api/admission/v1"
	apidiscovery "k8s.io/api/apidiscovery/v2"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/generated/openapi"
)

const metaPackage = "k8s.io/apimachinery/pkg/apis/meta/v1"

// notPublished is the one package in the table that kube-apiserver has no OpenAPI definitions of.
const notPublished = "io.k8s.api.admission.v1."

type kindInfo struct {
	schema.GroupVersionKind
	goType reflect.Type
}

// anyGroup are the meta/v1 kinds that every group version knows.
var anyGroup = []interface{}{
	metav1.CreateOptions{}, metav1.DeleteOptions{}, metav1.GetOptions{}, metav1.ListOptions{},
	metav1.PatchOptions{}, metav1.UpdateOptions{}, metav1.WatchEvent{},
}

// extraKinds are spoken outside the resources: forms that answers are converted to (a Table is JSON only),
// aggregated discovery, and what admission webhooks are sent.
var extraKinds = []kindInfo{
	extraKind("meta.k8s.io", "v1", metav1.PartialObjectMetadata{}),
	extraKind("meta.k8s.io", "v1", metav1.PartialObjectMetadataList{}),
	extraKind("apidiscovery.k8s.io", "v2", apidiscovery.APIGroupDiscoveryList{}),
	extraKind("admission.k8s.io", "v1", admission.AdmissionReview{}),
}

func extraKind(group, version string, object interface{}) kindInfo {
	goType := reflect.TypeOf(object)
	return kindInfo{schema.GroupVersionKind{Group: group, Version: version, Kind: goType.Name()}, goType}
}

// allKinds lists the kinds of every served group version.
func allKinds() []kindInfo {
	scheme := runtime.NewScheme()
	utilruntime.Must(apiextensions.AddToScheme(scheme))
	utilruntime.Must(apiregistration.AddToScheme(scheme))
	var kinds []kindInfo
	for version := range servedVersions() {
		for _, source := range []*runtime.Scheme{legacyscheme.Scheme, scheme} {
			for name, goType := range source.KnownTypes(version) {
				if goType.PkgPath() == metaPackage && version != (schema.GroupVersion{Version: "v1"}) {
					continue
				}
				kinds = append(kinds, kindInfo{version.WithKind(name), goType})
			}
		}
	}
	seen := map[schema.GroupVersionKind]bool{}
	var result []kindInfo
	for _, kind := range kinds {
		if !seen[kind.GroupVersionKind] && !isAnyGroup(kind.goType) {
			seen[kind.GroupVersionKind] = true
			result = append(result, kind)
		}
	}
	for _, object := range anyGroup {
		result = append(result, extraKind("*", "*", object))
	}
	result = append(result, extraKinds...)
	sort.Slice(result, func(i, j int) bool {
		a, b := result[i], result[j]
		if a.Group != b.Group {
			return a.Group < b.Group
		}
		if a.Version != b.Version {
			return a.Version < b.Version
		}
		return a.Kind < b.Kind
	})
	return result
}

func isAnyGroup(goType reflect.Type) bool {
	for _, object := range anyGroup {
		if reflect.TypeOf(object) == goType {
			return true
		}
	}
	return false
}

// tableWriter turns types and definitions into text.
type tableWriter struct {
	out         strings.Builder
	definitions map[string]common.OpenAPIDefinition
	prefixes    map[string]string // package of a model name -> its short form
	problems    []string
}

// short writes io.k8s.api.core.v1.Pod as core.v1.Pod, any list and map prefix kept.
func (w *tableWriter) short(kind string) string {
	lead := ""
	for {
		cut := -1
		for _, prefix := range []string{"wrap[]", "[]", "map:"} {
			if strings.HasPrefix(kind, prefix) {
				cut = len(prefix)
				break
			}
		}
		if cut < 0 {
			break
		}
		lead, kind = lead+kind[:cut], kind[cut:]
	}
	if pkg, name := splitModel(kind); pkg != "" {
		return lead + w.prefixes[pkg] + "." + name
	}
	return lead + kind
}

func (w *tableWriter) choosePrefixes(types []*typeInfo) error {
	w.prefixes = map[string]string{}
	taken := map[string]string{}
	for _, info := range types {
		pkg, _ := splitModel(info.model)
		parts := strings.Split(pkg, ".")
		short := parts[len(parts)-1]
		if len(parts) > 1 && strings.HasPrefix(short, "v") {
			short = strings.Join(parts[len(parts)-2:], ".")
		}
		if other := taken[short]; other != "" && other != pkg {
			return fmt.Errorf("%s and %s shorten to the same %s", pkg, other, short)
		}
		taken[short], w.prefixes[pkg] = pkg, short
	}
	var shorts []string
	for short := range taken {
		shorts = append(shorts, short)
	}
	sort.Strings(shorts)
	for _, short := range shorts {
		fmt.Fprintf(&w.out, "P\t%s\t%s\n", short, taken[short])
	}
	return nil
}

func isZero(value interface{}) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	return v.IsZero() || ((v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0)
}

func words(values []interface{}) string {
	var texts []string
	for _, value := range values {
		texts = append(texts, fmt.Sprint(value))
	}
	return strings.Join(texts, "|")
}

func stringsOf(value interface{}) string {
	switch v := value.(type) {
	case string:
		return v
	case []interface{}:
		var texts []string
		for _, word := range v {
			texts = append(texts, fmt.Sprint(word))
		}
		return strings.Join(texts, ",")
	}
	return fmt.Sprint(value)
}

// impliedFormat is the format that a type has without being told.
func impliedFormat(kind string) string {
	switch strings.TrimLeft(kind, "[]") {
	case "int32", "int64", "double":
		return kind
	case "bytes":
		return "byte"
	}
	return ""
}

// zeroDefaultFollows tells that OpenAPI's default of a field is the zero value because of what the field is:
// a struct, or a plain value that is always written. The reader of the table knows that rule.
func zeroDefaultFollows(f field) bool {
	return !f.pointer && (f.always || f.goType.Kind() == reflect.Struct)
}

// schemaAttributes writes what OpenAPI says of a field beyond its type.
func (w *tableWriter) schemaAttributes(where string, f field, property spec.Schema) []string {
	var attributes []string
	extension := func(name, short string) {
		if value, found := property.Extensions[name]; found {
			attributes = append(attributes, short+"="+stringsOf(value))
		}
	}
	extension("x-kubernetes-list-type", "list")
	extension("x-kubernetes-list-map-keys", "keys")
	extension("x-kubernetes-map-type", "map")
	extension("x-kubernetes-patch-merge-key", "merge")
	extension("x-kubernetes-patch-strategy", "strategy")
	for name := range property.Extensions {
		switch name {
		case "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
			"x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy":
		default:
			w.problems = append(w.problems, where+": unknown extension "+name)
		}
	}
	enum := property.Enum
	for element := &property; ; {
		if element.Items != nil && element.Items.Schema != nil {
			element = element.Items.Schema
		} else if element.AdditionalProperties != nil && element.AdditionalProperties.Schema != nil {
			element = element.AdditionalProperties.Schema
		} else {
			break
		}
		if len(element.Enum) > 0 {
			enum = element.Enum
		}
		if !isZero(element.Default) {
			w.problems = append(w.problems, where+": an element has a default")
		}
	}
	if len(enum) > 0 {
		attributes = append(attributes, "enum="+words(enum))
	}
	if property.Default != nil && !(isZero(property.Default) && zeroDefaultFollows(f)) {
		text, err := json.Marshal(property.Default)
		if err != nil {
			w.problems = append(w.problems, fmt.Sprintf("%s: default: %v", where, err))
		}
		attributes = append(attributes, "default="+string(text))
	}
	if property.Format != "" && property.Format != impliedFormat(f.kind) {
		attributes = append(attributes, "format="+property.Format)
	}
	return attributes
}

func (w *tableWriter) writeField(owner string, definition spec.Schema, f field) {
	attributes := []string{}
	flag := func(set bool, name string) {
		if set {
			attributes = append(attributes, name)
		}
	}
	flag(f.inline, "inline")
	property, described := definition.Properties[f.name]
	if !described && !f.inline && !strings.HasPrefix(owner, notPublished) {
		w.problems = append(w.problems, owner+"."+f.name+": not in OpenAPI")
	}
	for _, name := range definition.Required {
		flag(name == f.name, "req")
	}
	flag(f.always, "always")
	flag(f.pointer, "ptr")
	if name := goName(f.goType); name != impliedGoName(f.kind) && !f.inline {
		attributes = append(attributes, "go="+name)
	}
	attributes = append(attributes, w.schemaAttributes(owner+"."+f.name, f, property)...)
	fmt.Fprintf(&w.out, "F\t%s\t%s\t%s", f.name, f.number, w.short(f.kind))
	for _, attribute := range attributes {
		if strings.ContainsAny(attribute, "\t\n") {
			w.problems = append(w.problems, owner+"."+f.name+": an attribute with a tab or a line end")
		}
		fmt.Fprintf(&w.out, "\t%s", attribute)
	}
	w.out.WriteString("\n")
}

// unionText writes unions as discriminator|field:Value,field:Value, several with a space between.
func unionText(value interface{}) string {
	var texts []string
	for _, each := range value.([]interface{}) {
		union := each.(map[string]interface{})
		fields := union["fields-to-discriminateBy"].(map[string]interface{})
		var pairs []string
		for name, discriminated := range fields {
			pairs = append(pairs, name+":"+fmt.Sprint(discriminated))
		}
		sort.Strings(pairs)
		discriminator, _ := union["discriminator"].(string)
		texts = append(texts, discriminator+"|"+strings.Join(pairs, ","))
	}
	return strings.Join(texts, " ")
}

func (w *tableWriter) writeType(info *typeInfo) {
	definition := w.definitions[info.model].Schema
	fmt.Fprintf(&w.out, "T\t%s", w.short(info.model))
	if value, found := definition.Extensions["x-kubernetes-map-type"]; found {
		fmt.Fprintf(&w.out, "\tmap=%s", stringsOf(value))
	}
	if value, found := definition.Extensions["x-kubernetes-unions"]; found {
		fmt.Fprintf(&w.out, "\tunion=%s", unionText(value))
	}
	w.out.WriteString("\n")
	for _, f := range info.fields {
		w.writeField(info.model, definition, f)
	}
}

func isList(goType reflect.Type) bool {
	meta, hasMeta := goType.FieldByName("ListMeta")
	_, hasItems := goType.FieldByName("Items")
	return hasItems && hasMeta && meta.Type == reflect.TypeOf(metav1.ListMeta{})
}

func fieldTable() (string, error) {
	walker := newTypeWalker()
	kinds := allKinds()
	for _, kind := range kinds {
		walker.walk(kind.goType)
	}
	writer := tableWriter{definitions: openapi.GetOpenAPIDefinitions(func(name string) spec.Ref {
		return spec.MustCreateRef("#/definitions/" + name)
	})}
	types := walker.sorted()
	fmt.Fprintf(&writer.out, "# Written by tools/fieldtable; its README describes the records.\n")
	if err := writer.choosePrefixes(types); err != nil {
		return "", err
	}
	for _, kind := range kinds {
		fmt.Fprintf(&writer.out, "K\t%s\t%s\t%s\t%s", dash(kind.Group), kind.Version, kind.Kind,
			writer.short(modelName(kind.goType)))
		if isList(kind.goType) {
			writer.out.WriteString("\tlist")
		}
		writer.out.WriteString("\n")
	}
	for _, info := range types {
		writer.writeType(info)
	}
	if problems := append(walker.problems, writer.problems...); len(problems) > 0 {
		return "", fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return writer.out.String(), nil
}
