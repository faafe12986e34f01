#!/bin/bash
# What nodes and pods use, by kubectl top and against the kernel's own count, and autoscalers that size deployments by
# it and by the figures of a metrics API of their own.
LAB=1
. "$(dirname "$0")/lib.sh"
node=$LAB_NAME-0

lab server --kube-controller-manager-arg=horizontal-pod-autoscaler-sync-period=3s \
  --kube-controller-manager-arg=horizontal-pod-autoscaler-downscale-stabilization=6s \
  --kube-controller-manager-arg=horizontal-pod-autoscaler-cpu-initialization-period=1s
lab_ready

image=docker.io/library/busybox:1.36
k apply -f - <<YAML >/dev/null
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {app: busy}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: spin
    image: "$image"
    command: [sh, -c, "dd if=/dev/zero of=/hold/x bs=1M count=64 2>/dev/null; while :; do :; done"]
    resources: {limits: {cpu: 300m, memory: 128Mi}}
    volumeMounts: [{name: hold, mountPath: /hold}]
  volumes: [{name: hold, emptyDir: {medium: Memory}}]
YAML
eventually 30 "a pod that spins" k wait --for=condition=Ready pod/busy --timeout=2s
sleep 3

# --- kubectl top ---
expect "the group is known" "metrics.k8s.io/v1beta1" k api-versions
expect "kubectl top node" "$node" k top node
expect "kubectl top pod" "busy" k top pod
expect "by container" "spin" k top pod --containers
expect "by label" "busy" k top pod -l app=busy
expect "with none" "No resources found" k top pod -l app=none
expect "as a table" "WINDOW" k get pods.metrics.k8s.io
expect "one pod" '"kind":"PodMetrics"' k get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy
expect "no such pod" 'pods "none" not found' k get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/none
k create rolebinding reader --clusterrole=view --user=reader >/dev/null
eventually 10 "who may view may read them" k auth can-i list pods.metrics.k8s.io --as=reader

# The kernel's count of a pod's group over five seconds, and what the API says after them.
uid=$(k get pod busy -o 'jsonpath={.metadata.uid}')
cat >"$work/compare.py" <<'PY'
import glob, json, os, subprocess, sys, time
uid, kubectl = sys.argv[1:]
def folder(controller):
    for name in (uid, uid.replace("-", "_")):
        found = [p for p in glob.glob(f"/sys/fs/cgroup/{controller}/**/*pod{name}*", recursive=True) if os.path.isdir(p)]
        if found:
            return min(found, key=len)
    return None
unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
def cpu():
    if unified:
        text = open(folder("") + "/cpu.stat").read()
        return int(dict(l.split() for l in text.splitlines())["usage_usec"]) * 1000
    return int(open(folder("cpuacct") + "/cpuacct.usage").read())
def memory():
    path = folder("" if unified else "memory")
    stat = dict(l.split()[:2] for l in open(path + "/memory.stat").read().splitlines())
    used = int(open(path + ("/memory.current" if unified else "/memory.usage_in_bytes")).read())
    return used - int(stat["inactive_file" if unified else "total_inactive_file"])
def api():
    out = subprocess.run([kubectl, "get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy"],
                         capture_output=True, text=True, check=True).stdout
    usage = json.loads(out)["containers"][0]["usage"]
    units = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "Ki": 1024, "Mi": 1 << 20}
    def number(text):
        for unit, factor in units.items():
            if text.endswith(unit):
                return float(text[: -len(unit)]) * factor
        return float(text)
    return number(usage["cpu"]), number(usage["memory"])
api()
t, c = time.monotonic(), cpu()
time.sleep(5)
api_cpu, api_memory = api()
real_cpu, real_memory = (cpu() - c) / 1e9 / (time.monotonic() - t), memory()
print(f"cpu {api_cpu:.3f} of {real_cpu:.3f}, memory {api_memory:.0f} of {real_memory}")
assert abs(api_cpu - real_cpu) <= 0.1 * real_cpu
assert abs(api_memory - real_memory) <= 0.1 * real_memory
PY
check "it is what the kernel counts, within a tenth" python3 "$work/compare.py" "$uid" "$KUBECTL"
python3 "$work/compare.py" "$uid" "$KUBECTL" 2>/dev/null | sed 's/^/  # /'
k delete pod busy --grace-period=0 --force >/dev/null 2>&1

