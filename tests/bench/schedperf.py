"""The workloads of Kubernetes' scheduler_perf, through the API of either side: only scheduler and API server run."""

import contextlib
import json
import shutil
import tempfile
import threading

from figures import ratio
from sides import DIR, Orch, Peer, say, tool

# What scheduler_perf leaves out too: nothing runs that would take taints away or make service accounts, and pods
# name their priority as a number.
WITHOUT = "ServiceAccount,TaintNodesByCondition,Priority"
IMAGE = "registry.k8s.io/pause:3.10.1"
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def pod(cpu="100m", memory="500Mi", labels=None, prefix="pod", **spec):
    container = {"name": "pause", "image": IMAGE}
    if cpu:
        container["resources"] = {"requests": {"cpu": cpu, "memory": memory}}
    out = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": prefix + "-{}"}, "spec": {"containers": [container], **spec}}
    if labels:
        out["metadata"]["labels"] = labels
    return out


def node(zone=None, name="node-{}", pods="110"):
    size = {"cpu": "4", "memory": "32Gi", "pods": pods}
    labels = {HOST: name, **({ZONE: zone} if zone else {})}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {"capacity": size, "allocatable": size, "conditions": [{"type": "Ready", "status": "True"}]}}


def related(kind, color, topology, preferred=False):
    term = {"labelSelector": {"matchLabels": {"color": color}}, "topologyKey": topology, "namespaces": ["init", "bench"]}
    rule = ({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]} if preferred else
            {"requiredDuringSchedulingIgnoredDuringExecution": [term]})
    return pod(labels={"color": color}, affinity={kind: rule})


def on_nodes(**term):
    return pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}})


