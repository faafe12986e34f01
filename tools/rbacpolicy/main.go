// Writes src/server/auth/bootstrap.policy: the roles and bindings that a Kubernetes v1.35 API server makes at
// start, as tab-separated text. README.md describes the records.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policy "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

const header = `# Roles and bindings made at start; written by tools/rbacpolicy, see its README.md for the records.
`

type writer struct{ strings.Builder }

func (w *writer) line(fields ...string) {
	for i, f := range fields {
		if f == "" {
			fields[i] = "-"
		}
	}
	w.WriteString(strings.Join(fields, "\t") + "\n")
}

// list joins values; the empty string among them (the core group) is written "-".
func list(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		if v == "" {
			v = "-"
		}
		out[i] = v
	}
	return strings.Join(out, ",")
}

// labels leaves out the one that every default object carries.
func labels(meta metav1.ObjectMeta) string {
	var out []string
	for k, v := range meta.Labels {
		if _, common := policy.Label[k]; !common {
			out = append(out, k+"="+v)
		}
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}

func (w *writer) rules(rules []rbacv1.PolicyRule) {
	for _, r := range rules {
		if len(r.NonResourceURLs) > 0 {
			w.line("U", list(r.Verbs), list(r.NonResourceURLs))
		} else {
			w.line("P", list(r.Verbs), list(r.APIGroups), list(r.Resources), list(r.ResourceNames))
		}
	}
}

func (w *writer) binding(ns, name string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
	w.line("B", ns, name, ref.Kind, ref.Name)
	for _, s := range subjects {
		w.line("S", s.Kind, s.Namespace, s.Name)
	}
}

func table() (string, error) {
	w := &writer{}
	w.WriteString(header)
	clusterRoles := append(policy.ClusterRoles(), policy.ControllerRoles()...)
	for _, r := range clusterRoles {
		w.line("R", "", r.Name, labels(r.ObjectMeta))
		if r.AggregationRule != nil {
			for _, s := range r.AggregationRule.ClusterRoleSelectors {
				if len(s.MatchExpressions) > 0 {
					return "", fmt.Errorf("%s: aggregation by expressions has no record", r.Name)
				}
				var pairs []string
				for k, v := range s.MatchLabels {
					pairs = append(pairs, k+"="+v)
				}
				sort.Strings(pairs)
				w.line("A", strings.Join(pairs, ","))
			}
		}
		w.rules(r.Rules)
	}
	for _, b := range append(policy.ClusterRoleBindings(), policy.ControllerRoleBindings()...) {
		w.binding("", b.Name, b.RoleRef, b.Subjects)
	}
	for _, ns := range sortedKeys(policy.NamespaceRoles()) {
		for _, r := range policy.NamespaceRoles()[ns] {
			w.line("R", ns, r.Name, labels(r.ObjectMeta))
			w.rules(r.Rules)
		}
	}
	for _, ns := range sortedKeys(policy.NamespaceRoleBindings()) {
		for _, b := range policy.NamespaceRoleBindings()[ns] {
			w.binding(ns, b.Name, b.RoleRef, b.Subjects)
		}
	}
	return w.String(), nil
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func run() error {
	root := flag.String("root", "../..", "the repository's root folder")
	check := flag.Bool("check", false, "compare the committed file with a fresh one instead of writing it")
	flag.Parse()
	fresh, err := table()
	if err != nil {
		return err
	}
	path := filepath.Join(*root, "src/server/auth/bootstrap.policy")
	if !*check {
		return os.WriteFile(path, []byte(fresh), 0o644)
	}
	old, err := os.ReadFile(path)
	if err == nil && string(old) != fresh {
		err = fmt.Errorf("%s is not what the generator writes; run it without -check", path)
	}
	return err
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rbacpolicy:", err)
		os.Exit(1)
	}
}
