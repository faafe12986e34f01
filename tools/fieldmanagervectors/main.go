// fieldmanagervectors runs sequences of creates, updates and applies through Kubernetes' own field manager and
// writes what became of the objects, their managedFields and the conflicts. The unit tests hold Orch to it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/yaml"
)

// Step is one write. A create has no live object; an update replaces it; an apply merges into it.
type Step struct {
	Op          string          `json:"op"`
	Manager     string          `json:"manager"`
	Subresource string          `json:"subresource,omitempty"`
	Force       bool            `json:"force,omitempty"`
	Object      json.RawMessage `json:"object"`
	// What came out: an error, or managedFields and, where an apply has merged, the object.
	Error   *Failure        `json:"error,omitempty"`
	Managed json.RawMessage `json:"managed,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
}

type Failure struct {
	Message string            `json:"message"`
	Code    int32             `json:"code"`
	Causes  map[string]string `json:"causes,omitempty"` // field -> message
	Many    bool              `json:"many,omitempty"`   // of several managers: their order is chance
}

type Case struct {
	Name  string `json:"name"`
	Steps []Step `json:"steps"`
}

// known makes custom resources of what the scheme does not know.
type known struct{}

func custom(kind schema.GroupVersionKind) bool { return !scheme.Scheme.Recognizes(kind) }

func (known) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	if custom(kind) {
		object := &unstructured.Unstructured{Object: map[string]any{}}
		object.SetGroupVersionKind(kind)
		return object, nil
	}
	object, err := scheme.Scheme.New(kind)
	if err == nil {
		object.GetObjectKind().SetGroupVersionKind(kind)
	}
	return object, err
}

func (known) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gvk := in.GetObjectKind().GroupVersionKind()
	if custom(gvk) {
		return in, nil
	}
	if u, ok := in.(*unstructured.Unstructured); ok {
		typed, err := scheme.Scheme.New(gvk)
		if err != nil {
			return nil, err
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, typed); err != nil {
			return nil, err
		}
		in = typed
	}
	out := in.DeepCopyObject()
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out, nil
}

func (known) Convert(in, out, context any) error { return errors.New("not used") }

func (known) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

func (known) Default(runtime.Object) {}

func reset(kind schema.GroupVersionKind, subresource string) map[fieldpath.APIVersion]fieldpath.Filter {
	fields := fieldpath.NewSet(fieldpath.MakePathOrDie("status"))
	if subresource == "status" {
		fields = fieldpath.NewSet(fieldpath.MakePathOrDie("spec"))
	}
	version := fieldpath.APIVersion(kind.GroupVersion().String())
	return fieldpath.NewExcludeFilterSetMap(map[fieldpath.APIVersion]*fieldpath.Set{version: fields})
}

var converter = applyconfigurations.NewTypeConverter(scheme.Scheme)

func manager(kind schema.GroupVersionKind, subresource string) (*managedfields.FieldManager, error) {
	if custom(kind) {
		return managedfields.NewDefaultCRDFieldManager(managedfields.NewDeducedTypeConverter(), known{}, known{}, known{},
			kind, kind.GroupVersion(), subresource, reset(kind, subresource))
	}
	return managedfields.NewDefaultFieldManager(converter, known{}, known{}, known{}, kind, kind.GroupVersion(),
		subresource, reset(kind, subresource))
}

func decode(raw []byte, kind schema.GroupVersionKind) (runtime.Object, error) {
	object, err := known{}.New(kind)
	if err != nil {
		return nil, err
	}
	if u, ok := object.(*unstructured.Unstructured); ok {
		return u, json.Unmarshal(raw, &u.Object)
	}
	if err := json.Unmarshal(raw, object); err != nil {
		return nil, err
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	return object, nil
}

// Time of a step. It is put in place of the real one, which is later than all of them.
func at(step int) metav1.Time {
	return metav1.NewTime(time.Date(2020, 1, 1, 0, 0, step, 0, time.UTC))
}

func settle(object runtime.Object, step int) {
	accessor, _ := meta.Accessor(object)
	entries := accessor.GetManagedFields()
	for i := range entries {
		if entries[i].Time != nil && entries[i].Time.Year() > 2020 {
			now := at(step)
			entries[i].Time = &now
		}
	}
	if len(entries) > 0 {
		accessor.SetManagedFields(entries)
	}
}

func failure(err error) *Failure {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return &Failure{Message: err.Error(), Code: 500}
	}
	out := &Failure{Message: status.Status().Message, Code: status.Status().Code}
	if details := status.Status().Details; details != nil {
		managers := map[string]bool{}
		for _, cause := range details.Causes {
			if out.Causes == nil {
				out.Causes = map[string]string{}
			}
			out.Causes[cause.Field+" "+cause.Message] = string(cause.Type)
			managers[cause.Message] = true
		}
		out.Many = len(managers) > 1
	}
	return out
}

// split takes the managedFields out of an object's JSON.
func split(object runtime.Object) (whole, managed json.RawMessage, err error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, nil, err
	}
	tree := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, nil, err
	}
	accessor, _ := meta.Accessor(object)
	if entries := accessor.GetManagedFields(); len(entries) > 0 {
		if managed, err = json.Marshal(entries); err != nil {
			return nil, nil, err
		}
	}
	if metadata, ok := tree["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
	}
	whole, err = json.Marshal(tree)
	return whole, managed, err
}

// run fills in what becomes of each step; steps that cannot be decoded go.
func run(steps []Step) ([]Step, error) {
	var live runtime.Object
	var done []Step
	for _, step := range steps {
		head := metav1.TypeMeta{}
		if err := json.Unmarshal(step.Object, &head); err != nil {
			return nil, err
		}
		kind := head.GroupVersionKind()
		fields, err := manager(kind, step.Subresource)
		if err != nil {
			return nil, err
		}
		before := live
		if before == nil {
			if before, err = (known{}).New(kind); err != nil {
				return nil, err
			}
			if step.Op == "update" {
				step.Op = "create"
			}
		}
		var after runtime.Object
		if step.Op == "apply" {
			patch := &unstructured.Unstructured{Object: map[string]any{}}
			if err := yaml.Unmarshal(step.Object, &patch.Object); err != nil {
				return nil, err
			}
			after, err = fields.Apply(before.DeepCopyObject(), patch, step.Manager, step.Force)
		} else {
			next, bad := decode(step.Object, kind)
			if bad != nil {
				continue
			}
			if live != nil {
				accessor, _ := meta.Accessor(next)
				accessor.SetUID("u")
			}
			after = fields.UpdateNoErrors(before.DeepCopyObject(), next, step.Manager)
		}
		if err != nil {
			step.Error = failure(err)
			done = append(done, step)
			continue
		}
		settle(after, len(done))
		accessor, _ := meta.Accessor(after)
		accessor.SetUID("u") // it exists
		whole, managed, err := split(after)
		if err != nil {
			return nil, err
		}
		step.Managed = managed
		if step.Op == "apply" {
			step.Result = whole
		}
		// As from storage.
		stored, err := json.Marshal(after)
		if err != nil {
			return nil, err
		}
		if live, err = decode(stored, kind); err != nil {
			return nil, err
		}
		done = append(done, step)
	}
	return done, nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fieldmanagervectors:", err)
		os.Exit(1)
	}
}

func main() {
	out := flag.String("out", "../../tests/unit/api/fieldmanager/testdata", "folder for the answers")
	count := flag.Int("random", 60, "random sequences of writes")
	seed := flag.Int64("seed", 1, "of the random ones")
	flag.Parse()
	cases, err := written(filepath.Join("cases.yaml"))
	check(err)
	random := rand.New(rand.NewSource(*seed))
	bases, err := objects("bases.yaml")
	check(err)
	for i := 0; i < *count; i++ {
		cases = append(cases, sequence(random, bases, i))
	}
	var lines strings.Builder
	for _, c := range cases {
		c.Steps, err = run(c.Steps)
		if err != nil {
			check(fmt.Errorf("%s: %w", c.Name, err))
		}
		line, err := json.Marshal(c)
		check(err)
		lines.Write(line)
		lines.WriteByte('\n')
	}
	check(os.MkdirAll(*out, 0o755))
	check(os.WriteFile(filepath.Join(*out, "sequences.jsonl"), []byte(lines.String()), 0o644))
}
