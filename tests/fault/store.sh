#!/bin/bash
# What the server says and does when its data folder is not what it should be: each time one line that says
# why and exit code 1, and never wrong data.
. "$(dirname "$0")/lib.sh"
db=$data/server/db/state.db

# keep / restore: the data folder as it was when all was well.
keep() { rm -rf "$work/kept" && cp -a "$data" "$work/kept"; }
restore() { rm -rf "$data" && cp -a "$work/kept" "$data"; }
intact() { has one && has big && ! has none; }
size() { stat -c %s "$db"; }

up "a server starts"
for i in $(seq 20); do make "filler-$i" 4 >/dev/null; done
make one >/dev/null
make big 300 >/dev/null
down
keep

data=$log refuses "a data folder that is a file" "Not a directory"

# A page of the middle, of objects and index alike, in every kind of place.
pages=$(($(size) / 4096))
for page in 1 2 $((pages / 3)) $((pages / 2)) $((pages - 1)); do
  printf 'no good' | dd of="$db" bs=1 seek=$(((page - 1) * 4096 + 2000)) conv=notrunc status=none
  refuses "page $page of $pages is damaged" "damaged"
  restore
done
truncate -s -$((4096 * 3)) "$db"
refuses "the file lacks its last pages" "damaged"
restore
truncate -s $(($(size) / 2 + 100)) "$db"
refuses "the file is cut in the middle of a page" "damaged"
restore
truncate -s 0 "$db"
refuses "the file is empty" "damaged"
restore
echo "certainly no database" >"$db"
refuses "the file is something else" "damaged"
restore
python3 -c '
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("CREATE TABLE t(x)")
connection.commit()' "$work/other.db"
cp "$work/other.db" "$db"
refuses "the file is the database of another program" "is not a store of Orch"
restore
# The number of the format in the log, as another program with the file open leaves it.
python3 -c '
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA user_version = 99")
connection.commit()
os._exit(0)' "$db"
refuses "the store was written by a newer version" "newer version of Orch (format 99; this one knows up to 1)"
refuses "and it is refused again" "newer version of Orch"
restore
: >"$data/server/db/state.db-wal"
rm "$db"
head -c 5000 /dev/urandom >"$data/server/db/state.db-wal"
refuses "only the log is left" "its log is there"
restore

up "after all this, the data put back is whole" && check "with everything in it" intact

port=$((port + 1)) refuses "a data folder in use" "is in use by another orch: $data/server/lock is in use by process $server"
data=$work/other KUBECONFIG=$work/other.yaml \
  refuses "a port already taken" "port $port is already in use by process $server ($(basename "$ORCH"))"
check "the server that was there is not disturbed" intact
down
python3 -m http.server --bind 127.0.0.1 "$port" >/dev/null 2>&1 &
other=$!
eventually 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
refuses "a port taken by another program" "port $port is already in use by process $other (python3)"
kill "$other"
wait "$other" 2>/dev/null
up "it starts when the port is free again"
down

# Read-only in two ways: the file system, and the rights of an ordinary user.
mount --bind "$data" "$data" && mounted "$data" && mount -o remount,bind,ro "$data"
refuses "a read-only data folder" "cannot be used: open $data/server/lock: Read-only file system"
umount "$data"
if command -v setpriv >/dev/null; then
  chmod 755 "$data" "$work"
  prefix=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  refuses "a data folder of another user" "Permission denied"
  prefix=()
fi
up "it starts when the folder can be written to again" && check "with everything in it, still" intact
down
expect "and it ends in order" "stopping signal=15" tail -n 1 "$log"
