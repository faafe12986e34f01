#!/bin/bash
# Checks the sources without running them. One line "ok NAME" or "not ok NAME" per check.
#
#   scripts/lint.sh [CHECK...]     format tidy length layers names scripts; default: all
#
# clang-tidy over every file takes longer than a test run may. What it reads, in this order, until
# TIDY_SECONDS (default 360) are used up: files changed since the merge base with the main branch (on main:
# by the last commit), files whose last clean result does not hold any more, rotating with the commit.
# Clean results are remembered in build/tidy, by the content of the file, all its project headers, the
# settings and the tool. TIDY=all reads every file.
set -uo pipefail
cd "$(dirname "$0")/.."
status=0

# check NAME CMD...: runs CMD; its output is shown when it fails.
check() {
  local name=$1 out
  shift
  if out=$("$@" 2>&1); then
    echo "ok lint: $name"
    [ -z "$out" ] || sed 's/^/# /' <<<"$out"
  else
    head -n 100 <<<"$out"
    echo "not ok lint: $name"
    status=1
  fi
}

sources() { git ls-files --cached --others --exclude-standard -- 'src/*.h' 'src/*.cpp' 'tests/*.h' 'tests/*.cpp' | while read -r f; do [ ! -e "$f" ] || echo "$f"; done; }

# clang-format's output differs between major versions; the one of Debian 12 is the reference.
format() {
  ! git grep -nE '^(<{7}|>{7})( |$)' || return 1  # what a merge left
  local tool major
  tool=$(command -v clang-format-14 || command -v clang-format) || return 1
  major=$("$tool" --version | sed -n 's/.*version \([0-9]*\).*/\1/p')
  if [ "$major" != 14 ]; then
    echo "skipped: the format is that of clang-format 14, here is $major"
    return 0
  fi
  sources | xargs -r "$tool" --dry-run --Werror 2>&1 |
    sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: error:.*/\1/p' | uniq -c | sed 's/$/ is not formatted: clang-format -i/'
  return "${PIPESTATUS[1]}"
}

length() {
  local file lines bad=0
  while read -r file; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 800 ]; then
      echo "$file has $lines lines; 800 is the limit"
      bad=1
    fi
  done < <(sources | grep '^src/')
  return $bad
}

# Functions that go through NSS: the static executable cannot use them.
names() {
  ! grep -nE '\b(getaddrinfo|gethostbyname|gethostbyaddr|getnameinfo|getservbyname|getservbyport|getprotobyname|getpwnam|getpwuid|getgrnam|getgrgid|getpwent|getgrent|initgroups)(_r|2)? *\(' \
    -r src --include='*.cpp' --include='*.h'
}

scripts() {
  local file bad=0
  while read -r file; do
    bash -n "$file" || bad=1
  done < <(git ls-files --cached --others --exclude-standard -- '*.sh')
  git ls-files --cached --others --exclude-standard -- '*.py' | xargs -r python3 -c '
import sys
for name in sys.argv[1:]:
    compile(open(name).read(), name, "exec")' || bad=1
  python3 tests/conformance/table_test.py >/dev/null 2>&1 || { echo "tests/conformance/table_test.py fails"; bad=1; }
  return $bad
}

[ $# -gt 0 ] || set -- format length layers names scripts tidy
for what in "$@"; do
  case $what in
    format) check "clang-format" format ;;
    length) check "no file over 800 lines" length ;;
    layers)
      check "includes point downwards" scripts/check-layers.sh
      check "a planted upward include is rejected" scripts/check-layers.sh --self-test
      ;;
    names) check "no name look-ups through NSS" names ;;
    scripts) check "scripts parse, and the tests of those that have some pass" scripts ;;
    tidy) check "clang-tidy" python3 scripts/tidy.py ;;
    *)
      echo "lint.sh: unknown check '$what'" >&2
      exit 2
      ;;
  esac
done
exit $status
