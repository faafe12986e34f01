#!/bin/bash
# What administrators do with kubectl: diff, explain, replace, prune, tokens, access, certificates, proxy, debug.
LAB=1
. "$(dirname "$0")/lib.sh"

lab server
lab_ready
expect "version" "Server Version: v1.35." k version

cat >"$work/crd.yaml" <<'YAML'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.clients.orch.test}
spec:
  group: clients.orch.test
  scope: Namespaced
  names: {kind: Boat, plural: boats, shortNames: [bt]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Sails, type: integer, jsonPath: .spec.rig.sails}]
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        description: Boat floats.
        type: object
        properties:
          spec:
            type: object
            required: [rig]
            properties:
              rig: {type: object, description: What the wind moves., properties: {sails: {type: integer, description: How many there are.}}}
          status: {type: object, properties: {afloat: {type: boolean}}}
YAML
cat >"$work/pod.yaml" <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: tool, labels: {app: tool}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "docker.io/library/busybox:1.36", command: [sleep, "3600"]}]
YAML
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: words}\ndata: {word: one}\n' >"$work/one.yaml"
sed 's/one/two/' "$work/one.yaml" >"$work/two.yaml"
printf 'apiVersion: clients.orch.test/v1\nkind: Boat\nmetadata: {name: tub}\nspec: {rig: {sails: 2}}\n' >"$work/boat.yaml"

check "apply a pod" k apply -f "$work/pod.yaml"
check "apply a definition" k apply -f "$work/crd.yaml"
check "wait for it" k wait --for=condition=Established crd/boats.clients.orch.test --timeout=10s
eventually 10 "create a custom object" k create -f "$work/boat.yaml"
expect "its columns" "SAILS" k get bt
expect "explain a built-in kind" "minReadySeconds" k explain deployments --recursive
expect "explain to its depth" "runAsNonRoot" k explain deployments --recursive
expect "explain one field" "FIELD: replicas <integer>" k explain deployment.spec.replicas
expect "explain a custom kind" "How many there are." k explain boats.spec.rig.sails
expect "and all of it" "afloat" k explain boats --recursive
expect "explain what is none" 'field "none" does not exist' k explain pod.spec.none
expect "patch --subresource" "patched" k patch boat tub --subresource=status --type=merge -p '{"status":{"afloat":true}}'
expect "get --subresource" "true" k get boat tub --subresource=status -o 'jsonpath={.status.afloat}'

check "create" k create -f "$work/one.yaml" --save-config
expect "diff shows the difference" "+  word: two" k diff -f "$work/two.yaml"
differs() { k diff -f "$work/$1.yaml" >/dev/null; }
differs two
check "and tells it by its exit status" test $? = 1
check "no difference" differs one
expect "replace" "replaced" k replace -f "$work/two.yaml"
before=$(k get configmap words -o 'jsonpath={.metadata.uid}')
expect "replace --force" "replaced" k replace --force -f "$work/one.yaml"
check "makes it anew" test "$(k get configmap words -o 'jsonpath={.data.word}')" = one -a "$(k get configmap words -o 'jsonpath={.metadata.uid}')" != "$before"
expect "wait --for=jsonpath of a value" "condition met" k wait --for=jsonpath='{.data.word}'=one configmap/words --timeout=5s
expect "wait --for=jsonpath of any" "condition met" k wait --for=jsonpath='{.spec.rig.sails}' boat/tub --timeout=5s
(
  sleep 1
  k create configmap late >/dev/null
) &
expect "wait --for=create" "condition met" k wait --for=create configmap/late --timeout=20s
printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: pruned}\n' >"$work/secret.yaml"
expect "apply --applyset" "secret/pruned created" env KUBECTL_APPLYSET=true timeout 60 "$KUBECTL" apply --prune --applyset=secrets/all -n default -f "$work/secret.yaml"
printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: kept}\n' >"$work/secret.yaml"
expect "apply --prune" "secret/pruned pruned" env KUBECTL_APPLYSET=true timeout 60 "$KUBECTL" apply --prune --applyset=secrets/all -n default -f "$work/secret.yaml"

expect "queues of controllers are measured" 'workqueue_queue_duration_seconds_count{name="deployment"}' k get --raw /metrics
expect "api-versions" "clients.orch.test/v1" k api-versions
expect "get --raw" '"kind":"Boat"' k get --raw /apis/clients.orch.test/v1/namespaces/default/boats/tub
expect "create --raw" '"name":"raw"' bash -c "echo '{\"metadata\":{\"name\":\"raw\"}}' | timeout 20 $KUBECTL create --raw /api/v1/namespaces/default/configmaps -f -"
expect "delete --raw" '"status":"Success"' k delete --raw /api/v1/namespaces/default/configmaps/raw
expect "cluster-info" "is running at" k cluster-info
expect "describe a definition" "Boat floats." k describe crd boats.clients.orch.test
expect "describe a node" "Allocated resources" k describe node "$LAB_NAME-0"

