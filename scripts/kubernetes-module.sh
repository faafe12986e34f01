# Sourced by scripts that build Kubernetes' programs through their Go module: which version, and how.
kubernetes=v1.35.4
staging=v0.35.4
PATH=$PATH:/usr/local/go/bin

# kubernetes_module NAME: the text of a go.mod that requires Kubernetes. Its own go.mod takes its libraries from
# folders beside it, which a module does not carry: they are published under version 0 instead.
kubernetes_module() {
  local source
  source=$(cd / && go mod download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  [ -n "$source" ] || return 1
  echo "module $1"
  sed -n 's/^go /go /p' "$source"
  echo "require k8s.io/kubernetes $kubernetes"
  awk -v version="$staging" '$1 ~ /^k8s.io\// && $2 == "v0.0.0" { print "replace " $1 " => " $1 " " version }' "$source"
}

# kubernetes_flags: for the linker, so that what is built names its version.
kubernetes_flags() {
  local v=k8s.io/component-base/version
  echo "-s -w -X $v.gitVersion=$kubernetes -X $v.gitMajor=1 -X $v.gitMinor=35"
}
