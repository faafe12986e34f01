# Sourced by the scripts beside it: a server with its node in a folder of its own, kubectl, and checks that
# print "ok NAME" or "not ok NAME". Needs ORCH, KUBECTL, IMAGES (scripts/test.sh sets them). E2E_NAME is what a
# second run of the same script, with another kubectl, is called.
set -uo pipefail
name=${E2E_NAME:-$(basename "$0" .sh)}
work=${E2E_DIR:-${ORCH_ROOT:-$PWD}/build/e2e}/$name
port=${E2E_PORT:-16443}
failed=0
root=$(cd "$(dirname "$0")/../.." && pwd)
export KUBECONFIG=$work/kubeconfig
# A script that sets LAB first has its server and nodes in namespaces of their own, where they touch nothing of
# this machine's network: see scripts/two-nodes.sh.
if [ -n "${LAB:-}" ]; then
  export LAB_NAME=${E2E_LAB_NAME:-orch-e2e} LAB_NET=${E2E_LAB_NET:-192.168.91}
  export LAB_DIR=$work/lab LAB_IMAGES=$IMAGES KUBECONFIG=$work/lab/kubeconfig.yaml
fi
lab() { timeout 100 "$root/scripts/two-nodes.sh" "$@" >>"$work/lab.log" 2>&1; }

ok() { echo "ok $name: $1"; }
not_ok() {
  echo "not ok $name: $1"
  failed=1
}
# check WHAT CMD...: the command succeeds.
check() {
  local what=$1 out
  shift
  if out=$("$@" 2>&1); then
    ok "$what"
  else
    not_ok "$what"
    echo "$out" | tail -n 8 | sed 's/^/  # /'
  fi
}
# expect WHAT TEXT CMD...: the output contains the text.
expect() {
  local what=$1 text=$2 out
  shift 2
  out=$("$@" 2>&1)
  if [[ $out == *"$text"* ]]; then
    ok "$what"
  else
    not_ok "$what"
    echo "  # wanted: $text" && echo "$out" | tail -n 8 | sed 's/^/  # /'
  fi
}
# eventually SECONDS WHAT CMD...: it succeeds before the time is over. E2E_PATIENCE multiplies that, for a machine
# that has much else to do.
eventually() {
  local until=$((SECONDS + $1 * ${E2E_PATIENCE:-1})) what=$2 out
  shift 2
  until out=$("$@" 2>&1); do
    if [ $SECONDS -ge $until ]; then
      not_ok "$what"
      echo "$out" | tail -n 8 | sed 's/^/  # /'
      return 1
    fi
    sleep 0.3
  done
  ok "$what"
}
k() { timeout 60 "$KUBECTL" "$@"; }

start_server() { # FLAGS...
  mkdir -p "$work/data/agent/images"
  cp -u "$IMAGES"/*.tar "$work/data/agent/images/" 2>/dev/null
  "$ORCH" server --data-dir "$work/data" --https-listen-port "$port" --write-kubeconfig "$KUBECONFIG" \
    --node-name e2e --kubelet-port $((port + 1)) "$@" >>"$work/orch.log" 2>&1 &
  server=$!
}
stop_server() { # [SIGNAL]
  [ -n "${server:-}" ] || return 0
  kill "-${1:-TERM}" "$server" 2>/dev/null
  wait "$server" 2>/dev/null
  server=
}
# lab_ready: server and node of `lab server`, and what pods need of them.
lab_ready() {
  eventually 30 "the server is ready" k get --raw /readyz
  eventually 60 "the node is ready" k wait --for=condition=Ready "node/$LAB_NAME-0" --timeout=2s
  eventually 20 "the account of pods is there" k get serviceaccount default
}
# go_program FOLDER: builds the Go program in that folder of the repository; sets `program`. Ends the script, as
# skipped, where there is no Go.
go_program() {
  if ! command -v go >/dev/null; then
    echo "# skipped: Go is not installed"
    exit 0
  fi
  program=$work/program
  if ! (cd "$root/$1" && CGO_ENABLED=0 go build -o "$program" .) >"$work/build.log" 2>&1; then
    not_ok "build"
    tail -n 8 "$work/build.log" | sed 's/^/  # /'
    exit 1
  fi
}
# Containers, containerd, network and data of a run, of this one or of one that was cut short.
take_away() {
  [ ! -d "$work/data" ] || ORCH_DATA_DIR=$work/data ORCH_KUBECONFIG=$KUBECONFIG sh "$root/scripts/install.sh" --uninstall-now >/dev/null
}
# Everything this script started ends with it: the server, its containers and its containerd.
clean_up() {
  trap - EXIT
  if [ -n "${LAB:-}" ]; then
    [ $failed = 0 ] || tail -qn 15 "$work"/lab/*/agent.log "$work/lab.log" | cut -c1-300 | sed 's/^/  # /'
    lab down
    return
  fi
  stop_server
  take_away
  [ $failed = 0 ] || tail -n 15 "$work/orch.log" | cut -c1-300 | sed 's/^/  # /'
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
[ -z "${LAB:-}" ] || [ ! -d "$work/lab" ] || lab down
[ -n "${LAB:-}" ] || take_away
rm -rf "$work"
mkdir -p "$work"
