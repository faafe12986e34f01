#!/bin/bash
# The control plane Orch is measured against: kube-apiserver, kube-controller-manager and kube-scheduler
# v1.35.4 over etcd 3.4, on this machine.
#
#   scripts/peer.sh build [NAME...]  builds the three (or only these) through their Go module, unpacks etcd
#                                    (once, ~15 minutes)
#   scripts/peer.sh up DIR [PART]    starts etcd and kube-apiserver (PART: api), with them the scheduler (scheduler),
#                                    or everything (all, the default), with its data, certificates and logs in DIR;
#                                    fresh if DIR is empty
#   scripts/peer.sh down DIR         stops what runs there
#
# The certificate and key of an admin are DIR/admin.crt and DIR/admin.key, process ids DIR/*.pid.
# PEER_PORT: the API server's port (20210); the three after it are etcd's two and the controllers'.
# PEER_API_FLAGS: more flags of kube-apiserver. PEER_SLOT: a command that the build runs under. Needs Go 1.25 or newer for `build`, openssl for `up`.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/build/peer
. scripts/kubernetes-module.sh
port=${PEER_PORT:-20210}

say() { printf 'peer: %s\n' "$*" >&2; }
die() {
  printf 'peer: error: %s\n' "$*" >&2
  exit 1
}

build() {
  local work=$bin/work name
  mkdir -p "$work"
  if ! [ -x "$bin/etcd" ]; then
    say "unpacking Debian's etcd"
    (cd "$work" && apt-get -q download etcd-server >/dev/null 2>&1 && dpkg -x etcd-server_*.deb etcd)
    cp "$work/etcd/usr/bin/etcd" "$bin/etcd"
  fi
  command -v go >/dev/null || die "Go is needed to build Kubernetes: apt-get install golang, or go.dev"
  cd "$work"
  if ! [ -f go.mod ]; then
    kubernetes_module peer >go.mod.new
    mv go.mod.new go.mod
    say "fetching the modules"
    GOFLAGS=-mod=mod go mod download k8s.io/kubernetes >"$bin/download.log" 2>&1
    for name in "${programs[@]}"; do
      GOFLAGS=-mod=mod go list -deps "k8s.io/kubernetes/cmd/$name" >>"$bin/download.log" 2>&1 ||
        die "the modules could not be had, see $bin/download.log"
    done
  fi
  for name in "${programs[@]}"; do
    [ -x "$bin/$name" ] && continue
    say "building $name"
    # shellcheck disable=SC2086
    CGO_ENABLED=0 GOFLAGS=-mod=mod ${PEER_SLOT:-} go build -trimpath -o "$bin/$name" \
      -ldflags "$(kubernetes_flags)" \
      "k8s.io/kubernetes/cmd/$name" 2>"$bin/$name.log" || {
      tail -n 20 "$bin/$name.log" >&2
      die "$name did not build"
    }
  done
}

# started NAME PROGRAM FLAGS...: in the background, its process id and log in the folder.
started() {
  local name=$1
  shift
  # In the caller's session, as the other side is: the kernel shares the processor out by sessions.
  nohup "$@" >>"$dir/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
  disown
}

# certificate NAME SUBJECT: signed by the one authority of this cluster.
certificate() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/$1.key" -out "$dir/$1.csr" \
    -subj "$2" 2>/dev/null
  printf 'subjectAltName=DNS:localhost,DNS:kubernetes,IP:127.0.0.1,IP:10.96.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' |
    openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
      -extfile /dev/stdin -out "$dir/$1.crt" 2>/dev/null
}

kubeconfig() {
  cat >"$dir/$1.kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$port", certificate-authority: $dir/ca.crt}}]
