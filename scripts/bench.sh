#!/bin/bash
# Measures Orch against its budgets; one JSON line per bench: figures, budget, pass.
#
#   scripts/bench.sh NAME... | all  [--peer] [--rounds N]
#
#   footprint        memory, CPU and disk writes of a server with its node, idle
#   start            from the command to a ready API: first and second start
#   create           durable config maps of 256 bytes per second, 64 connections and 1
#   get              reads per second of one of 10,000 objects, 64 connections
#   list             time to list 10,000 objects; memory per stored object
#   watch            from a create until each of 100 watchers has it
#   watches          memory, threads and CPU of 5,000 idle watches, each on a TLS connection of its own
#   schedule         3,000 pods on 1,000 simulated nodes, from create until bound
#   rollout          a Deployment of 1,000 pods on simulated nodes brought to a new revision
#   jobs             5,000 jobs of one pod on simulated nodes, from create until complete
#   busy             memory, CPU, writes and reconciles of a server whose cluster has 110 pods and 20 workloads of
#                    each kind, and nothing to do
#   apply            server-side applies per second that change nothing, 64 connections
#   customresources  10,000 custom resources with CEL rules, created per second
#   protobuf         time to list 10,000 pods in protobuf
#   noisy            what one client that asks all the time costs another one
#   definitions      memory and time to start that 500 CustomResourceDefinitions of 25 KB add
#   schedperf        Kubernetes' scheduler_perf on 5,000 nodes: 13 workloads, pods bound per second (not one of `all`: with
#                    the peer it takes an hour; --workload NAME for one, --share 5 for a fifth of the pods)
#   scale            5,000 nodes with 50,000 pods, of which one in a hundred is replaced each second: memory, processor,
#                    API delays; and 1,000 nodes to see how that grows (not one of `all`: 10 minutes)
#   podstart         from create until the API shows Running, against the container runtime alone
#   servicelatency   from a change of endpoints until nftables has it; what a cluster IP costs a request
#
# --peer: create, get, list, watch, schedule, rollout, jobs, apply, customresources, protobuf and schedperf against
# kube-apiserver, controller manager, scheduler v1.35.4 and etcd too, in turns on this machine (scripts/peer.sh builds
# them the first time: some 15 minutes).
# Needs root where a node takes part (network namespaces), and nothing else running for honest figures.
#
#   ORCH         the executable              (build/release/orch)
#   BENCH_DIR    data of what is measured    (build/bench; the disk that counts)
#   BENCH_PORT   first of 20 ports           (20200)
#   LAB_NET      network of the node's namespace, see scripts/two-nodes.sh (192.168.77)
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
  "" | -h | --help)
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
    [ -n "${1:-}" ] || exit 1
    exit 0
    ;;
esac

build=build/release
if [ -z "${BENCH_SKIP_BUILD:-}" ]; then
  log=$(mktemp)
  if ! { [ -f $build/build.ninja ] || cmake --preset release; } >"$log" 2>&1 || ! ninja -C $build orch benches >>"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "bench: error: the release build failed (scripts/deps.sh installs what it needs)" >&2
    exit 1
  fi
  rm -f "$log"
fi
case " $* " in
  *" --peer "*) scripts/peer.sh build ;;
esac
exec python3 tests/bench/bench.py "$@"
