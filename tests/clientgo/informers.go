package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"

	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

const stored = 300

var mapsResource = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// follows checks that an informer has what is there and sees what comes, changes and goes.
func follows(ctx context.Context, client *kubernetes.Clientset, informer cache.SharedIndexInformer) error {
	var mutex sync.Mutex
	seen := map[string]bool{}
	note := func(what string, object any) {
		if tombstone, is := object.(cache.DeletedFinalStateUnknown); is {
			object = tombstone.Obj
		}
		accessor, err := meta.Accessor(object)
		if err == nil {
			mutex.Lock()
			seen[what+" "+accessor.GetName()] = true
			mutex.Unlock()
		}
	}
	has := func(what string) func() bool {
		return func() bool {
			mutex.Lock()
			defer mutex.Unlock()
			return seen[what]
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { note("add", object) },
		UpdateFunc: func(_, object any) { note("update", object) },
		DeleteFunc: func(object any) { note("delete", object) },
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	go informer.RunWithContext(running)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("no sync")
	}
	if n := len(informer.GetStore().List()); n < stored {
		return fmt.Errorf("%d objects instead of %d", n, stored)
	}
	maps := client.CoreV1().ConfigMaps("informers")
	if _, err := maps.Create(ctx, configMap("live", nil), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := soon(ctx, "add", has("add live")); err != nil {
		return err
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		now, err := maps.Get(ctx, "live", metav1.GetOptions{})
		if err == nil {
			now.Labels = map[string]string{"a": "b"}
			_, err = maps.Update(ctx, now, metav1.UpdateOptions{})
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := soon(ctx, "update", has("update live")); err != nil {
		return err
	}
	if err := maps.Delete(ctx, "live", metav1.DeleteOptions{}); err != nil {
		return err
	}
	return soon(ctx, "delete", has("delete live"))
}

func informerChecks(config *rest.Config, client *kubernetes.Clientset) {
	check("objects for informers", func(ctx context.Context) error {
		if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "informers"}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		for i := range stored {
			if _, err := client.CoreV1().ConfigMaps("informers").Create(ctx, configMap(fmt.Sprintf("m-%d", i), map[string]string{"a": "b"}), metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	typed := func(config *rest.Config) cache.SharedIndexInformer {
		return informers.NewSharedInformerFactoryWithOptions(kubernetes.NewForConfigOrDie(config), 0, informers.WithNamespace("informers")).Core().V1().ConfigMaps().Informer()
	}
	// Not one list is asked for: the state comes by the watch (KEP-3157).
	check("an informer by WatchList, JSON", func(ctx context.Context) error {
		var lists atomic.Int64
		err := follows(ctx, client, typed(counted(config, &lists)))
		return first(err, want(lists.Load() == 0, "%d lists", lists.Load()))
	})
	check("an informer by WatchList, protobuf", func(ctx context.Context) error {
		var lists atomic.Int64
		err := follows(ctx, client, typed(counted(protobuf(config), &lists)))
		return first(err, want(lists.Load() == 0, "%d lists", lists.Load()))
	})
	check("a dynamic informer", func(ctx context.Context) error {
		factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dynamic.NewForConfigOrDie(config), 0, "informers", nil)
		return follows(ctx, client, factory.ForResource(mapsResource).Informer())
	})
	check("a metadata informer", func(ctx context.Context) error {
		factory := metadatainformer.NewFilteredSharedInformerFactory(metadata.NewForConfigOrDie(config), 0, "informers", nil)
		return follows(ctx, client, factory.ForResource(mapsResource).Informer())
	})
	check("an informer by list and watch", func(ctx context.Context) error {
		maps := client.CoreV1().ConfigMaps("informers")
		source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return maps.List(ctx, o) },
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return maps.Watch(ctx, o)
			},
		}, unsupported{})
		return follows(ctx, client, cache.NewSharedIndexInformer(source, &corev1.ConfigMap{}, 0, cache.Indexers{}))
	})
	check("leader election", func(ctx context.Context) error { return elect(ctx, client) })
	check("an event recorder", func(ctx context.Context) error {
		broadcaster := record.NewBroadcaster(record.WithContext(ctx))
		defer broadcaster.Shutdown()
		broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("informers")})
		recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "clientgo"})
		about, err := client.CoreV1().ConfigMaps("informers").Get(ctx, "m-0", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for range 3 {
			recorder.Event(about, corev1.EventTypeNormal, "Tested", "more than once")
		}
		return soon(ctx, "an event of count 3", func() bool {
			events, err := client.CoreV1().Events("informers").List(ctx, metav1.ListOptions{FieldSelector: "reason=Tested,involvedObject.name=m-0"})
			return err == nil && len(events.Items) == 1 && events.Items[0].Count == 3
		})
	})
	check("a namespace goes with all in it", func(ctx context.Context) error {
		if err := client.CoreV1().Namespaces().Delete(ctx, "informers", metav1.DeleteOptions{}); err != nil {
			return err
		}
		return soon(ctx, "gone", func() bool {
			_, err := client.CoreV1().Namespaces().Get(ctx, "informers", metav1.GetOptions{})
			return err != nil
		})
	})
}

// elect has two candidates for one lease: one leads, and the other once that gave up.
func elect(ctx context.Context, client *kubernetes.Clientset) error {
	leads := make(chan string, 2)
	run := func(ctx context.Context, name string) {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Name: "clientgo", Namespace: "default"},
				Client: client.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: name}},
			ReleaseOnCancel: true, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leads <- name }, OnStoppedLeading: func() {}},
		})
	}
	one, stopOne := context.WithCancel(ctx)
	defer stopOne()
	go run(one, "one")
	next := func() string {
		select {
		case name := <-leads:
			return name
		case <-ctx.Done():
			return "nobody"
		}
	}
	if leader := next(); leader != "one" {
		return fmt.Errorf("%s leads", leader)
	}
	two, stopTwo := context.WithCancel(ctx)
	defer stopTwo()
	go run(two, "two")
	time.Sleep(time.Second)
	lease, err := client.CoordinationV1().Leases("default").Get(ctx, "clientgo", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if *lease.Spec.HolderIdentity != "one" {
		return fmt.Errorf("the lease is held by %s", *lease.Spec.HolderIdentity)
	}
	stopOne()
	leader := next()
	return want(leader == "two", "%s leads then", leader)
}

// unsupported makes a reflector list first, as older clients do.
type unsupported struct{}

func (unsupported) IsWatchListSemanticsUnSupported() bool { return true }
