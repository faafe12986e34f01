#!/bin/bash
# Kubernetes' own conformance specs (e2e suite v1.35.4, unpatched) against a server and nodes of ours.
#
#   scripts/conformance.sh [run] [--focus REGEX] [--sample] [--nodes N] [--parallel N] [--time DURATION]
#                                builds what is missing, starts the nodes, runs, ends them; renews the rows of
#                                docs/conformance.md; last line "N passed, N failed"
#   scripts/conformance.sh build    the suite and the programs of its images, through their Go modules (once, minutes)
#   scripts/conformance.sh images   the images that its specs name, into build/images-conformance
#   scripts/conformance.sh up | down   starts or ends server and nodes; `run` uses those that are up, and leaves them
#   scripts/conformance.sh table REPORT...   renews the table from JUnit reports
#
#   --focus REGEX    only specs whose name matches (default: all 441)
#   --skip REGEX     and not those whose name matches this
#   --sample         only those of tests/conformance/sample.txt, which are fast and pass
#   --nodes N        nodes in all, the server's own with them (2)
#   --parallel N     specs at a time (4; serial ones run alone in any case)
#   --time DURATION  ends the run after that, as 90m (8h)
#
# Reports, one folder a run: build/conformance/runs. Settings by environment: ORCH, the executable
# (build/release/orch); LAB_NAME, LAB_NET: see scripts/two-nodes.sh; CONFORMANCE_SLOT: a command that builds run under.
# Needs root, and Go 1.25 or newer to build.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/conformance
images=$PWD/build/images-conformance
. scripts/kubernetes-module.sh
sample_apiserver=v0.29.2
specs=441
export ORCH=${ORCH:-$PWD/build/release/orch}
export LAB_NAME=${LAB_NAME:-orch-conf} LAB_NET=${LAB_NET:-192.168.92} LAB_IMAGES=$images
export LAB_DIR=${LAB_DIR:-$out/lab}

say() { printf 'conformance: %s\n' "$*" >&2; }
die() {
  printf 'conformance: error: %s\n' "$*" >&2
  exit 1
}

# logged NAME CMD...: quietly; the end of what it printed when it fails.
logged() {
  local log=$out/log/$1.log
  mkdir -p "$out/log"
  shift
  "$@" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "see $log"
  }
}

# compile OUTPUT ARGS...: `go ARGS`, unless its output is there.
compile() {
  local output=$1
  shift
  [ ! -e "$output" ] || return 0
  say "building $(basename "$output")"
  # shellcheck disable=SC2086
  logged "$(basename "$output")" env CGO_ENABLED=0 GOFLAGS=-mod=mod ${CONFORMANCE_SLOT:-} go "$1" "${@:2}"
}

go_module() { # NAME: a module of ours in the folder of that name, where Go works
  mkdir -p "$out/modules/$1"
  cd "$out/modules/$1"
}

build_kubernetes() {
  go_module kubernetes
  if ! [ -f go.mod ]; then
    kubernetes_module conformance >go.mod.new
    mv go.mod.new go.mod
  fi
  compile "$out/e2e.test" test -c -vet=off -trimpath -o "$out/e2e.test" \
    -ldflags "$(kubernetes_flags)" k8s.io/kubernetes/test/e2e
  compile "$out/ginkgo" build -trimpath -o "$out/ginkgo" -ldflags "-s -w" github.com/onsi/ginkgo/v2/ginkgo
  local program
  for program in agnhost nonewprivs; do
    compile "$out/programs/$program" build -trimpath -o "$out/programs/$program" -ldflags "-s -w" \
      "k8s.io/kubernetes/test/images/$program"
  done
  go list -mod=mod -m -f '{{.Dir}}' k8s.io/kubernetes >"$out/source"
}

build_shell() {
  mkdir -p "$out/programs"
  [ ! scripts/images/sh.c -nt "$out/programs/sh" ] ||
    logged sh "${CC:-cc}" -Os -static -s -Wall -Wextra -Werror -o "$out/programs/sh" scripts/images/sh.c
}

build_sample_apiserver() {
  go_module sample-apiserver
  [ -f go.mod ] || printf 'module conformance\n\nrequire k8s.io/sample-apiserver %s\n' "$sample_apiserver" >go.mod
  compile "$out/programs/sample-apiserver" build -trimpath -o "$out/programs/sample-apiserver" -ldflags "-s -w" \
    k8s.io/sample-apiserver
}

# The names of the conformance specs, as the suite itself lists them.
list_specs() {
  local found
  "$out/e2e.test" --list-tests 2>/dev/null |
    sed -n 's/^ *[^ ]*test\/e2e\/[^ ]*: //p' | grep -F '[Conformance]' | sort -u >"$out/specs.txt"
  found=$(wc -l <"$out/specs.txt")
  [ "$found" = "$specs" ] || die "the suite lists $found conformance specs; Kubernetes $kubernetes has $specs"
}

build() {
  command -v go >/dev/null || die "Go is needed to build Kubernetes' e2e suite: apt-get install golang, or go.dev"
  mkdir -p "$out/programs"
  (build_kubernetes)
  (build_sample_apiserver)
  build_shell
  [ -s "$out/specs.txt" ] || list_specs
}

