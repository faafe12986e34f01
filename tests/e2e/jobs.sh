#!/bin/bash
# Jobs, CronJobs and ReplicationControllers with real containers: completions, indexes, failures and their policies,
# suspension, deadlines, time to live, schedules, and how kubectl shows them.
LAB=1
. "$(dirname "$0")/lib.sh"
node=$LAB_NAME-0

lab server
lab_ready

# pod SCRIPT MORE: a pod template (YAML flow) that runs it; MORE is put into its spec.
pod() {
  echo "{spec: {restartPolicy: Never, terminationGracePeriodSeconds: 1, containers: [{name: main, image: \"docker.io/library/busybox:1.36\", command: [sh, -c, '$1']}]${2:+, $2}}}"
}
# job NAME SPEC SCRIPT MORE
job() {
  k apply -f - <<YAML >/dev/null
{apiVersion: batch/v1, kind: Job, metadata: {name: $1}, spec: {${2:+$2, }template: $(pod "$3" "${4:-}")}}
YAML
}
field() { k get "$1" -o "jsonpath={$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
cond() { k wait --for="condition=$2" "job/$1" --timeout=2s; }
events() { k get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}'; }
event() { events "$1" | grep -qE "$2"; }
pods() { k get pods -l "batch.kubernetes.io/job-name=$1" -o "jsonpath={range .items[*]}$2{\"\\n\"}{end}"; }

# --- Completions ---
job three 'completions: 3, parallelism: 2' 'echo done'
eventually 40 "a job of three pods completes" cond three Complete
expect "all succeeded" 3 field job/three .status.succeeded
expect "its criteria were met first" "SuccessCriteriaMet Complete" field job/three '.status.conditions[*].type'
expect "reason" "CompletionsReached CompletionsReached" field job/three '.status.conditions[*].reason'
expect "nothing is left uncounted" "{}" field job/three .status.uncountedTerminatedPods
expect "no finalizer is left" "||" bash -c "echo \"|\$($(declare -f k pods); KUBECTL=$KUBECTL pods three '{.metadata.finalizers}' | tr -d '\n')||\""
for text in '^SuccessfulCreate: Created pod: three-[a-z0-9]{5}$' '^Completed: Job completed$'; do
  eventually 10 "event $text" event three "$text"
done
expect "the table" "three   Complete   3/3" k get jobs three
expect "described" "0 Active (0 Ready) / 3 Succeeded / 0 Failed" k describe job three
expect "the logs of its pods" "done" k logs -l batch.kubernetes.io/job-name=three
uid=$(field job/three .metadata.uid)
expect "selected by the uid" "{\"batch.kubernetes.io/controller-uid\":\"$uid\"}" field job/three .spec.selector.matchLabels
k delete job three >/dev/null
eventually 20 "its pods go with it" bash -c "[ -z \"\$(timeout 10 $KUBECTL get pods -l batch.kubernetes.io/job-name=three -o name)\" ]"

# --- Indexes ---
job indexed 'completions: 3, parallelism: 3, completionMode: Indexed' 'echo $JOB_COMPLETION_INDEX; [ "$(hostname)" = indexed-$JOB_COMPLETION_INDEX ]'
eventually 40 "an indexed job completes" cond indexed Complete
expect "its indexes" "0-2" field job/indexed .status.completedIndexes
expect "pods are named by index" "indexed-1-" pods indexed '{.metadata.name}'
expect "each knew its own" "2" k logs -l batch.kubernetes.io/job-completion-index=2
job some 'completions: 3, parallelism: 3, completionMode: Indexed, backoffLimitPerIndex: 0' '[ $JOB_COMPLETION_INDEX != 1 ]'
eventually 40 "a job with a failed index fails" cond some Failed
expect "the failed index" "1" field job/some .status.failedIndexes
expect "the others" "0,2" field job/some .status.completedIndexes
eventually 10 "event FailedIndexes" event some '^FailedIndexes: Job has failed indexes$'
job enough 'completions: 3, parallelism: 3, completionMode: Indexed, successPolicy: {rules: [{succeededIndexes: "0"}]}' '[ $JOB_COMPLETION_INDEX = 0 ] || sleep 3600'
eventually 40 "a success policy ends a job" cond enough Complete
expect "reason" "SuccessPolicy" field job/enough '.status.conditions[?(@.type=="Complete")].reason'

# --- Failures ---
job broken 'backoffLimit: 0' 'exit 3'
eventually 40 "a job beyond its limit fails" cond broken Failed
expect "reason" "BackoffLimitExceeded: Job has reached the specified backoff limit" field job/broken '.status.conditions[?(@.type=="Failed")].reason}: {.status.conditions[?(@.type=="Failed")].message'
expect "the table" "broken   Failed   0/1" k get jobs broken
job policy 'backoffLimit: 6, podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]}' 'exit 42'
eventually 40 "a pod failure policy fails a job at once" cond policy Failed
expect "reason" "Container main for pod default/policy-" field job/policy '.status.conditions[?(@.type=="Failed")].message'
job late 'activeDeadlineSeconds: 3' 'sleep 3600'
eventually 40 "a deadline ends a job" cond late Failed
expect "reason" "DeadlineExceeded" field job/late '.status.conditions[?(@.type=="Failed")].reason'
job again 'backoffLimit: 3' 'exit 1'
eventually 60 "a failed pod is tried again after a pause" is job/again .status.failed 2
first=$(pods again '{.status.containerStatuses[0].state.terminated.finishedAt}' | sort | head -n 1)
second=$(pods again '{.metadata.creationTimestamp}' | sort | tail -n 1)
pause=$(($(date -d "$second" +%s) - $(date -d "$first" +%s)))
expect "of ten seconds" yes bash -c "[ $pause -ge 9 ] && [ $pause -le 13 ] && echo yes || echo $pause"
k delete job again >/dev/null

# --- Pods that take their time, and Jobs that are another's ---
job patient 'podReplacementPolicy: Failed' 'trap "" TERM; while :; do sleep 1; done'
eventually 30 "a job runs" is job/patient .status.ready 1
k delete "$(pods patient '{.metadata.name}' | sed 's,^,pod/,')" --grace-period=5 --wait=false >/dev/null
eventually 5 "a pod that ends is terminating" is job/patient .status.terminating 1
expect "and not replaced yet" 1 bash -c "timeout 10 $KUBECTL get pods -l batch.kubernetes.io/job-name=patient -o name | wc -l"
eventually 20 "until it has failed" is job/patient '.status.active} {.status.failed' '1 1'
k delete job patient --wait=false >/dev/null
job foreign 'managedBy: example.com/robot' 'true'
sleep 1
expect "a job that another manages is left alone" "|" bash -c "echo \"\$(timeout 10 $KUBECTL get job foreign -o 'jsonpath={.status}')|\$(timeout 10 $KUBECTL get pods -l batch.kubernetes.io/job-name=foreign -o name)\""

# --- Suspension, time to live, resizing ---
job later 'suspend: true, parallelism: 2, completions: 2' 'sleep 3600'
eventually 10 "a suspended job says so" cond later Suspended
expect "and has no pods" "" pods later '{.metadata.name}'
expect "the table" "Suspended" k get jobs later
k patch job later -p '{"spec":{"suspend":false}}' >/dev/null
eventually 30 "resumed it runs" is job/later .status.ready 2
k patch job later -p '{"spec":{"suspend":true}}' >/dev/null
eventually 30 "suspended again its pods go" bash -c "[ -z \"\$(timeout 10 $KUBECTL get pods -l batch.kubernetes.io/job-name=later -o name)\" ]"
expect "none of them failed" "" field job/later .status.failed
for text in '^Suspended: Job suspended$' '^Resumed: Job resumed$' '^SuccessfulDelete: Deleted pod: later-'; do
  eventually 10 "event $text" event later "$text"
done
job brief 'ttlSecondsAfterFinished: 2' 'true'
eventually 40 "a job goes after its time to live" bash -c "! timeout 10 $KUBECTL get job brief"

# --- CronJobs ---
k apply -f - <<YAML >/dev/null
{apiVersion: batch/v1, kind: CronJob, metadata: {name: minutely}, spec: {schedule: "* * * * *", timeZone: Europe/Berlin, concurrencyPolicy: Forbid,
  jobTemplate: {metadata: {labels: {made: minutely}}, spec: {template: $(pod 'echo tick')}}}}
YAML
expect "the table" "minutely   * * * * *   Europe/Berlin   False     0        <none>" k get cronjobs minutely
k create job by-hand --from=cronjob/minutely >/dev/null
eventually 40 "a job made by hand from it completes" cond by-hand Complete
made() { k get jobs -l made=minutely -o 'jsonpath={range .items[?(@.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp)]}{.metadata.name}{"\n"}{end}'; }
eventually 75 "within a minute a job is made" bash -c "$(declare -f k made); KUBECTL=$KUBECTL made | grep -q minutely-"
fresh=$(made | head -n 1)
stamp=$(field "job/$fresh" '.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp')
expect "named by its minute" "minutely-$(($(date -d "$stamp" +%s) / 60))" echo "$fresh"
expect "for a whole minute of that zone" ":00+0" echo "$stamp"
eventually 40 "it completes" cond "$fresh" Complete
eventually 10 "and is done with" is cronjob/minutely .status.active ""
expect "the last time is known" "Z" field cronjob/minutely .status.lastSuccessfulTime
for text in "^SuccessfulCreate: Created job $fresh\$" "^SawCompletedJob: Saw completed job: $fresh, condition: Complete\$" \
  '^UnexpectedJob: Saw a job that the controller did not create or forgot: by-hand$'; do
  eventually 10 "event $text" event minutely "$text"
done
expect "described" "Concurrency Policy:            Forbid" k describe cronjob minutely
k delete cronjob minutely >/dev/null
eventually 20 "its jobs go with it" bash -c "[ -z \"\$(timeout 10 $KUBECTL get jobs -l made=minutely -o name)\" ]"

# --- ReplicationControllers ---
k apply -f - <<YAML >/dev/null
{apiVersion: v1, kind: ReplicationController, metadata: {name: pair}, spec: {replicas: 2, selector: {app: pair}, template: {metadata: {labels: {app: pair}},
  spec: {terminationGracePeriodSeconds: 1, containers: [{name: main, image: "docker.io/library/busybox:1.36", command: [sleep, "3600"]}]}}}}
YAML
eventually 30 "a replication controller runs its pods" is rc/pair .status.readyReplicas 2
expect "the table" "pair   2         2         2" k get rc pair
expect "described" "2 Running / 0 Waiting / 0 Succeeded / 0 Failed" k describe rc pair
expect "its generation is observed" "1 1" field rc/pair '.metadata.generation} {.status.observedGeneration'
k label pod "$(k get pods -l app=pair -o name | head -n 1 | cut -d/ -f2)" app=free --overwrite >/dev/null
eventually 20 "a pod it does not select any more is replaced" bash -c "[ \$(timeout 10 $KUBECTL get pods -l app=pair -o name | wc -l) = 2 ]"
expect "and let go" "" k get pods -l app=free -o 'jsonpath={.items[0].metadata.ownerReferences}'
k scale rc pair --replicas=0 >/dev/null
eventually 30 "it scales down" is rc/pair .status.replicas 0
k create deployment web --image=docker.io/library/orch-hello:1 >/dev/null
eventually 30 "a deployment runs" is deployment/web .status.readyReplicas 1
expect "in its first generation" "1 1" field deployment/web '.metadata.generation} {.metadata.annotations.deployment\.kubernetes\.io/revision'
exit $failed
