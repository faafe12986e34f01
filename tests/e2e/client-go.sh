#!/bin/bash
# An unmodified client-go (tests/clientgo) against a server without a node: informers by WatchList, protobuf,
# dynamic and metadata clients, eviction, tokens, leader election, and exec, attach, logs and port-forward to a
# kubelet of Kubernetes' own streaming code. Needs Go.
. "$(dirname "$0")/lib.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)

if ! command -v go >/dev/null; then
  echo "# skipped: Go is not installed"
  exit 0
fi
program=$work/clientgo
if ! (cd "$root/tests/clientgo" && CGO_ENABLED=0 go build -o "$program" .) >"$work/build.log" 2>&1; then
  not_ok "build"
  tail -n 8 "$work/build.log" | sed 's/^/  # /'
  exit 1
fi
start_server --disable-agent
eventually 30 "the server is ready" k get --raw /readyz
timeout 300 "$program" --kubeconfig "$KUBECONFIG" --pid "$server" \
  --kubelet-ca "$work/data/server/tls/server-ca.crt" --kubelet-ca-key "$work/data/server/tls/server-ca.key" ||
  failed=1
exit $failed
