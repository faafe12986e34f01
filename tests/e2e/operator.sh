#!/bin/bash
# An operator of an unmodified controller-runtime (tests/clients/operator) and its custom resources over twenty
# restarts of a server without a node, every other one by SIGKILL. Needs Go.
. "$(dirname "$0")/lib.sh"

go_program tests/clients/operator
start_server --disable-agent
eventually 30 "the server is ready" k get --raw /readyz
timeout 400 "$program" --kubeconfig "$KUBECONFIG" >"$work/operator.out" 2>"$work/operator.log" &
operator=$!
begun() { grep -q '^# begun' "$work/operator.out"; }
if eventually 40 "the operator begins" begun; then
  restarts=0
  for round in $(seq "${OPERATOR_RESTARTS:-20}"); do
    # Now with much, now with little between two restarts.
    sleep "0.$((round * 37 % 10))"
    [ $((round % 4)) -lt 2 ] || sleep 1
    if [ $((round % 2)) = 0 ]; then stop_server KILL; else stop_server TERM; fi
    start_server --disable-agent
    for _ in $(seq 300); do
      k get --raw /readyz >/dev/null 2>&1 && restarts=$((restarts + 1)) && break
      sleep 0.1
    done
  done
  check "the server is ready after each restart" test "$restarts" = "${OPERATOR_RESTARTS:-20}"
fi
kill "$operator"
wait "$operator" || failed=1
cat "$work/operator.out"
[ $failed = 0 ] || tail -n 15 "$work/operator.log" | cut -c1-300 | sed 's/^/  # /'
exit $failed
