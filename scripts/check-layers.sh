#!/bin/bash
# Holds every #include under src/ against the layers: a folder may include itself and what its
# orch_library() line in CMakeLists.txt names, directly or through others.
#
#   scripts/check-layers.sh [ROOT]       checks the tree at ROOT (default: this one)
#   scripts/check-layers.sh --self-test  plants forbidden includes in a copy; each must be rejected
#
# Also: server and agent may not depend on each other in any way, and the headers that are slow to compile
# stay out of our headers.
set -euo pipefail
cd "$(dirname "$0")/.."

check() {
  python3 - "$1" <<'PY'
import pathlib, re, sys

root = pathlib.Path(sys.argv[1])
text = re.sub(r"#[^\n]*", "", (root / "CMakeLists.txt").read_text())
allowed = {}  # folder -> every folder it may include
errors = []
for folder, deps in re.findall(r"orch_library\(\s*(\S+)(?:\s+SMALL)?(?:\s+DEPS\s+([^)]*?))?(?:\s+TEST_DEPS[^)]*)?\s*\)", text):
    allowed[folder] = {folder}
    for dep in (deps or "").split():
        if "::" in dep:
            continue
        if dep not in allowed:
            errors.append(f"CMakeLists.txt: {folder} names {dep}, which is not declared above it")
            continue
        allowed[folder] |= allowed[dep]
for folder, reach in allowed.items():
    for a, b in (("server", "agent"), ("agent", "server")):
        if folder.split("/")[0] == a:
            errors += [f"CMakeLists.txt: {folder} reaches {r}" for r in reach if r.split("/")[0] == b]

heavy = re.compile(r"#\s*include\s*<(nlohmann/json\.hpp|grpcpp/.*|httplib\.h|CLI/.*)>")
include = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
for path in sorted((root / "src").rglob("*")):
    if path.suffix not in (".h", ".cpp"):
        continue
    name = path.relative_to(root / "src")
    folder = str(name.parent)
    content = path.read_text(errors="replace")
    if path.suffix == ".h" and str(name) != "base/json.h":
        for match in heavy.finditer(content):
            # agent/cri is the room around gRPC: its private headers may name it.
            if folder == "agent/cri" and match[1].startswith("grpcpp/") and path.name != "runtime.h":
                continue
            errors.append(f"src/{name}: <{match[1]}> belongs into .cpp files only")
    if folder == ".":
        reach = set(allowed)
    elif folder not in allowed:
        errors.append(f"src/{name}: no orch_library({folder}) in CMakeLists.txt")
        continue
    else:
        reach = allowed[folder]
    for match in include.finditer(content):
        target = str(pathlib.PurePosixPath(match[1]).parent)
        if (root / "src" / match[1]).exists() and target not in reach:
            line = content.count("\n", 0, match.start(1)) + 1
            errors.append(f'src/{name}:{line}: "{match[1]}" is not below {folder}')
print("\n".join(errors))
sys.exit(1 if errors else 0)
PY
}

# Each of these must be refused: upwards, across, and a heavy header.
self_test() {
  local copy status=0
  copy=$(mktemp -d)
  trap 'rm -rf "$copy"' RETURN
  plant() {
    rm -rf "$copy/tree"
    mkdir -p "$copy/tree"
    cp -r CMakeLists.txt src "$copy/tree/"
    mkdir -p "$(dirname "$copy/tree/src/$1")" "$(dirname "$copy/tree/src/$2")"
    touch "$copy/tree/src/$2"
    printf '#include %s\n' "$3" >>"$copy/tree/src/$1"
    if check "$copy/tree" >"$copy/out"; then
      echo "accepted: $1 including $3"
      status=1
    elif ! grep -q "src/$1" "$copy/out"; then
      echo "refused for another reason: $1 including $3: $(cat "$copy/out")"
      status=1
    fi
  }
  plant base/planted.cpp server/planted.h '"server/planted.h"'
  plant datastore/planted.h client/planted.h '"client/planted.h"'
  plant server/controllers/planted.cpp agent/kubelet/planted.h '"agent/kubelet/planted.h"'
  plant agent/kubelet/planted.cpp server/registry/planted.h '"server/registry/planted.h"'
  plant api/planted.h base/version.h '<nlohmann/json.hpp>'
  return $status
}

case ${1:-} in
  --self-test) self_test ;;
  *) check "${1:-.}" ;;
esac
