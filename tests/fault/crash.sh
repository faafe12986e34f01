#!/bin/bash
# Kills the server again and again under writers and watchers, and proves that nothing acknowledged is lost,
# no revision reused, no event missed or repeated; shows that the proof would notice. docs/testing.md says how.
#   FAULT_ROUNDS   kills (25)
#   FAULT_POWER    power cuts (5)
#   FAULT_SEED     of the moments; printed, so that a run can be repeated in kind
#   FAULT_DIR      where the data is, on a disk (build/fault)
. "$(dirname "$0")/lib.sh"

fs=$(stat -f -c %T "$work")
[ "$fs" != tmpfs ] || echo "# $work is in memory: set FAULT_DIR to a folder on a disk"

# A child of this shell, so that a time limit ends it and what it started.
run() {
  python3 "$here/$1" "${@:2}" &
  job=$!
  trap 'kill "$job"; wait "$job"; exit 143' TERM INT
  wait "$job" || failed=1
}
common=(--orch "$ORCH" --dir "$work" --port "$port")
[ -z "${FAULT_SEED:-}" ] || common+=(--seed "$FAULT_SEED")
run checker_test.py
run crash.py "${common[@]}" --broken
run crash.py "${common[@]}" --first-starts 10
run crash.py "${common[@]}" --power "${FAULT_POWER:-5}"
run crash.py "${common[@]}" --rounds "${FAULT_ROUNDS:-25}"
