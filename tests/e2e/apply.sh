#!/bin/bash
# Server-side apply with an unmodified kubectl and helm, against a server without a node.
. "$(dirname "$0")/lib.sh"

start_server --disable-agent
eventually 30 "the server is ready" k get --raw /readyz
eventually 20 "the default account is there" k get serviceaccount default

cat >"$work/web.yaml" <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: nginx:1
        ports: [{containerPort: 80}, {containerPort: 443}]
YAML
sed 's/replicas: 2/replicas: 5/' "$work/web.yaml" >"$work/five.yaml"
sed '/replicas: 2/d; s/nginx:1/nginx:2/' "$work/web.yaml" >"$work/without.yaml"

owners() { k get deployment web --show-managed-fields -o 'jsonpath={range .metadata.managedFields[*]}{.manager}/{.operation} {end}'; }
version() { k get deployment web -o 'jsonpath={.metadata.resourceVersion}'; }
field() { k get deployment web -o "jsonpath={$1}"; }

expect "apply --server-side makes it" "serverside-applied" k apply --server-side -f "$work/web.yaml"
expect "kubectl owns what it applied" "kubectl/Apply" owners
eventually 20 "the controller owns the status" bash -c "[[ \$($KUBECTL get deployment web --show-managed-fields -o jsonpath='{.metadata.managedFields[*].manager}') == *kube-controller-manager* ]]"
settled() { [ -n "$(field .status.observedGeneration)" ] && [ "$(field .status.observedGeneration)" = "$(field .metadata.generation)" ]; }
eventually 20 "the controller has seen it" settled
before=$(version)
check "apply again" k apply --server-side -f "$work/web.yaml"
check "applying the same writes nothing" test "$before" = "$(version)"
check "managedFields are hidden by default" bash -c "! timeout 20 $KUBECTL get deployment web -o yaml | grep -q managedFields"

expect "diff --server-side shows the difference" "replicas: 5" k diff --server-side --force-conflicts -f "$work/five.yaml"
check "diff changes nothing" test "$(field .spec.replicas)" = 2
expect "another manager conflicts" 'conflict with "kubectl": .spec.replicas' k apply --server-side --field-manager other -f "$work/five.yaml"
check "a conflict changes nothing" test "$(field .spec.replicas)" = 2
check "--force-conflicts" k apply --server-side --field-manager other --force-conflicts -f "$work/five.yaml"
check "took the field" test "$(field .spec.replicas)" = 5
check "applying less" k apply --server-side -f "$work/without.yaml" --force-conflicts
check "what others own stays" test "$(field .spec.replicas)" = 5
check "what is said anew is there" test "$(field '.spec.template.spec.containers[0].image')" = nginx:2
check "dry run" k apply --server-side --dry-run=server --force-conflicts -f "$work/web.yaml"
check "a dry run changes nothing" test "$(field .spec.replicas)" = 5

k create configmap old --from-literal=a=1 --dry-run=client -o yaml >"$work/old.yaml"
check "apply on the client's side" k apply -f "$work/old.yaml"
sed -i 's/a: "1"/a: "2"/' "$work/old.yaml"
check "goes on as server-side apply" k apply --server-side -f "$work/old.yaml"
check "with the new value" test "$(k get configmap old -o 'jsonpath={.data.a}')" = 2
expect "as one owner" "kubectl" k get configmap old --show-managed-fields -o 'jsonpath={.metadata.managedFields[*].manager}'
check "kubectl edit's patch" k patch configmap old --type merge -p '{"data":{"b":"1"}}'
expect "who patches owns" "kubectl-patch" k get configmap old --show-managed-fields -o 'jsonpath={.metadata.managedFields[*].manager}'

if [ -n "${HELM:-}" ] && [ -x "$HELM" ]; then
  h() { timeout 60 "$HELM" "$@"; }
  mkdir -p "$work/chart/templates"
  printf 'apiVersion: v2\nname: shop\nversion: 0.1.0\n' >"$work/chart/Chart.yaml"
  printf 'word: one\n' >"$work/chart/values.yaml"
  cat >"$work/chart/templates/all.yaml" <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
data: {word: "{{ .Values.word }}"}
YAML
  check "helm install" h install shop "$work/chart"
  if h version --short 2>/dev/null | grep -q '^v4'; then
    expect "by server-side apply" "Apply" k get configmap shop --show-managed-fields -o 'jsonpath={.metadata.managedFields[*].operation}'
  fi
  check "helm upgrade" h upgrade shop "$work/chart" --set word=two
  check "helm has upgraded" test "$(k get configmap shop -o 'jsonpath={.data.word}')" = two
  check "helm uninstall" h uninstall shop
fi
exit $failed
