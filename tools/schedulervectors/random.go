package main

import (
	"fmt"
	"math/rand"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// dice draws clusters: few names and few values, so that things meet.
type dice struct{ *rand.Rand }

func (d dice) chance(percent int) bool { return d.Intn(100) < percent }

func pick[T any](d dice, from ...T) T { return from[d.Intn(len(from))] }

func some[T any](d dice, percent int, from ...T) []T {
	var out []T
	for _, x := range from {
		if d.chance(percent) {
			out = append(out, x)
		}
	}
	return out
}

var (
	topologyKeys = []string{v1.LabelHostname, v1.LabelTopologyZone, "rack"}
	namespaces   = []string{"a", "b", "c"}
	epoch        = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func (d dice) quantity(values ...string) resource.Quantity {
	return resource.MustParse(pick(d, values...))
}

func (d dice) labels() map[string]string {
	out := map[string]string{}
	if d.chance(85) {
		out["app"] = pick(d, "web", "db", "cache")
	}
	if d.chance(40) {
		out["tier"] = pick(d, "front", "back")
	}
	if d.chance(20) {
		out["version"] = pick(d, "1", "2", "3")
	}
	return out
}

func (d dice) node(i int) *v1.Node {
	name := fmt.Sprintf("n%d", i)
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{}}}
	if d.chance(95) {
		n.Labels[v1.LabelHostname] = name
	}
	if d.chance(85) {
		n.Labels[v1.LabelTopologyZone] = pick(d, "z1", "z2", "z3")
	}
	if d.chance(50) {
		n.Labels["rack"] = pick(d, "r1", "r2")
	}
	if d.chance(60) {
		n.Labels["disk"] = pick(d, "ssd", "hdd")
	}
	if d.chance(50) {
		n.Labels["cores"] = pick(d, "2", "8", "16", "many")
	}
	n.Status.Allocatable = v1.ResourceList{
		v1.ResourceCPU:    d.quantity("1", "2", "4", "3500m"),
		v1.ResourceMemory: d.quantity("1Gi", "2Gi", "4Gi", "3000M"),
		v1.ResourcePods:   d.quantity("110", "110", "110", "3"),
	}
	if d.chance(60) {
		n.Status.Allocatable[v1.ResourceEphemeralStorage] = d.quantity("10Gi", "2Gi")
	}
	if d.chance(40) {
		n.Status.Allocatable["example.com/gpu"] = d.quantity("1", "2", "8")
	}
	if d.chance(20) {
		n.Status.Allocatable["hugepages-2Mi"] = d.quantity("64Mi", "256Mi")
	}
	for _, t := range some(d, 12, "dedicated", "spot", "broken") {
		n.Spec.Taints = append(n.Spec.Taints, v1.Taint{Key: t, Value: pick(d, "", "x", "y"),
			Effect: pick(d, v1.TaintEffectNoSchedule, v1.TaintEffectPreferNoSchedule, v1.TaintEffectPreferNoSchedule, v1.TaintEffectNoExecute)})
	}
	n.Spec.Unschedulable = d.chance(7)
	sizes := map[string]int64{"small": 10 << 20, "app": 300 << 20, "big": 2000 << 20, "reg.io/x/tool": 700 << 20}
	for _, image := range some(d, 40, "small", "app", "big", "reg.io/x/tool") {
		n.Status.Images = append(n.Status.Images, v1.ContainerImage{Names: []string{image + ":latest", image + ":v1"}, SizeBytes: sizes[image]})
	}
	return n
}

func (d dice) requests() v1.ResourceList {
	out := v1.ResourceList{}
	if d.chance(65) {
		out[v1.ResourceCPU] = d.quantity("100m", "250m", "500m", "1", "2", "0")
	}
	if d.chance(60) {
		out[v1.ResourceMemory] = d.quantity("64Mi", "256Mi", "512Mi", "1Gi", "0")
	}
	if d.chance(10) {
		out[v1.ResourceEphemeralStorage] = d.quantity("1Gi", "3Gi")
	}
	if d.chance(10) {
		out["example.com/gpu"] = d.quantity("1", "2", "0")
	}
	if d.chance(5) {
		out["hugepages-2Mi"] = d.quantity("32Mi", "128Mi")
	}
	return out
}

