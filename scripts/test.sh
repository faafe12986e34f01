#!/bin/bash
# Installs what the tests need, builds and runs them. The last line is "N passed, N failed".
#
#   scripts/test.sh [--preset debug|asan|tsan] [unit] [simulation] [integration] [e2e] [fault] [lint] [all]
#   scripts/test.sh conformance [FLAGS]     see scripts/conformance.sh --help; never part of the others
#
#   unit         tests/unit: every unit_* executable; each Catch2 test case counts
#   simulation   tests/simulation, optimised: the control plane in worlds with faults, SIM_SEEDS (500) of them
#   integration  tests/integration: the whole server in one process
#   e2e          tests/e2e/*.sh against build/release/orch with real kubectl, helm and containerd
#   fault        tests/fault/*.sh: crashes, full disks, power cuts
#   lint         scripts/lint.sh: format, clang-tidy, file length, layers
#   all          these, the default; with --preset asan or tsan: unit and integration
#
# E2e and fault scripts get ORCH, KUBECTL, HELM and IMAGES (a folder of OCI archives) in their
# environment and print one line "ok NAME" or "not ok NAME" per case.
# TEST_FILTER=name runs only the e2e and fault scripts whose name contains it.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export ORCH_ROOT=$root

[ "${1:-}" != conformance ] || exec scripts/conformance.sh run "${@:2}"

preset=debug
groups=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset)
      preset=${2:?--preset needs a name}
      shift
      ;;
    --preset=*) preset=${1#*=} ;;
    unit | simulation | integration | e2e | fault | lint | all) groups+=("$1") ;;
    -h | --help)
      sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    *)
      echo "test.sh: unknown argument '$1' (try --help)" >&2
      exit 2
      ;;
  esac
  shift
done
case $preset in
  debug | asan | tsan | release) ;;
  *)
    echo "test.sh: unknown preset '$preset': debug, asan, tsan" >&2
    exit 2
    ;;
