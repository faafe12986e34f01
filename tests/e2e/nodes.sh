#!/bin/bash
# Two nodes: pods, services and names across them; containers that are killed; a node that loses its power and
# comes back; a drain under a budget; an agent that comes and goes; daemons rolled over both; a reboot without the
# server; certificates that are replaced while they are used.
LAB=1
. "$(dirname "$0")/lib.sh"
n0=$LAB_NAME-0 n1=$LAB_NAME-1

# Certificates of nodes are replaced after a minute.
server() { lab server --node-monitor-grace-period 15s --cluster-signing-duration 90s; }
server
eventually 30 "the server is ready" k get --raw /readyz
lab up 1
eventually 30 "both nodes are ready" k wait --for=condition=Ready "node/$n0" "node/$n1" --timeout=2s

serial() { openssl s_client -connect "$LAB_NET.11:10250" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
first_serial=$(serial)
expect "the node shows a certificate" "serial=" echo "$first_serial"

# Pods that may be anywhere, one on each node, and one bound to each, with their services.
cat >"$work/all.yaml" <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations:
        - {key: node.kubernetes.io/unreachable, effect: NoExecute, operator: Exists, tolerationSeconds: 2}
        - {key: node.kubernetes.io/not-ready, effect: NoExecute, operator: Exists, tolerationSeconds: 2}
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: docker.io/library/orch-hello:1
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
          resources: {requests: {cpu: 50m}}
          volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: each}
spec:
  selector: {matchLabels: {app: each}}
  template:
    metadata: {labels: {app: each}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: each, image: docker.io/library/orch-hello:1}]
YAML
for i in 0 1; do
  cat >>"$work/all.yaml" <<YAML
---
apiVersion: v1
kind: Service
metadata: {name: only-$i}
spec: {selector: {only: "$i"}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: page-$i}
data: {index.html: "page of $i"}
---
apiVersion: v1
kind: Pod
metadata: {name: only-$i, labels: {only: "$i"}}
spec:
  nodeSelector: {kubernetes.io/hostname: $LAB_NAME-$i}
  terminationGracePeriodSeconds: 1
  containers:
    - name: web
      image: docker.io/library/orch-hello:1
      volumeMounts: [{name: page, mountPath: /www}]
    - {name: sleeper, image: "docker.io/library/busybox:1.36", command: [sh, -c, "echo begun; exec sleep 8640$i"]}
  volumes: [{name: page, configMap: {name: page-$i}}]
YAML
done
eventually 20 "apply" k apply -f "$work/all.yaml"
check "the deployment is there" k rollout status deployment/web --timeout=60s
check "the daemon set is there" k rollout status daemonset/each --timeout=60s
eventually 30 "pods of one node are ready" k wait --for=condition=Ready pod/only-0 pod/only-1 --timeout=2s

on() { k get pods -l "app=$1" --field-selector "spec.nodeName=$2,status.phase=Running" -o name | wc -l; }
at_least_one() { [ "$(on "$1" "$2")" -ge 1 ]; }
check "the deployment uses node 0" at_least_one web "$n0"
check "the deployment uses node 1" at_least_one web "$n1"
check "the daemon set uses node 1" at_least_one each "$n1"

for i in 0 1; do
  other=$((1 - i))
  ip=$(k get pod "only-$other" -o 'jsonpath={.status.podIP}')
  cluster_ip=$(k get service "only-$other" -o 'jsonpath={.spec.clusterIP}')
  # Debian's busybox crashes on wget's own time limit, -T.
  fetch() { k exec "only-$i" -c web -- timeout 5 wget -q -O - "http://$1/" | grep "page of $other"; }
  eventually 15 "from node $i to a pod of the other" fetch "$ip:8080"
  eventually 15 "from node $i to a service on the other" fetch "$cluster_ip"
  eventually 15 "by its name: DNS on node $i" fetch "only-$other"
done
expect "logs from the other node" "begun" k logs only-1 -c sleeper

