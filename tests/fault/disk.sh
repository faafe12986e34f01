#!/bin/bash
# A disk that is full, and one that fails: writes are refused with a clear Status, everything that was acknowledged
# can be read, what lives in memory goes on, and all is well again when there is space.
. "$(dirname "$0")/lib.sh"
leases=/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases
image=$work/disk.img

# fresh_disk MEGABYTES: an empty ext4 as the data folder.
fresh_disk() {
  down KILL
  umount "$data" 2>/dev/null
  rm -f "$image"
  mkdir -p "$data"
  truncate -s "${1}M" "$image" && mkfs.ext4 -q -m 0 "$image" && mount -o loop "$image" "$data" && mounted "$data"
}
if [ "$(id -u)" != 0 ]; then
  echo "# skipped: mounting a disk needs root"
  exit
fi
if ! fresh_disk 40; then
  not_ok "a disk of its own"
  exit 1
fi
# fill [KEEP_KILOBYTES]: the rest of the disk.
fill() {
  local free
  free=$(df --output=avail -k "$data" | tail -n 1)
  fallocate -l "$((free - ${1:-0}))K" "$data/filler" 2>/dev/null
  [ "${1:-0}" != 0 ] || dd if=/dev/zero of="$data/filler.rest" bs=4k status=none 2>/dev/null || true
}
free_space() { rm -f "$data"/filler*; }
# lease NAME: one heartbeat as a node makes it.
lease() {
  api PATCH "$leases/$1" - <<<"{\"spec\":{\"holderIdentity\":\"$RANDOM\"}}"
}
new_lease() { api POST "$leases" - <<<"{\"metadata\":{\"name\":\"$1\"}}"; }

fill
refuses "a first start on a full disk" "No space left on device"
free_space
up "the first start succeeds when there is space" || exit

new_lease node >/dev/null
make kept >/dev/null
fill 3000
made=()
for i in $(seq 100); do
  if ! answer=$(make "big-$i" 200); then break; fi
  made+=("big-$i")
done
if [ ${#made[@]} -gt 0 ] && [ ${#made[@]} -lt 100 ]; then ok "a full disk refuses writes"; else not_ok "a full disk refuses writes" "${#made[@]} written"; fi
if [[ $answer == *'"status":"Failure"'*"no space left on the disk of the store"*'"code":500'* ]]; then
  ok "with a Status that says why"
else
  not_ok "with a Status that says why" "$answer"
fi
all_there() {
  local name there
  there=$(api GET "$maps" | grep -o '"name":"[^"]*"') || return 1
  for name in kept "${made[@]}"; do grep -q "\"$name\"" <<<"$there" || { echo "$name is lost" && return 1; }; done
  [ "$(grep -c '"big-' <<<"$there")" = ${#made[@]} ] || { echo "there is more than was acknowledged" && return 1; }
}
check "everything acknowledged is there, and nothing else" all_there
expect "health says so" "[-]datastore failed" api GET "/readyz?verbose"
expect "it lives: a restart would not help" "ok" api GET /livez
check "heartbeats go on: they need no disk" lease node
expect "one line of the log says so" "1" grep -c "writes fail" "$log"

down
launch
if eventually 30 has kept; then ok "it starts on the full disk, for reading"; else not_ok "it starts on the full disk, for reading" "$(tail -n 5 "$log")"; fi
check "with everything acknowledged" all_there
if answer=$(make more 200); then not_ok "and refuses writes" "$answer"; else expect "and refuses writes" "no space left" echo "$answer"; fi
down KILL
launch
if eventually 30 has kept; then ok "also after a crash"; else not_ok "also after a crash" "$(tail -n 5 "$log")"; fi
check "with everything acknowledged, still" all_there

free_space
if eventually 30 make more 200; then ok "space comes back: writes succeed without a restart"; else not_ok "space comes back: writes succeed without a restart" "$(make more 200)"; fi
expect "health says so again" "[+]datastore ok" api GET "/readyz?verbose"

check "nothing is lost and nothing half done" all_there
down
up "and it starts as ever" && check "with everything" all_there

# A disk that fails: the kernel makes the file system read-only, as it does with a worn card.
device=$(findmnt -n -o SOURCE "$data")
trigger=/sys/fs/ext4/${device#/dev/}/trigger_fs_error
if [ -w "$trigger" ] && mount -o remount,errors=remount-ro "$data"; then
  before=$(api GET "$maps" | wc -c)
  new_lease node >/dev/null
  echo failure >"$trigger"
  if answer=$(make after-failure); then
    not_ok "a failing disk refuses writes" "$answer"
  else
    expect "a failing disk refuses writes" '"status":"Failure"' echo "$answer"
    echo "# $(grep -o '"message":"[^"]*"' <<<"$answer")"
  fi
  expect "and is read as before" "$before" bash -c "$(declare -f api); here='$here' KUBECONFIG='$KUBECONFIG' work='$work'; api GET '$maps' | wc -c"
  check "heartbeats go on" lease node
  down
  refuses "a start on it says why" "Read-only file system"
  umount "$data" && { e2fsck -fy "$image" >/dev/null 2>&1; mount -o loop "$image" "$data"; }
  up "a repaired disk is taken up again" && check "with everything acknowledged before" all_there
else
  echo "# the kernel offers no way to make a file system fail: not tested"
fi
down
