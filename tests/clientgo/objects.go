package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/util/retry"

	"k8s.io/apimachinery/pkg/runtime"
)

func discoveryChecks(config *rest.Config, client *kubernetes.Clientset) {
	check("version", func(context.Context) error {
		version, err := client.Discovery().ServerVersion()
		if err != nil {
			return err
		}
		return want(version.Major == "1" && version.Minor == "35", "version %s.%s", version.Major, version.Minor)
	})
	check("aggregated discovery", func(context.Context) error {
		groups, resources, err := client.Discovery().ServerGroupsAndResources()
		if err != nil {
			return err
		}
		names := map[string]bool{}
		for _, list := range resources {
			for _, r := range list.APIResources {
				names[list.GroupVersion+"/"+r.Name] = true
			}
		}
		return first(want(len(groups) > 10, "%d groups", len(groups)), want(groups[0].Name == "", "first group %q", groups[0].Name),
			want(names["apps/v1/deployments"] && names["v1/pods"] && names["v1/pods/exec"] && names["apps/v1/deployments/scale"], "%v", names))
	})
	check("preferred resources", func(context.Context) error {
		lists, err := client.Discovery().ServerPreferredNamespacedResources()
		return first(err, want(len(lists) > 5, "%d lists", len(lists)))
	})
	check("OpenAPI v2 as protobuf", func(context.Context) error {
		document, err := client.Discovery().OpenAPISchema()
		if err != nil {
			return err
		}
		for _, d := range document.GetDefinitions().GetAdditionalProperties() {
			if d.GetName() == "io.k8s.api.apps.v1.Deployment" {
				return want(len(d.GetValue().GetProperties().GetAdditionalProperties()) == 5, "a Deployment has %d members",
					len(d.GetValue().GetProperties().GetAdditionalProperties()))
			}
		}
		return fmt.Errorf("no Deployment among the definitions")
	})
	check("OpenAPI v3", func(context.Context) error {
		paths, err := client.Discovery().OpenAPIV3().Paths()
		if err != nil {
			return err
		}
		group, there := paths["apis/apps/v1"]
		if !there {
			return fmt.Errorf("no apps/v1 in %v", paths)
		}
		text, err := group.Schema("application/json")
		return first(err, want(strings.Contains(string(text), "io.k8s.api.apps.v1.Deployment"), "no Deployment"))
	})
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

// lifeOf creates, reads, changes, lists and deletes through one clientset.
func lifeOf(ctx context.Context, client *kubernetes.Clientset, name string) error {
	maps := client.CoreV1().ConfigMaps("default")
	made, err := maps.Create(ctx, configMap(name, map[string]string{"a": "1"}), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	watch, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: made.ResourceVersion, FieldSelector: "metadata.name=" + name})
	if err != nil {
		return err
	}
	defer watch.Stop()
	made.Data["b"] = "2"
	changed, err := maps.Update(ctx, made, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if _, err := maps.Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("an old version was taken: %v", err)
	}
	patched, err := maps.Patch(ctx, name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"l":"v"}}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	got, err := maps.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	list, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "l=v"})
	if err != nil {
		return err
	}
	if err := maps.Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(got.UID))}); err != nil {
		return err
	}
	if _, err := maps.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("still there: %v", err)
	}
	var seen []string
	for len(seen) < 3 {
		select {
		case event, open := <-watch.ResultChan():
			if !open {
				return fmt.Errorf("the watch ended after %v", seen)
			}
			seen = append(seen, string(event.Type))
		case <-ctx.Done():
			return fmt.Errorf("the watch saw %v", seen)
		}
	}
	return first(want(strings.Join(seen, " ") == "MODIFIED MODIFIED DELETED", "the watch saw %v", seen),
		want(got.Data["b"] == "2" && got.Labels["l"] == "v" && got.ResourceVersion == patched.ResourceVersion, "%v", got),
		want(changed.UID == got.UID && len(list.Items) == 1, "%d listed", len(list.Items)))
}

func deployment(name string) *appsv1.Deployment {
	replicas := int32(0)
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			},
		},
	}
}

