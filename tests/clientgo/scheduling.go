package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	inland   = "inland" // two nodes, which the extender tells apart by their names
	seaside  = "seaside"
	boats    = "example.com/boats"
	schedule = "scheduling" // namespace of these checks
)

// extender is asked for pods that want boats: those go to the seaside, one at a time.
func extender(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Pod       corev1.Pod
		NodeNames *[]string
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.NodeNames == nil {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	wanted := asked.Pod.Spec.Containers[0].Resources.Requests[boats]
	fit, failed := []string{}, map[string]string{}
	for _, name := range *asked.NodeNames {
		switch {
		case wanted.Value() > 1:
			failed[name] = "too many boats"
		case name != seaside:
			failed[name] = "no water"
		default:
			fit = append(fit, name)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"nodenames": fit, "failedNodes": failed})
}

// outside is a scheduler of its own: each of its pods goes to the node that has the fewest.
type outside struct {
	mutex sync.Mutex
	bound map[string]bool // names of the pods it placed
}

func (o *outside) run(ctx context.Context, client *kubernetes.Clientset) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0)
	nodes, pods := factory.Core().V1().Nodes().Lister(), factory.Core().V1().Pods().Lister()
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "outside"})
	mine := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(options *metav1.ListOptions) {
		options.FieldSelector = fields.AndSelectors(fields.OneTermEqualSelector("spec.schedulerName", "outside"),
			fields.OneTermEqualSelector("spec.nodeName", "")).String()
	}))
	_, err := mine.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(object any) {
		pod := object.(*corev1.Pod)
		every, _ := nodes.List(labels.Everything())
		placed, _ := pods.List(labels.Everything())
		load := map[string]int{}
		for _, p := range placed {
			load[p.Spec.NodeName]++
		}
		best := ""
		for _, n := range every {
			if best == "" || load[n.Name] < load[best] {
				best = n.Name
			}
		}
		err := client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
			Target: corev1.ObjectReference{Kind: "Node", Name: best}}, metav1.CreateOptions{})
		if err != nil {
			recorder.Eventf(pod, corev1.EventTypeWarning, "FailedScheduling", "%v", err)
			return
		}
		recorder.Eventf(pod, corev1.EventTypeNormal, "Scheduled", "%s has room", best)
		o.mutex.Lock()
		defer o.mutex.Unlock()
		o.bound[pod.Name] = true
	}})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	mine.Start(ctx.Done())
	mine.WaitForCacheSync(ctx.Done())
	return nil
}

func schedulingNode(ctx context.Context, client *kubernetes.Clientset, name string) error {
	room := corev1.ResourceList{"cpu": resource.MustParse("3"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("110")}
	_, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Capacity: room, Allocatable: room,
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}}}, metav1.CreateOptions{})
	return err
}

// wish is a pod that waits for a scheduler.
func wish(name, scheduler string, requests corev1.ResourceList) *corev1.Pod {
	none := int64(0)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{SchedulerName: scheduler, TerminationGracePeriodSeconds: &none,
		Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests}}}}}
}

func cpu(text string) corev1.ResourceList {
	return corev1.ResourceList{"cpu": resource.MustParse(text)}
}

