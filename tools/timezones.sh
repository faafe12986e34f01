#!/bin/sh
# Writes src/base/time_zones.txt from this machine's time zone database: for machines that have none. A line is
# the rule a group of zones follows now, as POSIX has it in TZ, and their names; what was before, and rules that
# POSIX cannot say (Morocco's Ramadan), are left out.
set -eu
cd "$(dirname "$0")/.."
zones=${1:-/usr/share/zoneinfo}
(cd "$zones" && find -L . -type f ! -path './posix/*' ! -path './right/*' ! -name posixrules ! -name localtime) |
  sed 's,^\./,,' | LC_ALL=C sort | while read -r name; do
  [ "$(head -c 4 "$zones/$name")" = TZif ] || continue
  echo "$(tail -n 1 "$zones/$name") $name"
done | awk '{ names[$1] = names[$1] " " $2; if (!seen[$1]++) order[++n] = $1 }
  END { for (i = 1; i <= n; ++i) print order[i] names[order[i]] }' >src/base/time_zones.txt
