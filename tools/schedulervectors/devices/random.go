package main

import (
	"fmt"
	"math/rand"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

type dice struct{ *rand.Rand }

// one says yes once in n times.
func (d dice) one(n int) bool { return d.Intn(n) == 0 }
func (d dice) of(list ...string) string {
	return list[d.Intn(len(list))]
}

type scene struct {
	node      *v1.Node
	slices    []*resourceapi.ResourceSlice
	classes   classes
	allocated []*resourceapi.ResourceClaim
	claims    []*resourceapi.ResourceClaim
}

const driverA, driverB = "gpu.example.com", "nic.example.org"

var fine = []string{
	`true`,
	`device.driver == "gpu.example.com"`,
	`device.driver != "nic.example.org" || device.attributes["nic.example.org"].numa > 0`,
	`device.attributes["gpu.example.com"].model == "a" || device.driver == "nic.example.org"`,
	`"gpu.example.com" in device.attributes`,
	`!("absent.example.com" in device.attributes)`,
	`has(device.attributes["other.example.com"].site)`,
	`!has(device.attributes["absent.example.com"].x)`,
	`device.attributes[device.driver].fast`,
	`!device.attributes[device.driver].fast`,
	`device.attributes[device.driver].numa == 1`,
	`device.attributes[device.driver].numa in [0, 2]`,
	`device.capacity[device.driver].memory.compareTo(quantity("2Gi")) >= 0`,
	`device.capacity[device.driver].memory.isLessThan(quantity("3Gi"))`,
	`device.attributes[device.driver].version.isGreaterThan(semver("1.0.0"))`,
	`device.attributes[device.driver].version.compareTo(semver("2.0.0")) <= 0`,
	`cel.bind(d, device.attributes[device.driver], d.fast && d.numa > 0)`,
	`size(device.attributes) > 1`,
	`device.attributes.exists(k, k == "other.example.com")`,
	`device.attributes[device.driver].all(k, v, k != "x")`,
	`device.attributes[?"other.example.com"].hasValue()`,
	`device.attributes[device.driver][?"model"].orValue("b") == "b"`,
	`device.attributes[device.driver].model.startsWith("a")`,
	`device.attributes["gpu.example.com"] == device.attributes[device.driver]`,
}

var broken = []string{
	`device.attributes["absent.example.com"].x == 1`,
	`device.attributes[device.driver].model`,
	`device.capacity[device.driver].bandwidth.sign() > 0`,
	`device.attributes[device.driver].numa == "1"`,
	`device.attributes[device.driver].fast > 1`,
	`device.nothing == 1`,
	`1 + 1`,
	`device.driver`,
	`cel.bind(1, 2, true)`,
	`device.allowMultipleAllocations`,
}

func (d dice) selectors(most int) []resourceapi.DeviceSelector {
	var out []resourceapi.DeviceSelector
	for i := d.Intn(most + 2); i > 1; i-- {
		e := d.of(fine...)
		if d.one(80) {
			e = d.of(broken...)
		}
		out = append(out, resourceapi.DeviceSelector{CEL: &resourceapi.CELDeviceSelector{Expression: e}})
	}
	return out
}

func (d dice) device(name string) resourceapi.Device {
	out := resourceapi.Device{Name: name, Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"model":   {StringValue: ptr.To(d.of("a", "b"))},
		"numa":    {IntValue: ptr.To(int64(d.Intn(3)))},
		"fast":    {BoolValue: ptr.To(d.one(2))},
		"version": {VersionValue: ptr.To(d.of("0.9.1", "1.0.0", "1.2.0-rc.1", "2.0.0", "2.1.0+b"))},
	}, Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{
		"memory": {Value: resource.MustParse(d.of("1Gi", "2Gi", "4Gi", "2500M"))},
	}}
	if d.one(3) {
		out.Attributes["other.example.com/site"] = resourceapi.DeviceAttribute{StringValue: ptr.To(d.of("x", "y"))}
	}
	if d.one(25) {
		out.Attributes["gpu.example.com/model"] = resourceapi.DeviceAttribute{StringValue: ptr.To("q")}
		delete(out.Attributes, "model")
	}
	if d.one(40) {
		delete(out.Attributes, "numa")
	}
	if d.one(40) {
		out.BindingConditions = []string{"ready"}
		out.BindingFailureConditions = []string{"broken"}
	}
	if d.one(40) {
		out.ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: "s", Counters: map[string]resourceapi.Counter{"c": {Value: resource.MustParse("1")}}}}
	}
	if d.one(40) {
		out.Taints = []resourceapi.DeviceTaint{{Key: "t", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	}
	return out
}

func (d dice) selector() *v1.NodeSelector {
	r := []v1.NodeSelectorRequirement{{Key: "zone", Operator: v1.NodeSelectorOpIn, Values: []string{d.of("a", "a", "b")}}}
	if d.one(3) {
		r = append(r, v1.NodeSelectorRequirement{Key: "rack", Operator: v1.NodeSelectorOpExists})
	}
	t := v1.NodeSelectorTerm{MatchExpressions: r}
	if d.one(5) {
		t = v1.NodeSelectorTerm{MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{"n1"}}}}
	}
	return &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{t}}
}

