package main

import (
	"fmt"
	"path"
	"reflect"
	"sort"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// special are the Go types with a JSON and protobuf form of their own; the reader of the table knows them.
var special = map[reflect.Type]string{
	reflect.TypeOf(resource.Quantity{}):                          "quantity",
	reflect.TypeOf(metav1.Time{}):                                "time",
	reflect.TypeOf(metav1.MicroTime{}):                           "microtime",
	reflect.TypeOf(metav1.Duration{}):                            "duration",
	reflect.TypeOf(intstr.IntOrString{}):                         "intorstring",
	reflect.TypeOf(runtime.RawExtension{}):                       "any",
	reflect.TypeOf(metav1.FieldsV1{}):                            "any",
	reflect.TypeOf(apiextensions.JSON{}):                         "any",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrBool{}):        "schemaorbool",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrArray{}):       "schemaorarray",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrStringArray{}): "schemaorstrings",
}

type modelNamer interface{ OpenAPIModelName() string }

// wrapped tells a named slice type that protobuf writes as a message with the items in field 1.
type wrapped interface{ Marshal() ([]byte, error) }

var (
	modelNamerType = reflect.TypeOf((*modelNamer)(nil)).Elem()
	wrappedType    = reflect.TypeOf((*wrapped)(nil)).Elem()
)

type field struct {
	name, kind string
	number     string
	goType     reflect.Type
	inline     bool
	pointer    bool
	always     bool
}

type typeInfo struct {
	model  string
	fields []field
}

// typeWalker collects every message type that can be reached from the ones given to it.
type typeWalker struct {
	types    map[string]*typeInfo
	problems []string
}

func newTypeWalker() *typeWalker { return &typeWalker{types: map[string]*typeInfo{}} }

func modelName(t reflect.Type) string {
	if !t.Implements(modelNamerType) {
		return ""
	}
	return reflect.New(t).Elem().Interface().(modelNamer).OpenAPIModelName()
}

// kindOf names the type as the table does, and walks into it if it is a message.
func (w *typeWalker) kindOf(t reflect.Type, where string) string {
	if name, found := special[t]; found {
		return name
	}
	switch t.Kind() {
	case reflect.Ptr:
		return w.kindOf(t.Elem(), where)
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int32:
		return "int32"
	case reflect.Int64, reflect.Int:
		return "int64"
	case reflect.Float64:
		return "double"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		if reflect.PointerTo(t).Implements(wrappedType) {
			return "wrap[]" + w.kindOf(t.Elem(), where)
		}
		return "[]" + w.kindOf(t.Elem(), where)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			w.problems = append(w.problems, where+": map key is not a string")
		}
		return "map:" + w.kindOf(t.Elem(), where)
	case reflect.Struct:
		return w.walk(t)
	}
	w.problems = append(w.problems, fmt.Sprintf("%s: no table type for %s", where, t))
	return "any"
}

func (w *typeWalker) walk(t reflect.Type) string {
	model := modelName(t)
	if model == "" {
		w.problems = append(w.problems, fmt.Sprintf("%s has no OpenAPI name", t))
		return "any"
	}
	if w.types[model] != nil {
		return model
	}
	info := &typeInfo{model: model}
	w.types[model] = info
	info.fields = w.fieldsOf(t)
	return model
}

func (w *typeWalker) fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := 0; i < t.NumField(); i++ {
		member := t.Field(i)
		where := t.String() + "." + member.Name
		name, options, _ := strings.Cut(member.Tag.Get("json"), ",")
		number := "0"
		if parts := strings.Split(member.Tag.Get("protobuf"), ","); len(parts) > 1 {
			number = parts[1]
		}
		if name == "-" {
			if number != "0" {
				w.problems = append(w.problems, where+": in protobuf but not in JSON")
			}
			continue
		}
		if has(options, "inline") || (member.Anonymous && name == "") {
			if number == "0" { // TypeMeta: its fields are the message's own, and not in protobuf
				for _, inner := range w.fieldsOf(member.Type) {
					inner.number = "0"
					fields = append(fields, inner)
				}
				continue
			}
			fields = append(fields, field{name: "-", kind: w.kindOf(member.Type, where), number: number,
				inline: true, goType: member.Type, pointer: member.Type.Kind() == reflect.Ptr})
			continue
		}
		if name == "" {
			w.problems = append(w.problems, where+": no JSON name")
			continue
		}
		isStruct := member.Type.Kind() == reflect.Struct
		fields = append(fields, field{
			name: name, number: number, goType: member.Type, kind: w.kindOf(member.Type, where),
			pointer: member.Type.Kind() == reflect.Ptr,
			// encoding/json never takes a struct for empty, so omitempty does nothing to it.
			always: !has(options, "omitzero") && (isStruct || !has(options, "omitempty")),
		})
	}
	return fields
}

func has(options, option string) bool {
	for _, o := range strings.Split(options, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// goName is the type's name in Go's decoding errors, e.g. map[v1.ResourceName]resource.Quantity.
func goName(t reflect.Type) string {
	for t.Kind() == reflect.Ptr {
		t = t.Elem()
	}
	return t.String()
}

// impliedGoName is what the reader of the table would guess from the kind alone.
func impliedGoName(kind string) string {
	if rest, found := strings.CutPrefix(kind, "[]"); found {
		return "[]" + impliedGoName(rest)
	}
	if rest, found := strings.CutPrefix(kind, "map:"); found {
		return "map[string]" + impliedGoName(rest)
	}
	switch kind {
	case "string", "bool", "int32", "int64":
		return kind
	case "double":
		return "float64"
	case "bytes":
		return "[]uint8"
	case "quantity":
		return "resource.Quantity"
	case "time":
		return "v1.Time"
	case "microtime":
		return "v1.MicroTime"
	case "duration":
		return "v1.Duration"
	case "intorstring":
		return "intstr.IntOrString"
	}
	if prefix, name := splitModel(kind); prefix != "" {
		return path.Ext(prefix)[1:] + "." + name
	}
	return ""
}

// splitModel cuts io.k8s.api.core.v1.Pod into io.k8s.api.core.v1 and Pod.
func splitModel(model string) (string, string) {
	cut := strings.LastIndex(model, ".")
	if cut < 0 {
		return "", model
	}
	return model[:cut], model[cut+1:]
}

func (w *typeWalker) sorted() []*typeInfo {
	var infos []*typeInfo
	for _, info := range w.types {
		infos = append(infos, info)
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].model < infos[j].model })
	return infos
}
