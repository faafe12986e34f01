package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"context"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
	"k8s.io/apiserver/pkg/cel/mutation"
	celopenapi "k8s.io/apiserver/pkg/cel/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Environment is an entry of environments.json: what variables an expression sees.
type Environment struct {
	// Untyped variables and their JSON values.
	Variables map[string]json.RawMessage `json:"variables,omitempty"`
	// With a schema, the variable self has its type, and oldSelf, if it is given.
	Schema  json.RawMessage `json:"schema,omitempty"`
	Self    json.RawMessage `json:"self,omitempty"`
	OldSelf json.RawMessage `json:"oldSelf,omitempty"`
	// oldSelf is optional: {"schema": …, "oldSelf": …} may leave it out.
	OptionalOldSelf bool   `json:"optionalOldSelf,omitempty"`
	Root            bool   `json:"root,omitempty"`
	Authorizer      bool   `json:"authorizer,omitempty"`
	Mutation        bool   `json:"mutation,omitempty"`
	Limit           uint64 `json:"limit,omitempty"`
}

// Vector is what Kubernetes makes of one expression.
type Vector struct {
	Env  string `json:"env"`
	Expr string `json:"expr"`
	// What compiling said, if it failed.
	Issues      string `json:"issues,omitempty"`
	Instantiate string `json:"instantiate,omitempty"`
	Type        string `json:"type,omitempty"`
	Value       string `json:"value,omitempty"`
	Error       string `json:"error,omitempty"`
	Cost        uint64 `json:"cost"`
	Min         uint64 `json:"min"`
	Max         uint64 `json:"max"`
}

func baseSet() *environment.EnvSet {
	return environment.MustBaseEnvSet(version.MajorMinor(1, 35))
}

func baseEnv() (*cel.Env, error) {
	return baseSet().NewExpressionsEnv().Extend(library.JSONPatch())
}

type prepared struct {
	env       *cel.Env
	vars      map[string]any
	estimator *library.CostEstimator
	limit     uint64
}

type fakeAuthorizer struct{}

func (fakeAuthorizer) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	what := fmt.Sprintf("user=%s verb=%s path=%s group=%s version=%s resource=%s subresource=%s namespace=%s name=%s",
		a.GetUser().GetName(), a.GetVerb(), a.GetPath(), a.GetAPIGroup(), a.GetAPIVersion(), a.GetResource(),
		a.GetSubresource(), a.GetNamespace(), a.GetName())
	if a.GetResource() == "broken" {
		return authorizer.DecisionNoOpinion, what, errors.New("fake authz error")
	}
	if a.GetVerb() == "get" {
		return authorizer.DecisionAllow, what, nil
	}
	return authorizer.DecisionDeny, what, nil
}

type request struct{}

func (request) GetName() string      { return "web" }
func (request) GetNamespace() string { return "default" }
func (request) GetResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
}
func (request) GetSubresource() string { return "scale" }

type sizeEstimator struct{ root *apiservercel.DeclType }

// The estimator of CRD rules (k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel) is not exported; this
// follows a path through the declared type as it does.
func (c *sizeEstimator) EstimateSize(element checker.AstNode) *checker.SizeEstimate {
	if len(element.Path()) == 0 || c.root == nil {
		return nil
	}
	node := c.root
	for _, name := range element.Path()[1:] {
		switch name {
		case "@items", "@values":
			node = node.ElemType
		case "@keys":
			node = node.KeyType
		default:
			field, ok := node.Fields[name]
			if !ok {
				return nil
			}
			node = field.Type
		}
		if node == nil {
			return nil
		}
	}
	return &checker.SizeEstimate{Min: 0, Max: uint64(node.MaxElements)}
}

func (c *sizeEstimator) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

func prepare(e Environment) (*prepared, error) {
	out := &prepared{vars: map[string]any{}, limit: e.Limit}
	if out.limit == 0 {
		out.limit = 1000000
	}
	var options environment.VersionedOptions
	options.IntroducedVersion = version.MajorMinor(1, 0)
	for name, raw := range e.Variables {
		options.EnvOptions = append(options.EnvOptions, cel.Variable(name, cel.DynType))
		value, err := decode(raw)
		if err != nil {
			return nil, err
		}
		out.vars[name] = value
	}
	var root *apiservercel.DeclType
	if e.Schema != nil {
		var s spec.Schema
		if err := json.Unmarshal(e.Schema, &s); err != nil {
			return nil, err
		}
		openapi := &celopenapi.Schema{Schema: &s}
		root = common.SchemaDeclType(openapi, e.Root)
		named := root.MaybeAssignTypeName("selfType")
		options.DeclTypes = append(options.DeclTypes, named)
		options.EnvOptions = append(options.EnvOptions, cel.Variable("self", named.CelType()))
		self, err := decode(e.Self)
		if err != nil {
			return nil, err
		}
		out.vars["self"] = common.UnstructuredToVal(self, openapi)
		if e.OptionalOldSelf {
			options.EnvOptions = append(options.EnvOptions, cel.Variable("oldSelf", types.NewOptionalType(named.CelType())))
			out.vars["oldSelf"] = types.OptionalNone
		} else if e.OldSelf != nil {
			options.EnvOptions = append(options.EnvOptions, cel.Variable("oldSelf", named.CelType()))
		}
		if e.OldSelf != nil {
			old, err := decode(e.OldSelf)
			if err != nil {
				return nil, err
			}
			value := common.UnstructuredToVal(old, openapi)
			if e.OptionalOldSelf {
				value = types.OptionalOf(value)
			}
			out.vars["oldSelf"] = value
		}
	}
	if e.Authorizer {
		options.EnvOptions = append(options.EnvOptions, cel.Variable("authorizer", library.AuthorizerType),
			cel.Variable("authorizer.requestResource", library.ResourceCheckType))
		u := &user.DefaultInfo{Name: "alice"}
		out.vars["authorizer"] = library.NewAuthorizerVal(u, fakeAuthorizer{})
		out.vars["authorizer.requestResource"] = library.NewResourceAuthorizerVal(u, fakeAuthorizer{}, request{})
	}
	if e.Mutation {
		options.EnvOptions = append(options.EnvOptions, library.JSONPatch(),
			common.ResolverEnvOption(&mutation.DynamicTypeResolver{}))
	}
	set, err := baseSet().Extend(options)
	if err != nil {
		return nil, err
	}
	out.env = set.NewExpressionsEnv()
	out.estimator = &library.CostEstimator{SizeEstimator: &sizeEstimator{root: root}}
	return out, nil
}

