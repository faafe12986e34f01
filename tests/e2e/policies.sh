#!/bin/bash
# What holds pods and namespaces to limits, with real pods: disruption budgets and eviction, quotas and limit ranges,
# priorities; and the controllers that keep what others need: volumes and claims, endpoint slices, root certificates,
# roles that gather others, ended pods, namespaces that go.
LAB=1
. "$(dirname "$0")/lib.sh"
node=$LAB_NAME-0

lab server --kube-controller-manager-arg=terminated-pod-gc-threshold=2
lab_ready

image=docker.io/library/busybox:1.36
field() { k get "$1" -o "jsonpath={$2}" "${@:3}"; }
is() { [ "$(field "$1" "$2" "${@:4}")" = "$3" ]; }
gone() { ! k get "$1" >/dev/null 2>&1; }
# deployment NAME REPLICAS [CONTAINER]: one of pods that sleep; CONTAINER is YAML flow in its container.
deployment() {
  k apply -f - <<YAML >/dev/null
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1}
spec:
  replicas: $2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: "$image", command: [sleep, "3600"] ${3:+, $3}}]
YAML
}
evict() { printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s"}}' "$1" | k create --raw "/api/v1/namespaces/default/pods/$1/eviction" -f -; }
first_pod() { k get pods -l "app=$1" --field-selector=status.phase=Running -o 'jsonpath={.items[0].metadata.name}'; }

# --- Disruption budgets ---
deployment guarded 2
k create poddisruptionbudget guarded --selector=app=guarded --min-available=2 >/dev/null
check "two pods come up" k rollout status deployment/guarded --timeout=60s
eventually 20 "the budget counts them" is pdb/guarded .status.currentHealthy 2
expect "none may be disrupted" "0" field pdb/guarded .status.disruptionsAllowed
expect "an eviction is refused" "Cannot evict pod as it would violate the pod's disruption budget." evict "$(first_pod guarded)"
k scale deployment/guarded --replicas=3 >/dev/null
eventually 30 "a third pod makes room for one" is pdb/guarded .status.disruptionsAllowed 1
victim=$(first_pod guarded)
expect "which is evicted" '"status":"Success"' evict "$victim"
eventually 20 "and goes" gone "pod/$victim"
eventually 30 "another takes its place" is pdb/guarded .status.currentHealthy 3
k delete pdb guarded >/dev/null
k delete deployment guarded >/dev/null

# --- Quotas and limit ranges ---
k create namespace small >/dev/null
k create quota pods --hard=pods=2,requests.cpu=100m,count/configmaps=2 -n small >/dev/null
k apply -n small -f - <<YAML >/dev/null
apiVersion: v1
kind: LimitRange
metadata: {name: sizes}
spec:
  limits: [{type: Container, defaultRequest: {cpu: 40m}, default: {cpu: 80m}, max: {cpu: 90m}}]
YAML
eventually 20 "the quota is counted" is quota/pods .status.hard.pods 2 -n small
small() { k run -n small "$1" --image="$image" --restart=Never --overrides="{\"spec\":{\"terminationGracePeriodSeconds\":0,\"containers\":[{\"name\":\"$1\",\"image\":\"$image\",\"command\":[\"sleep\",\"3600\"],\"resources\":${2:-{\}}}]}}"; }
check "a pod that says nothing" small one
expect "gets what the range gives" "40m 80m" k get pod one -n small -o 'jsonpath={.spec.containers[0].resources.requests.cpu} {.spec.containers[0].resources.limits.cpu}'
expect "what is too large is refused" "maximum cpu usage per Container is 90m, but limit is 1" small large '{"limits":{"cpu":"1"}}'
expect "so is what is over the quota" "exceeded quota: pods, requested: requests.cpu=80m, used: requests.cpu=40m, limited: requests.cpu=100m" small two '{"requests":{"cpu":"80m"}}'
check "a second pod fits" small two
expect "a third does not" "exceeded quota: pods" small three
eventually 20 "both run" k wait -n small --for=condition=Ready pod/one pod/two --timeout=2s
k delete pod one -n small >/dev/null
eventually 20 "what is gone is not counted" is quota/pods .status.used.pods 1 -n small
expect "other objects are counted too" "exceeded quota: pods, requested: count/configmaps=1" \
  bash -c "timeout 20 $KUBECTL create configmap a -n small; timeout 20 $KUBECTL create configmap b -n small"

# --- Namespaces ---
eventually 20 "each namespace has the root certificate" k get configmap kube-root-ca.crt -n small
expect "and an account" "default" k get serviceaccount default -n small -o name
check "a namespace goes with its pods" k delete namespace small --timeout=60s
expect "all of them" "No resources found" k get pods -n small

# --- Priorities ---
k create priorityclass urgent --value=1000 >/dev/null
room=$(k get node "$node" -o 'jsonpath={.status.allocatable.cpu}')
large=$((room * 600))m
deployment modest 1 "resources: {requests: {cpu: $large}}"
check "a large pod runs" k rollout status deployment/modest --timeout=60s
k apply -f - <<YAML >/dev/null
apiVersion: v1
kind: Pod
metadata: {name: urgent}
spec:
  priorityClassName: urgent
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: "$image", command: [sleep, "3600"], resources: {requests: {cpu: $large}}}]
YAML
eventually 40 "a pod of priority takes its place" k wait --for=condition=Ready pod/urgent --timeout=2s
waiting() { k get pods -l app=modest -o 'jsonpath={.items[*].status.conditions[?(@.type=="PodScheduled")].message}' | grep -q "0/1 nodes are available: 1 Insufficient cpu."; }
eventually 20 "whose successor waits, and is told why" waiting
preempted() { k get events -o 'jsonpath={range .items[*]}{.reason}{"\n"}{end}' | grep -qx Preempted; }
check "an event tells" preempted
k delete pod urgent >/dev/null
eventually 40 "it runs when there is room again" k rollout status deployment/modest --timeout=2s
k delete deployment modest >/dev/null

