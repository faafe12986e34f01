package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

func documents(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	return strings.Split(string(text), "\n---\n"), err
}

// objects reads the objects that random ones are made of.
func objects(path string) ([]map[string]any, error) {
	docs, err := documents(path)
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for _, doc := range docs {
		tree := map[string]any{}
		if err := yaml.Unmarshal([]byte(doc), &tree); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, tree)
	}
	return out, nil
}

// written reads the sequences that somebody thought of: documents with name and steps, whose objects are
// YAML.
func written(path string) ([]Case, error) {
	docs, err := documents(path)
	if err != nil {
		return nil, err
	}
	var out []Case
	for _, doc := range docs {
		c := Case{}
		if err := yaml.Unmarshal([]byte(doc), &c); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, c)
	}
	return out, nil
}

var quantities = []string{"1", "100m", "2Gi", "1500m", "64Mi"}

// vary gives a tree with things left out, changed, repeated and in another order. `keep` members stay.
func vary(random *rand.Rand, tree any, name string, leave float64) any {
	switch value := tree.(type) {
	case map[string]any:
		out := map[string]any{}
		keys := make([]string, 0, len(value))
		for key := range value {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		for _, key := range keys {
			if key == "apiVersion" || key == "kind" || (name == "metadata" && (key == "name" || key == "namespace")) {
				out[key] = value[key]
				continue
			}
			if random.Float64() < leave {
				continue
			}
			item := vary(random, value[key], key, leave)
			// Storage does not tell an empty list from none.
			if list, ok := item.([]any); ok && len(list) == 0 {
				continue
			}
			out[key] = item
		}
		if (name == "labels" || name == "annotations" || name == "data" || name == "matchLabels") && random.Float64() < leave {
			out[fmt.Sprint("extra", random.Intn(3))] = fmt.Sprint("value", random.Intn(3))
		}
		return out
	case []any:
		out := []any{}
		for _, item := range value {
			if random.Float64() < leave {
				continue
			}
			out = append(out, vary(random, item, name, leave/2))
		}
		if len(out) > 1 && random.Float64() < 0.2 {
			random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		}
		if len(out) > 0 && random.Float64() < 0.04 {
			out = append(out, out[random.Intn(len(out))])
		}
		return out
	case string:
		if random.Float64() > 0.15 {
			return value
		}
		switch name {
		case "cpu", "memory", "storage", "averageValue":
			return quantities[random.Intn(len(quantities))]
		case "creationTimestamp", "lastTransitionTime", "time", "renewTime", "targetPort", "maxUnavailable", "maxSurge":
			return value
		}
		return fmt.Sprint(value, random.Intn(3))
	case float64:
		if random.Float64() > 0.15 {
			return value
		}
		return value + float64(random.Intn(3))
	case bool:
		return value != (random.Float64() < 0.1)
	}
	return tree
}

var managers = []string{"kubectl", "helm", "controller", "alice", "kubectl-client-side-apply"}

func sequence(random *rand.Rand, bases []map[string]any, number int) Case {
	base := bases[random.Intn(len(bases))]
	c := Case{Name: fmt.Sprintf("random %d: %v", number, base["kind"])}
	state := base
	steps := 3 + random.Intn(5)
	if random.Intn(12) == 0 {
		steps = 16
	}
	for i := 0; i < steps; i++ {
		step := Step{Manager: managers[random.Intn(len(managers))]}
		if steps == 16 {
			step.Manager = fmt.Sprint("manager", random.Intn(14))
		}
		var tree any
		switch random.Intn(5) {
		case 0, 1:
			step.Op = "update"
			tree = vary(random, state, "", 0.1)
			if random.Intn(4) == 0 {
				step.Subresource = "status"
			}
		default:
			step.Op = "apply"
			step.Force = random.Intn(2) == 0
			tree = vary(random, base, "", []float64{0, 0.1, 0.3, 0.5}[random.Intn(4)])
			if metadata, ok := tree.(map[string]any)["metadata"].(map[string]any); ok {
				delete(metadata, "uid")
			}
			if random.Intn(8) == 0 {
				step.Subresource = "status"
			}
		}
		if step.Op == "update" {
			state = tree.(map[string]any)
		}
		if _, ok := tree.(map[string]any)["metadata"].(map[string]any); !ok {
			tree.(map[string]any)["metadata"] = map[string]any{"name": "x"}
		}
		step.Object, _ = json.Marshal(tree)
		c.Steps = append(c.Steps, step)
	}
	return c
}