func (d dice) container(name string) v1.Container {
	c := v1.Container{Name: name, Image: pick(d, "small", "app:v1", "big", "reg.io/x/tool", "unknown")}
	c.Resources.Requests = d.requests()
	if d.chance(10) {
		c.Ports = append(c.Ports, v1.ContainerPort{ContainerPort: 80, HostPort: pick[int32](d, 80, 81),
			Protocol: pick(d, v1.ProtocolTCP, v1.ProtocolUDP), HostIP: pick(d, "", "", "10.0.0.1", "10.0.0.2")})
	}
	return c
}

func (d dice) selector() *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	if d.chance(5) {
		return s
	}
	if d.chance(3) {
		return nil
	}
	if d.chance(60) {
		s.MatchLabels = map[string]string{"app": pick(d, "web", "db", "cache")}
	}
	if len(s.MatchLabels) == 0 || d.chance(20) {
		e := metav1.LabelSelectorRequirement{Key: pick(d, "tier", "version", "app"), Operator: pick(d,
			metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}
		if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
			e.Values = []string{pick(d, "front", "back", "1", "web"), pick(d, "2", "db")}
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

func (d dice) podTerm() v1.PodAffinityTerm {
	t := v1.PodAffinityTerm{LabelSelector: d.selector(), TopologyKey: pick(d, topologyKeys...)}
	if d.chance(20) {
		t.Namespaces = some(d, 50, namespaces...)
	}
	if d.chance(20) {
		t.NamespaceSelector = &metav1.LabelSelector{}
		if d.chance(70) {
			t.NamespaceSelector.MatchLabels = map[string]string{"team": pick(d, "x", "y")}
		}
	}
	return t
}

func (d dice) weightedTerms() []v1.WeightedPodAffinityTerm {
	var out []v1.WeightedPodAffinityTerm
	for i := 0; i <= d.Intn(2); i++ {
		out = append(out, v1.WeightedPodAffinityTerm{Weight: pick[int32](d, 1, 10, 37, 100), PodAffinityTerm: d.podTerm()})
	}
	return out
}

func (d dice) requirement() v1.NodeSelectorRequirement {
	r := v1.NodeSelectorRequirement{Key: pick(d, "disk", v1.LabelTopologyZone, "cores", "rack"), Operator: pick(d, v1.NodeSelectorOpIn,
		v1.NodeSelectorOpNotIn, v1.NodeSelectorOpExists, v1.NodeSelectorOpDoesNotExist, v1.NodeSelectorOpGt, v1.NodeSelectorOpLt)}
	switch r.Operator {
	case v1.NodeSelectorOpIn, v1.NodeSelectorOpNotIn:
		r.Values = []string{pick(d, "ssd", "z1", "8"), pick(d, "hdd", "z2", "r1")}
	case v1.NodeSelectorOpGt, v1.NodeSelectorOpLt:
		r.Key = pick(d, "cores", "cores", "disk")
		r.Values = []string{pick(d, "4", "8", "15")}
	}
	return r
}

func (d dice) nodeTerm() v1.NodeSelectorTerm {
	t := v1.NodeSelectorTerm{}
	for i := 0; i < d.Intn(3); i++ {
		t.MatchExpressions = append(t.MatchExpressions, d.requirement())
	}
	if d.chance(15) {
		t.MatchFields = append(t.MatchFields, v1.NodeSelectorRequirement{Key: "metadata.name",
			Operator: pick(d, v1.NodeSelectorOpIn, v1.NodeSelectorOpIn, v1.NodeSelectorOpNotIn), Values: []string{pick(d, "n0", "n1", "n2", "n9")}})
	}
	return t
}

// placement draws what says where a pod wants to be.
func (d dice) placement(p *v1.Pod, percent int) {
	a := &v1.Affinity{}
	if d.chance(percent / 2) {
		a.PodAffinity = &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{d.podTerm()}}
		if d.chance(20) {
			a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, d.podTerm())
		}
	}
	if d.chance(percent / 2) {
		a.PodAntiAffinity = &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{d.podTerm()}}
		if d.chance(20) {
			a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, d.podTerm())
		}
	}
	if d.chance(percent / 2) {
		if a.PodAffinity == nil {
			a.PodAffinity = &v1.PodAffinity{}
		}
		a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = d.weightedTerms()
	}
	if d.chance(percent / 2) {
		if a.PodAntiAffinity == nil {
			a.PodAntiAffinity = &v1.PodAntiAffinity{}
		}
		a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = d.weightedTerms()
	}
	if d.chance(percent / 3) {
		a.NodeAffinity = &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{}}
		for i := 0; i <= d.Intn(2); i++ {
			a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms =
				append(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, d.nodeTerm())
		}
	}
	if d.chance(percent / 2) {
		if a.NodeAffinity == nil {
			a.NodeAffinity = &v1.NodeAffinity{}
		}
		for i := 0; i <= d.Intn(2); i++ {
			a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = append(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution,
				v1.PreferredSchedulingTerm{Weight: pick[int32](d, 1, 20, 100), Preference: v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{d.requirement()}}})
		}
	}
	if a.PodAffinity != nil || a.PodAntiAffinity != nil || a.NodeAffinity != nil {
		p.Spec.Affinity = a
	}
	if d.chance(percent / 5) {
		p.Spec.NodeSelector = map[string]string{"disk": pick(d, "ssd", "hdd")}
	}
	if d.chance(30) {
		for _, key := range some(d, 50, "dedicated", "spot", "broken", "") {
			t := v1.Toleration{Key: key, Operator: v1.TolerationOpExists, Effect: pick(d, "", v1.TaintEffectNoSchedule, v1.TaintEffectPreferNoSchedule)}
			if key != "" && d.chance(40) {
				t.Operator, t.Value = v1.TolerationOpEqual, pick(d, "x", "y", "")
			}
			p.Spec.Tolerations = append(p.Spec.Tolerations, t)
		}
	}
}

