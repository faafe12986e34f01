#!/bin/bash
# Python's `kubernetes` client as it is on PyPI (tests/clients/python), against a server with its node.
LAB=1
. "$(dirname "$0")/lib.sh"

python=$work/venv
if ! { python3 -m venv "$python" && "$python/bin/pip" install --quiet --disable-pip-version-check -r "$root/tests/clients/python/requirements.txt"; } \
  >"$work/pip.log" 2>&1; then
  not_ok "install the client"
  tail -n 8 "$work/pip.log" | sed 's/^/  # /'
  exit 1
fi
lab server
lab_ready
timeout 300 "$python/bin/python" "$root/tests/clients/python/main.py" || failed=1
exit $failed