// counted wraps a transport and counts lists that are no watches.
func counted(config *rest.Config, lists *atomic.Int64) *rest.Config {
	out := rest.CopyConfig(config)
	out.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet && r.URL.Query().Get("watch") == "" {
				lists.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	return out
}

func objectChecks(config *rest.Config, client *kubernetes.Clientset) {
	check("objects in JSON", func(ctx context.Context) error { return lifeOf(ctx, client, "clientgo-json") })
	check("objects in protobuf", func(ctx context.Context) error {
		return lifeOf(ctx, kubernetes.NewForConfigOrDie(protobuf(config)), "clientgo-protobuf")
	})
	check("a deployment in protobuf, its status and scale", func(ctx context.Context) error {
		apps := kubernetes.NewForConfigOrDie(protobuf(config)).AppsV1().Deployments("default")
		made, err := apps.Create(ctx, deployment("clientgo"), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		defer func() { _ = apps.Delete(context.Background(), "clientgo", metav1.DeleteOptions{}) }()
		if err := want(made.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType, "no defaults: %v", made.Spec.Strategy); err != nil {
			return err
		}
		// The controller writes the status meanwhile.
		var scaled *autoscalingv1.Scale
		err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
			scale, err := apps.GetScale(ctx, "clientgo", metav1.GetOptions{})
			if err != nil {
				return err
			}
			scale.Spec.Replicas = 0
			scaled, err = apps.UpdateScale(ctx, "clientgo", scale, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return err
		}
		err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
			now, err := apps.Get(ctx, "clientgo", metav1.GetOptions{})
			if err != nil {
				return err
			}
			now.Status.Conditions = append(now.Status.Conditions, appsv1.DeploymentCondition{Type: "Tested", Status: "True"})
			_, err = apps.UpdateStatus(ctx, now, metav1.UpdateOptions{})
			return err
		})
		return first(err, want(scaled.Name == "clientgo", "%v", scaled))
	})
	check("the dynamic client", func(ctx context.Context) error {
		secrets := dynamic.NewForConfigOrDie(config).Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace("default")
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "clientgo"}, "stringData": map[string]any{"a": "b"}}}
		if _, err := secrets.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
		got, err := secrets.Get(ctx, "clientgo", metav1.GetOptions{})
		if err != nil {
			return err
		}
		data, _, _ := unstructured.NestedString(got.Object, "data", "a")
		for kind, patch := range map[types.PatchType]string{
			types.JSONPatchType:  `[{"op":"add","path":"/data/b","value":"Yg=="}]`,
			types.MergePatchType: `{"data":{"c":"Yw=="}}`} {
			if got, err = secrets.Patch(ctx, "clientgo", kind, []byte(patch), metav1.PatchOptions{}); err != nil {
				return err
			}
		}
		all, _, _ := unstructured.NestedMap(got.Object, "data")
		_, strict := secrets.Patch(ctx, "clientgo", types.MergePatchType, []byte(`{"nosuch":1}`), metav1.PatchOptions{FieldValidation: "Strict"})
		return first(want(data == "Yg==", "data %q", data), want(len(all) == 3, "%v", all),
			want(apierrors.IsInvalid(strict) && strings.Contains(strict.Error(), `unknown field "nosuch"`), "%v", strict),
			secrets.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=clientgo"}))
	})
	check("lists in pages", func(ctx context.Context) error {
		maps := client.CoreV1().ConfigMaps("default")
		for i := range 25 {
			object := configMap(fmt.Sprintf("page-%02d", i), nil)
			object.Labels = map[string]string{"page": "yes"}
			if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		pages := pager.New(pager.SimplePageFunc(func(options metav1.ListOptions) (runtime.Object, error) { return maps.List(ctx, options) }))
		pages.PageSize = 10
		seen := 0
		err := pages.EachListItem(ctx, metav1.ListOptions{LabelSelector: "page=yes"}, func(runtime.Object) error { seen++; return nil })
		return first(err, want(seen == 25, "%d seen", seen), maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "page=yes"}))
	})
	check("metadata alone", func(ctx context.Context) error {
		list, err := metadata.NewForConfigOrDie(config).Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).List(ctx, metav1.ListOptions{})
		return first(err, want(len(list.Items) >= 4 && list.Items[0].Name != "", "%v", list))
	})
	check("finalizers and foreground deletion", func(ctx context.Context) error {
		maps := client.CoreV1().ConfigMaps("default")
		object := configMap("clientgo-held", nil)
		object.Finalizers = []string{"example.com/held"}
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
		if err := maps.Delete(ctx, object.Name, metav1.DeleteOptions{}); err != nil {
			return err
		}
		held, err := maps.Get(ctx, object.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if held.DeletionTimestamp == nil {
			return fmt.Errorf("not being deleted")
		}
		held.Finalizers = nil
		if _, err := maps.Update(ctx, held, metav1.UpdateOptions{}); err != nil {
			return err
		}
		_, err = maps.Get(ctx, object.Name, metav1.GetOptions{})
		return want(apierrors.IsNotFound(err), "still there: %v", err)
	})
	check("eviction", func(ctx context.Context) error { return evict(ctx, client) })
	check("gzip of a large list", func(ctx context.Context) error {
		maps := client.CoreV1().ConfigMaps("default")
		if _, err := maps.Create(ctx, configMap("clientgo-large", map[string]string{"a": strings.Repeat("x", 200<<10)}), metav1.CreateOptions{}); err != nil {
			return err
		}
		defer func() { _ = maps.Delete(context.Background(), "clientgo-large", metav1.DeleteOptions{}) }()
		var encoding string
		wrapped := rest.CopyConfig(config)
		wrapped.DisableCompression = true
		wrapped.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				r.Header.Set("Accept-Encoding", "gzip")
				answer, err := next.RoundTrip(r)
				if err == nil {
					encoding = answer.Header.Get("Content-Encoding")
				}
				return answer, err
			})
		})
		_ = kubernetes.NewForConfigOrDie(wrapped).CoreV1().RESTClient().Get().AbsPath("/api/v1/namespaces/default/configmaps").Do(ctx)
		got, err := maps.Get(ctx, "clientgo-large", metav1.GetOptions{})
		return first(err, want(encoding == "gzip", "encoding %q", encoding), want(len(got.Data["a"]) == 200<<10, "%d bytes", len(got.Data["a"])))
	})
}

