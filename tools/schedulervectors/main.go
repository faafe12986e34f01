// schedulervectors asks the plugins of kube-scheduler v1.35.4 where pods of random clusters may go, how the nodes score and whom
// preemption would remove. See README.md.
package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"sort"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	schedulerapi "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

type victims struct {
	Pods       []string `json:"pods"`
	Violations int64    `json:"violations,omitempty"`
}

type answer struct {
	Pod      json.RawMessage             `json:"pod"`
	Feasible []string                    `json:"feasible,omitempty"`
	Refused  map[string][]string         `json:"refused,omitempty"` // node: code, plugin, reasons
	Scores   map[string]map[string]int64 `json:"scores,omitempty"`  // plugin: node: score times weight
	Message  string                      `json:"message,omitempty"`
	Victims  map[string]victims          `json:"victims,omitempty"`
	Preempt  string                      `json:"preempt,omitempty"` // why nobody can be removed
}

type vector struct {
	Seed    int               `json:"seed"`
	Config  string            `json:"config,omitempty"`
	Objects []json.RawMessage `json:"objects"`
	Answers []answer          `json:"answers"`
}

// promises is the nominator: pods that wait for room on a node.
type promises map[string][]fwk.PodInfo

func (promises) AddNominatedPod(klog.Logger, fwk.PodInfo, *fwk.NominatingInfo) {}
func (promises) DeleteNominatedPodIfExists(*v1.Pod)                            {}
func (promises) UpdateNominatedPod(klog.Logger, *v1.Pod, fwk.PodInfo)          {}
func (p promises) NominatedPodsForNode(node string) []fwk.PodInfo              { return p[node] }

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// slim is the object as JSON with its kind, without what is empty.
func slim(o runtime.Object) json.RawMessage {
	kind := fmt.Sprintf("%T", o)
	m := must(runtime.DefaultUnstructuredConverter.ToUnstructured(o))
	m["kind"] = kind[lastDot(kind)+1:]
	prune(m)
	return must(json.Marshal(m))
}

func lastDot(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return i
		}
	}
	return -1
}

func prune(m map[string]any) {
	for _, k := range []string{"nodeInfo", "daemonEndpoints", "loadBalancer", "lastState", "state", "lastProbeTime", "lastTransitionTime",
		"currentHealthy", "desiredHealthy", "expectedPods", "restartCount", "imageID", "ready"} {
		delete(m, k)
	}
	for k, v := range m {
		if v == nil {
			delete(m, k)
		}
		if list, ok := v.([]any); ok {
			for _, item := range list {
				if inner, ok := item.(map[string]any); ok {
					prune(inner)
				}
			}
		}
		if inner, ok := v.(map[string]any); ok {
			prune(inner)
			if len(inner) == 0 && (k == "status" || k == "spec" || k == "resources") {
				delete(m, k)
			}
		}
	}
}

func configuration(text string) *schedulerapi.KubeSchedulerConfiguration {
	if text == "" {
		return must(latest.Default())
	}
	o, _, err := scheme.Codecs.UniversalDecoder().Decode([]byte(text), nil, nil)
	if err != nil {
		panic(err)
	}
	return o.(*schedulerapi.KubeSchedulerConfiguration)
}

// without removes plugins that other vectors speak of (claims of devices).
func without(profile *schedulerapi.KubeSchedulerProfile, name string) {
	var kept []schedulerapi.Plugin
	for _, p := range profile.Plugins.MultiPoint.Enabled {
		if p.Name != name {
			kept = append(kept, p)
		}
	}
	profile.Plugins.MultiPoint.Enabled = kept
}

