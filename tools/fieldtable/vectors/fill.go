package main

import (
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// notServed are versions that the field table leaves out.
func notServed(version string) bool {
	return strings.Contains(version, "alpha") || strings.Contains(version, "beta") || version == runtime.APIVersionInternal
}

// chosen are the kinds that the committed file has filled: between them nearly every type.
var chosen = map[string]bool{
	"Pod": true, "Node": true, "Service": true, "PersistentVolume": true, "Event": true,
	"CustomResourceDefinition": true, "ValidatingWebhookConfiguration": true, "SubjectAccessReview": true,
	"CertificateSigningRequest": true, "EndpointSlice": true, "NetworkPolicy": true, "Lease": true, "Status": true,
	"ResourceClaim": true, "FlowSchema": true, "APIService": true, "DeleteOptions": true, "ConfigMap": true, "Secret": true,
	"ClusterRole": true, "HorizontalPodAutoscaler": true, "ControllerRevision": true,
}

func filledKinds(scheme *runtime.Scheme, every bool) []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for kind, goType := range scheme.AllKnownTypes() {
		isOptions := strings.HasPrefix(goType.PkgPath(), "k8s.io/apimachinery/") && (kind.Group != "" || kind.Version != "v1")
		if notServed(kind.Version) || isOptions || kind.Group == "imagepolicy.k8s.io" || kind.Group == "extensions" ||
			kind.Kind == "Table" || kind.Kind == "WatchEvent" || (!every && !chosen[kind.Kind]) {
			continue
		}
		kinds = append(kinds, kind)
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	return kinds
}

// filler sets every field to a value of its own, deterministically.
type filler struct {
	next  int64
	depth map[reflect.Type]int
}

func fill(object runtime.Object) {
	f := filler{depth: map[reflect.Type]int{}}
	f.value(reflect.ValueOf(object).Elem())
}

func (f *filler) number() int64 {
	f.next++
	return f.next
}

// whole sets values of the types with a form of their own; false if it is not one.
func (f *filler) whole(v reflect.Value) bool {
	switch target := v.Addr().Interface().(type) {
	case *resource.Quantity:
		*target = *resource.NewMilliQuantity(f.number()*500, resource.DecimalSI)
	case *metav1.Time:
		*target = metav1.Unix(1700000000+f.number(), 0)
	case *metav1.MicroTime:
		*target = metav1.NewMicroTime(time.Unix(1700000000+f.number(), 123456000))
	case *metav1.Duration:
		target.Duration = time.Duration(f.number()) * time.Second
	case *intstr.IntOrString:
		if f.number()%2 == 0 {
			*target = intstr.FromInt32(int32(f.number()))
		} else {
			*target = intstr.FromString("port-" + strconv.FormatInt(f.number(), 10))
		}
	case *runtime.RawExtension:
		target.Raw = []byte(`{"apiVersion":"v1","kind":"Example","n":` + strconv.FormatInt(f.number(), 10) + `}`)
	case *metav1.FieldsV1:
		target.Raw = []byte(`{"f:metadata":{}}`)
	case *apiextensions.JSON:
		target.Raw = []byte(strconv.FormatInt(f.number(), 10))
	case *metav1.TypeMeta: // protobuf has it in the envelope, so only of the whole object
	case *apiextensions.JSONSchemaPropsOrBool:
		target.Allows = true
		target.Schema = &apiextensions.JSONSchemaProps{Type: "string"}
	case *apiextensions.JSONSchemaPropsOrArray:
		target.Schema = &apiextensions.JSONSchemaProps{Type: "string"}
	case *apiextensions.JSONSchemaPropsOrStringArray:
		target.Property = []string{"a", "b"}
	default:
		return false
	}
	return true
}

func (f *filler) value(v reflect.Value) {
	if f.whole(v) {
		return
	}
	switch v.Kind() {
	case reflect.Ptr:
		if f.depth[v.Type()] < 1 {
			f.depth[v.Type()]++
			v.Set(reflect.New(v.Type().Elem()))
			f.value(v.Elem())
			f.depth[v.Type()]--
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{byte(f.number()), 0xff})
		} else if f.depth[v.Type()] < 1 {
			f.depth[v.Type()]++
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			f.value(v.Index(0))
			f.depth[v.Type()]--
		}
	case reflect.Map:
		if f.depth[v.Type()] < 1 {
			f.depth[v.Type()]++
			v.Set(reflect.MakeMap(v.Type()))
			for _, key := range []string{"b", "a"} {
				element := reflect.New(v.Type().Elem()).Elem()
				f.value(element)
				v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
			}
			f.depth[v.Type()]--
		}
	case reflect.Struct:
		if f.depth[v.Type()] > 0 { // JSONSchemaProps within itself
			return
		}
		f.depth[v.Type()]++
		defer func() { f.depth[v.Type()]-- }()
		for i := 0; i < v.NumField(); i++ {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Tag.Get("json") != "-" {
				f.value(v.Field(i))
			}
		}
	case reflect.String:
		v.SetString("s" + strconv.FormatInt(f.number(), 10))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(f.number())
	case reflect.Float64:
		v.SetFloat(float64(f.number()) + 0.5)
	}
}
