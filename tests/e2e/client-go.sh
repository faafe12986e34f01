#!/bin/bash
# An unmodified client-go (tests/clientgo) against a server without a node: informers by WatchList, protobuf,
# dynamic and metadata clients, eviction, tokens, leader election, and exec, attach, logs and port-forward to a
# kubelet of Kubernetes' own streaming code. Needs Go.
. "$(dirname "$0")/lib.sh"

go_program tests/clientgo
start_server --disable-agent
eventually 30 "the server is ready" k get --raw /readyz
timeout 300 "$program" --kubeconfig "$KUBECONFIG" --pid "$server" \
  --kubelet-ca "$work/data/server/tls/server-ca.crt" --kubelet-ca-key "$work/data/server/tls/server-ca.key" ||
  failed=1
exit $failed
