# Sourced by the scripts beside it: a folder of their own, checks that print "ok NAME" or "not ok NAME", and a
# server that is expected to start or to refuse. Needs ORCH (scripts/test.sh sets it).
set -uo pipefail
export PYTHONDONTWRITEBYTECODE=1  # nothing is left in the sources
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$0" .sh)
ORCH=$(realpath "${ORCH:-build/release/orch}")
work=${FAULT_DIR:-${ORCH_ROOT:-$PWD}/build/fault}/$name
port=${FAULT_PORT:-17443}
data=$work/data
log=$work/orch.log
failed=0
server=
# Everything here reaches the server as its administrator.
KUBECONFIG=$work/kubeconfig

ok() { echo "ok $name: $1"; }
not_ok() {
  echo "not ok $name: $1"
  shift
  printf '%s\n' "$@" | tail -n 12 | cut -c 1-300 | sed 's/^/  # /'
  failed=1
}
# check WHAT CMD...: the command succeeds.
check() {
  local what=$1 out
  shift
  if out=$("$@" 2>&1); then ok "$what"; else not_ok "$what" "$out"; fi
}
# expect WHAT TEXT CMD...: the output contains the text.
expect() {
  local what=$1 text=$2 out
  shift 2
  out=$("$@" 2>&1)
  if [[ $out == *"$text"* ]]; then ok "$what"; else not_ok "$what" "wanted: $text" "$out"; fi
}
# eventually SECONDS CMD...: it succeeds before the time is over.
eventually() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || return 1
    sleep 0.1
  done
}

# command FLAGS...: sets the array `command`. `data`, `port`, `KUBECONFIG` and the array `prefix` (a command to
# run orch by) may be set for one call.
prefix=()
command() {
  command=("${prefix[@]}" "$ORCH" server --data-dir "$data" --disable-agent --bind-address 127.0.0.1
    --https-listen-port "$port" --write-kubeconfig "$KUBECONFIG" "$@")
}
# launch FLAGS...: the server, in the background.
launch() {
  command "$@"
  "${command[@]}" >>"$log" 2>&1 &
  server=$!
}
ready() { kill -0 "$server" && api GET /readyz; }
# up WHAT: the server starts and becomes ready.
up() {
  launch
  if eventually 60 ready; then
    [ -z "$1" ] || ok "$1"
  else
    not_ok "${1:-the server starts}" "$(tail -n 5 "$log")"
    return 1
  fi
}
# down [SIGNAL]: the server ends.
down() {
  [ -n "$server" ] || return 0
  kill "-${1:-TERM}" "$server" 2>/dev/null
  wait "$server" 2>/dev/null
  server=
}
# api METHOD PATH [-]: prints the answer; fails unless its code is 2xx. With -, the body is read from stdin.
api() { timeout 30 python3 "$here/request.py" "$KUBECONFIG" "$work" "$@"; }
maps=/api/v1/namespaces/default/configmaps
# make NAME [KILOBYTES]: a config map.
make() {
  printf '{"metadata":{"name":"%s"},"data":{"v":"%s"}}' "$1" \
    "$(head -c $((${2:-0} * 750)) /dev/urandom | base64 -w0)" | api POST "$maps" -
}
has() { api GET "$maps/$1"; }

# refuses WHAT TEXT [FLAGS...]: orch says one line with the text on stderr and ends with exit code 1.
refuses() {
  local what=$1 text=$2 out status lines
  shift 2
  command "$@"
  out=$(timeout 60 "${command[@]}" 2>&1 >/dev/null)
  status=$?
  # Lines of the log may come before; the last line is the reason, and the only one of its kind.
  lines=$(grep -c '^orch: ' <<<"$out")
  if [ "$status" = 1 ] && [ "$lines" = 1 ] && [[ $(tail -n 1 <<<"$out") == "orch: "*"$text"* ]]; then
    ok "$what"
    echo "# $(tail -n 1 <<<"$out" | cut -c 1-250)"
  else
    not_ok "$what" "wanted exit code 1 and one line with: $text" "exit code $status" "$out"
  fi
}
mounts=()
# mounted FOLDER: is unmounted at the end.
mounted() { mounts+=("$1"); }
clean_up() {
  down KILL
  local i
  for ((i = ${#mounts[@]} - 1; i >= 0; --i)); do umount -l "${mounts[i]}" 2>/dev/null; done
  exit $failed
}
trap clean_up EXIT
trap 'exit 143' TERM INT
awk -v work="$work/" 'index($2, work) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
rm -rf "$work"
mkdir -p "$work"