def spread(when):
    return pod(labels={"color": "blue"}, topologySpreadConstraints=[
        {"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"color": "blue"}}}])


HUGE = pod(cpu="9", priority=10, prefix="huge")
MOONS = ["moon-1", "moon-2", "moon-3"]
# nodes, zones; init, init_pod: pods that are bound before; pod, pods: those measured; churn: what goes on meanwhile;
# full: fewer pods need fewer nodes; threshold: pods a second that the Kubernetes project asks of itself.
WORKLOADS = {
    "basic": {"init": 1000, "pods": 10000, "threshold": 270},
    "node-affinity": {"zones": ["zone1"], "init": 5000, "pods": 10000, "threshold": 220,
                      "pod": on_nodes(matchExpressions=[{"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]}])},
    "pod-affinity": {"zones": ["zone1"], "init": 5000, "pods": 5000, "threshold": 35, "pod": related("podAffinity", "blue", ZONE)},
    "pod-anti-affinity": {"init": 1000, "pods": 2000, "threshold": 60, "pod": related("podAntiAffinity", "green", HOST)},
    "preferred-pod-affinity": {"init": 5000, "pods": 5000, "threshold": 90, "pod": related("podAffinity", "red", HOST, True)},
    "preferred-pod-anti-affinity": {"init": 5000, "pods": 5000, "threshold": 90,
                                    "pod": related("podAntiAffinity", "yellow", HOST, True)},
    "topology-spread": {"zones": MOONS, "init": 5000, "init_pod": pod(), "pods": 5000, "threshold": 85,
                        "pod": spread("DoNotSchedule")},
    "preferred-topology-spread": {"zones": MOONS, "init": 5000, "init_pod": pod(), "pods": 5000, "threshold": 125,
                                  "pod": spread("ScheduleAnyway")},
    # Four pods of 900m fill a node; one that asks for three processors puts three or more of them out.
    "preemption": {"full": True, "init": 20000, "init_pod": pod(cpu="900m", terminationGracePeriodSeconds=0), "pods": 5000, "threshold": 160,
                   "churn": ("create", 0.2, [pod(cpu="3", priority=10, prefix="important")])},
    "mixed-churn": {"init": 0, "pods": 10000, "threshold": 265, "churn": ("recreate", 1, [node(name="churn-{}", pods="0"), HUGE, {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "service-{}"},
        "spec": {"selector": {"app": "foo"}, "ports": [{"port": 8080}]}}])},
    "unschedulable": {"init": 100, "pods": 10000, "threshold": 170, "churn": ("create", 0.2, [HUGE])},
    # One node has room for all; ten thousand pods wait at their gates while others go.
    "gated": {"nodes": 0, "one_node": True, "gated": 10000, "init": 20000, "pods": 20000, "threshold": 130,
              "pod": pod(cpu=None, terminationGracePeriodSeconds=0), "churn": ("delete", 0.02, [])},
    "daemonset": {"one_node": True, "init": 0, "pods": 30000, "threshold": 390,
                  "pod": on_nodes(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["one-node"]}])},
}
del WORKLOADS["daemonset"]["pod"]["spec"]["containers"][0]["resources"]


def path_of(content, namespace):
    return {"Node": "/api/v1/nodes", "Service": f"/api/v1/namespaces/{namespace}/services",
            "Pod": f"/api/v1/namespaces/{namespace}/pods"}[content["kind"]]


class Churn:
    """What others do to the cluster within a `with`: objects created, deleted and created anew, or pods deleted."""

    def __init__(self, side, plan):
        self.api, (self.mode, self.seconds, self.contents) = side.api(), plan or ("none", 0, [])
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        if self.mode != "none":
            self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        if self.mode != "none":
            self.thread.join()

    def run(self):
        number = 0
        while not self.over.wait(self.seconds):
            if self.mode == "delete":
                self.api.call("DELETE", f"/api/v1/namespaces/init/pods/pod-{number}", {"gracePeriodSeconds": 0}, (200, 404))
                number += 1
                continue
            if self.mode == "recreate" and number > 0:
                for content in self.contents:
                    name = content["metadata"]["name"].replace("{}", str(number - 1))
                    self.api.call("DELETE", f"{path_of(content, 'churn')}/{name}", {"gracePeriodSeconds": 0}, (200, 404))
            for content in self.contents:
                made = json.loads(json.dumps(content).replace("{}", str(number)))
                self.api.call("POST", path_of(content, "churn"), made)
            number += 1


@contextlib.contextmanager
def as_file(content):
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=DIR) as body:
        json.dump(content, body)
        body.flush()
        yield body.name


def measured(side, work, nodes, share):
    api = side.api()
    for name in ("init", "bench", "churn"):
        api.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def create(content, namespace, count):
        with as_file(content) as body:
            tool("http_load", *side.target(), "--method", "POST", "--path", path_of(content, namespace), "--body", body,
                 "--connections", 16, "--requests", count)

    def bound(content, namespace, count):
        with as_file(content) as body:
            return tool("schedule", *side.target(), "--nodes", 0, "--namespace", namespace, "--body", body, "--pods", count,
                        "--timeout", 1800)

    zones = work.get("zones", [None])
    for i, zone in enumerate(zones):
        count = work.get("nodes", nodes) // len(zones) // (share if "full" in work else 1)
        if count > 0:
            create(node(zone, name=f"node-{i}-{{}}"), None, count)
    if "one_node" in work:
        api.call("POST", "/api/v1/nodes", node(name="one-node", pods="90000"))
    content = work.get("pod", pod())
    if "gated" in work:
        create(pod(cpu=None, prefix="gated", schedulingGates=[{"name": "example.com/hold"}]), "churn", work["gated"] // share)
    if work["init"] > 0:
        bound(work.get("init_pod", content), "init", work["init"] // share)
    with Churn(side, work.get("churn")):
        return bound(content, "bench", work["pods"] // share)["pods_per_second"]


def schedperf(options):
    figures, passed = {}, []
    for name, work in WORKLOADS.items():
        if options.workload and name not in options.workload:
            continue
        say(f"schedperf: {name}")
        rate = {}
        sides = [Orch(flags=["--disable-controller-manager", f"--kube-apiserver-arg=disable-admission-plugins={WITHOUT}"])]
        if options.peer:
            sides.append(Peer(part="scheduler", api_flags=f"--disable-admission-plugins={WITHOUT}"))
        for side in sides:
            shutil.rmtree(side.dir, ignore_errors=True)
            side.start()
            try:
                rate[side.name] = measured(side, work, options.nodes * 5, options.share)
            finally:
                side.stop()
        figures[name] = {"pods_per_second": rate, "ratio": ratio(rate), "threshold": work["threshold"]}
        say(f"schedperf: {name}: {json.dumps(figures[name])}")
        passed.append(rate["orch"] >= work["threshold"] and (figures[name]["ratio"] or 5) >= 5)
    return {"figures": {"share": f"1/{options.share}", **figures}, "budget": {"ratio": 5, "per_second": "threshold"},
            "pass": all(passed) if options.peer else None}


BENCHES = {"schedperf": schedperf}
