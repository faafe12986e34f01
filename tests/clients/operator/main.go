// Command operator is a small operator made with an unmodified controller-runtime, its users, and those who watch
// over both. It goes on while the server is restarted, until it gets SIGTERM; then all has to come to rest, and
// what everybody noted is judged: it prints "ok WHAT" or "not ok WHAT".
//
//	operator --kubeconfig FILE
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const users = 6

var (
	scheme = runtime.NewScheme()
	failed bool
)

func report(what string, problems ...string) {
	if len(problems) == 0 {
		fmt.Printf("ok operator: %s\n", what)
		return
	}
	failed = true
	fmt.Printf("not ok operator: %s\n", what)
	for i, problem := range problems {
		if i == 8 {
			fmt.Printf("  # and %d more\n", len(problems)-i)
			break
		}
		fmt.Printf("  # %s\n", problem)
	}
}

func reportError(what string, err error) {
	if err != nil {
		report(what, err.Error())
	} else {
		report(what)
	}
}

// patiently waits for a server that is being restarted, as a load balancer before it would. Else reflectors, which
// double their wait with each refusal, would wait for most of the test.
func patiently(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	until := time.Now().Add(patience)
	for {
		connection, err := dialer.DialContext(ctx, network, address)
		if err == nil || ctx.Err() != nil || time.Now().After(until) {
			return connection, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// prepare makes the definition and the namespaces, and waits until widgets are served.
func prepare(ctx context.Context, c client.Client) error {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(definition, crd); err != nil {
		return err
	}
	if err := c.Create(ctx, crd); err != nil {
		return err
	}
	for _, name := range []string{widgetSpace, outside} {
		if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	return again(ctx, "waiting for the definition", func() error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(crd), crd); err != nil {
			return err
		}
		for _, condition := range crd.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return nil
			}
		}
		return errNotYet
	})
}

