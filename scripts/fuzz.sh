#!/bin/bash
# Fuzzes every parser that bytes from outside reach (tests/fuzz), with the address and undefined-behaviour
# sanitizers. The kept inputs in tests/fuzz/corpus are where each target begins; what finds new paths goes to
# build/fuzz/corpus.
#
#   scripts/fuzz.sh [--seconds N] [--jobs N] [TARGET...]    N seconds for each target (60); default: all
#   scripts/fuzz.sh keep [TARGET...]     adds the smallest inputs that together reach everything found so far to the
#                                        kept ones, at most 60 a target
#   scripts/fuzz.sh list                 names the targets
#
# A finding is written to build/fuzz/findings/TARGET-*; the last line is "N passed, N failed", in targets.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/fuzz
seconds=60
jobs=$(nproc)
command=run
names=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=${2:?--seconds needs a number} && shift ;;
    --jobs) jobs=${2:?--jobs needs a number} && shift ;;
    keep | list) command=$1 ;;
    -h | --help)
      sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    -*) echo "fuzz.sh: unknown flag '$1' (try --help)" >&2 && exit 2 ;;
    *) names+=("$1") ;;
  esac
  shift
done

scripts/deps.sh fuzz
{ cmake --preset fuzz && cmake --build "$build" --target fuzzer; } >"$build.log" 2>&1 || {
  grep -A 20 -E 'FAILED:|error:' "$build.log" | head -n 60
  exit 1
}
all=$(ORCH_FUZZ_TARGET='' "$build/fuzzer" -runs=0 2>&1 | sed -n 's/^  //p' || true)
[ ${#names[@]} -gt 0 ] || mapfile -t names <<<"$all"
if [ "$command" = list ]; then
  echo "$all"
  exit 0
fi

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:detect_leaks=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
mkdir -p "$build/findings" "$build/logs"

fuzz() { # TARGET
  mkdir -p "$build/corpus/$1" "tests/fuzz/corpus/$1"
  ORCH_FUZZ_TARGET=$1 "$build/fuzzer" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -max_len=4096 \
    -artifact_prefix="$build/findings/$1-" "$build/corpus/$1" "tests/fuzz/corpus/$1" >"$build/logs/$1" 2>&1 || {
    echo "not ok fuzz: $1"
    grep -E -A 12 'ERROR:|must hold|runtime error' "$build/logs/$1" | head -n 30
    return 0
  }
  echo "ok fuzz: $1 ($(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$build/logs/$1") inputs)"
}

keep() { # TARGET
  local merged=$build/merged/$1 kept=tests/fuzz/corpus/$1 file
  rm -rf "$merged"
  mkdir -p "$merged" "$kept"
  ORCH_FUZZ_TARGET=$1 "$build/fuzzer" -merge=1 "$merged" "$kept" "$build/corpus/$1" >"$build/logs/merge-$1" 2>&1
  find "$merged" -type f -printf '%s %p\n' | sort -n | head -n 60 | while read -r _ file; do
    cp "$file" "$kept/$(sha1sum "$file" | cut -c 1-12)"
  done
  echo "$1: $(find "$kept" -type f | wc -l) inputs"
}
export -f fuzz keep
export build seconds

if [ "$command" = keep ]; then
  for name in "${names[@]}"; do keep "$name"; done
  exit 0
fi
printf '%s\n' "${names[@]}" | xargs -P "$jobs" -I{} bash -c 'fuzz {}' | tee "$build/logs/results"
failed=$(grep -c '^not ok ' "$build/logs/results" || true)
echo "$(grep -c '^ok ' "$build/logs/results" || true) passed, $failed failed"
[ "$failed" = 0 ]
