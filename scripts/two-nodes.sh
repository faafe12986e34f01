#!/bin/bash
# More nodes on one machine, each in network and mount namespaces of its own, with its own containerd.
#
#   scripts/two-nodes.sh up [COUNT]    makes COUNT nodes (default 1) besides the server's own and joins them
#   scripts/two-nodes.sh server [FLAGS]  runs the server itself as node 0, so that nothing touches this machine's
#                                      network; prints where its kubeconfig is
#   scripts/two-nodes.sh stop NUMBER [SIGNAL]  ends orch there; containers go on. `up` or `server` starts it again
#   scripts/two-nodes.sh crash NUMBER  cuts the node's power: everything ends at once, its disk stays
#   scripts/two-nodes.sh down [NUMBER] ends one node, or all of them with their containers and data
#   scripts/two-nodes.sh exec NUMBER CMD...   runs CMD where that node lives
#   scripts/two-nodes.sh status
#
# Any other server must know the address that the nodes reach it at:
#
#   orch server --node-ip 192.168.77.1 --tls-san 192.168.77.1    after: scripts/two-nodes.sh net
#
# `net` makes only the bridge with that address, for a server that is yet to be started. `up` makes it too and
# may be run again at any time: what is there stays. Settings by environment:
#
#   ORCH           the executable                        (build/release/orch)
#   ORCH_SERVER    URL of the server                     (https://<LAB_NET>.1:6443)
#   ORCH_TOKEN     token to join with                    (the server's node-token file)
#   ORCH_DATA_DIR  the server's data folder, for that    (/var/lib/orch)
#   LAB_NAME       prefix of interfaces and nodes        (orch-lab)
#   LAB_NET        first three bytes of the network      (192.168.77)
#   LAB_DIR        where the nodes keep their data       (/var/lib/LAB_NAME)
#   LAB_IMAGES     folder of OCI archives for each node  (build/images, see scripts/images.sh)
#   LAB_FLAGS      more flags for `orch agent`
set -euo pipefail
cd "$(dirname "$0")/.."

orch=${ORCH:-$PWD/build/release/orch}
name=${LAB_NAME:-orch-lab}
net=${LAB_NET:-192.168.77}
dir=${LAB_DIR:-/var/lib/$name}
flags=${LAB_FLAGS:-}

