#!/bin/bash
# What nodes and pods use, by kubectl top and against the kernel's own count, and an autoscaler that sizes a
# deployment by it.
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
k create -f - <<YAML >/dev/null
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: lost}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: none}, maxReplicas: 2}}
YAML
lost() { [[ $(k get hpa lost -o 'jsonpath={.status.conditions[0].message}') == *'deployments.apps "none" not found'* ]]; }
eventually 20 "a target that is not there is told" lost
exit $failed