# --- Volumes and claims ---
k apply -f - <<YAML >/dev/null
apiVersion: v1
kind: PersistentVolume
metadata: {name: shelf}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: shelves
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: $work}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: books}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: shelves
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: "$image", command: [sleep, "3600"], volumeMounts: [{name: books, mountPath: /books}]}]
  volumes: [{name: books, persistentVolumeClaim: {claimName: books}}]
YAML
eventually 20 "a claim finds its volume" is pvc/books .status.phase Bound
placed() { is pod/reader '.status.conditions[?(@.type=="PodScheduled")].status' True; }
eventually 20 "a pod that uses it is placed" placed
check "claims in use are deleted later" k delete pvc books --wait=false
expect "for now it is kept" "kubernetes.io/pvc-protection" field pvc/books .metadata.finalizers
k delete pod reader >/dev/null
eventually 20 "when the pod has gone, it goes" gone pvc/books
eventually 20 "and the volume is kept for its owner" is pv/shelf .status.phase Released

# --- Endpoint slices ---
deployment web 2
k expose deployment web --port=80 --target-port=8080 >/dev/null
check "pods of a service" k rollout status deployment/web --timeout=60s
addresses() { k get endpointslices -l kubernetes.io/service-name="$1" -o 'jsonpath={.items[*].endpoints[*].addresses[*]}' | tr ' ' '\n' | sort | xargs; }
pods() { k get pods -l "app=$1" -o 'jsonpath={.items[*].status.podIP}' | tr ' ' '\n' | sort | xargs; }
agree() { [ "$(addresses "$1")" = "$(pods "$1")" ] && [ -n "$(addresses "$1")" ]; }
eventually 20 "its slices have their addresses" agree web
k create service clusterip outside --tcp=80:80 --clusterip=None >/dev/null
k patch service outside --type=merge -p '{"spec":{"selector":null}}' >/dev/null
k apply -f - <<YAML >/dev/null 2>&1
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: 192.0.2.7}], ports: [{port: 80}]}]
YAML
mirrored() { [ "$(addresses outside)" = 192.0.2.7 ]; }
eventually 20 "endpoints made by hand are mirrored" mirrored

# --- Roles that gather others ---
k create clusterrole parts --verb=get --resource=configmaps >/dev/null
k label clusterrole parts gather=yes >/dev/null
k create clusterrole whole --aggregation-rule=gather=yes >/dev/null
eventually 10 "a role has the rules of those it gathers" is clusterrole/whole '.rules[0].resources[0]' configmaps

# --- Ended pods ---
for i in 1 2 3 4 5; do k run "ended-$i" --image="$image" --restart=Never -- true >/dev/null; done
few() { [ "$(k get pods --field-selector=status.phase=Succeeded -o name | wc -l)" -le 2 ]; }
ended() { [ "$(k get pods -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}' | grep -c "^ended-.* \(Pending\|Running\)")" = 0 ]; }
eventually 40 "pods end" ended
eventually 40 "of the ended ones as many are kept as is wanted" few
exit $failed
