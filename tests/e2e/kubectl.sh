#!/bin/bash
# An unmodified kubectl against a server with its node: one Deployment, its Service, and the verbs people use.
. "$(dirname "$0")/lib.sh"

start_server
eventually 30 "the server is ready" k get --raw /readyz
eventually 60 "the node is ready" k wait --for=condition=Ready node/e2e --timeout=2s

check "apply" k apply -f "$root/examples/hello"
check "rollout status" k rollout status deployment/hello --timeout=50s
expect "apply again changes nothing" "unchanged" k apply -f "$root/examples/hello"
expect "get -o wide" "e2e" k get pods -o wide
expect "get -o yaml" "kind: Deployment" k get deployment hello -o yaml
expect "get -o jsonpath" "3" k get deployment hello -o 'jsonpath={.status.readyReplicas}'
expect "describe" "ScalingReplicaSet" k describe deployment hello
expect "events" "Scheduled" k events
pod=$(k get pods -l app=hello -o 'jsonpath={.items[0].metadata.name}')

address=$(k get service hello -o 'jsonpath={.spec.clusterIP}')
node=$(k get node e2e -o 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')
node=${node%% *} # of several addresses the first
page() { curl -s --noproxy '*' --max-time 3 "$1" | grep -q 'Hello from Orch'; }
eventually 15 "an answer through the cluster IP" page "http://$address/"
eventually 15 "an answer through the node port" page "http://$node:30080/"

expect "exec" "hello from inside" k exec "$pod" -- echo hello from inside
expect "exec -i" "over stdin" bash -c "echo over stdin | timeout 20 $KUBECTL exec -i $pod -- cat"
check "exec gives the exit status" bash -c "timeout 20 $KUBECTL exec $pod -- sh -c 'exit 7'; test \$? = 7"
check "logs" k logs "$pod"
# Debian's busybox crashes on wget's own time limit, -T.
in_pod() { k exec "$pod" -- timeout 5 wget -q -O - "http://$1/" | grep -q 'Hello from Orch'; }
eventually 15 "an answer through the DNS name" in_pod hello.default.svc.cluster.local
eventually 15 "an answer through the short DNS name" in_pod hello
echo "copied" >"$work/file"
check "cp" bash -c "timeout 20 $KUBECTL cp $work/file $pod:/tmp/file && timeout 20 $KUBECTL exec $pod -- grep copied /tmp/file"
forward() {
  timeout 20 "$KUBECTL" port-forward "pod/$pod" 18080:8080 >"$work/forward.log" 2>&1 &
  local pid=$! rc=1
  for _ in $(seq 40); do
    page http://127.0.0.1:18080/ && rc=0 && break
    sleep 0.2
  done
  kill "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  return $rc
}
check "port-forward" forward

check "scale" k scale deployment hello --replicas=4
check "scaled" k rollout status deployment/hello --timeout=50s
check "set image" k set image deployment/hello '*=docker.io/library/orch-hello:2'
check "rolled out" k rollout status deployment/hello --timeout=90s
expect "rollout history" "2" k rollout history deployment/hello
check "rollout undo" k rollout undo deployment/hello
check "rolled back" k rollout status deployment/hello --timeout=90s
check "rollout pause" k rollout pause deployment/hello
check "rollout resume" k rollout resume deployment/hello
check "label" k label pod --all seen=yes
expect "list by label" "hello" k get pods -l seen=yes
check "annotate" k annotate deployment hello note=x
check "patch strategic" k patch deployment hello -p '{"spec":{"minReadySeconds":1}}'
check "patch merge" k patch deployment hello --type=merge -p '{"metadata":{"labels":{"a":"b"}}}'
check "patch json" k patch deployment hello --type=json -p '[{"op":"remove","path":"/metadata/labels/a"}]'
printf '#!/bin/sh\nsed -i "s/minReadySeconds: 1/minReadySeconds: 0/" "$1"\n' >"$work/editor" && chmod +x "$work/editor"
check "edit" env EDITOR="$work/editor" timeout 20 "$KUBECTL" edit deployment hello
expect "auth can-i" "yes" k auth can-i create pods
expect "auth can-i as nobody" "no" k auth can-i create pods --as nobody
expect "api-resources" "deployments" k api-resources
expect "explain" "replicas" k explain deployment.spec
check "cordon" k cordon e2e
check "uncordon" k uncordon e2e
check "wait" k wait --for=condition=Available deployment/hello --timeout=60s

victim=$(k get pods -l app=hello -o 'jsonpath={.items[0].metadata.name}')
check "delete a pod" k delete pod "$victim" --grace-period=1
eventually 40 "it is replaced" k wait --for=condition=Available deployment/hello --timeout=2s
ids() { k get pods -l app=hello -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort; }
eventually 40 "settled" k rollout status deployment/hello --timeout=2s
before=$(ids)
check "there are containers" [ -n "$before" ]
stop_server KILL
start_server
eventually 30 "ready after SIGKILL" k get --raw /readyz
sleep 3
if [ "$(ids)" = "$before" ]; then ok "containers outlive the server"; else
  not_ok "containers outlive the server"
  diff <(echo "$before") <(ids) | sed 's/^/  # /'
fi
check "delete with its pods" k delete -f "$root/examples/hello" --cascade=foreground --timeout=60s
gone() {
  local names
  names=$(k get pods -l app=hello -o name) && [ -z "$names" ]
}
eventually 60 "nothing is left" gone
exit $failed
