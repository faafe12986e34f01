#!/bin/bash
# docs/releases.md with real pods: a canary beside a stable version, and two colours that change over.
LAB=1
. "$(dirname "$0")/lib.sh"
examples=$root/examples

lab server
lab_ready
k run asker --image=docker.io/library/busybox:1.36 --restart=Never --overrides='{"spec":{"terminationGracePeriodSeconds":0}}' -- sleep 3600 >/dev/null
eventually 30 "a pod that asks" k wait --for=condition=Ready pod/asker --timeout=2s
# pages SERVICE: the different answers to forty requests, each over a connection of its own.
pages() { k exec asker -- sh -c "for i in \$(seq 40); do timeout 5 wget -q -O - http://$1/ || echo failed; done" | sort -u | xargs; }
answers() { [ "$(pages "$1")" = "$2" ]; }

# --- Canary ---
k apply -f "$examples/canary/stable.yaml" >/dev/null
check "the stable version comes up" k rollout status deployment/shop-stable --timeout=60s
eventually 20 "everybody gets its page" answers shop "the stable page"
k apply -f "$examples/canary/canary.yaml" >/dev/null
check "the canary comes up" k rollout status deployment/shop-canary --timeout=60s
eventually 20 "some get its page" answers shop "the canary page the stable page"
expect "one pod of four" "canary stable stable stable" bash -c "timeout 20 $KUBECTL get pods -l app=shop -o 'jsonpath={range .items[*]}{.metadata.labels.track}{\"\n\"}{end}' | sort | xargs"
k scale deployment/shop-canary --replicas=0 >/dev/null
eventually 30 "scaled away, nobody does" answers shop "the stable page"
k set image deployment/shop-stable web=docker.io/library/orch-hello:2 >/dev/null
check "the new version goes to all" k rollout status deployment/shop-stable --timeout=90s
check "and the canary away" k delete -f "$examples/canary/canary.yaml" --timeout=30s

# --- Blue and green ---
k apply -f "$examples/blue-green/" >/dev/null
check "blue comes up" k rollout status deployment/store-blue --timeout=60s
check "green comes up" k rollout status deployment/store-green --timeout=60s
eventually 20 "all get blue" answers store "the blue page"
k set selector service/store app=store,color=green >/dev/null
eventually 10 "one write, and all get green" answers store "the green page"
k set selector service/store app=store,color=blue >/dev/null
eventually 10 "another, and all are back" answers store "the blue page"
exit $failed