// evict removes a pod, and is told to wait by a budget that allows no disruption.
func evict(ctx context.Context, client *kubernetes.Clientset) error {
	pods := client.CoreV1().Pods("default")
	for _, name := range []string{"evicted", "guarded"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod": name}},
			Spec: corev1.PodSpec{NodeName: "nowhere", Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
		made, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		made.Status.Phase = corev1.PodRunning
		made.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		if _, err := pods.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	zero := int64(0)
	remove := func(name string) error {
		return pods.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name}, DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: &zero}})
	}
	if err := remove("evicted"); err != nil {
		return err
	}
	budgets := client.PolicyV1().PodDisruptionBudgets("default")
	minimum := intstr.FromInt32(1)
	budget, err := budgets.Create(ctx, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "guard"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &minimum, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"pod": "guarded"}}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = budgets.Delete(context.Background(), "guard", metav1.DeleteOptions{}) }()
	defer func() {
		_ = pods.Delete(context.Background(), "guarded", metav1.DeleteOptions{GracePeriodSeconds: &zero})
	}()
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		now, err := budgets.Get(ctx, budget.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		now.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: now.Generation, DesiredHealthy: 1, CurrentHealthy: 1, ExpectedPods: 1}
		_, err = budgets.UpdateStatus(ctx, now, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	refused := remove("guarded")
	_, gone := pods.Get(ctx, "evicted", metav1.GetOptions{})
	return first(want(apierrors.IsTooManyRequests(refused) && apierrors.HasStatusCause(refused, policyv1.DisruptionBudgetCause), "%v", refused),
		want(apierrors.IsNotFound(gone), "not evicted: %v", gone))
}

// soon waits until the condition holds.
func soon(ctx context.Context, what string, condition func() bool) error {
	for !condition() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within the time: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
