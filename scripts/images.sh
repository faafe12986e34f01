#!/bin/bash
# Assembles the images of examples and tests as OCI archives in build/images/, without network images:
#
#   pause.tar    registry.k8s.io/pause:3.10.1       holds a pod's namespaces (scripts/images/pause.c)
#   busybox.tar  docker.io/library/busybox:1.36     Debian's busybox-static with links for its commands
#   hello.tar    docker.io/library/orch-hello:1     the same, serving a page on port 8080
#   hello-2.tar  docker.io/library/orch-hello:2     another version of it, for updates
#
#   scripts/images.sh [--arch amd64|arm64] [--output FOLDER]
#
# For `ctr -n k8s.io images import FILE`, or the server's images folder. Equal packages give equal bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

native=$(dpkg --print-architecture)
arch=$native
output=build/images
while [ $# -gt 0 ]; do
  case $1 in
    --arch) arch=${2:?--arch needs a name} && shift ;;
    --output) output=${2:?--output needs a folder} && shift ;;
    -h | --help)
      sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    *)
      echo "images: unknown argument '$1' (try --help)" >&2
      exit 2
      ;;
  esac
  shift
done
case $arch in
  amd64) compiler=x86_64-linux-gnu-gcc ;;
  arm64) compiler=aarch64-linux-gnu-gcc ;;
  *)
    echo "images: unknown architecture '$arch': amd64, arm64" >&2
    exit 2
    ;;
esac

die() {
  printf 'images: error: %s\n' "$*" >&2
  exit 1
}
command -v python3 >/dev/null || die "python3 is missing: scripts/deps.sh build"
command -v "$compiler" >/dev/null || die "$compiler is missing: scripts/deps.sh build or cross-arm64"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output"

# The installed package if there is one, else what deps.sh unpacked for cross-builds, else a download.
unpacked=${ORCH_DOWNLOAD_DIR:-third_party/download}/$arch
if [ "$arch" = "$native" ] && dpkg-query -W busybox-static >/dev/null 2>&1; then
  unpacked=
elif [ ! -d "$unpacked" ]; then
  unpacked=$work/root
  (cd "$work" && apt-get -q download "busybox-static:$arch") >"$work/log" 2>&1 ||
    { cat "$work/log" >&2 && die "cannot download busybox-static:$arch with apt-get; scripts/deps.sh node or cross-arm64 gets it"; }
  dpkg-deb -x "$work"/busybox-static*.deb "$unpacked"
fi
busybox=$unpacked/bin/busybox
[ -e "$busybox" ] || busybox=$unpacked/usr/bin/busybox
# A program of another architecture runs where qemu-user is set up; else the list of the native one will do.
"$busybox" --list-full >"$work/applets" 2>/dev/null || qemu-aarch64-static "$busybox" --list-full >"$work/applets"
python3 scripts/images/oci.py busybox --program "$busybox" --applets "$work/applets" --output "$output" --arch "$arch"

scripts/images/pause.sh "$compiler" "$work/pause"
python3 scripts/images/oci.py pause --program "$work/pause" --output "$output/pause.tar" --arch "$arch"
ls -1 "$output"/*.tar
