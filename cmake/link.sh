#!/bin/bash
# link.sh LINKER ARGS...: links without the warnings about NSS in static executables (see Targets.cmake).
set -o pipefail
"$@" 2>&1 | { grep -vE "in statically linked applications requires at runtime|: in function \`[^']*':$" || true; }