esac
if [ ${#groups[@]} = 0 ] || [[ " ${groups[*]} " == *" all "* ]]; then
  groups=(unit integration)
  # Slow groups after quick ones, so that the common mistake is seen soon.
  [ "$preset" != debug ] || groups=(lint unit simulation integration e2e fault)
fi
wants() { [[ " ${groups[*]} " == *" $1 "* ]]; }

exec 4>&1
passed=0
failed=0
logs=build/test-logs
mkdir -p "$logs"
started=$SECONDS

say() { printf '\n== %s (%d:%02d)\n' "$*" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }
pass() { passed=$((passed + 1)); }
fail() {
  failed=$((failed + 1))
  echo "FAILED: $*"
}
finish() {
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
  exit
}
trap 'echo; fail interrupted; finish' INT TERM

# build PRESET TARGETS...: quiet, with a sign of life now and then; shows the errors if there are any.
build() {
  local name=$1 log=$logs/build-$1.log pid last=0
  shift
  say "building $name: $*"
  if ! cmake --preset "$name" >"$log" 2>&1; then
    tail -n 30 "$log"
    return 1
  fi
  cmake --build "build/$name" --target "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if [ $((SECONDS - last)) -ge 20 ]; then
      last=$SECONDS
      tail -n 1 "$log" | cut -c 1-110
    fi
  done
  if ! wait "$pid"; then
    grep -n -A 25 -E 'FAILED:|error:' "$log" | head -n 150
    echo "(the whole log: $log)"
    return 1
  fi
}

# run_catch EXECUTABLES...: counts test cases; says which failed and where.
run_catch() {
  local exe name counts
  for exe in "$@"; do
    name=$(basename "$exe")
    counts=$(python3 scripts/run_catch.py "$exe" "$logs/$name.xml" "${TEST_TIMEOUT:-900}" 3>&1 >&4)
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
  done
}

# run_scripts FOLDER: every executable script in it.
run_scripts() {
  local script name log status ok bad
  for script in "$1"/*.sh; do
    [ -x "$script" ] || continue
    name=$(basename "$script" .sh)
    [[ $name == *"${TEST_FILTER:-}"* ]] || continue
    log=$logs/$(basename "$1")-$name.log
    say "$1/$name"
    timeout --kill-after=30 "${TEST_TIMEOUT:-1200}" "$script" 2>&1 | tee "$log" |
      grep --line-buffered -E '^(ok|not ok|#) ' || true
    status=${PIPESTATUS[0]}
    ok=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    passed=$((passed + ok))
    failed=$((failed + bad))
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then
      fail "$script ended with status $status after $ok passed cases"
    elif [ $((ok + bad)) = 0 ] && ! grep -q '^# skipped: ' "$log"; then
      fail "$script printed no result"
    else
      [ "$bad" = 0 ] || status=1
    fi
    [ "$status" = 0 ] || {
      tail -n 60 "$log"
      echo "(the whole log: $log)"
    }
  done
}

has_scripts() { compgen -G "$1/*.sh" >/dev/null; }

say "installing what is needed"
sets="build test"
if wants e2e || wants fault || wants integration; then sets+=" node"; fi
# shellcheck disable=SC2086
if ! scripts/deps.sh $sets; then
  fail "scripts/deps.sh $sets"
  finish
fi

# The sanitizers stop at the first finding; what is not ours and known to be harmless is in the file.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1:suppressions=$root/tests/tsan.suppressions}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$root/tests/lsan.suppressions}

if wants lint; then
  say "lint"
  scripts/lint.sh 2>&1 | tee "$logs/lint.log"
  status=${PIPESTATUS[0]}
  passed=$((passed + $(grep -c '^ok ' "$logs/lint.log")))
  bad=$(grep -c '^not ok ' "$logs/lint.log")
  failed=$((failed + bad))
  [ "$status" = 0 ] || [ "$bad" != 0 ] || fail "scripts/lint.sh ended with status $status"
fi

if wants unit; then
  # The simulation runs in a group of its own, and has to build before.
  if build "$preset" unit_tests simulation; then
    say "unit tests ($preset)"
    # The list is CMake's: the folder may also hold executables of tests that are gone.
    # shellcheck disable=SC2046
    run_catch $(sed -n "s,^unit_,build/$preset/&,p" "build/$preset/unit_tests.txt")
  else
    fail "building the unit tests"
  fi
fi

if wants simulation; then
  # A world is mostly arithmetic: optimised it takes a ninth of the time.
  sim=$preset
  [ "$preset" != debug ] || sim=release
  if build "$sim" simulation; then
    for run in "--self-test" "--seeds ${SIM_SEEDS:-500}"; do
      say "simulation $run ($sim)"
      # shellcheck disable=SC2086
      timeout "${TEST_TIMEOUT:-900}" "build/$sim/simulation" $run 2>&1 | tee "$logs/simulation.log"
      status=${PIPESTATUS[0]}
      passed=$((passed + $(grep -c '^ok ' "$logs/simulation.log")))
      bad=$(grep -c '^not ok ' "$logs/simulation.log")
      failed=$((failed + bad))
      [ "$status" = 0 ] || [ "$bad" != 0 ] || fail "simulation $run ended with status $status"
    done
  else
    fail "building the simulation"
  fi
fi

if wants integration; then
  if ! compgen -G "tests/integration/*.cpp" >/dev/null; then
    echo "no integration tests"
  elif ! scripts/images.sh >"$logs/images.log" 2>&1; then
    tail -n 20 "$logs/images.log"
    fail "scripts/images.sh"
  elif build "$preset" integration integration_node integration_server; then
    say "integration tests ($preset)"
    run_catch "build/$preset/integration"
    run_catch "build/$preset/integration_node"
    run_catch "build/$preset/integration_server"
  else
    fail "building the integration tests"
  fi
fi

run_e2e=false
run_fault=false
if wants e2e && has_scripts tests/e2e; then run_e2e=true; fi
if wants fault && has_scripts tests/fault; then run_fault=true; fi
if $run_e2e || $run_fault; then
  if build release orch bench_kubelets; then
    ORCH=$root/build/release/orch
    IMAGES=$root/build/images
    say "getting kubectl, helm and images"
    if scripts/kubectl.sh >"$logs/kubectl.log" 2>&1 && scripts/images.sh >"$logs/images.log" 2>&1; then
      KUBECTL=$root/build/tools/kubectl
      HELM=$root/build/tools/helm
      export ORCH IMAGES KUBECTL HELM
      if $run_e2e; then run_scripts tests/e2e; fi
      if $run_fault; then run_scripts tests/fault; fi
    else
      tail -n 20 "$logs/kubectl.log" "$logs/images.log"
      fail "scripts/kubectl.sh or scripts/images.sh"
    fi
  else
    fail "building the release executable"
  fi
else
  ! wants e2e || echo "no e2e tests"
  ! wants fault || echo "no fault tests"
fi

finish