func (d dice) spread(p *v1.Pod) {
	for _, key := range some(d, 60, topologyKeys...) {
		c := v1.TopologySpreadConstraint{MaxSkew: pick[int32](d, 1, 1, 2, 5), TopologyKey: key, LabelSelector: d.selector(),
			WhenUnsatisfiable: pick(d, v1.DoNotSchedule, v1.ScheduleAnyway)}
		if d.chance(25) {
			c.MatchLabelKeys = some(d, 60, "version", "tier")
		}
		if d.chance(25) && c.WhenUnsatisfiable == v1.DoNotSchedule {
			c.MinDomains = pick(d, ref[int32](2), ref[int32](3))
		}
		if d.chance(25) {
			c.NodeAffinityPolicy = pick(d, ref(v1.NodeInclusionPolicyHonor), ref(v1.NodeInclusionPolicyIgnore))
		}
		if d.chance(25) {
			c.NodeTaintsPolicy = pick(d, ref(v1.NodeInclusionPolicyHonor), ref(v1.NodeInclusionPolicyIgnore))
		}
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c)
	}
}

func ref[T any](x T) *T { return &x }

func (d dice) pod(name string, rich int) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: pick(d, namespaces...), UID: types.UID(name), Labels: d.labels()}}
	p.Spec.SchedulerName = v1.DefaultSchedulerName
	p.Spec.Priority = pick(d, ref[int32](0), ref[int32](0), ref[int32](10), ref[int32](-5), ref[int32](100))
	for i := 0; i <= d.Intn(2); i++ {
		p.Spec.Containers = append(p.Spec.Containers, d.container(fmt.Sprintf("c%d", i)))
	}
	if d.chance(15) {
		for i := 0; i <= d.Intn(3); i++ {
			c := d.container(fmt.Sprintf("i%d", i))
			if d.chance(50) {
				c.RestartPolicy = ref(v1.ContainerRestartPolicyAlways)
			}
			p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		}
	}
	if d.chance(8) {
		p.Spec.Overhead = v1.ResourceList{v1.ResourceCPU: d.quantity("50m", "100m"), v1.ResourceMemory: d.quantity("32Mi", "100Mi")}
	}
	if d.chance(8) {
		p.Spec.Resources = &v1.ResourceRequirements{Requests: v1.ResourceList{}}
		if d.chance(70) {
			p.Spec.Resources.Requests[v1.ResourceCPU] = d.quantity("1", "2")
		}
		if d.chance(50) {
			p.Spec.Resources.Requests[v1.ResourceMemory] = d.quantity("600Mi", "1Gi")
		}
	}
	if d.chance(6) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: pick(d, "rs", "gone"), UID: "rs", Controller: ref(true)}}
	}
	d.placement(p, rich)
	return p
}

