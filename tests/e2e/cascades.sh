#!/bin/bash
# Deletion by each cascade of kubectl, and rollouts that fail.
LAB=1
. "$(dirname "$0")/lib.sh"

lab server
lab_ready

deployment() { k create deployment "$1" --image=docker.io/library/orch-hello:1 --replicas=2 >/dev/null && k rollout status "deployment/$1" --timeout=40s >/dev/null; }
left() { k get "$1" -l "app=$2" -o name | wc -l; }
none_left() { # a request that fails tells nothing
  local count
  count=$(left "$1" "$2") && [ "$count" = 0 ]
}
deployment background
check "delete --cascade=background" k delete deployment background --cascade=background
eventually 30 "takes replica sets along" none_left replicasets background
# The web server in them does not listen to SIGTERM: they have their 30 seconds.
eventually 45 "and pods" none_left pods background
deployment orphan
check "delete --cascade=orphan" k delete deployment orphan --cascade=orphan
sleep 2
check "leaves the replica set" test "$(left replicasets orphan)" = 1
check "and the pods" test "$(left pods orphan)" = 2
expect "without an owner" "[]" bash -c "$KUBECTL get replicasets -l app=orphan -o json | jq -c '[.items[].metadata.ownerReferences // empty]'"
check "delete by label" k delete replicasets -l app=orphan
eventually 45 "then its pods go" none_left pods orphan
deployment foreground
check "delete --cascade=foreground" k delete deployment foreground --cascade=foreground --timeout=40s
check "ends after its pods" none_left pods foreground
check "and its replica sets" none_left replicasets foreground

k create deployment stuck --image=docker.io/library/none:1 >/dev/null
k patch deployment stuck -p '{"spec":{"progressDeadlineSeconds":4}}' >/dev/null
expect "rollout status tells of failure" "exceeded its progress deadline" k rollout status deployment/stuck --timeout=40s
check "by its exit status too" bash -c "! timeout 20 $KUBECTL rollout status deployment/stuck --timeout=10s"
image_waits() { k get pods -l app=stuck --no-headers | grep -E 'ErrImagePull|ImagePullBackOff'; }
eventually 20 "get says why" image_waits
expect "events say why" "Failed to pull image" k get events --field-selector reason=Failed
check "rollout restart" k rollout restart deployment/stuck
check "delete now" k delete deployment stuck --now
exit $failed
