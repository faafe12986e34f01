#!/bin/bash
# Installs what Orch needs from Debian (12 or 13) and builds what Debian has only as source.
#
#   scripts/deps.sh [build] [test] [node] [fuzz] [cross-arm64]        default: build
#
#   build        compilers, libraries, the cpp-httplib header and a static libcurl
#   test         what scripts/test.sh uses besides: linters, clients, network tools
#   node         what a node runs: containerd, runc, CNI plugins, nftables
#   fuzz         clang with libFuzzer
#   cross-arm64  arm64 cross compiler, arm64 libraries, qemu for the tests
#
# Needs root when something is missing; a second run finds everything and is done at once.
# Downloads go to third_party/download (or $ORCH_DOWNLOAD_DIR), which git ignores.
set -euo pipefail
cd "$(dirname "$0")/.."
download=${ORCH_DOWNLOAD_DIR:-$PWD/third_party/download}

# Source packages, the same on every release, so that one version of each is compiled and tested. The
# upstream archive is pinned by checksum; Debian's (security) patches on top come through apt's signed
# index and may advance.
source_release=trixie
httplib_version=0.18.7
httplib_sha256=c88f6495da71e778c82c22995b547a92ceb41cc4016f9028df67106a24b9210d
curl_version=8.14.1
curl_sha256=6766ada7101d292b42b8b15681120acd68effa4a9660935853cf6d61f0d984d4

libraries="libgrpc++-dev libprotobuf-dev libabsl-dev libssl-dev libsqlite3-dev libyaml-dev libyaml-cpp-dev libre2-dev
           libc-ares-dev libldns-dev libnl-3-dev libnl-route-3-dev zlib1g-dev libzstd-dev"
packages_build="g++ cmake ninja-build ccache git ca-certificates dpkg-dev xz-utils python3 protobuf-compiler
                protobuf-compiler-grpc nlohmann-json3-dev libcli11-dev catch2 $libraries"
packages_test="clang-format clang-tidy python3 python3-venv curl jq sqlite3 socat openssl procps psmisc e2fsprogs mount"
packages_node="containerd runc containernetworking-plugins nftables iproute2 kmod conntrack procps
               ca-certificates busybox-static"
packages_fuzz="clang libclang-rt-dev"
packages_cross="g++-aarch64-linux-gnu qemu-user-static"
sysroot_arm64="$libraries libgrpc-dev busybox-static"

say() { printf 'deps: %s\n' "$*"; }
die() {
  printf 'deps: error: %s\n' "$*" >&2
  exit 1
}

# run_logged WHAT CMD...: runs quietly, showing the output only when it fails.
run_logged() {
  local what=$1 log
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    die "$what failed (see above). Check the network and the package sources, then run this again."
  fi
  rm -f "$log"
}

need_root() {
  [ "$(id -u)" = 0 ] || die "$1, which needs root: sudo scripts/deps.sh $sets"
}