// volumes gives the pod claims and disks.
func (d dice) volumes(p *v1.Pod) {
	add := func(s v1.VolumeSource) {
		p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: fmt.Sprintf("v%d", len(p.Spec.Volumes)), VolumeSource: s})
	}
	for i := 0; i <= d.Intn(2); i++ {
		switch d.Intn(10) {
		case 0:
			add(v1.VolumeSource{GCEPersistentDisk: &v1.GCEPersistentDiskVolumeSource{PDName: pick(d, "d1", "d2"), ReadOnly: d.chance(50)}})
		case 1:
			add(v1.VolumeSource{AWSElasticBlockStore: &v1.AWSElasticBlockStoreVolumeSource{VolumeID: pick(d, "d1", "d2")}})
		case 2:
			add(v1.VolumeSource{RBD: &v1.RBDVolumeSource{CephMonitors: some(d, 60, "m1", "m2", "m3"), RBDPool: pick(d, "p", "q"), RBDImage: "i", ReadOnly: d.chance(50)}})
		case 3:
			add(v1.VolumeSource{ISCSI: &v1.ISCSIVolumeSource{TargetPortal: "t", IQN: pick(d, "q1", "q2"), ReadOnly: d.chance(50)}})
		case 4:
			add(v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}})
		default:
			add(v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: pick(d, claimNames...)}})
		}
	}
}

var claimNames = []string{"bound1", "bound2", "bound3", "late1", "late2", "late3", "once", "now", "static", "missing"}

func (d dice) storage() []runtime.Object {
	mode := func(m storagev1.VolumeBindingMode) *storagev1.VolumeBindingMode { return &m }
	var out []runtime.Object
	late := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Provisioner: "csi.example.com", VolumeBindingMode: mode(storagev1.VolumeBindingWaitForFirstConsumer)}
	if d.chance(40) {
		late.AllowedTopologies = []v1.TopologySelectorTerm{{MatchLabelExpressions: []v1.TopologySelectorLabelRequirement{{Key: v1.LabelTopologyZone, Values: some(d, 60, "z1", "z2")}}}}
	}
	out = append(out, late,
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "static"}, Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: mode(storagev1.VolumeBindingWaitForFirstConsumer)},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "now"}, Provisioner: "csi.example.com", VolumeBindingMode: mode(storagev1.VolumeBindingImmediate)})
	affinity := func() *v1.VolumeNodeAffinity {
		if d.chance(30) {
			return nil
		}
		e := v1.NodeSelectorRequirement{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: some(d, 60, "n0", "n1", "n2", "n3")}
		if d.chance(50) {
			e = v1.NodeSelectorRequirement{Key: v1.LabelTopologyZone, Operator: v1.NodeSelectorOpIn, Values: some(d, 60, "z1", "z2", "z3")}
		}
		if len(e.Values) == 0 {
			e.Values = []string{"z1"}
		}
		return &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{e}}}}}
	}
	for _, ns := range namespaces {
		for i, name := range claimNames[:len(claimNames)-1] {
			if d.chance(15) {
				continue
			}
			c := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns, UID: types.UID(ns + name), Annotations: map[string]string{}}}
			c.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}
			c.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: d.quantity("1Gi", "2Gi", "5Gi")}
			switch {
			case i < 3 || name == "once":
				pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: ns + "-" + name, UID: types.UID(ns + name + "-pv"), Labels: map[string]string{}}}
				pv.Spec.NodeAffinity = affinity()
				pv.Spec.Capacity = v1.ResourceList{v1.ResourceStorage: resource.MustParse("5Gi")}
				pv.Spec.CSI = &v1.CSIPersistentVolumeSource{Driver: "csi.example.com", VolumeHandle: ns + name}
				if d.chance(25) {
					pv.Labels[pick(d, v1.LabelTopologyZone, v1.LabelFailureDomainBetaZone)] = pick(d, "z1", "z2", "z1__z3")
				}
				c.Spec.VolumeName = pv.Name
				c.Annotations["pv.kubernetes.io/bind-completed"] = "yes"
				c.Status.Phase = v1.ClaimBound
				if name == "once" {
					c.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadWriteOncePod}
				}
				if d.chance(6) {
					c.Status.Phase = v1.ClaimLost
				}
				if !d.chance(8) {
					out = append(out, pv)
				}
			case name == "now":
				c.Spec.StorageClassName = ref("now")
			case name == "static":
				c.Spec.StorageClassName = ref("static")
			default:
				c.Spec.StorageClassName = ref("late")
				if d.chance(10) {
					c.Annotations["volume.kubernetes.io/selected-node"] = pick(d, "n0", "n1", "n2")
				}
			}
			out = append(out, c)
		}
	}
	for i := 0; i < d.Intn(5); i++ {
		pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("free%d", i), UID: types.UID(fmt.Sprintf("free%d", i))}}
		pv.Spec.StorageClassName = pick(d, "static", "static", "late")
		pv.Spec.AccessModes = []v1.PersistentVolumeAccessMode{pick(d, v1.ReadWriteOnce, v1.ReadWriteOnce, v1.ReadWriteMany)}
		pv.Spec.Capacity = v1.ResourceList{v1.ResourceStorage: d.quantity("1Gi", "2Gi", "3Gi", "10Gi")}
		pv.Spec.NodeAffinity = affinity()
		pv.Spec.Local = &v1.LocalVolumeSource{Path: "/x"}
		pv.Status.Phase = pick(d, v1.VolumeAvailable, v1.VolumeAvailable, v1.VolumeAvailable, v1.VolumeReleased)
		if d.chance(15) {
			pv.Spec.ClaimRef = &v1.ObjectReference{Namespace: pick(d, namespaces...), Name: "static"}
			if d.chance(50) {
				pv.Spec.ClaimRef.UID = types.UID(pv.Spec.ClaimRef.Namespace + "static")
			}
		}
		out = append(out, pv)
	}
	for i := 0; i < 5; i++ {
		if d.chance(50) {
			n := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i)}}
			n.Spec.Drivers = []storagev1.CSINodeDriver{{Name: "csi.example.com", NodeID: "x"}}
			if d.chance(80) {
				n.Spec.Drivers[0].Allocatable = &storagev1.VolumeNodeResources{Count: pick(d, ref[int32](0), ref[int32](1), ref[int32](2), ref[int32](3))}
			}
			out = append(out, n)
		}
		if d.chance(20) {
			a := &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("att%d", i)}}
			a.Spec.NodeName = pick(d, "n0", "n1", "n2")
			a.Spec.Attacher = "csi.example.com"
			a.Spec.Source.PersistentVolumeName = ref(pick(d, namespaces...) + "-" + pick(d, claimNames[:3]...))
			out = append(out, a)
		}
		if d.chance(40) {
			c := &storagev1.CSIStorageCapacity{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cap%d", i), Namespace: "a"}, StorageClassName: "late",
				Capacity: ref(d.quantity("1Gi", "3Gi", "10Gi")), NodeTopology: &metav1.LabelSelector{MatchLabels: map[string]string{v1.LabelTopologyZone: pick(d, "z1", "z2", "z3")}}}
			if d.chance(30) {
				c.MaximumVolumeSize = ref(d.quantity("1Gi", "4Gi"))
			}
			out = append(out, c)
		}
	}
	if d.chance(50) {
		out = append(out, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "csi.example.com"}, Spec: storagev1.CSIDriverSpec{StorageCapacity: ref(d.chance(70))}})
	}
	return out
}