say() { printf 'two-nodes: %s\n' "$*"; }
die() {
  printf 'two-nodes: error: %s\n' "$*" >&2
  exit 1
}
[ "$(id -u)" = 0 ] || die "needs root: sudo $0 $*"
[ ${#name} -le 15 ] || die "LAB_NAME may have 15 letters: an interface is named after it"

# alive FILE WORD: the process of a pid file, if it is still the one we started.
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q -- "$2" && echo "$pid"
}
# The address a node has, and the server that it joins: node 0 if there is one.
address() { echo "$net.$((10 + $1))"; }
server_url() {
  if holder 0 >/dev/null; then echo "https://$(address 0):6443"; else echo "https://$net.1:6443"; fi
}
server_data() {
  if holder 0 >/dev/null; then echo "$dir/0/data"; else echo "${ORCH_DATA_DIR:-/var/lib/orch}"; fi
}
holder() { alive "$dir/$1/holder.pid" "two-nodes-$name-$1"; }
agent() { alive "$dir/$1/agent.pid" "--data-dir $dir/$1/data"; }
numbers() { ls "$dir" 2>/dev/null | grep -E '^[0-9]+$' || true; }

# enter NUMBER CMD...: in the node's namespaces. Cgroups stay as they are, unlike with `ip netns exec`.
enter() {
  local number=$1 pid
  pid=$(holder "$number") || die "there is no node $number: scripts/two-nodes.sh up"
  shift
  nsenter --target "$pid" --net --mount --uts --wd="$PWD" -- "$@"
}

# in_net ARGS...: `ip` where the bridge is.
in_net() { ip -n "$name" "$@"; }

# The bridge is in a network namespace of its own, this machine one of its ports: bridged packets pass the rules of the
# namespace they are bridged in, and what this machine does with a pod's address is not for the nodes' traffic.
make_net() {
  ip netns list | grep -q -w "$name" || ip netns add "$name"
  in_net link show bridge >/dev/null 2>&1 || in_net link add bridge type bridge
  in_net link set dev bridge up
  if ! in_net link show host >/dev/null 2>&1; then
    ip link add "$name" type veth peer name host netns "$name"
    in_net link set dev host master bridge up
  fi
  ip address replace "$net.1/24" dev "$name"
  ip link set dev "$name" up
  sysctl -q -w net.ipv4.ip_forward=1
  # The nodes reach the world with this machine's address.
  nft -f - <<EOF
add table ip $name
delete table ip $name
table ip $name {
  chain postrouting {
    type nat hook postrouting priority 110
    ip saddr $net.0/24 ip daddr != $net.0/24 masquerade
  }
}
EOF
}

# make_node NUMBER: its namespaces, held open by a sleeping process, with a link to the bridge.
make_node() {
  local number=$1 place=$dir/$1 pid
  holder "$number" >/dev/null && return 0
  mkdir -p "$place"/{run,log,data}
  # Everything of a node that is not under its data folder: /run (sockets, pid files) and the logs of pods.
  setsid unshare --net --mount --uts --propagation slave -- bash -c '
    set -e
    place=$1
    echo $$ >"$place/holder.pid"
    hostname "$2"
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /var/log/pods /var/log/containers "$place/log/pods" "$place/log/containers"
    mount --bind "$place/log/pods" /var/log/pods
    mount --bind "$place/log/containers" /var/log/containers
    ip link set lo up
    touch "$place/ready"
    exec -a "two-nodes-$3" sleep infinity
  ' bash "$place" "$name-$number" "$name-$number" >"$place/holder.log" 2>&1 </dev/null &
  for _ in $(seq 50); do
    pid=$(holder "$number") && break
    sleep 0.1
  done
  [ -n "${pid:-}" ] || die "no namespaces for node $number: $(cat "$place/holder.log")"
  in_net link del "node$number" 2>/dev/null || true
  in_net link add "node$number" type veth peer name eth0 netns "$pid"
  in_net link set dev "node$number" master bridge up
  nsenter --target "$pid" --net -- sh -c "
    ip address add $(address "$number")/24 dev eth0
    ip link set eth0 up
    ip route add default via $net.1"
}

# launch NUMBER COMMAND FLAGS...: orch in the node's namespaces, in the background.
launch() {
  local number=$1 place=$dir/$1 command=$2
  shift 2
  [ -x "$orch" ] || die "$orch is missing: set ORCH to the executable"
  mkdir -p "$place/data/agent/images"
  find "${LAB_IMAGES:-build/images}" -name '*.tar' -exec cp -u {} "$place/data/agent/images/" \; 2>/dev/null || true
  # shellcheck disable=SC2016
  enter "$number" setsid bash -c 'echo $$ >"$1"; shift; exec "$@"' bash "$place/agent.pid" \
    "$orch" "$command" --data-dir "$place/data" --node-name "$name-$number" --node-ip "$(address "$number")" "$@" \
    >>"$place/agent.log" 2>&1 </dev/null &
  disown
  # On a busy machine it takes a while until it is there; then it may still end at once.
  for _ in $(seq 100); do
    agent "$number" >/dev/null && break
    sleep 0.1
  done
  sleep 0.9
  agent "$number" >/dev/null || die "orch of node $number ended: $(tail -n 3 "$place/agent.log")"
  say "node $name-$number at $(address "$number"), log in $place/agent.log"
}

join() {
  local number=$1 token
  agent "$number" >/dev/null && return 0
  token=${ORCH_TOKEN:-$(cat "$(server_data)/server/node-token" 2>/dev/null || true)}
  [ -n "$token" ] || die "no token: set ORCH_TOKEN to the content of the server's <data-dir>/server/node-token"
  # By environment, so that the token does not show in the list of processes.
  # shellcheck disable=SC2086
  ORCH_TOKEN=$token launch "$number" agent --server "${ORCH_SERVER:-$(server_url)}" $flags
}

run_server() {
  local config=$dir/0/kubeconfig.yaml
  make_node 0
  if ! agent 0 >/dev/null; then
    launch 0 server --tls-san "$(address 0)" --advertise-address "$(address 0)" --write-kubeconfig "$config" "$@"
  fi
  for _ in $(seq 300); do
    [ -s "$config" ] && break
    agent 0 >/dev/null || die "the server ended: $(tail -n 3 "$dir/0/agent.log")"
    sleep 0.1
  done
  sed "s#https://127.0.0.1:#https://$(address 0):#" "$config" >"$dir/kubeconfig.yaml"
  chmod 0600 "$dir/kubeconfig.yaml"
  say "kubectl --kubeconfig $dir/kubeconfig.yaml get nodes"
}

# processes NUMBER: all that live in the node's network namespace (agent, containerd, shims), not its pods.
processes() {
  local pid wanted p
  pid=$(holder "$1") || return 0
  wanted=$(readlink "/proc/$pid/ns/net")
  for p in /proc/[0-9]*; do
    [ "$(readlink "$p/ns/net" 2>/dev/null)" = "$wanted" ] && [ "${p#/proc/}" != "$pid" ] && echo "${p#/proc/}"
  done
  return 0
}

# pods NUMBER: the processes in containers of the node: children of its shims.
pods() {
  local shim
  for shim in $(processes "$1"); do
    case $(cat "/proc/$shim/comm" 2>/dev/null) in containerd-shim*) pgrep -P "$shim" || true ;; esac
  done
}