func evaluate(p *prepared, name, expr string) Vector {
	v := Vector{Env: name, Expr: expr}
	ast, issues := p.env.Compile(expr)
	if issues.Err() != nil {
		v.Issues = issues.String()
		return v
	}
	v.Type = checker.FormatCELType(ast.OutputType())
	program, err := p.env.Program(ast, cel.CostLimit(p.limit), cel.CostTracking(p.estimator),
		cel.InterruptCheckFrequency(100))
	if err != nil {
		v.Instantiate = err.Error()
		return v
	}
	estimate, err := p.env.EstimateCost(ast, p.estimator)
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Min, v.Max = estimate.Min, estimate.Max
	value, details, err := program.Eval(p.vars)
	if details != nil && details.ActualCost() != nil {
		v.Cost = *details.ActualCost()
	}
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Value = render(value)
	return v
}

// render writes a value so that its type can be told.
func render(value ref.Val) string {
	switch v := value.(type) {
	case types.Null:
		return "null"
	case types.Bool:
		return fmt.Sprint(bool(v))
	case types.Int:
		return fmt.Sprintf("%d", int64(v))
	case types.Uint:
		return fmt.Sprintf("%du", uint64(v))
	case types.Double:
		return fmt.Sprintf("double(%x)", float64(v))
	case types.String:
		return quote(string(v))
	case types.Bytes:
		return fmt.Sprintf("b(%x)", []byte(v))
	case types.Timestamp:
		return "timestamp(" + v.Time.Format(time.RFC3339Nano) + ")"
	case types.Duration:
		return fmt.Sprintf("duration(%d)", int64(v.Duration))
	case *types.Optional:
		if !v.HasValue() {
			return "none"
		}
		return "some(" + render(v.GetValue()) + ")"
	case ref.Type:
		return "type(" + v.TypeName() + ")"
	case traits.Lister:
		var parts []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			parts = append(parts, render(it.Next()))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case traits.Mapper:
		var parts []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			k := it.Next()
			if k == nil {
				continue
			}
			parts = append(parts, render(k)+": "+render(v.Get(k)))
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case apiservercel.Quantity:
		return "quantity(" + v.Quantity.String() + ")"
	case *apiservercel.Quantity:
		return "quantity(" + v.Quantity.String() + ")"
	case apiservercel.URL:
		return "url(" + v.URL.String() + ")"
	case apiservercel.IP:
		return "ip(" + v.Addr.String() + ")"
	case apiservercel.CIDR:
		return "cidr(" + v.Prefix.String() + ")"
	default:
		return value.Type().TypeName()
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func decode(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return numbers(v), nil
}

// numbers makes whole numbers int64, as Kubernetes' decoder does.
func numbers(v any) any {
	switch t := v.(type) {
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return i
		}
		f, _ := t.Float64()
		return f
	case []any:
		for i := range t {
			t[i] = numbers(t[i])
		}
	case map[string]any:
		for k := range t {
			t[k] = numbers(t[k])
		}
	}
	return v
}

// writeVectors reads cases/*.txt: an expression per line, \n within it written as ⏎; "@env NAME" chooses an
// entry of environments.json, "#" starts a comment.
func writeVectors(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "environments.json"))
	if err != nil {
		return err
	}
	environments := map[string]Environment{}
	if err := json.Unmarshal(data, &environments); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "cases", "*.txt"))
	if err != nil {
		return err
	}
	ready := map[string]*prepared{}
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name := "none"
		var lines []string
		for _, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "@env ") {
				name = strings.TrimPrefix(line, "@env ")
				continue
			}
			if line == "" || strings.HasPrefix(line, "# ") {
				continue
			}
			if ready[name] == nil {
				e, ok := environments[name]
				if !ok {
					return fmt.Errorf("%s: no environment %q", file, name)
				}
				p, err := prepare(e)
				if err != nil {
					return fmt.Errorf("%s: %v", name, err)
				}
				ready[name] = p
			}
			v := evaluate(ready[name], name, strings.ReplaceAll(line, "⏎", "\n"))
			b, err := marshal(v)
			if err != nil {
				return err
			}
			lines = append(lines, b)
			count++
		}
		out := filepath.Join(dir, "expected", strings.TrimSuffix(filepath.Base(file), ".txt")+".jsonl")
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(out, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	fmt.Println(count, "vectors")
	return nil
}

func marshal(v Vector) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}
