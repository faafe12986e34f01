#!/bin/bash
# A machine that lacks what a node needs: without containerd the server says so and ends, with --disable-agent it
# needs none; without nftables it is a node that says that services do not work there.
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ]; then
  echo "# skipped: namespaces need root"
  exit
fi
# A machine of its own: no bridge, rule or socket of this one is touched.
if [ -z "${FAULT_INSIDE:-}" ]; then
  trap - EXIT
  FAULT_INSIDE=1 exec unshare --net --mount --pid --fork --kill-child --mount-proc --propagation slave "$0"
fi
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add eth0 type veth peer name eth1
ip address add 192.168.81.2/24 dev eth0
ip link set eth0 up
ip link set eth1 up
ip route add default via 192.168.81.1

# without COMMAND: the path of a folder with all commands but this one.
without() {
  local folder=$work/without-$1 place file
  if mkdir "$folder" 2>/dev/null; then
    for place in ${PATH//:/ }; do ln -s "$place"/* "$folder/" 2>/dev/null; done
    rm -f "$folder/$1"
  fi
  echo "$folder"
}
path=$PATH
node=(--bind-address 0.0.0.0 --node-name fault --kubelet-port $((port + 1)))
command() {
  if [ "${1:-}" = agent ]; then
    command=("$ORCH" agent --data-dir "$data" --server "https://127.0.0.1:$port" --token "$(cat "$data/server/node-token")")
    return
  fi
  command=(env PATH="$path" "$ORCH" server --data-dir "$data" --https-listen-port "$port"
    --write-kubeconfig "$KUBECONFIG" "$@")
}
gone() { ! kill -0 "$1" || [[ $(cat "/proc/$1/stat") == *") Z "* ]]; }
conditions() { api GET /api/v1/nodes/fault; }

path=$(without containerd)
refuses "without containerd it says what to install" "install the package containerd" "${node[@]}"
launch --disable-agent
if eventually 60 ready; then ok "with --disable-agent it needs none"; else not_ok "with --disable-agent it needs none" "$(tail -n 5 "$log")"; fi
down
refuses "a runtime that is not there" "/run/none.sock" "${node[@]}" --container-runtime-endpoint unix:///run/none.sock

# A runtime that takes connections and says nothing: the start waits for it, but not the one who ends the server.
python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX); s.bind("/run/silent.sock"); s.listen(); time.sleep(600)' &
silent=$!
eventually 10 [ -S /run/silent.sock ]
launch "${node[@]}" --container-runtime-endpoint unix:///run/silent.sock
eventually 30 ready
kill "$server"
if eventually 3 gone "$server"; then ok "it ends while it starts"; else not_ok "it ends while it starts" "$(tail -n 5 "$log")"; fi
kill "$silent"
wait "$silent" 2>/dev/null

python3 -m http.server --bind 127.0.0.1 $((port + 1)) >/dev/null 2>&1 &
other=$!
eventually 10 bash -c "</dev/tcp/127.0.0.1/$((port + 1))"
path=$PATH
refuses "a port of the node that is taken" "port $((port + 1)) is already in use by process $other (python3)" "${node[@]}"
kill "$other"
wait "$other" 2>/dev/null

path=$(without nft)
launch "${node[@]}"
if eventually 60 ready; then ok "without nft the server starts"; else not_ok "without nft the server starts" "$(tail -n 5 "$log")"; fi
says() { conditions | grep -q "services do not work on this node"; }
if eventually 30 says; then
  ok "and its node says that services do not work"
else
  not_ok "and its node says that services do not work" "$(conditions | grep -o '"conditions".*' | cut -c 1-1500)"
fi
refuses "an agent with the data folder of another node" "is in use by another orch: $data/agent/lock is in use by process" \
  agent
expect "the log says what to install, once" "1" grep -c "install the package nftables" "$log"
down