end() { # end SIGNAL PIDS...
  local signal=$1
  shift
  [ $# -eq 0 ] || kill "-$signal" "$@" 2>/dev/null || true
}

stop() {
  local number=$1 pid
  pid=$(agent "$number") || return 0
  kill "-${2:-TERM}" "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    agent "$number" >/dev/null || break
    sleep 0.1
  done
  agent "$number" >/dev/null && die "orch of node $number does not end"
  say "orch on $name-$number is stopped"
}

# unmount PLACE: what containerd mounted is seen only in the namespace, unless the host shares its mounts.
unmount() {
  { grep -o " $1/[^ ]*" /proc/self/mounts || true; } | sort -r | while read -r mounted; do umount -l "$mounted" || true; done
}

crash() {
  local number=$1 pid
  # What starts others first, so that nothing is started again.
  pid=$(agent "$number") && kill -KILL "$pid"
  # shellcheck disable=SC2046
  end KILL $(pods "$number") $(processes "$number")
  # /run, mounts and interfaces go with the namespaces.
  pid=$(holder "$number") && kill -KILL "$pid" 2>/dev/null
  in_net link del "node$number" 2>/dev/null || true
  unmount "$dir/$number"
  say "$name-$number has lost its power"
}

down() {
  local number=$1 place=$dir/$1 pid
  pid=$(agent "$number") && kill "$pid" 2>/dev/null
  for _ in $(seq 50); do
    agent "$number" >/dev/null || break
    sleep 0.1
  done
  # shellcheck disable=SC2046
  end KILL $(pods "$number")
  sleep 0.3
  # shellcheck disable=SC2046
  end TERM $(processes "$number")
  sleep 0.5
  # shellcheck disable=SC2046
  end KILL $(processes "$number")
  # Mounts go with the namespace.
  pid=$(holder "$number") && kill "$pid" 2>/dev/null
  in_net link del "node$number" 2>/dev/null || true
  sleep 0.2
  unmount "$place"
  rm -rf --one-file-system "$place"
  say "node $name-$number is gone"
}

case ${1:-} in
  net)
    make_net
    say "the bridge $name has $net.1"
    ;;
  up)
    make_net
    for number in $(seq "${2:-1}"); do
      make_node "$number"
      join "$number"
    done
    ;;
  server)
    make_net
    run_server "${@:2}"
    ;;
  stop)
    [ $# -ge 2 ] || die "stop NUMBER [SIGNAL]"
    stop "${@:2}"
    ;;
  crash)
    [ $# = 2 ] || die "crash NUMBER"
    crash "$2"
    ;;
  down)
    for number in ${2:-$(numbers)}; do down "$number"; done
    if [ -z "${2:-}" ]; then
      ip link del "$name" 2>/dev/null || true
      ip netns del "$name" 2>/dev/null || true
      nft delete table ip "$name" 2>/dev/null || true
      rm -f "$dir/kubeconfig.yaml"
      rmdir "$dir" 2>/dev/null || true
    fi
    ;;
  exec)
    [ $# -ge 3 ] || die "exec NUMBER CMD..."
    enter "${@:2}"
    ;;
  status)
    for number in $(numbers); do
      state=stopped
      holder "$number" >/dev/null && state="ready, no agent"
      agent "$number" >/dev/null && state=running
      say "$name-$number $(address "$number"): $state"
    done
    ;;
  *)
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
    [ -z "${1:-}" ] || [ "$1" = -h ] || [ "$1" = --help ] || exit 1
    ;;
esac