// refusals tries what the rules of the definition forbid.
func refusals(ctx context.Context, c client.Client) (problems []string) {
	refused := func(err error, begin, end string) {
		if err == nil || !strings.HasPrefix(err.Error(), begin) || !strings.HasSuffix(err.Error(), end) {
			problems = append(problems, fmt.Sprintf("%v instead of: %s ... %s", err, begin, end))
		}
	}
	widget := &Widget{ObjectMeta: metav1.ObjectMeta{Namespace: widgetSpace, Name: "refused"}, Spec: WidgetSpec{Word: "a", Shelf: "b", Low: 10}}
	refused(c.Create(ctx, widget), `Widget.clients.orch.test "refused" is invalid: spec: Invalid value: `, `: low is above high`)
	widget.Spec.Low = 0
	if err := c.Create(ctx, widget, client.DryRunAll); err != nil || widget.Spec.Low != 1 || widget.Spec.High != 9 {
		problems = append(problems, fmt.Sprintf("not made with its defaults: %v, %v", widget.Spec, err))
	}
	kept := &Widget{ObjectMeta: metav1.ObjectMeta{Namespace: outside, Name: "kept"}, Spec: WidgetSpec{Word: "a", Shelf: "b"}}
	if err := c.Create(ctx, kept); err != nil {
		return append(problems, err.Error())
	}
	kept.Spec.Shelf = "c"
	refused(c.Update(ctx, kept), `Widget.clients.orch.test "kept" is invalid: spec.shelf: Invalid value: "c"`, `: the shelf stays`)
	if err := c.Delete(ctx, kept); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

// finalState holds what is there against what the widgets that are left want.
func finalState(ctx context.Context, c client.Client) (living map[string]map[types.UID]bool, problems []string) {
	widgets, made, secrets := &WidgetList{}, &corev1.ConfigMapList{}, &corev1.SecretList{}
	for list, space := range map[client.ObjectList]string{widgets: widgetSpace, made: widgetSpace, secrets: outside} {
		if err := c.List(ctx, list, client.InNamespace(space)); err != nil {
			return nil, []string{err.Error()}
		}
	}
	living = map[string]map[types.UID]bool{"Widget": {}, "ConfigMap": {}}
	byName, expected := map[string]*corev1.ConfigMap{}, 0
	for i := range made.Items {
		living["ConfigMap"][made.Items[i].UID] = true
		byName[made.Items[i].Name] = &made.Items[i]
		if len(made.Items[i].OwnerReferences) > 0 {
			expected++
		}
	}
	kept := map[string]bool{}
	for i := range secrets.Items {
		kept[secrets.Items[i].Name] = true
	}
	for i := range widgets.Items {
		widget := &widgets.Items[i]
		living["Widget"][widget.UID] = true
		if made := byName[widget.Name]; made == nil {
			problems = append(problems, widget.Name+" has no config map")
		} else if err := sameAsWanted(widget, made); err != nil {
			problems = append(problems, err.Error())
		}
		if !kept[string(widget.UID)] {
			problems = append(problems, widget.Name+" has no secret")
		}
	}
	if expected != len(widgets.Items) || len(kept) != len(widgets.Items) {
		problems = append(problems, fmt.Sprintf("%d widgets, %d config maps, %d secrets", len(widgets.Items), expected, len(kept)))
	}
	return living, problems
}

// operator is a manager that runs.
type operator struct {
	ctrl.Manager
	identity string
	stop     context.CancelFunc
	ended    chan error
}

func startOperator(ctx context.Context, config *rest.Config, identity string, records *records) (*operator, error) {
	manager, err := newManager(config, identity, records)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	o := &operator{manager, identity, stop, make(chan error, 1)}
	go func() { o.ended <- manager.Start(running) }()
	return o, nil
}

// sameInCache compares an operator's cache with the server.
func (o *operator) sameInCache(ctx context.Context, c client.Client) (problems []string) {
	for kind, pair := range map[string][2]client.ObjectList{"widgets": {&WidgetList{}, &WidgetList{}}, "config maps": {&corev1.ConfigMapList{}, &corev1.ConfigMapList{}}} {
		err := o.GetCache().List(ctx, pair[0])
		if err == nil {
			err = c.List(ctx, pair[1])
		}
		cached, stored := states(pair[0]), states(pair[1])
		if err != nil || len(cached) != len(stored) {
			problems = append(problems, fmt.Sprintf("%s has %d of %d %s: %v", o.identity, len(cached), len(stored), kind, err))
		}
		for one := range stored {
			if !cached[one] {
				problems = append(problems, fmt.Sprintf("%s has not %s of %s", o.identity, one, kind))
			}
		}
	}
	return problems
}

func states(list client.ObjectList) map[string]bool {
	out := map[string]bool{}
	add := func(o client.Object) { out[o.GetNamespace()+"/"+o.GetName()+" at "+o.GetResourceVersion()] = true }
	switch l := list.(type) {
	case *WidgetList:
		for i := range l.Items {
			add(&l.Items[i])
		}
	case *corev1.ConfigMapList:
		for i := range l.Items {
			add(&l.Items[i])
		}
	}
	return out
}

func run(ctx context.Context, config *rest.Config, over <-chan struct{}) error {
	records := newRecords()
	observed := rest.CopyConfig(config)
	observed.Wrap(func(inner http.RoundTripper) http.RoundTripper { return noting{inner, records} })
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	if err := prepare(ctx, c); err != nil {
		return err
	}
	report("the definition's rules and defaults", refusals(ctx, c)...)

	begin := &corev1.ConfigMapList{}
	if err := again(ctx, "waiting for the namespace", func() error {
		err := c.List(ctx, begin, client.InNamespace(widgetSpace))
		if err == nil && len(begin.Items) == 0 {
			return errNotYet
		}
		return err
	}); err != nil {
		return err
	}
	for kind, list := range map[string]client.ObjectList{"Widget": &WidgetList{}, "ConfigMap": &corev1.ConfigMapList{}} {
		if err := records.follow(ctx, c, kind, list, begin.ResourceVersion); err != nil {
			return err
		}
	}
	var operators []*operator
	for _, identity := range []string{"operator-a", "operator-b"} {
		o, err := startOperator(ctx, observed, identity, records)
		if err != nil {
			return err
		}
		operators = append(operators, o)
	}

	people := make([]*user, users)
	problems := make([]string, users)
	var group sync.WaitGroup
	for i := range people {
		people[i] = &user{client: c, records: records, number: i}
		group.Go(func() {
			if err := people[i].live(ctx, over); err != nil {
				problems[i] = err.Error()
			}
		})
	}
	fmt.Println("# begun")
	group.Wait()
	var told []string
	widgets, changes := 0, 0
	for i, one := range people {
		widgets += one.widgets
		changes += one.changes
		if problems[i] != "" {
			told = append(told, problems[i])
		}
	}
	report("users make, change, harm and delete widgets, and the operator follows", told...)
	fmt.Printf("# %d widgets, %d changes\n", widgets, changes)
	judge(ctx, c, records, operators)
	succession(ctx, c, records, operators)
	return nil
}

// judge waits until nothing happens any more, and then holds the records against the server.
func judge(ctx context.Context, c client.Client, records *records, operators []*operator) {
	var living map[string]map[types.UID]bool
	var problems []string
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		living, problems = finalState(ctx, c)
		if (len(problems) == 0 && records.quietFor() > 2*time.Second) || time.Now().After(until) {
			break
		}
	}
	report("what is left is exactly what the widgets want", problems...)
	if quiet := records.quietFor(); quiet < 2*time.Second {
		report("then nothing is written any more", fmt.Sprintf("an event %v ago", quiet))
	} else {
		report("then nothing is written any more")
	}
	for _, kind := range []string{"Widget", "ConfigMap"} {
		report(fmt.Sprintf("each acknowledged write of a %s is an event", kind), records.missing(kind)...)
		report(fmt.Sprintf("each %s comes and goes once", kind), records.unbalanced(kind, living[kind])...)
	}
	report("each generation was reconciled", records.unreconciled()...)
	for _, o := range operators {
		report("the cache of "+o.identity+" is what the server has", o.sameInCache(ctx, c)...)
	}
	defer records.lock()()
	report("no event is repeated, and none goes backwards", records.wrong...)
	var lists, forms []string
	for _, kind := range []string{"widgets", "configmaps"} {
		if n := records.requests["list "+kind]; n != 0 || records.requests["watch-list "+kind] < len(operators) {
			lists = append(lists, fmt.Sprintf("%d lists of %s", n, kind))
		}
	}
	report("the caches are filled by watches alone", lists...)
	if len(records.types) != 2 || !records.types["widgets application/json"] || !records.types["configmaps application/vnd.kubernetes.protobuf"] {
		forms = append(forms, fmt.Sprint(records.types))
	}
	report("widgets come as JSON, config maps as protobuf", forms...)
	events := 0
	for _, seen := range records.seen {
		events += len(seen)
	}
	fmt.Printf("# %d events, %d acknowledged writes; requests of the operators: %v\n", events, len(records.acks["Widget"])+len(records.acks["ConfigMap"]), records.requests)
}

