#!/bin/bash
# Builds the tool into build/tools: build.sh [OUTPUT]
set -eu
cd "$(dirname "$0")"
. ../../scripts/kubernetes-module.sh
output=${1:-../../build/tools/schedulervectors}
mkdir -p "$(dirname "$output")"
output=$(realpath "$output")
if [ ! -e go.mod ]; then
  kubernetes_module orch/tools/schedulervectors >go.mod
  go mod tidy -e >/dev/null 2>&1 || true
fi
go build -ldflags "-s -w" -o "$output" .
