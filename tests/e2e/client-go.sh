#!/bin/bash
# An unmodified client-go (tests/clientgo) against a server without a node: informers by WatchList, protobuf,
# dynamic and metadata clients, eviction, tokens, leader election, a scheduler and an extender of its own, and exec,
# attach, logs and port-forward to a kubelet of Kubernetes' own streaming code. Needs Go.
. "$(dirname "$0")/lib.sh"

go_program tests/clientgo
cat >"$work/scheduler.yaml" <<YAML
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packer
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}}
  plugins: {multiPoint: {disabled: [{name: NodeResourcesBalancedAllocation}, {name: PodTopologySpread}]}}
extenders:
- urlPrefix: http://127.0.0.1:$((port + 2))
  filterVerb: filter
  nodeCacheCapable: true
  managedResources: [{name: example.com/boats, ignoredByScheduler: true}]
YAML
start_server --disable-agent --kube-scheduler-arg "config=$work/scheduler.yaml"
eventually 30 "the server is ready" k get --raw /readyz
timeout 300 "$program" --kubeconfig "$KUBECONFIG" --pid "$server" --extender "127.0.0.1:$((port + 2))" \
  --kubelet-ca "$work/data/server/tls/server-ca.crt" --kubelet-ca-key "$work/data/server/tls/server-ca.key" ||
  failed=1
exit $failed