func judge(seed int) vector {
	c := dice{rand.New(rand.NewSource(int64(seed)))}.cluster(seed)
	out := vector{Seed: seed, Config: c.config}
	var objects []runtime.Object
	for _, n := range c.nodes {
		objects = append(objects, n)
	}
	for _, p := range append(append(append([]*v1.Pod{}, c.placed...), c.waiting...)) {
		objects = append(objects, p)
	}
	objects = append(objects, c.others...)
	for _, o := range objects {
		out.Objects = append(out.Objects, slim(o))
	}
	for _, p := range c.asking {
		objects = append(objects, p)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	snapshot := cache.NewSnapshot(c.placed, c.nodes)
	nominated := promises{}
	for _, p := range append(append([]*v1.Pod{}, c.waiting...), c.asking...) {
		if node := p.Status.NominatedNodeName; node != "" {
			nominated[node] = append(nominated[node], must(framework.NewPodInfo(p)))
		}
	}
	profile := configuration(c.config).Profiles[0]
	without(&profile, "DynamicResources")
	registry := plugins.NewInTreeRegistry()
	f := must(frameworkruntime.NewFramework(ctx, registry, &profile,
		frameworkruntime.WithClientSet(client), frameworkruntime.WithInformerFactory(factory), frameworkruntime.WithSnapshotSharedLister(snapshot),
		frameworkruntime.WithPodNominator(nominated), frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())),
		frameworkruntime.WithParallelism(1)))
	fts := feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate)
	preemption := must(defaultpreemption.New(ctx, &schedulerapi.DefaultPreemptionArgs{MinCandidateNodesPercentage: 10, MinCandidateNodesAbsolute: 100}, f, fts))
	var budgets []*policyv1.PodDisruptionBudget
	for _, o := range c.others {
		if b, ok := o.(*policyv1.PodDisruptionBudget); ok {
			budgets = append(budgets, b)
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	for _, pod := range c.asking {
		out.Answers = append(out.Answers, ask(ctx, f, preemption, snapshot, budgets, pod))
	}
	return out
}

func ask(ctx context.Context, f framework.Framework, preemption *defaultpreemption.DefaultPreemption, snapshot *cache.Snapshot,
	budgets []*policyv1.PodDisruptionBudget, pod *v1.Pod) answer {
	a := answer{Pod: slim(pod), Refused: map[string][]string{}}
	state := framework.NewCycleState()
	all := must(snapshot.NodeInfos().List())
	sort.Slice(all, func(i, j int) bool { return all[i].Node().Name < all[j].Node().Name })
	diagnosis := framework.Diagnosis{NodeToStatus: framework.NewDefaultNodeToStatus()}
	result, status, restricting := f.RunPreFilterPlugins(ctx, state, pod)
	if !status.IsSuccess() {
		if !status.IsRejected() {
			a.Message = "error: " + status.Message()
			return a
		}
		diagnosis.NodeToStatus.SetAbsentNodesStatus(status)
		diagnosis.PreFilterMsg = status.Message()
		a.Message = (&framework.FitError{Pod: pod, NumAllNodes: len(all), Diagnosis: diagnosis}).Error()
		return a
	}
	nodes := all
	if !result.AllNodes() {
		nodes = nil
		for _, n := range all {
			if result.NodeNames.Has(n.Node().Name) {
				nodes = append(nodes, n)
			}
		}
		names := restricting.UnsortedList()
		sort.Strings(names)
		diagnosis.NodeToStatus.SetAbsentNodesStatus(fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", names)))
	}
	var feasible []fwk.NodeInfo
	for _, n := range nodes {
		s := f.RunFilterPluginsWithNominatedPods(ctx, state, pod, n)
		if s.IsSuccess() {
			feasible = append(feasible, n)
			a.Feasible = append(a.Feasible, n.Node().Name)
			continue
		}
		if !s.IsRejected() {
			a.Message = "error: " + s.Message()
			return a
		}
		diagnosis.NodeToStatus.Set(n.Node().Name, s)
		a.Refused[n.Node().Name] = append([]string{s.Code().String(), s.Plugin()}, sorted(s.Reasons())...)
	}
	if len(feasible) == 0 {
		a.Message = (&framework.FitError{Pod: pod, NumAllNodes: len(all), Diagnosis: diagnosis}).Error()
		preempt(ctx, f, preemption, budgets, state, pod, all, diagnosis, &a)
		return a
	}
	if s := f.RunPreScorePlugins(ctx, state, pod, feasible); !s.IsSuccess() {
		panic(s.Message())
	}
	scores, s := f.RunScorePlugins(ctx, state, pod, feasible)
	if !s.IsSuccess() {
		panic(s.Message())
	}
	a.Scores = map[string]map[string]int64{}
	for _, n := range scores {
		for _, p := range n.Scores {
			if a.Scores[p.Name] == nil {
				a.Scores[p.Name] = map[string]int64{}
			}
			a.Scores[p.Name][n.Name] = p.Score
		}
	}
	return a
}

func sorted(s []string) []string {
	out := append([]string{}, s...)
	sort.Strings(out)
	return out
}

func preempt(ctx context.Context, f framework.Framework, pl *defaultpreemption.DefaultPreemption, budgets []*policyv1.PodDisruptionBudget,
	state fwk.CycleState, pod *v1.Pod, all []fwk.NodeInfo, diagnosis framework.Diagnosis, a *answer) {
	if ok, why := pl.PodEligibleToPreemptOthers(ctx, pod, diagnosis.NodeToStatus.Get(pod.Status.NominatedNodeName)); !ok {
		a.Preempt = why
		return
	}
	potential := must(diagnosis.NodeToStatus.NodesForStatusCode(f.SnapshotSharedLister().NodeInfos(), fwk.Unschedulable))
	statuses := framework.NewDefaultNodeToStatus()
	if len(potential) > 0 {
		candidates, s, err := pl.Evaluator.DryRunPreemption(ctx, state, pod, potential, budgets, 0, int32(len(potential)+1))
		if err != nil {
			a.Preempt = "error: " + err.Error()
			return
		}
		statuses = s
		for _, c := range candidates {
			v := victims{Violations: c.Victims().NumPDBViolations}
			for _, p := range c.Victims().Pods {
				v.Pods = append(v.Pods, p.Name)
			}
			if a.Victims == nil {
				a.Victims = map[string]victims{}
			}
			a.Victims[c.Name()] = v
		}
		if len(candidates) > 0 {
			return
		}
	}
	statuses.SetAbsentNodesStatus(fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "Preemption is not helpful for scheduling"))
	a.Preempt = (&framework.FitError{Pod: pod, NumAllNodes: len(all), Diagnosis: framework.Diagnosis{NodeToStatus: statuses}}).Error()
}

func main() {
	from := flag.Int("from", 1, "first seed")
	count := flag.Int("count", 2000, "how many clusters")
	output := flag.String("output", "-", "file of gzipped JSON lines, or - for plain ones to standard output")
	flag.Parse()
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	metrics.Register()
	var to io.Writer = os.Stdout
	if *output != "-" {
		file := must(os.Create(*output))
		defer file.Close()
		zip := must(gzip.NewWriterLevel(file, gzip.BestCompression))
		defer zip.Close()
		to = zip
	}
	w := bufio.NewWriter(to)
	defer w.Flush()
	for seed := *from; seed < *from+*count; seed++ {
		line := must(json.Marshal(judge(seed)))
		w.Write(line)
		w.WriteByte('\n')
	}
}