# install_packages NAMES...: installs those that are missing.
install_packages() {
  local missing=() name installed
  installed=" $(dpkg-query -W -f '${db:Status-Abbrev}|${Package} ${Provides} \n' 2>/dev/null |
    sed -n 's/^.i *|//p' | tr -s ' ,\n' ' ')"
  for name in "$@"; do
    [[ $installed == *" $name "* ]] || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  need_root "${#missing[@]} packages are missing (${missing[*]})"
  say "installing ${#missing[@]} packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Other package sources of the machine may be unreachable; that only matters if a package is not found.
  apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 || true
  run_logged "apt-get install" apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "${missing[@]}"
}

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The Debian mirror this machine uses, for the source package index.
mirror() {
  local uri
  uri=$(sed -n -E 's/^(deb +(\[[^]]*\] *)?|URIs: *)(https?:[^ ]*\/debian)\/?( .*|$)/\3/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
  echo "${uri:-http://deb.debian.org/debian}"
}

# apt_state DIR: an apt of its own with index and settings in DIR, reading DIR/sources.list, so that the
# machine's package sources stay as they are. Sets `options` for apt-get and apt-cache.
apt_state() {
  mkdir -p "$1/lists/partial"
  options=(-q -o "Dir::Etc::sourcelist=$1/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$1/lists"
    -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300)
  # A mirror without the security suite makes this fail, and does no harm: what counts is what is found.
  apt-get "${options[@]}" "${@:2}" update >"$1/log" 2>&1 || true
}

# fetch_source NAME VERSION SHA256 DIR: Debian's source package of NAME unpacked and patched in DIR.
fetch_source() {
  local name=$1 version=$2 sha256=$3 dir=$4 state=$download/apt base options full tarball
  base=$(mirror)
  mkdir -p "$state" "$dir"
  printf "deb-src [signed-by=$keyring] %s %s main\n" "$base" "$source_release" \
    "$base-security" "$source_release-security" >"$state/sources.list"
  apt_state "$state"
  # Newest patch level first; a mirror may list one that it does not hold (yet).
  for full in $(apt-cache "${options[@]}" showsrc "$name" | sed -n "s/^Version: \($version[-+].*\)/\1/p" | sort -urV) ""; do
    if [ -z "$full" ]; then
      cat "$state/log" >&2
      die "$base has no source package $name $version in $source_release. Is the network up?"
    fi
    (cd "$dir" && apt-get "${options[@]}" --download-only source "$name=$full") >>"$state/log" 2>&1 && break
  done
  tarball=$(ls "$dir/${name}_$version.orig.tar."?z)
  [ "$(sha256sum "$tarball" | cut -d ' ' -f 1)" = "$sha256" ] || die "$tarball does not have the pinned checksum"
  (cd "$dir" && run_logged "dpkg-source $name" dpkg-source --no-check --extract "${name}_$full.dsc" tree)
  say "took $name $full"
}

get_httplib() {
  local place=$download/httplib
  [ "$(cat "$place/stamp" 2>/dev/null)" = "$httplib_version" ] && return 0
  local work
  say "fetching cpp-httplib $httplib_version"
  rm -rf "$place"
  mkdir -p "$place/include"
  work=$(mktemp -d "$download/work.XXXXXX")
  fetch_source cpp-httplib "$httplib_version" "$httplib_sha256" "$work"
  cp "$work/tree/httplib.h" "$place/include/"
  rm -rf "$work"
  echo "$httplib_version" >"$place/stamp"
}

# get_curl SUFFIX CMAKE_OPTIONS...: static libcurl: HTTP and HTTPS with OpenSSL, names through c-ares
# alone. netrc is out because it looks up the home directory in the user database, i.e. through NSS.
get_curl() {
  local place=$download/curl$1
  shift
  [ "$(cat "$place/stamp" 2>/dev/null)" = "$curl_version" ] && return 0
  local work
  say "building libcurl $curl_version${1:+ for arm64} (about a minute)"
  rm -rf "$place"
  mkdir -p "$download"
  work=$(mktemp -d "$download/work.XXXXXX")
  fetch_source curl "$curl_version" "$curl_sha256" "$work"
  run_logged "configuring libcurl" cmake -S "$work/tree" -B "$work/build" -G Ninja \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$place" -DCMAKE_INSTALL_LIBDIR=lib \
    -DCMAKE_C_FLAGS_RELEASE='-O2 -DNDEBUG -ffunction-sections -fdata-sections' \
    -DBUILD_CURL_EXE=OFF -DBUILD_SHARED_LIBS=OFF -DBUILD_STATIC_LIBS=ON -DBUILD_TESTING=OFF \
    -DBUILD_LIBCURL_DOCS=OFF -DBUILD_MISC_DOCS=OFF -DENABLE_CURL_MANUAL=OFF \
    -DHTTP_ONLY=ON -DENABLE_ARES=ON -DCURL_USE_OPENSSL=ON -DCURL_DISABLE_NETRC=ON \
    -DCURL_DISABLE_NTLM=ON -DCURL_DISABLE_KERBEROS_AUTH=ON -DCURL_DISABLE_NEGOTIATE_AUTH=ON \
    -DCURL_DISABLE_AWS=ON -DCURL_DISABLE_HSTS=ON -DCURL_DISABLE_ALTSVC=ON -DCURL_DISABLE_DOH=ON \
    -DCURL_DISABLE_COOKIES=ON -DCURL_DISABLE_WEBSOCKETS=ON -DCURL_DISABLE_GETOPTIONS=ON \
    -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF -DUSE_NGHTTP2=OFF -DUSE_LIBIDN2=OFF \
    -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DCURL_ZLIB=ON \
    -DCURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt -DCURL_CA_PATH=none "$@"
  run_logged "building libcurl" cmake --build "$work/build"
  run_logged "installing libcurl" cmake --install "$work/build"
  rm -rf "$work"
  echo "$curl_version" >"$place/stamp"
}

# get_sysroot: the arm64 libraries to link against, unpacked beside the machine's own. Installing them as a
# foreign architecture would do too, were all of them co-installable with the native ones.
get_sysroot() {
  local place=$download/arm64 release base options state=$download/apt-arm64 wanted
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # Catch2 is headers alone in Debian 12, and has a library since.
  [ "$release" = bookworm ] || sysroot_arm64+=" libcatch2-dev"
  wanted="$release $sysroot_arm64"
  [ "$(cat "$place/stamp" 2>/dev/null)" = "$wanted" ] && return 0
  say "fetching the arm64 libraries"
  base=$(mirror)
  rm -rf "$place"
  mkdir -p "$place/debs" "$state"
  printf "deb [signed-by=$keyring] %s %s main\n" "$base" "$release" "$base-security" "$release-security" \
    >"$state/sources.list"
  touch "$state/status"
  local arch=(-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o "Dir::State::status=$state/status")
  apt_state "$state" "${arch[@]}"
  # shellcheck disable=SC2086
  (cd "$place/debs" && run_logged "apt-get download" apt-get "${options[@]}" "${arch[@]}" download $sysroot_arm64)
  for deb in "$place/debs/"*.deb; do dpkg-deb -x "$deb" "$place"; done
  rm -rf "$place/debs"
  echo "$wanted" >"$place/stamp"
}

sets="${*:-build}"
for set in $sets; do
  case $set in
    build | test | node | fuzz | cross-arm64) ;;
    -h | --help)
      sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    *) die "unknown set '$set': build, test, node, fuzz, cross-arm64" ;;
  esac
done
command -v apt-get >/dev/null || die "this is not a Debian system: apt-get is missing"

wanted=""
for set in $sets; do
  case $set in
    build) wanted+=" $packages_build" ;;
    test) wanted+=" $packages_test" ;;
    node) wanted+=" $packages_node" ;;
    fuzz) wanted+=" $packages_build $packages_fuzz" ;;
    cross-arm64) wanted+=" $packages_build $packages_cross" ;;
  esac
done
# shellcheck disable=SC2086
install_packages $wanted
for set in $sets; do
  case $set in
    build | fuzz)
      get_httplib
      get_curl ""
      ;;
    cross-arm64)
      get_httplib
      get_sysroot
      get_curl -aarch64 "-DCMAKE_TOOLCHAIN_FILE=$PWD/cmake/arm64.cmake"
      ;;
  esac
done
say "ready: $sets"
