#!/bin/sh
# Installs Orch as a service. For edge devices without a compiler; any POSIX shell, systemd or OpenRC or neither.
#
#   curl -sfL URL/install.sh | INSTALL_ORCH_URL=URL/orch sh -                            a server with its node
#   curl -sfL URL/install.sh | INSTALL_ORCH_URL=URL/orch ORCH_URL=https://HOST:6443 ORCH_TOKEN=T sh -   a node
#   sh install.sh server --disable-agent                                                   arguments for orch
#
# Environment:
#   ORCH_*                     kept for the service in /etc/orch/NAME.env. ORCH_URL makes it a node of that
#                              server, which ORCH_TOKEN or ORCH_TOKEN_FILE gives access to.
#   INSTALL_ORCH_URL           where the executable is fetched from: http(s), file, or a local path
#                              ({arch} in it becomes amd64 or arm64)
#   INSTALL_ORCH_SHA256        its checksum; refused if it differs
#   INSTALL_ORCH_EXEC          command and flags for the service, e.g. "server --disable-agent"
#   INSTALL_ORCH_NAME          name of the service (default: orch, or orch-agent for a node)
#   INSTALL_ORCH_BIN_DIR       where the executable goes (default: /usr/local/bin)
#   INSTALL_ORCH_SYSTEMD_DIR   where the unit goes (default: /etc/systemd/system)
#   INSTALL_ORCH_SKIP_DOWNLOAD  set to true: the executable is there already
#   INSTALL_ORCH_SKIP_PACKAGES  ... containerd, runc, CNI plugins and nftables are there, or not wanted
#   INSTALL_ORCH_SKIP_ENABLE    ... do not start it at boot
#   INSTALL_ORCH_SKIP_START     ... do not start it now
#
# Running it again updates what changed. orch-uninstall.sh, installed beside, takes everything away again.
set -eu

say() { printf 'install: %s\n' "$*"; }
die() {
  printf 'install: error: %s\n' "$*" >&2
  exit 1
}
# quote TEXT: so that a shell reads it back as one word.
quote() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

settings() {
  [ "$(id -u)" = 0 ] || die "root is needed: run this with sudo"
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) die "no executable for $(uname -m): amd64 and arm64 are supported" ;;
  esac
  bin_dir=${INSTALL_ORCH_BIN_DIR:-/usr/local/bin}
  systemd_dir=${INSTALL_ORCH_SYSTEMD_DIR:-/etc/systemd/system}
  config_dir=/etc/orch
  command=${INSTALL_ORCH_EXEC:-}
  for word in "$@"; do command="$command $(quote "$word")"; done
  command=${command# }
  case $command in
    '' | -* | "'-"*)
      # Flags alone: the command follows from whether there is a server to join.
      if [ -n "${ORCH_URL:-}" ]; then command="agent $command"; else command="server $command"; fi
      ;;
  esac
  command=${command% }
  case $command in
    agent* | "'agent'"*)
      role=agent
      [ -n "${ORCH_URL:-}" ] || case $command in *--server*) ;; *) die "a node needs its server: set ORCH_URL=https://HOST:6443" ;; esac
      [ -n "${ORCH_TOKEN:-}${ORCH_TOKEN_FILE:-}" ] || case $command in *--token*) ;; *) die "a node needs a token: set ORCH_TOKEN (on the server: cat /var/lib/orch/server/node-token)" ;; esac
      ;;
    *) role=server ;;
  esac
  if [ "$role" = agent ]; then name=${INSTALL_ORCH_NAME:-orch-agent}; else name=${INSTALL_ORCH_NAME:-orch}; fi
  case $name in *[!a-z0-9-]*) die "INSTALL_ORCH_NAME may have lower-case letters, digits and dashes: '$name'" ;; esac
  if [ -d /run/systemd/system ]; then
    init=systemd
  elif command -v openrc-run >/dev/null 2>&1 || [ -x /sbin/openrc-run ]; then
    init=openrc
  else
    init=none
  fi
}

fetch() { # URL FILE
  if command -v curl >/dev/null 2>&1; then
    curl -sfL --retry 3 -o "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -O "$2" "$1"
  else
    die "neither curl nor wget is here to fetch $1"
  fi
}

