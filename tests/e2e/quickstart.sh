#!/bin/bash
# scripts/quickstart.sh twice, and that uninstall leaves nothing behind: no process, mount, interface or table.
. "$(dirname "$0")/lib.sh"
export ORCH_DATA_DIR=$work/data ORCH_KUBECONFIG=$KUBECONFIG
quickstart() { timeout 1500 "$root/scripts/quickstart.sh" "$@"; }
flags=(-- --https-listen-port "$port" --kubelet-port $((port + 1)) --node-name e2e)

left() {
  pgrep -fa "$work/data"
  grep -s "$work/data" /proc/mounts
  ls -d /sys/class/net/orch* /run/netns/cni-* 2>/dev/null
  nft list tables | grep orch
  ls -d "$work/data" 2>/dev/null
}
# What only has a name that begins alike is somebody else's.
ip link add orch-other type veth peer name orch-others
nft add table ip orch-other
before=$(left)
expect "the first run" "the DNS name, from a pod, http://hello.default.svc.cluster.local: ok" quickstart "${flags[@]}"
pods() { k get pods -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID}{"\n"}{end}'; }
running=$(pods)
check "there are containers" [ -n "$running" ]
expect "the second run changes nothing" "runs already" quickstart "${flags[@]}"
check "the same containers go on" [ "$(pods)" = "$running" ]
expect "stop" "its containers go on" quickstart stop
expect "start again" "Ready after" quickstart "${flags[@]}"
check "still the same containers" [ "$(pods)" = "$running" ]
expect "uninstall" "is gone" quickstart uninstall
new=$(comm -13 <(sort <<<"$before") <(left | sort))
check "nothing is left" [ -z "$new" ]
[ -z "$new" ] || sed 's/^/  # /' <<<"$new"
check "and nothing else is gone" bash -c "ip link delete orch-other && nft delete table ip orch-other"
exit $failed