func (d dice) pool(driver, name string, first int) []*resourceapi.ResourceSlice {
	var out []*resourceapi.ResourceSlice
	n, device := 1+d.Intn(2), 0
	count := n
	if d.one(20) {
		count++ // one is still to come
	}
	where := d.Intn(5)
	generation := int64(1 + d.Intn(2))
	for i := range n {
		s := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s%02d", first+i)}}
		s.Spec.Driver = driver
		s.Spec.Pool = resourceapi.ResourcePool{Name: name, Generation: generation, ResourceSliceCount: int64(count)}
		switch where {
		case 0, 1:
			s.Spec.NodeName = ptr.To(d.of("n1", "n1", "n1", "n2"))
		case 2:
			s.Spec.AllNodes = ptr.To(true)
		case 3:
			s.Spec.NodeSelector = d.selector()
		default:
			if d.one(4) {
				s.Spec.PerDeviceNodeSelection = ptr.To(true)
			} else {
				s.Spec.NodeName = ptr.To("n1")
			}
		}
		if d.one(30) {
			s.Spec.SharedCounters = []resourceapi.CounterSet{{Name: "s", Counters: map[string]resourceapi.Counter{"c": {Value: resource.MustParse("2")}}}}
		}
		if d.one(25) {
			s.Spec.Pool.Generation = int64(1 + d.Intn(3))
		}
		for range 1 + d.Intn(4) {
			s.Spec.Devices = append(s.Spec.Devices, d.device(fmt.Sprintf("d%d", device)))
			if !d.one(100) {
				device++ // else the next one has the same name
			}
		}
		out = append(out, s)
	}
	return out
}

func (d dice) opaque() resourceapi.DeviceConfiguration {
	return resourceapi.DeviceConfiguration{Opaque: &resourceapi.OpaqueDeviceConfiguration{
		Driver: driverA, Parameters: runtime.RawExtension{Raw: []byte(fmt.Sprintf(`{"v":%d}`, d.Intn(9)))}}}
}

func (d dice) mode() (resourceapi.DeviceAllocationMode, int64) {
	if d.one(8) {
		return resourceapi.DeviceAllocationModeAll, 0
	}
	n := int64(1)
	if d.one(3) {
		n += int64(1 + d.Intn(2))
	}
	if d.one(100) {
		n = int64(10 + d.Intn(25))
	}
	return resourceapi.DeviceAllocationModeExactCount, n
}

func (d dice) class() string {
	if d.one(200) {
		return "absent"
	}
	return d.of("c0", "c1", "c2", "c0", "c0")
}

func (d dice) claim(name string) *resourceapi.ResourceClaim {
	out := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID("uid-" + name)}}
	var names []string
	for i := range 1 + d.Intn(2+d.Intn(2)) {
		r := resourceapi.DeviceRequest{Name: fmt.Sprintf("r%d", i)}
		names = append(names, r.Name)
		if d.one(3) {
			for j := range 1 + d.Intn(3) {
				s := resourceapi.DeviceSubRequest{Name: fmt.Sprintf("s%d", j), DeviceClassName: d.class(), Selectors: d.selectors(2)}
				s.AllocationMode, s.Count = d.mode()
				r.FirstAvailable = append(r.FirstAvailable, s)
				names = append(names, r.Name+"/"+s.Name)
			}
		} else {
			r.Exactly = &resourceapi.ExactDeviceRequest{DeviceClassName: d.class(), Selectors: d.selectors(2)}
			r.Exactly.AllocationMode, r.Exactly.Count = d.mode()
			if d.one(6) {
				r.Exactly.AdminAccess = ptr.To(!d.one(4))
			}
		}
		out.Spec.Devices.Requests = append(out.Spec.Devices.Requests, r)
	}
	for d.one(4) {
		c := resourceapi.DeviceConstraint{}
		attribute := resourceapi.FullyQualifiedName(d.of(driverA+"/numa", driverA+"/model", driverB+"/numa", "other.example.com/site", driverA+"/version", driverA+"/fast"))
		c.MatchAttribute = &attribute
		for _, n := range names {
			if d.one(3) {
				c.Requests = append(c.Requests, n)
			}
		}
		out.Spec.Devices.Constraints = append(out.Spec.Devices.Constraints, c)
	}
	for d.one(4) {
		c := resourceapi.DeviceClaimConfiguration{DeviceConfiguration: d.opaque()}
		for _, n := range names {
			if d.one(3) {
				c.Requests = append(c.Requests, n)
			}
		}
		out.Spec.Devices.Config = append(out.Spec.Devices.Config, c)
	}
	return out
}

func (d dice) scene() scene {
	out := scene{classes: classes{}}
	out.node = &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"zone": "a"}}}
	if d.one(2) {
		out.node.Labels["rack"] = "1"
	}
	for i := range 1 + d.Intn(3) {
		out.slices = append(out.slices, d.pool(d.of(driverA, driverA, driverB), fmt.Sprintf("p%d", i), len(out.slices))...)
	}
	for i := range 3 {
		c := &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c%d", i)}}
		if i > 0 {
			c.Spec.Selectors = d.selectors(2)
		}
		for d.one(4) {
			c.Spec.Config = append(c.Spec.Config, resourceapi.DeviceClassConfiguration{DeviceConfiguration: d.opaque()})
		}
		out.classes[c.Name] = c
	}
	held := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "held", Namespace: "ns", UID: "uid-held"}}
	held.Status.Allocation = &resourceapi.AllocationResult{}
	for _, s := range out.slices {
		for _, device := range s.Spec.Devices {
			if !d.one(5) {
				continue
			}
			r := resourceapi.DeviceRequestAllocationResult{Request: "r", Driver: s.Spec.Driver, Pool: s.Spec.Pool.Name, Device: device.Name}
			if d.one(5) {
				r.AdminAccess = ptr.To(true)
			}
			held.Status.Allocation.Devices.Results = append(held.Status.Allocation.Devices.Results, r)
		}
	}
	if len(held.Status.Allocation.Devices.Results) > 0 {
		out.allocated = append(out.allocated, held)
	}
	for i := range 1 + d.Intn(2) {
		out.claims = append(out.claims, d.claim(fmt.Sprintf("claim%d", i)))
	}
	return out
}