users: [{name: u, user: {client-certificate: $dir/$1.crt, client-key: $dir/$1.key}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
EOF
}

make_certificates() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/ca.key" -out "$dir/ca.crt" \
    -subj /CN=peer -days 30 2>/dev/null
  certificate server /CN=kube-apiserver
  certificate admin /O=system:masters/CN=admin
  certificate controllers /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  openssl genrsa -out "$dir/accounts.key" 2048 2>/dev/null
  openssl rsa -in "$dir/accounts.key" -pubout -out "$dir/accounts.pub" 2>/dev/null
  kubeconfig controllers
  kubeconfig scheduler
}

ready() { # ready URL
  for _ in $(seq 600); do
    curl -fsk --max-time 2 "$1" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  die "$1 does not answer: see the logs in $dir"
}

up() {
  local last=kube-scheduler
  [ "${part:-all}" != api ] || last=kube-apiserver
  [ -x "$bin/$last" ] || die "not built yet: scripts/peer.sh build"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  [ -f "$dir/scheduler.kubeconfig" ] || make_certificates
  local clients=http://127.0.0.1:$((port + 1)) peers=http://127.0.0.1:$((port + 2))
  started etcd "$bin/etcd" --data-dir "$dir/etcd" --listen-client-urls "$clients" --advertise-client-urls "$clients" \
    --listen-peer-urls "$peers" --initial-advertise-peer-urls "$peers" --initial-cluster "default=$peers"
  # shellcheck disable=SC2086
  started apiserver "$bin/kube-apiserver" --etcd-servers "$clients" --secure-port "$port" \
    --bind-address 127.0.0.1 --cert-dir "$dir/certs" --tls-cert-file "$dir/server.crt" \
    --tls-private-key-file "$dir/server.key" --client-ca-file "$dir/ca.crt" --authorization-mode Node,RBAC \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$dir/accounts.pub" \
    --service-account-signing-key-file "$dir/accounts.key" --service-cluster-ip-range 10.96.0.0/16 \
    --enable-admission-plugins NodeRestriction ${PEER_API_FLAGS:-}
  ready "https://127.0.0.1:$port/readyz"
  [ "${part:-all}" = api ] && return 0
  # The limits that clients put on themselves are off: the machine is to be measured, not a setting.
  local fast="--kube-api-qps=10000 --kube-api-burst=20000"
  local same="--bind-address 127.0.0.1 --cert-dir $dir/certs --leader-elect=true --kubeconfig $dir/NAME.kubeconfig
    --authentication-kubeconfig $dir/NAME.kubeconfig --authorization-kubeconfig $dir/NAME.kubeconfig"
  # shellcheck disable=SC2086
  [ "${part:-all}" = scheduler ] || started controllers "$bin/kube-controller-manager" ${same//NAME/controllers} $fast \
    --secure-port "$((port + 3))" --service-account-private-key-file "$dir/accounts.key" --root-ca-file "$dir/ca.crt" \
    --use-service-account-credentials=true
  # shellcheck disable=SC2086
  started scheduler "$bin/kube-scheduler" ${same//NAME/scheduler} $fast --secure-port "$((port + 4))"
  [ "${part:-all}" = scheduler ] || ready "https://127.0.0.1:$((port + 3))/healthz"
  ready "https://127.0.0.1:$((port + 4))/healthz"
}

down() {
  local name pid
  for name in scheduler controllers apiserver etcd; do
    pid=$(cat "$dir/$name.pid" 2>/dev/null) || continue
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "$bin/"; then
      kill "$pid"
      for _ in $(seq 150); do
        [ -d "/proc/$pid" ] || break
        sleep 0.1
      done
      [ ! -d "/proc/$pid" ] || kill -KILL "$pid"
    fi
    rm -f "$dir/$name.pid"
  done
}

dir=${2:-}
part=${3:-}
case ${1:-} in
  build)
    shift
    programs=("$@")
    [ $# -gt 0 ] || programs=(kube-apiserver kube-controller-manager kube-scheduler)
    build
    ;;
  up | down)
    [ -n "$dir" ] || die "$1 DIR"
    "$1"
    ;;
  *)
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
    [ -z "${1:-}" ] || [ "$1" = -h ] || [ "$1" = --help ] || exit 1
    ;;
esac