count() { k get pod "$1" -o "jsonpath={.status.containerStatuses[?(@.name==\"$2\")].restartCount}"; }
restarts() { [ "$(count "$1" "$2")" = "$3" ]; }
waits() { [ "$(k get pod "$1" -o "jsonpath={.status.containerStatuses[?(@.name==\"$2\")].state.waiting.reason}")" = "$3" ]; }
kill_sleeper() { pkill -KILL -x -f "sleep $1"; }
check "a container is killed" kill_sleeper 86401
eventually 15 "it runs again" restarts only-1 sleeper 1
expect "its end is told" "137" k get pod only-1 -o 'jsonpath={.status.containerStatuses[?(@.name=="sleeper")].lastState.terminated.exitCode}'
eventually 5 "it is killed again" kill_sleeper 86401
eventually 15 "now it has to wait" waits only-1 sleeper CrashLoopBackOff
expect "an event says so" "Back-off restarting failed container sleeper" k get events --field-selector reason=BackOff
eventually 25 "and runs a third time" restarts only-1 sleeper 2

renewed() { [ "$(serial)" != "$first_serial" ] && serial | grep -q serial=; }
eventually 90 "the node shows a new certificate" renewed
expect "and logs come from there" "begun" k logs only-1 -c sleeper

lab crash 1
eventually 40 "a node without power is not ready" k wait --for=condition=Ready=Unknown "node/$n1" --timeout=1s
tainted() { k get node "$n1" -o 'jsonpath={.spec.taints[*].effect}' | grep -q NoExecute; }
untainted() { ! tainted; }
eventually 10 "and tainted" tainted
all_on_0() { [ "$(k get deployment web -o 'jsonpath={.status.readyReplicas}')" = 4 ] && [ "$(on web "$n0")" = 4 ]; }
eventually 40 "its pods move" all_on_0
expect "the daemon set's stays" "each-" k get pods -l app=each --field-selector "spec.nodeName=$n1" -o name

lab up 1
eventually 40 "the node returns" k wait --for=condition=Ready "node/$n1" --timeout=1s
eventually 20 "without taints" untainted
cleaned() { ! k get pods --field-selector "spec.nodeName=$n1" -o 'jsonpath={.items[*].metadata.deletionTimestamp}' | grep -q .; }
eventually 40 "pods that moved are gone" cleaned
# Names of pods by the node's own runtime, and by the API.
ctr_1() { "$root/scripts/two-nodes.sh" exec 1 sh -c 'ctr -a /run/orch-*/containerd.sock -n k8s.io "$@"' sh "$@"; }
held() { ctr_1 containers ls -q | while read -r id; do ctr_1 containers info "$id"; done | sed -n 's/.*"io.kubernetes.pod.name": "\(.*\)".*/\1/p' | sort -u; }
bound() { k get pods -A --field-selector "spec.nodeName=$n1" -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}' | sort -u; }
same_pods() { diff <(held) <(bound); }
eventually 40 "no container is left over" same_pods
eventually 40 "its own pods run again" k wait --for=condition=Ready pod/only-1 --timeout=2s

check "half of the pods go" k scale deployment/web --replicas=2
eventually 20 "two are left" k rollout status deployment/web --timeout=2s
check "scale up over both" k scale deployment/web --replicas=6
eventually 30 "scaled" k rollout status deployment/web --timeout=2s
check "node 1 has its share" at_least_one web "$n1"
check "a pod without controller is removed" k delete pod only-1
expect "drain asks about daemon sets" "--ignore-daemonsets" k drain "$n1"
expect "drain asks about local data" "--delete-emptydir-data" k drain "$n1" --ignore-daemonsets
k create poddisruptionbudget web --selector=app=web --min-available=4 >/dev/null
allows() { [ "$(k get pdb web -o 'jsonpath={.status.disruptionsAllowed}')" = 2 ]; }
eventually 10 "a budget lets two of six go at a time" allows
timeout 90 "$KUBECTL" get pdb web --watch -o 'jsonpath={.status.currentHealthy} {.status.desiredHealthy}{"\n"}' >"$work/budget" 2>/dev/null &
watching=$!
check "drain" k drain "$n1" --ignore-daemonsets --delete-emptydir-data --timeout=50s
eventually 30 "drained pods run elsewhere" k rollout status deployment/web --timeout=2s
kill $watching
check "at no time fewer than the budget wants" awk '$1 < $2 {print; bad = 1} END {exit bad || NR < 3}' "$work/budget"
k delete pdb web >/dev/null
check "none is left" test "$(on web "$n1")" = 0
check "but the daemon set's" at_least_one each "$n1"
expect "the node is cordoned" "SchedulingDisabled" k get node "$n1"
check "uncordon" k uncordon "$n1"
check "more pods" k scale deployment/web --replicas=9
eventually 30 "are there" k rollout status deployment/web --timeout=2s
check "also on the node that is back" at_least_one web "$n1"

# --- An agent that comes and goes: its node's pods are left in peace ---
lives() { k get pods -l 'app in (web, each)' -o 'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort; }
eventually 30 "all is at rest" k rollout status deployment/web --timeout=2s
before=$(lives)
for _ in 1 2 3; do
  lab stop 1 KILL
  lab up 1
done
eventually 40 "a node that flaps is ready" k wait --for=condition=Ready "node/$n1" --timeout=1s
sleep 3
check "and its pods never noticed" diff <(echo "$before") <(lives)

# --- Daemons are rolled over both nodes ---
daemons() { k get pods -l app=each -o json | jq '[.items[] | select(.metadata.deletionTimestamp == null) | select(.status.conditions[]? | .type == "Ready" and .status == "True")] | length'; }
check "a new image" k set image daemonset/each each=docker.io/library/orch-hello:2
check "goes to both nodes" k rollout status daemonset/each --timeout=60s
expect "one after the other" "2 2" k get daemonset each -o 'jsonpath={.status.updatedNumberScheduled} {.status.numberAvailable}'
k patch daemonset each -p '{"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":1,"maxUnavailable":0}}}}' >/dev/null
while daemons >>"$work/daemons" && sleep 0.2; do :; done &
watching=$!
check "back again, with a surge" k rollout undo daemonset/each
check "goes too" k rollout status daemonset/each --timeout=60s
kill "$watching"
expect "with a daemon on each node all the time" 2 bash -c "sort -n $work/daemons | head -n 1"
k patch daemonset each -p '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}' >/dev/null
k set env daemonset/each WORD=new >/dev/null
updated() { [ "$(k get daemonset each -o 'jsonpath={.status.observedGeneration} {.status.updatedNumberScheduled}')" = "$(k get daemonset each -o 'jsonpath={.metadata.generation}') $1" ]; }
eventually 20 "on delete none is replaced" updated ""
k delete "$(k get pods -l app=each --field-selector "spec.nodeName=$n1" -o name)" >/dev/null
eventually 20 "but the one that is deleted" updated 1

eventually 20 "a pod again" k apply -f "$work/all.yaml"
eventually 30 "it is ready" k wait --for=condition=Ready pod/only-1 --timeout=2s
lab stop 0
lab crash 1
lab up 1
process() { pgrep -x -f "sleep 86401"; }
eventually 60 "after a reboot without the server the pods run again" process
server
eventually 30 "the server is back" k get --raw /readyz
eventually 40 "the node is ready" k wait --for=condition=Ready "node/$n1" --timeout=1s
eventually 40 "its pods are" k wait --for=condition=Ready pod/only-1 --timeout=1s
check "restarted once" restarts only-1 sleeper 1
exit $failed
