#!/bin/bash
# An unmodified helm and a chart with a custom resource definition, hooks and a test (tests/clients/chart).
LAB=1
. "$(dirname "$0")/lib.sh"
h() { timeout 100 "$HELM" "$@"; }
chart=$root/tests/clients/chart

lab server
lab_ready

word() { k get configmap shop-words -o "jsonpath={.data.$1}"; }
sails() { k get vessel shop -o 'jsonpath={.spec.sails} {.spec.crew}'; }
said() { k logs -l "hook=$1" --tail=1; }
check "lint" h lint "$chart"
expect "install tells its notes" "The harbour shop is open." h install shop "$chart" --wait --timeout 60s
expect "list" "deployed" h list
check "the definition came before its objects" test "$(sails)" = "2 1"
expect "the template asked for the server's version" "v1.35." word cluster
expect "and for what it serves" "true" word knows
expect "and for an object" "default" word found
expect "the hook before ran" "pre-install,pre-upgrade of revision 1" said 0
expect "the hook after ran" "post-install,post-upgrade of revision 1" said 1
expect "test" "Phase:          Succeeded" h test shop --timeout 60s
expect "its log" "Hello from Orch" k logs shop-test
expect "a value against the schema is refused" "replicas" h upgrade shop "$chart" --set replicas=0
expect "a value against the definition is refused" "should be greater than or equal to 1" h upgrade shop "$chart" --set sails=0 --wait --timeout 60s
check "upgrade" h upgrade shop "$chart" --set word=two,sails=3,replicas=2 --wait --timeout 60s
check "the values are the new ones" test "$(word word) $(sails) $(k get deployment shop -o 'jsonpath={.status.readyReplicas}')" = "two 3 1 2"
revision=$(word revision)
expect "the hooks ran again" "pre-install,pre-upgrade of revision $revision" said 0
check "a hook that fails ends an upgrade" bash -c "! timeout 100 $HELM upgrade shop $chart --set failing=true,word=three --timeout 60s"
expect "the status says so" "failed" h status shop
check "the values stay" test "$(word word)" = two
atomic=--rollback-on-failure
h upgrade --help | grep -q -- "$atomic" || atomic=--atomic
check "an upgrade that does not get ready fails" bash -c "! timeout 100 $HELM upgrade shop $chart --set image=docker.io/library/none:1,word=four --timeout 6s --wait $atomic"
check "and is taken back" test "$(word word) $(sails)" = "two 3 1"
expect "history" "superseded" h history shop
check "rollback" h rollback shop 1 --wait --timeout 60s
check "the values are the old ones" test "$(word word) $(sails)" = "one 2 1"
expect "get values of an earlier revision" "word: two" h get values shop --revision "$revision"
expect "get manifest" "kind: Vessel" h get manifest shop
check "upgrade --install of another" h upgrade --install other "$chart" --namespace elsewhere --create-namespace --wait --timeout 60s
expect "list of all namespaces" "elsewhere" h list -A
check "uninstall" h uninstall shop --wait --timeout 60s
check "the hook before it is gone with its success" bash -c "! timeout 20 $KUBECTL get job shop-hook-2"
none_left() {
  local names
  # Jobs of hooks stay, as helm wants it.
  names=$(k get vessels,services,deployments,configmaps -o name && k get pods -l app=shop -o name) && [[ $names != */shop* ]]
}
eventually 30 "nothing is left of it" none_left
check "but the definition" k get crd vessels.chart.orch.test
check "and the other release's object" k get vessel other -n elsewhere
check "list is empty" test -z "$(h list -q)"
check "delete the namespace with all" k delete namespace elsewhere --timeout=40s
check "delete the definition" k delete crd vessels.chart.orch.test --timeout=20s
exit $failed