# --- An autoscaler ---
k apply -f - <<YAML >/dev/null
apiVersion: apps/v1
kind: Deployment
metadata: {name: work}
spec:
  replicas: 1
  selector: {matchLabels: {app: work}}
  template:
    metadata: {labels: {app: work}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: "$image"
        command: [sh, -c, "while :; do if [ -e /tmp/on ]; then i=0; while [ \$i -lt 20000 ]; do i=\$((i+1)); done; else sleep 1; fi; done"]
        resources: {requests: {cpu: 50m}, limits: {cpu: 100m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: work}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: work}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
YAML
condition() { k get hpa work -o "jsonpath={.status.conditions[?(@.type==\"$1\")].status} {.status.conditions[?(@.type==\"$1\")].reason}"; }
says() { [ "$(condition "$1")" = "$2" ]; }
replicas() { [ "$(k get deployment work -o 'jsonpath={.spec.replicas}')" = "$1" ]; }
eventually 30 "the deployment runs" k wait --for=condition=Available deployment/work --timeout=2s
eventually 40 "the autoscaler finds metrics" says ScalingActive "True ValidMetricFound"
check "and leaves the size" replicas 1
each() { for pod in $(k get pods -l app=work -o name); do k exec "$pod" -- "$@" >/dev/null 2>&1; done; }
each touch /tmp/on
eventually 60 "under load it grows" replicas 3
expect "an event says why" "reason: cpu resource utilization (percentage of request) above target" k get events -o 'jsonpath={.items[*].message}'
shown_by_v1() { [ "$(k get horizontalpodautoscalers.v1.autoscaling work -o 'jsonpath={.status.currentReplicas} {.spec.targetCPUUtilizationPercentage}')" = "3 50" ]; }
eventually 15 "v1 shows the figures" shown_by_v1
expect "the table shows it" "/50%" k get hpa work
each rm -f /tmp/on
eventually 150 "without load it shrinks" replicas 1
k delete hpa work >/dev/null
k delete deployment work >/dev/null

# --- Figures of others: pods, object and external metrics, from an aggregated API on this machine ---
cat >"$work/figures.py" <<'PY'
import http.server, json, ssl, sys, time, urllib.parse
folder, port = sys.argv[1], int(sys.argv[2])
def value(described, number):
    return {"describedObject": described, "metric": {"name": "m"}, "value": str(number), "windowSeconds": 5,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        state = json.load(open(folder + "/figures.json"))
        group, version, rest = (path.split("/", 4) + [""] * 3)[2:5]
        answer = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}", "resources": []}
        if rest:
            items = {"namespaces/default/pods/*/m": lambda: [value({"kind": "Pod", "name": p}, state["pod"]) for p in state["pods"]],
                     "namespaces/default/services/figures/m": lambda: [value({"kind": "Service", "name": "figures"}, state["object"])],
                     "namespaces/default/queue": lambda: [{"metricName": "queue", "value": str(v)} for v in state["external"]]}[rest]()
            answer = {"kind": "MetricValueList", "apiVersion": f"{group}/{version}", "metadata": {}, "items": items}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("", port), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/figures.crt", folder + "/figures.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PY
# figures POD OBJECT EXTERNAL: what that API says of each pod, the service and the queue.
figures() {
  local names
  names=$(k get pods -l app=custom -o json | jq -c '[.items[].metadata.name]')
  echo "{\"pods\": $names, \"pod\": \"$1\", \"object\": \"$2\", \"external\": [$3]}" >"$work/figures.new"
  mv "$work/figures.new" "$work/figures.json"
}
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=figures -keyout "$work/figures.key" -out "$work/figures.crt" 2>/dev/null
figures 10 100 '2, 3'
timeout 500 python3 "$work/figures.py" "$work" $((port + 3)) >"$work/figures.log" 2>&1 &
serving=$!
api_service() { # VERSION GROUP
  echo "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: $1.$2}, spec: {group: $2, version: $1, groupPriorityMinimum: 100,
    versionPriority: 100, insecureSkipTLSVerify: true, service: {name: figures, namespace: default}}}"
}
k apply -f - <<YAML >/dev/null
{apiVersion: v1, kind: Service, metadata: {name: figures}, spec: {ports: [{port: 443, targetPort: $((port + 3))}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: figures, labels: {kubernetes.io/service-name: figures}}
addressType: IPv4
endpoints: [{addresses: [$LAB_NET.1], conditions: {ready: true}}]
ports: [{port: $((port + 3))}]
---
$(api_service v1beta2 custom.metrics.k8s.io)
---
$(api_service v1beta1 external.metrics.k8s.io)
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: custom}
spec:
  selector: {matchLabels: {app: custom}}
  template:
    metadata: {labels: {app: custom}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: "$image", command: [sleep, "3600"]}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: custom}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: custom}
  maxReplicas: 4
  metrics:
  - {type: Pods, pods: {metric: {name: m}, target: {type: AverageValue, averageValue: "10"}}}
  - {type: Object, object: {describedObject: {apiVersion: v1, kind: Service, name: figures}, metric: {name: m}, target: {type: Value, value: "100"}}}
  - {type: External, external: {metric: {name: queue}, target: {type: AverageValue, averageValue: "5"}}}
YAML
eventually 20 "the API of figures is available" k wait --for=condition=Available apiservice/v1beta2.custom.metrics.k8s.io --timeout=2s
# sized REPLICAS FIGURES: the figures lead there; pods that come are told of too.
sized() {
  figures "$2" "$3" "$4"
  [ "$(k get deployment custom -o 'jsonpath={.spec.replicas} {.status.readyReplicas}')" = "$1 $1" ]
}
current() { k get hpa custom -o "jsonpath={.status.currentMetrics[*].$1}"; }
shown() { sized 1 10 100 '2, 3' && [ "$(current pods.current.averageValue) $(current object.current.value) $(current external.current.averageValue)" = "10 100 5" ]; }
eventually 40 "an autoscaler finds all three, and leaves the size" shown
eventually 30 "two of a queue's worth are two pods" sized 2 10 100 '6, 4'
expect "an event names the metric" "external metric queue(nil) above target" k get events -o 'jsonpath={.items[*].message}'
eventually 30 "twice as much for each pod are four" sized 4 20 100 '6, 4'
eventually 60 "little of everything is one" sized 1 1 10 1
eventually 30 "three times an object's value are three" sized 3 1 300 1
kill "$serving"
lacks() { k get hpa custom -o 'jsonpath={.status.conditions[?(@.type=="ScalingActive")].reason}' | grep -qE '^FailedGet(Pods|Object|External)Metric$'; }
eventually 40 "without that API the autoscaler says so" lacks
check "and leaves the size as it is" sized 3 1 300 1
k delete hpa custom >/dev/null
k create -f - <<YAML >/dev/null
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: lost}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: none}, maxReplicas: 2}}
YAML
lost() { [[ $(k get hpa lost -o 'jsonpath={.status.conditions[0].message}') == *'deployments.apps "none" not found'* ]]; }
eventually 20 "a target that is not there is told" lost
exit $failed