install_binary() {
  if [ "${INSTALL_ORCH_SKIP_DOWNLOAD:-}" = true ]; then
    [ -x "$bin_dir/orch" ] || die "INSTALL_ORCH_SKIP_DOWNLOAD is set, and $bin_dir/orch is not there"
    return
  fi
  [ -n "${INSTALL_ORCH_URL:-}" ] || die "set INSTALL_ORCH_URL to the executable (a URL or a local path)"
  source=$(printf '%s' "$INSTALL_ORCH_URL" | sed "s/{arch}/$arch/g")
  mkdir -p "$bin_dir"
  new=$bin_dir/.orch.new
  say "getting $source"
  case $source in
    http://* | https://*) fetch "$source" "$new" || die "cannot fetch $source: is the address right, and the network up?" ;;
    *) cp "${source#file://}" "$new" || die "cannot read ${source#file://}" ;;
  esac
  if [ -n "${INSTALL_ORCH_SHA256:-}" ] && [ "$(sha256sum "$new" | cut -d ' ' -f 1)" != "$INSTALL_ORCH_SHA256" ]; then
    rm -f "$new"
    die "$source does not have the checksum $INSTALL_ORCH_SHA256"
  fi
  chmod 0755 "$new"
  version=$("$new" version 2>/dev/null) || {
    rm -f "$new"
    die "what $source gave does not run on this machine ($arch)"
  }
  # A rename, so that a running server keeps its file until it is restarted.
  mv -f "$new" "$bin_dir/orch"
  say "installed $version as $bin_dir/orch"
}

install_packages() {
  [ "${INSTALL_ORCH_SKIP_PACKAGES:-}" != true ] || return 0
  case $command in *--disable-agent*) return 0 ;; esac
  missing=""
  for program in containerd runc nft; do
    command -v "$program" >/dev/null 2>&1 || [ -x "/usr/sbin/$program" ] || missing="$missing $program"
  done
  [ -d /usr/lib/cni ] || [ -d /opt/cni/bin ] || [ -d /usr/libexec/cni ] || missing="$missing cni"
  [ -n "$missing" ] || return 0
  say "installing what a node runs:$missing"
  if command -v apt-get >/dev/null 2>&1; then
    apt-get -q update >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
      containerd runc containernetworking-plugins nftables iproute2 conntrack kmod >/dev/null ||
      die "apt-get could not install containerd, runc, containernetworking-plugins and nftables"
    # Orch starts a containerd of its own; the distribution's would only take memory.
    if [ "$init" = systemd ]; then systemctl disable --now containerd >/dev/null 2>&1 || true; fi
  elif command -v apk >/dev/null 2>&1; then
    apk add --quiet containerd containerd-ctr runc cni-plugins nftables iproute2 conntrack-tools ||
      die "apk could not install containerd, runc, cni-plugins and nftables"
  else
    die "install containerd, runc, the CNI plugins and nftables first (or set INSTALL_ORCH_SKIP_PACKAGES=true)"
  fi
}

# The service's environment: every ORCH_ variable, readable by root alone, as a token may be among them.
write_environment() {
  mkdir -p "$config_dir"
  env_file=$config_dir/$name.env
  (
    umask 077
    for variable in $(env | sed -n 's/^\(ORCH_[A-Z0-9_]*\)=.*/\1/p' | sort) HTTP_PROXY HTTPS_PROXY NO_PROXY; do
      eval "value=\${$variable:-}"
      [ -z "$value" ] || printf '%s=%s\n' "$variable" "$(quote "$value")"
    done >"$env_file.new"
  )
  mv -f "$env_file.new" "$env_file"
}

write_systemd() {
  say "writing $systemd_dir/$name.service"
  mkdir -p "$systemd_dir"
  cat >"$systemd_dir/$name.service" <<EOF
[Unit]
Description=Orch: Kubernetes in one executable ($role)
Wants=network-online.target
After=network-online.target

[Service]
EnvironmentFile=-$config_dir/$name.env
ExecStartPre=-/sbin/modprobe -a br_netfilter overlay vxlan
ExecStart=$bin_dir/orch $(printf '%s' "$command" | sed 's/%/%%/g; s/\$/$$/g')
# Containers outlive Orch: only its own process is stopped, and its cgroup is left to it.
KillMode=process
Delegate=yes
Restart=always
RestartSec=5s
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
EOF
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
  [ "${INSTALL_ORCH_SKIP_ENABLE:-}" = true ] || systemctl enable --quiet "$name"
  [ "${INSTALL_ORCH_SKIP_START:-}" = true ] || {
    say "starting $name"
    systemctl restart "$name" || die "$name does not start; journalctl -u $name says why"
  }
}

write_openrc() {
  say "writing /etc/init.d/$name"
  cat >"/etc/init.d/$name" <<EOF
#!/sbin/openrc-run
description="Orch: Kubernetes in one executable ($role)"
supervisor=supervise-daemon
respawn_delay=5
respawn_max=0
command="$bin_dir/orch"
command_args="$command"
output_log=/var/log/$name.log
error_log=/var/log/$name.log
rc_ulimit="-n 1048576"
depend() {
  need net
  after firewall
}
start_pre() {
  modprobe -a br_netfilter overlay vxlan 2>/dev/null || true
  set -o allexport
  . $config_dir/$name.env
  set +o allexport
}
EOF
  chmod 0755 "/etc/init.d/$name"
  [ "${INSTALL_ORCH_SKIP_ENABLE:-}" = true ] || rc-update add "$name" default >/dev/null
  [ "${INSTALL_ORCH_SKIP_START:-}" = true ] || {
    say "starting $name"
    rc-service "$name" restart || die "$name does not start; /var/log/$name.log says why"
  }
}

