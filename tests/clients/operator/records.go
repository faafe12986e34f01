package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// write is one state of an object: no two have the same.
type write struct {
	uid      types.UID
	revision int64
}

// life is what the followers saw of one object.
type life struct {
	name           string
	added, deleted int
	generation     int64
}

// records is what everybody notes; the judging is done when all is over. Safe for concurrent use.
type records struct {
	mutex       sync.Mutex
	acks        map[string]map[write]bool // by kind: writes that were answered
	seen        map[string]map[write]bool // by kind: events of the followers
	lives       map[string]map[types.UID]*life
	generations map[write]bool // of widgets: that the operator has dealt with; the revision is the generation
	wanted      map[write]bool // of widgets: that the followers saw
	leaders     []string
	informers   map[string]int64 // by operator, kind and object: the latest revision
	requests    map[string]int
	types       map[string]bool
	last        time.Time
	wrong       []string
}

func newRecords() *records {
	kinds := func() map[string]map[write]bool {
		return map[string]map[write]bool{"Widget": {}, "ConfigMap": {}}
	}
	return &records{acks: kinds(), seen: kinds(), lives: map[string]map[types.UID]*life{"Widget": {}, "ConfigMap": {}},
		generations: map[write]bool{}, wanted: map[write]bool{}, informers: map[string]int64{}, requests: map[string]int{}, types: map[string]bool{}}
}

func revision(object metav1.Object) int64 {
	number, _ := strconv.ParseInt(object.GetResourceVersion(), 10, 64)
	return number
}

func (r *records) lock() func() {
	r.mutex.Lock()
	return r.mutex.Unlock
}

func (r *records) acknowledged(kind string, object client.Object) {
	defer r.lock()()
	r.acks[kind][write{object.GetUID(), revision(object)}] = true
}

func (r *records) reconciled(identity string, widget *Widget) {
	defer r.lock()()
	r.generations[write{widget.UID, widget.Generation}] = true
	if !slices.Contains(r.leaders, identity) {
		r.leaders = append(r.leaders, identity)
	}
}

// informed notes what an operator's cache told. A cache that lists anew may repeat a state, but never go back.
func (r *records) informed(identity, kind string, object any) {
	if tombstone, is := object.(cache.DeletedFinalStateUnknown); is {
		object = tombstone.Obj
	}
	o, is := object.(client.Object)
	if !is {
		return
	}
	defer r.lock()()
	key := identity + kind + string(o.GetUID())
	if now := revision(o); now < r.informers[key] {
		r.wrong = append(r.wrong, fmt.Sprintf("%s: %s %s goes from %d back to %d", identity, kind, o.GetName(), r.informers[key], now))
	} else {
		r.informers[key] = now
	}
}

// follow watches a kind from a revision on, and resumes exactly where it was after every restart.
func (r *records) follow(ctx context.Context, c client.WithWatch, kind string, list client.ObjectList, from string) error {
	watcher, err := toolswatch.NewRetryWatcherWithContext(ctx, from, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, list, &client.ListOptions{Namespace: widgetSpace, Raw: &options})
		}})
	if err != nil {
		return err
	}
	go func() {
		var latest int64
		for event := range watcher.ResultChan() {
			object, is := event.Object.(client.Object)
			unlock := r.lock()
			if !is || event.Type == watch.Error {
				r.wrong = append(r.wrong, fmt.Sprintf("the watch of %s ended: %v", kind, event.Object))
			} else if event.Type != watch.Bookmark {
				r.saw(kind, event.Type, object, &latest)
			}
			unlock()
		}
	}()
	return nil
}

func (r *records) saw(kind string, what watch.EventType, object client.Object, latest *int64) {
	complain := func(format string, arguments ...any) {
		r.wrong = append(r.wrong, fmt.Sprintf("%s %s: ", kind, object.GetName())+fmt.Sprintf(format, arguments...))
	}
	r.last = time.Now()
	now := revision(object)
	if now <= *latest {
		complain("an event at %d after one at %d", now, *latest)
	}
	*latest = now
	r.seen[kind][write{object.GetUID(), now}] = true
	one := r.lives[kind][object.GetUID()]
	if one == nil {
		one = &life{name: object.GetName()}
		r.lives[kind][object.GetUID()] = one
	}
	switch what {
	case watch.Added:
		one.added++
	case watch.Deleted:
		one.deleted++
	case watch.Modified:
		if one.added != 1 || one.deleted != 0 {
			complain("changed after %d additions and %d deletions", one.added, one.deleted)
		}
	}
	if step := object.GetGeneration() - one.generation; kind == "Widget" && what != watch.Deleted && step != 0 && step != 1 {
		complain("from generation %d to %d", one.generation, object.GetGeneration())
	}
	one.generation = object.GetGeneration()
	if kind == "Widget" {
		r.wanted[write{object.GetUID(), object.GetGeneration()}] = true
	}
}

// noting notes what is asked for and in which form it comes.
type noting struct {
	http.RoundTripper
	records *records
}

func (n noting) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := n.RoundTripper.RoundTrip(request)
	resource := ""
	for _, name := range []string{"widgets", "configmaps"} {
		if strings.HasSuffix(request.URL.Path, "/"+name) {
			resource = name
		}
	}
	if err != nil || resource == "" || request.Method != http.MethodGet {
		return response, err
	}
	query, verb := request.URL.Query(), "list"
	if query.Get("sendInitialEvents") == "true" {
		verb = "watch-list"
	} else if query.Get("watch") != "" {
		verb = "watch"
	}
	defer n.records.lock()()
	n.records.requests[verb+" "+resource]++
	if response.StatusCode == http.StatusOK {
		form, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
		n.records.types[resource+" "+form] = true
	}
	return response, err
}

// missing says which of the acknowledged writes no follower saw.
func (r *records) missing(kind string) []string {
	defer r.lock()()
	var out []string
	for one := range r.acks[kind] {
		if !r.seen[kind][one] {
			out = append(out, fmt.Sprintf("%s %s at %d", kind, one.uid, one.revision))
		}
	}
	return out
}

// unbalanced says which objects did not come once, or did not go once though they are not there.
func (r *records) unbalanced(kind string, living map[types.UID]bool) []string {
	defer r.lock()()
	var out []string
	for uid, one := range r.lives[kind] {
		gone := 1
		if living[uid] {
			gone = 0
		}
		if one.added != 1 || one.deleted != gone {
			out = append(out, fmt.Sprintf("%s %s came %d and went %d times", kind, one.name, one.added, one.deleted))
		}
	}
	return out
}

func (r *records) unreconciled() []string {
	defer r.lock()()
	var out []string
	for one := range r.wanted {
		if !r.generations[one] {
			out = append(out, fmt.Sprintf("generation %d of %s", one.revision, one.uid))
		}
	}
	return out
}

func (r *records) quietFor() time.Duration {
	defer r.lock()()
	return time.Since(r.last)
}