# --- Who somebody is, and what he may ---
expect "auth whoami" "system:masters" k auth whoami
expect "auth can-i --list" "[*]" k auth can-i --list
check "create serviceaccount" k create serviceaccount robot
token=$(k create token robot --duration=20m)
claims() { cut -d . -f 2 <<<"$1" | tr '_-' '/+' | sed 's/$/==/' | base64 -d 2>/dev/null; }
check "create token lasts as long as asked" test "$(claims "$token" | jq '.exp - .iat')" = 1200
expect "create token for an audience and a pod" '"pod":{"name":"tool"' claims "$(k create token default --audience=me --bound-object-kind=Pod --bound-object-name=tool)"
# Without the administrator's certificate: only the token speaks.
k config view --raw --minify -o json | jq 'del(.users)' >"$work/robot.json"
k config --kubeconfig "$work/robot.json" set-credentials robot --token="$token" >/dev/null
k config --kubeconfig "$work/robot.json" set-context --current --user=robot >/dev/null
robot() { timeout 60 "$KUBECTL" --kubeconfig "$work/robot.json" "$@"; }
expect "auth whoami by token" "system:serviceaccount:default:robot" robot auth whoami
expect "it may not read" 'pods is forbidden: User "system:serviceaccount:default:robot" cannot list resource "pods"' robot get pods
check "create role and binding" bash -c "$KUBECTL create role reader --verb=get,list --resource=pods && $KUBECTL create rolebinding reader --role=reader --serviceaccount=default:robot"
eventually 10 "then it may" robot get pods
expect "auth can-i --list tells it" "pods" bash -c "timeout 20 $KUBECTL --kubeconfig $work/robot.json auth can-i --list | grep '\[get list\]'"
cat >"$work/reconcile.yaml" <<'YAML'
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
YAML
expect "auth reconcile adds what is missing" "reconciled" k auth reconcile -f "$work/reconcile.yaml"
check "and leaves what is there" bash -c "timeout 20 $KUBECTL auth can-i list pods --as system:serviceaccount:default:robot && timeout 20 $KUBECTL auth can-i get configmaps --as system:serviceaccount:default:robot"

# --- Certificates ---
request() { # NAME
  openssl req -new -newkey rsa:2048 -nodes -keyout "$work/$1.key" -subj "/CN=$1/O=crew" -out "$work/$1.csr" 2>/dev/null
  k create -f - <<YAML >/dev/null
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: $1}
spec: {request: $(base64 -w 0 "$work/$1.csr"), signerName: kubernetes.io/kube-apiserver-client, expirationSeconds: 3600, usages: [client auth]}
YAML
}
request sailor
expect "get csr" "Pending" k get csr sailor
expect "certificate approve" "approved" k certificate approve sailor
expect "the certificate comes" "condition met" k wait --for=jsonpath='{.status.certificate}' csr/sailor --timeout=10s
k get csr sailor -o 'jsonpath={.status.certificate}' | base64 -d >"$work/sailor.crt"
expect "get csr says so" "Approved,Issued" k get csr sailor
k config view --raw --minify -o json | jq 'del(.users)' >"$work/sailor.json"
k config --kubeconfig "$work/sailor.json" set-credentials sailor --client-certificate="$work/sailor.crt" --client-key="$work/sailor.key" >/dev/null
k config --kubeconfig "$work/sailor.json" set-context --current --user=sailor >/dev/null
expect "it is accepted" "crew" k --kubeconfig "$work/sailor.json" auth whoami
request stowaway
expect "certificate deny" "denied" k certificate deny stowaway
expect "get csr says that too" "Denied" k get csr stowaway

# --- Proxy ---
timeout 60 "$KUBECTL" proxy --port=0 >"$work/proxy" 2>&1 &
proxy=$!
eventually 10 "proxy" grep -q 'Starting to serve on' "$work/proxy"
address=$(sed -n 's/Starting to serve on //p' "$work/proxy")
through() { curl -s --noproxy '*' --max-time 10 "http://$address$1"; }
expect "answers" '"kind": "Boat"' through /apis/clients.orch.test/v1/namespaces/default/boats/tub
expect "passes watches on" '"ADDED"' through "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1"
expect "refuses what it must" "Forbidden" through "/api/v1/namespaces/default/pods/tool/attach"
kill "$proxy"
wait "$proxy" 2>/dev/null

# --- Debug ---
eventually 30 "the pod runs" k wait --for=condition=Ready pod/tool --timeout=2s
expect "debug with a container" "Defaulting debug container name" k debug tool --image=docker.io/library/busybox:1.36 --target=main --profile=general -- sh -c 'echo seen from inside; ps; sleep 300'
debugger() { k get pod tool -o 'jsonpath={.spec.ephemeralContainers[0].name}'; }
seen() { k logs tool -c "$(debugger)" | grep "$1"; }
eventually 20 "it runs" seen "seen from inside"
eventually 5 "beside the processes of the other" seen "sleep 3600"
check "the pod tells its state" test -n "$(k get pod tool -o 'jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}')"
expect "exec into it" "300" k exec tool -c "$(debugger)" -- ps
check "debug a copy" k debug tool --image=docker.io/library/busybox:1.36 --copy-to=copy --share-processes --profile=general --container=other -- sleep 100
eventually 30 "the copy runs" k wait --for=condition=Ready pod/copy --timeout=2s
expect "the processes are shared" "sleep 3600" k exec copy -c other -- ps
expect "debug a node" "Creating debugging pod node-debugger-$LAB_NAME-0" k debug "node/$LAB_NAME-0" --image=docker.io/library/busybox:1.36 --profile=general -- ls /host
on_node() { k logs "$(k get pods -o name | grep node-debugger)" | grep -x etc; }
eventually 20 "it sees the node's files" on_node
expect "run --rm -i" "once only" k run once --rm -i --restart=Never --image=docker.io/library/busybox:1.36 --command -- sh -c 'sleep 1; echo once only'
expect "events --for" "Created" k events --for pod/tool
expect "events --types" "No events found" k events --for pod/tool --types=Warning
check "delete all pods" k delete pods --all --timeout=40s
exit $failed