// cluster is one case: what there is, who is to be scheduled, by which configuration ("" = the default one).
type cluster struct {
	config  string
	nodes   []*v1.Node
	placed  []*v1.Pod
	waiting []*v1.Pod // promised room on status.nominatedNodeName
	others  []runtime.Object
	asking  []*v1.Pod
}

func (d dice) cluster(seed int) cluster {
	c := cluster{config: d.configuration()}
	for i := 0; i < 2+d.Intn(6); i++ {
		c.nodes = append(c.nodes, d.node(i))
	}
	withVolumes := d.chance(30)
	rich := pick(d, 0, 30, 60)
	for i := 0; i < d.Intn(15); i++ {
		p := d.pod(fmt.Sprintf("p%d", i), rich/2)
		p.Spec.NodeName = pick(d, c.nodes...).Name
		p.Status.StartTime = &metav1.Time{Time: epoch.Add(time.Duration(d.Intn(100)) * time.Second)}
		if d.chance(5) {
			p.DeletionTimestamp = &metav1.Time{Time: epoch}
			if d.chance(50) {
				p.Status.Conditions = []v1.PodCondition{{Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: v1.PodReasonPreemptionByScheduler}}
			}
		}
		if d.chance(8) {
			p.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c0", AllocatedResources: d.requests(), Resources: &v1.ResourceRequirements{Requests: d.requests()}}}
			if d.chance(40) {
				p.Status.Conditions = append(p.Status.Conditions, v1.PodCondition{Type: v1.PodResizePending, Status: v1.ConditionTrue, Reason: pick(d, v1.PodReasonInfeasible, v1.PodReasonDeferred)})
			}
		}
		if withVolumes && d.chance(40) {
			d.volumes(p)
		}
		c.placed = append(c.placed, p)
	}
	if d.chance(15) {
		p := d.pod("w0", rich/2)
		p.Status.NominatedNodeName = pick(d, c.nodes...).Name
		c.waiting = append(c.waiting, p)
	}
	for i, ns := range namespaces {
		if d.chance(90) {
			n := &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{}}}
			if i < 2 || d.chance(50) {
				n.Labels["team"] = pick(d, "x", "y")
			}
			c.others = append(c.others, n)
		}
		if d.chance(25) {
			c.others = append(c.others, &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: ns},
				Spec: v1.ServiceSpec{Selector: map[string]string{"app": pick(d, "web", "db", "cache")}}})
		}
		if d.chance(50) {
			c.others = append(c.others, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "rs", Namespace: ns}, Spec: appsv1.ReplicaSetSpec{Selector: d.selector()}})
		}
		if d.chance(30) {
			b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: ns}}
			b.Spec.Selector, b.Spec.MinAvailable = d.selector(), ref(intstr.FromInt32(1))
			b.Status.DisruptionsAllowed = pick[int32](d, 0, 0, 1, 2)
			c.others = append(c.others, b)
		}
	}
	if withVolumes {
		c.others = append(c.others, d.storage()...)
	}
	for i := 0; i < 3; i++ {
		p := d.pod(fmt.Sprintf("q%d", i), rich)
		if d.chance(rich/2 + 10) {
			d.spread(p)
		}
		if withVolumes && d.chance(60) {
			d.volumes(p)
		}
		if d.chance(5) {
			p.Spec.PreemptionPolicy = ref(v1.PreemptNever)
		}
		if d.chance(5) {
			p.Status.NominatedNodeName = pick(d, c.nodes...).Name
		}
		c.asking = append(c.asking, p)
	}
	return c
}

