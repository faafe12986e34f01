package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// object is one JSON text and what the library makes of it when it is decoded as the given kind: an error,
// or what strict decoding complains about, its JSON after a round through protobuf (left out where it is the
// input again), and those bytes.
type object struct {
	Group   string          `json:"group"`
	Version string          `json:"version"`
	Kind    string          `json:"kind"`
	Input   json.RawMessage `json:"input"`
	Error   string          `json:"error,omitempty"`
	Strict  []string        `json:"strict,omitempty"`
	Output  json.RawMessage `json:"output,omitempty"`
	Proto   []byte          `json:"proto,omitempty"`
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientscheme.AddToScheme(scheme))
	utilruntime.Must(apiextensions.AddToScheme(scheme))
	utilruntime.Must(apiregistration.AddToScheme(scheme))
	utilruntime.Must(metav1.AddMetaToScheme(scheme))
	return scheme
}

type codec struct {
	scheme *runtime.Scheme
	json   *jsonserializer.Serializer
	strict *jsonserializer.Serializer
	proto  *protobuf.Serializer
}

func newCodec() codec {
	scheme := newScheme()
	options := jsonserializer.SerializerOptions{}
	strict := jsonserializer.SerializerOptions{Strict: true}
	return codec{
		scheme: scheme,
		json:   jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, scheme, scheme, options),
		strict: jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, scheme, scheme, strict),
		proto:  protobuf.NewSerializer(scheme, scheme),
	}
}

func (c codec) record(kind schema.GroupVersionKind, input string) (object, error) {
	result := object{Group: kind.Group, Version: kind.Version, Kind: kind.Kind, Input: json.RawMessage(input)}
	into, err := c.scheme.New(kind)
	if err != nil {
		return result, err
	}
	decoded, _, err := c.strict.Decode([]byte(input), &kind, into)
	if strictErr, isStrict := runtime.AsStrictDecodingError(err); isStrict {
		for _, each := range strictErr.Errors() {
			result.Strict = append(result.Strict, each.Error())
		}
		sort.Strings(result.Strict)
	} else if err != nil {
		result.Error = err.Error()
		return result, nil
	}
	var encoded bytes.Buffer
	if err := c.proto.Encode(decoded, &encoded); err != nil {
		return result, err
	}
	result.Proto = encoded.Bytes()
	again, _, err := c.proto.Decode(result.Proto, &kind, nil)
	if err != nil {
		return result, err
	}
	var output bytes.Buffer
	if err := c.json.Encode(again, &output); err != nil {
		return result, err
	}
	if text := strings.TrimSpace(output.String()); !sameJSON(text, input) {
		result.Output = json.RawMessage(text)
	}
	return result, nil
}

func sameJSON(a, b string) bool {
	var left, right interface{}
	return json.Unmarshal([]byte(a), &left) == nil && json.Unmarshal([]byte(b), &right) == nil &&
		reflect.DeepEqual(left, right)
}

func objectRecords(every bool) ([]interface{}, error) {
	c := newCodec()
	var records []interface{}
	add := func(kind schema.GroupVersionKind, input string) error {
		record, err := c.record(kind, input)
		if err != nil {
			return fmt.Errorf("%s %s: %w", kind, input, err)
		}
		records = append(records, record)
		return nil
	}
	for _, each := range cases {
		for _, input := range each.inputs {
			if err := add(each.kind, input); err != nil {
				return nil, err
			}
		}
	}
	for _, kind := range filledKinds(c.scheme, every) {
		filled, err := c.scheme.New(kind)
		if err != nil {
			return nil, err
		}
		fill(filled)
		filled.GetObjectKind().SetGroupVersionKind(kind)
		input, err := json.Marshal(filled)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		if err := add(kind, string(input)); err != nil {
			return nil, err
		}
	}
	return records, nil
}