// schedulingChecks needs a server whose scheduler has a profile "packer", which fills one node before the next, and
// asks the extender at that address about pods that want boats.
func schedulingChecks(client *kubernetes.Clientset, address string) {
	all, stop := context.WithCancel(context.Background())
	defer stop()
	pods := client.CoreV1().Pods(schedule)
	// places waits until all these pods have nodes.
	places := func(ctx context.Context, names []string) (map[string]string, error) {
		out := map[string]string{}
		err := soon(ctx, "pods have nodes", func() bool {
			list, err := pods.List(ctx, metav1.ListOptions{})
			if err != nil {
				return false
			}
			for _, p := range list.Items {
				if p.Spec.NodeName != "" {
					out[p.Name] = p.Spec.NodeName
				}
			}
			for _, name := range names {
				if out[name] == "" {
					return false
				}
			}
			return true
		})
		return out, err
	}
	// refused waits until a scheduler says why the pod has no node.
	refused := func(ctx context.Context, name string) (string, error) {
		why := ""
		err := soon(ctx, "a pod is told why it waits", func() bool {
			p, err := pods.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false
			}
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable {
					why = c.Message
				}
			}
			return why != ""
		})
		return why, err
	}
	check("a scheduler of one's own beside Orch's", func(ctx context.Context) error {
		if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: schedule}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		if err := soon(ctx, "the account of pods is there", func() bool {
			_, err := client.CoreV1().ServiceAccounts(schedule).Get(ctx, "default", metav1.GetOptions{})
			return err == nil
		}); err != nil {
			return err
		}
		if err := first(schedulingNode(ctx, client, inland), schedulingNode(ctx, client, seaside)); err != nil {
			return err
		}
		own := outside{bound: map[string]bool{}}
		if err := own.run(all, client); err != nil {
			return err
		}
		names := []string{}
		for i := range 20 {
			for _, scheduler := range []string{"outside", corev1.DefaultSchedulerName} {
				name := fmt.Sprintf("%s-%d", scheduler, i)
				if _, err := pods.Create(ctx, wish(name, scheduler, cpu("100m")), metav1.CreateOptions{}); err != nil {
					return err
				}
				names = append(names, name)
			}
		}
		if _, err := places(ctx, names); err != nil {
			return err
		}
		if err := soon(ctx, "it knows what it did", func() bool {
			own.mutex.Lock()
			defer own.mutex.Unlock()
			return len(own.bound) == 20
		}); err != nil {
			return err
		}
		for _, name := range names {
			if err := want(own.bound[name] == strings.HasPrefix(name, "outside"), "%s was placed by another", name); err != nil {
				return err
			}
		}
		// Orch's scheduler counts what the other placed: half of the room is theirs.
		if _, err := pods.Create(ctx, wish("large", corev1.DefaultSchedulerName, cpu("2500m")), metav1.CreateOptions{}); err != nil {
			return err
		}
		why, err := refused(ctx, "large")
		if err != nil {
			return err
		}
		// A pod that nobody schedules stays as it is.
		if _, err := pods.Create(ctx, wish("nobodys", "nobody", cpu("1m")), metav1.CreateOptions{}); err != nil {
			return err
		}
		lost, err := pods.Get(ctx, "nobodys", metav1.GetOptions{})
		return first(err, want(len(lost.Status.Conditions) == 0 && lost.Spec.NodeName == "", "%v", lost),
			want(strings.HasPrefix(why, "0/2 nodes are available: 2 Insufficient cpu."), "%s", why))
	})
	check("a profile of the scheduler's configuration", func(ctx context.Context) error {
		if err := pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			return err
		}
		names := []string{}
		for i := range 4 {
			name := fmt.Sprintf("packed-%d", i)
			if _, err := pods.Create(ctx, wish(name, "packer", cpu("500m")), metav1.CreateOptions{}); err != nil {
				return err
			}
			names = append(names, name)
		}
		where, err := places(ctx, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := want(where[name] == where["packed-0"], "not on one node: %v", where); err != nil {
				return err
			}
		}
		return nil
	})
	check("an extender over HTTP", func(ctx context.Context) error {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		server := http.Server{Handler: http.HandlerFunc(extender)}
		go func() { _ = server.Serve(listener) }()
		defer server.Close()
		for i, number := range []string{"1", "1", "2"} {
			if _, err := pods.Create(ctx, wish(fmt.Sprintf("sailor-%d", i), corev1.DefaultSchedulerName, corev1.ResourceList{boats: resource.MustParse(number)}), metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		where, err := places(ctx, []string{"sailor-0", "sailor-1"})
		if err != nil {
			return err
		}
		why, err := refused(ctx, "sailor-2")
		return first(err, want(where["sailor-0"] == seaside && where["sailor-1"] == seaside, "%v", where),
			want(strings.Contains(why, "2 too many boats"), "%s", why))
	})
	check("its pods and nodes go", func(ctx context.Context) error {
		if err := client.CoreV1().Namespaces().Delete(ctx, schedule, metav1.DeleteOptions{}); err != nil {
			return err
		}
		if err := soon(ctx, "the namespace is gone", func() bool {
			_, err := client.CoreV1().Namespaces().Get(ctx, schedule, metav1.GetOptions{})
			return err != nil
		}); err != nil {
			return err
		}
		return first(client.CoreV1().Nodes().Delete(ctx, inland, metav1.DeleteOptions{}), client.CoreV1().Nodes().Delete(ctx, seaside, metav1.DeleteOptions{}))
	})
}