const header = `{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration","profiles":[{"schedulerName":"default-scheduler",`

func (d dice) configuration() string {
	if d.chance(60) {
		return ""
	}
	return header + pick(d,
		`"pluginConfig":[{"name":"NodeResourcesFit","args":{"scoringStrategy":{"type":"MostAllocated","resources":[{"name":"cpu","weight":3},{"name":"memory","weight":1},{"name":"example.com/gpu","weight":5}]}}}]`,
		`"pluginConfig":[{"name":"NodeResourcesFit","args":{"scoringStrategy":{"type":"RequestedToCapacityRatio","resources":[{"name":"cpu","weight":2},{"name":"ephemeral-storage","weight":1}],"requestedToCapacityRatio":{"shape":[{"utilization":0,"score":0},{"utilization":40,"score":7},{"utilization":100,"score":10}]}}}}]`,
		`"pluginConfig":[{"name":"NodeResourcesFit","args":{"ignoredResources":["example.com/gpu"],"scoringStrategy":{"type":"LeastAllocated","resources":[{"name":"memory","weight":1},{"name":"hugepages-2Mi","weight":9}]}}},{"name":"NodeResourcesBalancedAllocation","args":{"resources":[{"name":"cpu","weight":1},{"name":"memory","weight":1},{"name":"ephemeral-storage","weight":1}]}}]`,
		`"pluginConfig":[{"name":"NodeResourcesFit","args":{"ignoredResourceGroups":["example.com"]}},{"name":"InterPodAffinity","args":{"hardPodAffinityWeight":50}}]`,
		`"pluginConfig":[{"name":"InterPodAffinity","args":{"ignorePreferredTermsOfExistingPods":true,"hardPodAffinityWeight":0}}]`,
		`"pluginConfig":[{"name":"NodeAffinity","args":{"addedAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"disk","operator":"Exists"}]}]},"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":40,"preference":{"matchExpressions":[{"key":"rack","operator":"In","values":["r1"]}]}}]}}}]`,
		`"pluginConfig":[{"name":"PodTopologySpread","args":{"defaultingType":"List","defaultConstraints":[{"maxSkew":1,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule"},{"maxSkew":2,"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"ScheduleAnyway"}]}}]`,
		`"plugins":{"multiPoint":{"disabled":[{"name":"TaintToleration"},{"name":"ImageLocality"}]},"score":{"disabled":[{"name":"NodeResourcesFit"}],"enabled":[{"name":"NodeAffinity","weight":7}]}}`,
		`"plugins":{"multiPoint":{"enabled":[{"name":"ImageLocality","weight":30}]},"filter":{"disabled":[{"name":"NodePorts"},{"name":"NodeResourcesFit"}]}}`,
		`"plugins":{"score":{"disabled":[{"name":"*"}],"enabled":[{"name":"PodTopologySpread","weight":3},{"name":"InterPodAffinity"}]}}`,
	) + `}]}`
}
