// devices asks the structured allocator of Kubernetes v0.35.4, with the features that kube-scheduler v1.35 has on by default, which
// devices the claims of random pods get. See ../README.md.
package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"sort"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

type vector struct {
	Seed    int               `json:"seed"`
	Node    json.RawMessage   `json:"node"`
	Objects []json.RawMessage `json:"objects"` // slices, classes, allocated claims
	Claims  []json.RawMessage `json:"claims"`  // to allocate, in order
	Answers []json.RawMessage `json:"answers"` // all that were seen: Kubernetes takes pools in any order
}

type classes map[string]*resourceapi.DeviceClass

func (c classes) List() ([]*resourceapi.DeviceClass, error) { return nil, nil }
func (c classes) Get(name string) (*resourceapi.DeviceClass, error) {
	if class, ok := c[name]; ok {
		return class, nil
	}
	return nil, apierrors.NewNotFound(resourceapi.Resource("deviceclass"), name)
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func slim(kind string, o any) json.RawMessage {
	m := must(runtime.DefaultUnstructuredConverter.ToUnstructured(o))
	m["kind"] = kind
	for k, v := range m {
		if inner, ok := v.(map[string]any); ok && len(inner) == 0 {
			delete(m, k)
		}
	}
	return must(json.Marshal(m))
}

// taken are the devices that claims have to themselves.
func taken(claims []*resourceapi.ResourceClaim) sets.Set[structured.DeviceID] {
	out := sets.New[structured.DeviceID]()
	for _, c := range claims {
		for _, r := range c.Status.Allocation.Devices.Results {
			if r.AdminAccess == nil || !*r.AdminAccess {
				out.Insert(structured.MakeDeviceID(r.Driver, r.Pool, r.Device))
			}
		}
	}
	return out
}

func ask(c scene) json.RawMessage {
	state := structured.AllocatedState{
		AllocatedDevices:         taken(c.allocated),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection(),
	}
	features := structured.Features{AdminAccess: true, PrioritizedList: true}
	a := must(structured.NewAllocator(context.Background(), features, state, c.classes, c.slices, cel.NewCache(10, cel.Features{})))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	results, err := a.Allocate(ctx, c.node, c.claims)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	answer := map[string]any{}
	switch {
	case err != nil:
		answer["error"] = err.Error()
	case len(results) != len(c.claims):
		answer["none"] = true
	default:
		var list []any
		for i := range results {
			m := must(runtime.DefaultUnstructuredConverter.ToUnstructured(&results[i]))
			if devices, ok := m["devices"].(map[string]any); ok {
				if list, ok := devices["results"].([]any); ok && len(list) == 0 {
					delete(devices, "results")
				}
			}
			list = append(list, m)
		}
		answer["allocations"] = list
	}
	return must(json.Marshal(answer))
}

// judge says nothing of searches that take long, nor of most that find nothing.
func judge(seed int) *vector {
	c := dice{rand.New(rand.NewSource(int64(seed)))}.scene()
	out := &vector{Seed: seed, Node: slim("Node", c.node)}
	for _, s := range c.slices {
		out.Objects = append(out.Objects, slim("ResourceSlice", s))
	}
	var names []string
	for name := range c.classes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		out.Objects = append(out.Objects, slim("DeviceClass", c.classes[name]))
	}
	for _, claim := range c.allocated {
		out.Objects = append(out.Objects, slim("ResourceClaim", claim))
	}
	for _, claim := range c.claims {
		out.Claims = append(out.Claims, slim("ResourceClaim", claim))
	}
	seen := sets.New[string]()
	for range 15 {
		a := ask(c)
		if a == nil {
			return nil
		}
		if !seen.Has(string(a)) {
			seen.Insert(string(a))
			out.Answers = append(out.Answers, a)
		}
	}
	if seed%3 != 0 && len(out.Answers) == 1 && string(out.Answers[0]) == `{"none":true}` {
		return nil
	}
	sort.Slice(out.Answers, func(i, j int) bool { return string(out.Answers[i]) < string(out.Answers[j]) })
	return out
}

func main() {
	from := flag.Int("from", 1, "first seed")
	count := flag.Int("count", 1000, "how many")
	output := flag.String("output", "-", "file; - prints plain lines")
	flag.Parse()
	var w io.Writer = os.Stdout
	if *output != "-" {
		f := must(os.Create(*output))
		defer f.Close()
		z := must(gzip.NewWriterLevel(f, gzip.BestCompression))
		defer z.Close()
		w = z
	}
	b := bufio.NewWriter(w)
	defer b.Flush()
	for seed := *from; seed < *from+*count; seed++ {
		if v := judge(seed); v != nil {
			fmt.Fprintln(b, string(must(json.Marshal(v))))
		}
	}
}
