#!/bin/bash
# The verbs of kubectl that follow something: attach, logs, exec with a terminal, watches, waits.
LAB=1
. "$(dirname "$0")/lib.sh"

lab server
lab_ready

# pod NAME STDIN COMMAND: made and running.
pod() {
  k apply -f - <<YAML >/dev/null
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $1}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "docker.io/library/busybox:1.36", stdin: $2, command: [sh, -c, '$3']}]
YAML
  k wait --for=condition=Ready "pod/$1" --timeout=30s >/dev/null
}

pod echo true 'while read -r line; do echo "got $line"; done; echo "end of input"; sleep 60'
attach() {
  (
    echo first
    sleep 1
    echo second
    sleep 1
  ) | timeout 15 "$KUBECTL" attach -i echo 2>&1
}
expect "attach with stdin" "got second" attach
expect "the container has read it" "got first" k logs echo
quiet_attach() { timeout 4 "$KUBECTL" attach talker 2>/dev/null || true; }
pod talker false 'i=0; while :; do i=$((i + 1)); echo "line $i"; sleep 0.5; done'
expect "attach shows output" "line" quiet_attach

follow() { timeout 4 "$KUBECTL" logs -f --tail=1 talker; }
followed=$(follow)
check "logs -f goes on" test "$(wc -l <<<"$followed")" -ge 4
check "logs --tail" test "$(k logs talker --tail=2 | wc -l)" = 2
sleep 3
recent=$(k logs talker --since=2s | wc -l)
check "logs --since gives what is recent" test "$recent" -ge 2 -a "$recent" -le 6
stamp=$(k logs talker --tail=1 --timestamps | cut -d ' ' -f 1)
check "logs --timestamps" date -d "$stamp"
check "logs --since-time" test "$(k logs talker --since-time="$stamp" | wc -l)" -ge 1
expect "logs by label, with prefix" "[pod/talker/main] line" k logs -l app=talker --prefix --tail=1
expect "logs of a container that is none" "is not valid for pod talker" k logs talker -c none

pod ends false 'echo "run of $(date +%s%N)"; sleep 2'
restarted() { [ "$(k get pod ends -o 'jsonpath={.status.containerStatuses[0].restartCount}')" -ge 1 ]; }
eventually 20 "a container ends and starts again" restarted
expect "logs --previous" "run of" k logs ends --previous
expect "logs --previous of the first run" "previous terminated container \"main\" in pod \"talker\" not found" k logs talker --previous
waits() { [ "$(k get pod ends -o 'jsonpath={.status.containerStatuses[0].state.waiting.reason}')" = CrashLoopBackOff ]; }
eventually 20 "a container that ends again has to wait" waits
expect "get shows it" "CrashLoopBackOff" k get pod ends

# A terminal on this side: kubectl asks for one in the container and tells its size.
terminal() { script -qec "stty rows 33 cols 77; timeout 15 $KUBECTL exec -it talker -- sh -c '$1'" /dev/null </dev/null; }
expect "exec -t gives a terminal" "/dev/pts/" terminal 'tty'
expect "of the right size" "33 77" terminal 'sleep 0.5; stty size'
expect "without -t there is none" "not a tty" k exec talker -- sh -c 'tty || true'
expect "exec of what is not there" "no such file" k exec talker -- /none
typed() { printf 'echo $((6 * 7))\nexit 3\n' | timeout 15 "$KUBECTL" exec -i talker -- sh; }
expect "a shell reads stdin" "42" typed
check "exec into a pod that is none fails" bash -c "! timeout 15 $KUBECTL exec none -- true"

timeout 90 "$KUBECTL" get pods -w --no-headers -o custom-columns=N:.metadata.name >"$work/watch" 2>&1 &
watcher=$!
timeout 90 "$KUBECTL" events --watch >"$work/events" 2>&1 &
watcher_of_events=$!
eventually 30 "get -w lists" grep -q talker "$work/watch"
eventually 30 "events --watch lists" grep -q Pod/talker "$work/events"
pod seen false 'sleep 60'
eventually 15 "get -w tells of a new pod" grep -q seen "$work/watch"
eventually 15 "events --watch tells of its start" grep -q 'Started.*Pod/seen' "$work/events"
kill "$watcher" "$watcher_of_events"
wait "$watcher" "$watcher_of_events" 2>/dev/null
(
  sleep 1
  k delete pod seen --wait=false >/dev/null
) &
check "wait --for=delete" k wait --for=delete pod/seen --timeout=20s
expect "wait that is in vain" "timed out" k wait --for=delete pod/talker --timeout=1s
expect "wait --for=jsonpath" "condition met" k wait --for=jsonpath='{.status.phase}'=Running pod/talker --timeout=5s
check "delete all pods" k delete pods --all --timeout=40s
exit $failed