write_uninstall() {
  cat >"$bin_dir/$name-uninstall.sh" <<EOF
#!/bin/sh
# Takes Orch ($name) away from this machine: service, containers, network, data. --keep-data leaves the
# data folder and $config_dir.
set -u
[ "\$(id -u)" = 0 ] || { echo "root is needed: run this with sudo" >&2; exit 1; }
keep=\${1:-}
data=\${ORCH_DATA_DIR:-${ORCH_DATA_DIR:-/var/lib/orch}}
config=$config_dir
if [ -d /run/systemd/system ]; then
  systemctl disable --now --quiet $name 2>/dev/null
  rm -f $systemd_dir/$name.service
  systemctl daemon-reload
elif [ -x /etc/init.d/$name ]; then
  rc-service $name stop 2>/dev/null
  rc-update del $name default 2>/dev/null
  rm -f /etc/init.d/$name
fi
EOF
  cat >>"$bin_dir/$name-uninstall.sh" <<'EOF'

# Orch's containerd, and each pod's shim with all that it started. They are known by the run folder that
# belongs to the data folder; another Orch's are left alone.
run=$(sed -n 's|^state = "\(/run/orch-[0-9a-f]*\)/containerd"$|\1|p' "$data"/agent/*.toml 2>/dev/null | head -n 1)
run=${run:-/run/orch-none}
# The network namespaces of its pods: they stay, with their interfaces, when only processes end.
spaces=$(find "$run" -name config.json -exec grep -oh '"/[a-z/]*netns/cni-[0-9a-f-]*"' {} + 2>/dev/null | tr -d '"' | sort -u)
descendants() {
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do descendants "$child"; done
  echo "$1"
}
for directory in /proc/[0-9]*; do
  pid=${directory#/proc/}
  { line=$(tr '\0' ' ' <"$directory/cmdline"); } 2>/dev/null || continue
  program=${line%% *}
  case ${program##*/} in
    containerd | containerd-shim*) ;;
    *) continue ;;
  esac
  case $line in
    *" $run/"* | *" $data/"*) for each in $(descendants "$pid"); do kill -9 "$each" 2>/dev/null; done ;;
  esac
done

unmount() {
  awk -v under="$1" 'index($2, under) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r place; do
    umount -l "$place" 2>/dev/null
  done
}
unmount "$run"
unmount "$data"
for space in $spaces; do
  umount -l "$space" 2>/dev/null
  rm -f "$space"
done

# Interfaces and tables that Orch made; others may have names that begin alike.
for link in orch0 orch.vxlan; do ip link delete "$link" 2>/dev/null; done
if command -v nft >/dev/null 2>&1; then
  for family in ip ip6; do nft delete table "$family" orch-proxy 2>/dev/null; done
fi
rm -rf "$run"
if [ "$keep" != --keep-data ]; then
  rm -rf "$data" "$config"
fi
EOF
  cat >>"$bin_dir/$name-uninstall.sh" <<EOF
rm -f $bin_dir/orch $bin_dir/$name-uninstall.sh
echo "$name is gone."
EOF
  chmod 0755 "$bin_dir/$name-uninstall.sh"
}

main() {
  case ${1:-} in
    -h | --help)
      sed -n '2,/^set -eu/{/^set -eu/d;s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    --uninstall-now)
      # For quickstart.sh, which installs no service.
      bin_dir=$(mktemp -d) name=orch-quickstart systemd_dir=$bin_dir
      config_dir=${ORCH_KUBECONFIG:-/etc/orch/orch.yaml}
      [ "$config_dir" != /etc/orch/orch.yaml ] || config_dir=/etc/orch
      write_uninstall
      sh "$bin_dir/$name-uninstall.sh"
      rm -rf "$bin_dir"
      exit 0
      ;;
  esac
  settings "$@"
  install_binary
  install_packages
  write_environment
  write_uninstall
  case $init in
    systemd) write_systemd ;;
    openrc) write_openrc ;;
    none)
      say "no systemd and no OpenRC here: start it yourself with"
      say "  set -a; . $config_dir/$name.env; set +a; exec $bin_dir/orch $command"
      ;;
  esac
  say "done. To take it away again: $bin_dir/$name-uninstall.sh"
}

# The whole script is read before it runs: a download that breaks off half-way does nothing.
main "$@"
