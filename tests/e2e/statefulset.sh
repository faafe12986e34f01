#!/bin/bash
# StatefulSets with real pods: names and order, growing and shrinking, updates that stop at broken pods, rolling
# back, partitions, pods that fail, claims and what becomes of them.
LAB=1
. "$(dirname "$0")/lib.sh"
node=$LAB_NAME-0

lab server
lab_ready

image=docker.io/library/busybox:1.36
# set NAME REPLICAS MORE: a set of pods that sleep; MORE is YAML flow in its spec.
set_of() {
  k apply -f - <<YAML >/dev/null
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: $1}
spec:
  replicas: $2
  serviceName: $1
  selector: {matchLabels: {app: $1}}
  ${3:-}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: "$image", command: [sleep, "3600"], readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}}
YAML
}
field() { k get "$1" -o "jsonpath={$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
revision() { field "pod/$1" '.metadata.labels.controller-revision-hash'; }
revisions_differ() { [ "$(revision "$1")" != "$(revision "$2")" ]; }
ready() { is "sts/$1" .status.readyReplicas "$2"; }
event() { k get events -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}' | grep -qF "$1"; }

k create service clusterip web --clusterip=None --tcp=80:80 >/dev/null
set_of web 2
check "a set comes up" k rollout status sts/web --timeout=60s
expect "its pods have names" "web-0 web-1" k get pods -l app=web -o 'jsonpath={.items[*].metadata.name}'
expect "their labels say them" "web-1 1" k get pod web-1 -o 'jsonpath={.metadata.labels.statefulset\.kubernetes\.io/pod-name} {.metadata.labels.apps\.kubernetes\.io/pod-index}'
expect "so do their hosts" "web-1" k exec web-1 -- hostname
check "the second came when the first was ready" python3 - "$(field pod/web-0 '.status.conditions[?(@.type=="Ready")].lastTransitionTime')" "$(field pod/web-1 .metadata.creationTimestamp)" <<'PY'
import sys
assert sys.argv[1] and sys.argv[1] <= sys.argv[2], sys.argv
PY
check "an event tells" event "SuccessfulCreate: Create Pod web-1 in StatefulSet web successful"
check "it grows through its scale" k scale sts/web --replicas=3
eventually 30 "to three" ready web 3

# --- Updates ---
first=$(revision web-0)
k set env sts/web WORD=two >/dev/null
check "an update goes through" k rollout status sts/web --timeout=90s
check "the status says so" is sts/web .status.currentRevision "$(field sts/web .status.updateRevision)"
check "the pods are of the new revision" test "$(revision web-0)" != "$first"
k set image sts/web main=localhost:1/none:1 >/dev/null
broken() { is pod/web-2 '.status.containerStatuses[0].state.waiting.reason' ImagePullBackOff; }
eventually 40 "a broken update reaches the last pod" broken
sleep 3
check "and stops there" is sts/web .status.updatedReplicas 1
check "the others go on" is sts/web .status.readyReplicas 2
k rollout undo sts/web >/dev/null
k delete pod web-2 --wait=false >/dev/null
check "rolled back, it recovers" k rollout status sts/web --timeout=60s
expect "the word is back" "two" k exec web-2 -- sh -c 'echo $WORD'
expect "the history counts on" "1 3 4" bash -c "timeout 20 $KUBECTL rollout history sts/web | grep -o '^[0-9]*' | xargs"
k rollout undo sts/web --to-revision=1 >/dev/null
check "the first revision again" k rollout status sts/web --timeout=90s
check "has its name again" test "$(revision web-0)" = "$first"
k patch sts web -p '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}' >/dev/null
k set env sts/web WORD=three >/dev/null
eventually 30 "a partition lets the last one go" revisions_differ web-2 web-1
eventually 20 "which is ready again" ready web 3
check "and no other" test "$(revision web-1)" = "$first"
k patch sts web -p '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}' >/dev/null
k set env sts/web WORD=four >/dev/null
sleep 2
check "on delete nothing goes by itself" test "$(revision web-1)" = "$first"
k delete pod web-1 >/dev/null
eventually 20 "until it is deleted" revisions_differ web-1 web-0
eventually 20 "all are ready" ready web 3

# --- Pods that end ---
uid=$(field pod/web-0 .metadata.uid)
k patch pod web-0 --subresource=status -p '{"status":{"phase":"Failed","reason":"Evicted"}}' >/dev/null
another() { [ -n "$(field pod/web-0 .metadata.uid)" ] && ! is pod/web-0 .metadata.uid "$uid"; }
eventually 30 "a failed pod is made again" another
eventually 20 "and ready" ready web 3
k scale sts/web --replicas=1 >/dev/null
gone() { ! k get pod "$1" 2>/dev/null | grep -q .; }
eventually 30 "shrinking takes the last ones" gone web-1
check "the first stays" is pod/web-0 .status.phase Running

# --- All at once, from another ordinal ---
set_of many 3 $'podManagementPolicy: Parallel\n  ordinals: {start: 5}'
eventually 30 "a parallel set comes up" ready many 3
expect "from its ordinal" "many-5 many-6 many-7" k get pods -l app=many -o 'jsonpath={.items[*].metadata.name}'

# --- Claims ---
set_of kept 1 $'persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Retain}\n  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}]'
eventually 20 "a claim is made" k get pvc data-kept-0
eventually 20 "that the set owns" is pvc/data-kept-0 '.metadata.ownerReferences[0].kind' StatefulSet
set_of shrunk 2 $'podManagementPolicy: Parallel\n  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Delete}\n  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}]'
eventually 20 "two claims are made" k get pvc data-shrunk-0 data-shrunk-1
k scale sts shrunk --replicas=1 >/dev/null
eventually 30 "one goes with its pod when the set shrinks" bash -c "! timeout 10 $KUBECTL get pvc data-shrunk-1"
check "the other stays" k get pvc data-shrunk-0
k delete sts kept >/dev/null
eventually 30 "and that goes with it" bash -c "! timeout 10 $KUBECTL get pvc data-kept-0"

check "sets go with their pods" k delete sts --all --cascade=foreground --timeout=60s
eventually 20 "all of them" bash -c "[ -z \"\$(timeout 10 $KUBECTL get pods -o name)\" ]"
exit $failed