# The packages whose programs are in the images, with all that they depend on, unpacked side by side. What only
# their installation scripts use is left out.
unpack_packages() {
  local packages="busybox-static bash bind9-dnsutils curl netcat-openbsd iproute2 iperf libc-bin nginx etcd-server"
  [ ! -e "$out/root/done" ] || return 0
  say "unpacking packages"
  rm -rf "$out/root" "$out/packages"
  mkdir -p "$out/root" "$out/packages"
  # shellcheck disable=SC2086
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    $packages | grep '^[a-z]' | grep -vE '^(lib)?perl|-perl$|debconf|^[gm]awk|^dpkg|^usr.*merge' | sort -u >"$out/packages/names"
  # shellcheck disable=SC2016
  logged download sh -c 'cd "$1" && xargs apt-get -q download <names' sh "$out/packages"
  find "$out/packages" -name '*.deb' -exec dpkg-deb -x {} "$out/root" \;
  touch "$out/root/done"
}

make_images() {
  build_shell
  [ ! -e "$images/done" ] || [ scripts/images/conformance.py -nt "$images/done" ] ||
    [ "$out/programs/sh" -nt "$images/done" ] || return 0
  build
  unpack_packages
  say "writing images"
  logged images scripts/images.sh --output "$images"
  rm -f "$images"/hello*.tar
  "$out/root/bin/busybox" --list-full >"$out/applets" 2>/dev/null || "$out/root/usr/bin/busybox" --list-full >"$out/applets"
  logged conformance-images python3 scripts/images/conformance.py --root "$out/root" --programs "$out/programs" \
    --module "$(cat "$out/source")" --applets "$out/applets" --output "$images" --arch "$(dpkg --print-architecture)"
  touch "$images/done"
}

lab() { scripts/two-nodes.sh "$@" >>"$out/log/lab.log" 2>&1 || die "scripts/two-nodes.sh $*: see $out/log/lab.log"; }

is_up() { [ -s "$LAB_DIR/kubeconfig.yaml" ]; }

up() {
  make_images
  [ -x "$kubectl" ] || logged kubectl scripts/kubectl.sh
  [ -x "$ORCH" ] || { cmake --preset release && cmake --build build/release --target orch; } >"$out/log/orch.log" 2>&1 ||
    die "building orch failed: see $out/log/orch.log"
  say "starting $nodes nodes"
  lab server
  [ "$nodes" = 1 ] || lab up $((nodes - 1))
  for _ in $(seq 120); do
    [ "$("$kubectl" --kubeconfig "$LAB_DIR/kubeconfig.yaml" get nodes 2>/dev/null | grep -c ' Ready ')" != "$nodes" ] || return 0
    sleep 1
  done
  die "not all nodes became ready: see $LAB_DIR/*/agent.log"
}

table() {
  python3 scripts/conformance_table.py --specs "$out/specs.txt" --table docs/conformance.md "$@"
}

# The names in a file as one regular expression.
names_regex() { sed -E '/^(#|$)/d; s/[][(){}.*+?^$|\\/]/\\&/g' "$1" | paste -sd '|'; }

run() {
  local started report status=0 mine=false
  [ "$(id -u)" = 0 ] || die "needs root, for the nodes' namespaces"
  is_up || { mine=true && trap 'lab down' EXIT && up; }
  started=$(date +%Y%m%d-%H%M%S)
  report=$out/runs/$started
  mkdir -p "$report"
  say "running; its log: $report/log"
  "$out/ginkgo" --procs="$parallel" --timeout="$limit" --focus="$focus" --skip="$skip" --no-color --succinct \
    "$out/e2e.test" -- --provider=skeleton --kubeconfig="$LAB_DIR/kubeconfig.yaml" --kubectl-path="$kubectl" \
    --report-dir="$report" --num-nodes="$nodes" --system-pods-startup-timeout=2m --node-schedulable-timeout=2m \
    --dump-logs-on-failure=true >"$report/log" 2>&1 || status=$?
  if $mine; then
    trap - EXIT
    lab down
  fi
  [ -s "$report/junit_01.xml" ] || {
    tail -n 30 "$report/log" >&2
    die "the suite wrote no report"
  }
  cp "$report/junit_01.xml" "$out/junit-$started.xml"
  table "$report/junit_01.xml"
  return "$status"
}

command=run
case ${1:-} in
  build | images | up | down | run | table)
    command=$1
    shift
    ;;
esac
kubectl=$PWD/build/tools/kubectl
nodes=2
parallel=4
limit=8h
focus='\[Conformance\]'
skip='^$'
while [ $# -gt 0 ] && [ "$command" != table ]; do
  case $1 in
    # Several expressions would be alternatives for the suite: both conditions in one, in either order.
    --focus) focus="(?:${2:?--focus needs an expression}).*\\[Conformance\\]|\\[Conformance\\].*(?:$2)" && shift ;;
    --skip) skip=${2:?--skip needs an expression} && shift ;;
    --sample) focus=$(names_regex tests/conformance/sample.txt) ;;
    --nodes) nodes=${2:?--nodes needs a number} && shift ;;
    --parallel) parallel=${2:?--parallel needs a number} && shift ;;
    --time) limit=${2:?--time needs a duration} && shift ;;
    -h | --help)
      sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    *) die "unknown argument '$1' (try --help)" ;;
  esac
  shift
done
mkdir -p "$out/log"
case $command in
  build) build ;;
  images) make_images ;;
  up) up ;;
  down) lab down ;;
  run) run ;;
  table) table "$@" ;;
esac
