#!/bin/bash
# What a node does for its pods: refuses those that do not belong there, says why images do not come, keeps what
# containers say at their end, runs sidecars, rotates logs, gives out host ports, refreshes files, keeps their claims.
LAB=1
. "$(dirname "$0")/lib.sh"
node=$LAB_NAME-0

lab server --node-label disk=ssd
lab_ready

# pod NAME SPEC: with a busybox container `main` that sleeps, unless SPEC (YAML flow) has containers.
sleeper='{name: main, image: "docker.io/library/busybox:1.36", command: [sleep, "3600"]}'
pod() {
  local spec=$2
  [[ $spec == *containers:* ]] || spec="containers: [$sleeper]${spec:+, $spec}"
  k apply -f - <<YAML >/dev/null
{apiVersion: v1, kind: Pod, metadata: {name: $1}, spec: {terminationGracePeriodSeconds: 1, $spec}}
YAML
}
shell() { # NAME SCRIPT MORE: a container
  echo "{name: $1, image: \"docker.io/library/busybox:1.36\", command: [sh, -c, '$2']${3:+, $3}}"
}
field() { k get pod "$1" -o "jsonpath={$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
has() { [[ $(field "$1" "$2") == *"$3"* ]]; }
events() { k get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}'; }
event() { events "$1" | grep -qF "$2"; }

# --- Pods that were bound past the scheduler ---
refused() { # NAME SPEC REASON MESSAGE
  pod "$1" "nodeName: $node, $2"
  eventually 15 "$1: $3" is "$1" .status.reason "$3"
  expect "$1: the phase" "Failed" field "$1" .status.phase
  expect "$1: the message" "Pod was rejected: $4" field "$1" .status.message
  eventually 5 "$1: an event" event "$1" "$3: $4"
}
pod holder 'containers: [{name: main, image: "docker.io/library/orch-hello:1", ports: [{containerPort: 8080, hostPort: 8080}]}]'
eventually 20 "a pod with a host port" k wait --for=condition=Ready pod/holder --timeout=2s
address=$(field holder .status.hostIP)
page() { curl -s --noproxy '*' --max-time 3 "http://$address:8080/" | grep -q .; }
eventually 15 "the host port answers" page
refused other-node 'nodeSelector: {disk: hdd}' NodeAffinity "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
refused greedy "containers: [{name: main, image: x, resources: {requests: {cpu: '1000'}}}]" OutOfcpu "Node didn't have enough resource: cpu, requested: 1000000"
refused hungry "containers: [{name: main, image: x, resources: {requests: {memory: 100Ti}}}]" OutOfmemory "Node didn't have enough resource: memory"
refused same-port 'containers: [{name: main, image: x, ports: [{containerPort: 1, hostPort: 8080}]}]' NodePorts "Predicate NodePorts failed: node(s) didn't have free ports"
refused windows 'os: {name: windows}' PodOSNotSupported "Failed to admit pod as the OS field doesn't match node OS"
k taint node "$node" maintenance=now:NoExecute >/dev/null
eventually 20 "a taint removes what runs" bash -c "! timeout 10 $KUBECTL get pod holder"
k taint node "$node" maintenance- >/dev/null
pod fitting "nodeName: $node, nodeSelector: {disk: ssd}"
eventually 20 "one that fits runs" is fitting .status.phase Running

# --- Images ---
why=.status.containerStatuses[0].state.waiting
pod missing 'containers: [{name: main, image: "localhost:1/none:1"}]'
eventually 15 "an image that does not come is waited for" is missing "$why.reason" ImagePullBackOff
expect "with the reason" 'Back-off pulling image "localhost:1/none:1": ErrImagePull: ' field missing "$why.message"
for text in 'Pulling: Pulling image "localhost:1/none:1"' 'Failed: Failed to pull image "localhost:1/none:1": ' \
  'Failed: Error: ErrImagePull' 'BackOff: Back-off pulling image "localhost:1/none:1"' 'Failed: Error: ImagePullBackOff'; do
  eventually 10 "event $text" event missing "$text"
done
expect "the pod is pending" "Pending" field missing .status.phase
pod never 'containers: [{name: main, image: "docker.io/library/none:2", imagePullPolicy: Never}]'
eventually 15 "an image that may not be pulled" is never "$why.reason" ErrImageNeverPull
expect "says so" 'Container image "docker.io/library/none:2" is not present with pull policy of Never' field never "$why.message"
pod odd 'containers: [{name: main, image: "Not//A:Name"}]'
eventually 15 "an image whose name is none" is odd "$why.reason" InvalidImageName

# --- Ends ---
end=.status.containerStatuses[0].state.terminated
pod farewell "restartPolicy: Never, containers: [$(shell main 'echo -n good bye > /dev/termination-log; exit 4')]"
pod logged "restartPolicy: Never, containers: [$(shell main 'echo said before the end; exit 5' 'terminationMessagePolicy: FallbackToLogsOnError')]"
pod own-path "restartPolicy: Never, containers: [$(shell main 'echo -n from my file > /tmp/last' 'terminationMessagePath: /tmp/last')]"
eventually 20 "a termination message" is farewell "$end.message" "good bye"
expect "with the exit code" "4" field farewell "$end.exitCode"
eventually 20 "the end of the log in its place" has logged "$end.message" "said before the end"
eventually 20 "a file of the container's own" is own-path "$end.message" "from my file"
expect "the phase of one that succeeded" "Succeeded" field own-path .status.phase

# --- Sidecars ---
sidecar=$(shell side 'echo up > /shared/up; trap "echo ended >> /shared/log; exit 0" TERM; while :; do sleep 0.1; done' \
  'restartPolicy: Always, startupProbe: {exec: {command: [test, -e, /shared/up]}, periodSeconds: 1}, volumeMounts: [{name: shared, mountPath: /shared}]')
main=$(shell main 'cat /shared/up; sleep 1' 'volumeMounts: [{name: shared, mountPath: /shared}]')
pod job "restartPolicy: Never, initContainers: [$sidecar], containers: [$main], volumes: [{name: shared, emptyDir: {}}]"
eventually 30 "a pod ends although its sidecar would go on" is job .status.phase Succeeded
expect "the sidecar was started before" "up" k logs job -c main
expect "and ended after it" "0" field job '.status.initContainerStatuses[0].state.terminated.exitCode'
check "it was not restarted" is job '.status.initContainerStatuses[0].restartCount' 0

# --- Probes by gRPC: nothing here speaks it, which the probe has to notice ---
pod deaf "containers: [$(shell main 'sleep 3600' 'livenessProbe: {grpc: {port: 9}, periodSeconds: 1, failureThreshold: 2}')]"
eventually 20 "a gRPC probe that fails" event deaf 'Unhealthy: Liveness probe failed: '
eventually 20 "restarts the container" event deaf 'Killing: Container main failed liveness probe, will be restarted'

# --- Logs ---
pod chatty "containers: [$(shell main 'yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -n 400000; while sleep 1; do echo going on; done')]"
uid() { field chatty .metadata.uid; }
eventually 20 "a chatty pod" test -n "$(uid)"
rotated() { [ "$(find "$LAB_DIR/0/log/pods" -path "*$(uid)*" -name '0.log.*' | wc -l)" -ge 1 ]; }
eventually 40 "its log is rotated" rotated
goes_on() { k logs chatty --tail=1 | grep -q "going on"; }
eventually 15 "and goes on" goes_on

# --- Files that follow their sources ---
k create configmap words --from-literal=word=one >/dev/null
pod reader "containers: [$(shell main 'sleep 3600' 'volumeMounts: [{name: words, mountPath: /words}, {name: token, mountPath: /token}]')], volumes: [{name: words, configMap: {name: words}}, {name: token, projected: {sources: [{serviceAccountToken: {path: token, expirationSeconds: 600, audience: me}}]}}]"
eventually 20 "a pod with a config map" is reader .status.phase Running
expect "shows it" "one" k exec reader -- cat /words/word
k patch configmap words -p '{"data":{"word":"two"}}' >/dev/null
changed() { k exec reader -- cat /words/word | grep -q two; }
eventually 30 "and its change" changed
claims() { k exec reader -- cat /token/token | cut -d . -f 2 | tr '_-' '/+' | sed 's/$/==/' | base64 -d 2>/dev/null; }
expect "a token for its audience" '"aud":["me"]' claims

# --- Claims that pods describe: made, bound and taken away; nodes do not mount them yet ---
k apply -f - <<YAML >/dev/null
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: shelves}, provisioner: kubernetes.io/no-provisioner, allowVolumeExpansion: true}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: shelf}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], storageClassName: shelves, hostPath: {path: /var/shelf}}
YAML
pod scribe "containers: [$(shell main 'sleep 3600')], volumes: [{name: books, ephemeral: {volumeClaimTemplate:
  {metadata: {labels: {made: scribe}}, spec: {accessModes: [ReadWriteOnce], storageClassName: shelves, resources: {requests: {storage: 1Gi}}}}}}]"
eventually 20 "a pod that describes a claim gets one and a node" is scribe .spec.nodeName "$node"
expect "the claim has a volume" "Bound shelf" k get pvc scribe-books -o 'jsonpath={.status.phase} {.spec.volumeName}'
expect "the claim is the pod's" "Pod scribe" k get pvc -l made=scribe -o 'jsonpath={.items[0].metadata.ownerReferences[0].kind} {.items[0].metadata.ownerReferences[0].name}'
k patch pvc scribe-books -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}' >/dev/null
eventually 10 "growing it is another's" event scribe-books "ExternalExpanding: waiting for an external controller to expand this PVC"
k delete pod scribe >/dev/null
eventually 20 "the claim goes with the pod" bash -c "! timeout 10 $KUBECTL get pvc scribe-books"
expect "how long a node may keep what it read" "0" k get node "$node" -o 'jsonpath={.metadata.annotations.node\.alpha\.kubernetes\.io/ttl}'
check "the pods go" k delete pods --all --timeout=40s
eventually 30 "nothing stays on disk" bash -c "! ls $LAB_DIR/0/data/agent/kubelet/pods | grep ."
exit $failed