// succession ends the operator that leads: the other takes over, and no earlier.
func succession(ctx context.Context, c client.Client, records *records, operators []*operator) {
	lease := &coordinationv1.Lease{}
	err := c.Get(ctx, types.NamespacedName{Namespace: widgetSpace, Name: leaseName}, lease)
	unlock := records.lock()
	leaders := append([]string(nil), records.leaders...)
	unlock()
	if err != nil || len(leaders) != 1 || lease.Spec.LeaseTransitions == nil || *lease.Spec.LeaseTransitions != 0 {
		report("one operator leads all the time", fmt.Sprintf("%v lead, %v, %v", leaders, lease.Spec, err))
		return
	}
	report("one operator leads all the time")
	for _, o := range operators {
		if o.identity == leaders[0] {
			o.stop()
			reportError("it ends when it is told to", <-o.ended)
		}
	}
	one := &user{client: c, records: records, number: users}
	widget := &Widget{ObjectMeta: metav1.ObjectMeta{Namespace: widgetSpace, Name: "last"}, Spec: WidgetSpec{Word: "last", Shelf: "s"}}
	err = one.create(ctx, widget)
	if err == nil {
		err = one.dealtWith(ctx, widget)
	}
	defer records.lock()()
	if err == nil && len(records.leaders) != 2 {
		err = fmt.Errorf("led by %v", records.leaders)
	}
	reportError("the other takes over", err)
}

func main() {
	flag.Parse() // --kubeconfig is controller-runtime's own
	ctrl.SetLogger(klog.Background())
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	addWidgets(scheme)
	config, err := ctrl.GetConfig()
	if err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
	config.QPS = -1
	config.Dial = patiently
	ctx, stop := context.WithCancel(context.Background())
	asked, cancel := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, config, asked.Done()); err != nil {
		report("it runs", err.Error())
	}
	stop()
	if failed {
		os.Exit(1)
	}
}
