#!/bin/bash
# Rolls a Deployment of 1,000 pods on simulated nodes out and back while the server is killed ten times.
#   FAULT_SEED   of the moments; printed, so that a run can be repeated in kind
. "$(dirname "$0")/lib.sh"
kubelets=$(dirname "$ORCH")/bench_kubelets
[ -x "$kubelets" ] || { not_ok "bench_kubelets beside $ORCH"; exit; }
python3 "$here/rollout.py" --orch "$ORCH" --kubelets "$kubelets" --kubectl "$KUBECTL" --dir "$work" --port "$port" \
  ${FAULT_SEED:+--seed "$FAULT_SEED"} &
job=$!
trap 'kill "$job"; wait "$job"; exit 143' TERM INT
wait "$job" || failed=1
