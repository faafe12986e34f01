"""What needs a node: pods, logs, exec and port-forward over WebSocket, rollouts."""
import datetime
import time

from kubernetes import client, watch
from kubernetes.stream import portforward, stream

from checks import check, eventually, want
from objects import SPACE, apps, core

BUSYBOX, HELLO = "docker.io/library/busybox:1.36", "docker.io/library/orch-hello:%d"


@check("a pod: create, watch until it runs, list, patch")
def _():
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shell", "labels": {"app": "shell"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", "echo begun; while :; do sleep 1; echo goes on; done"]},
                {"name": "web", "image": HELLO % 1}]}}
    core.create_namespaced_pod(SPACE, body)
    phases, watcher = [], watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, SPACE, label_selector="app=shell", timeout_seconds=40):
        phases.append(event["object"].status.phase)
        if all(c.ready for c in event["object"].status.container_statuses or [None] if c) and phases[-1] == "Running":
            watcher.stop()
    want((phases[0], phases[-1]), ("Pending", "Running"))
    want([p.metadata.name for p in core.list_pod_for_all_namespaces(field_selector=f"metadata.namespace={SPACE}").items], ["shell"])
    want(core.patch_namespaced_pod("shell", SPACE, {"metadata": {"annotations": {"a": "b"}}}).metadata.annotations["a"], "b")


@check("logs, and logs that are followed")
def _():
    want("begun" in core.read_namespaced_pod_log("shell", SPACE, container="main"), True)
    lines, watcher = [], watch.Watch()
    for line in watcher.stream(core.read_namespaced_pod_log, name="shell", namespace=SPACE, container="main", follow=True):
        lines.append(line)
        if len(lines) == 3:
            watcher.stop()
    want(lines, ["begun", "goes on", "goes on"])


def execute(command, **more):
    return stream(core.connect_get_namespaced_pod_exec, "shell", SPACE, container="main", command=command, **({"stderr": True, "stdin": False, "stdout": True, "tty": False} | more))


@check("exec of one command")
def _():
    said = execute(["sh", "-c", "echo to stdout; echo to stderr >&2"])
    want(sorted(said.split()), ["stderr", "stdout", "to", "to"])  # in which order they come is open


@check("exec of a shell that is typed to")
def _():
    shell = execute(["sh"], stdin=True, _preload_content=False)
    for command in ("echo one", "echo two >&2", "exit 3"):
        shell.write_stdin(command + "\n")
    shell.run_forever(timeout=10)
    want((shell.read_stdout(), shell.read_stderr(), shell.returncode), ("one\n", "two\n", 3))
    shell.close()


@check("exec with a terminal")
def _():
    shell = execute(["sh"], stdin=True, tty=True, _preload_content=False)
    shell.write_channel(4, '{"Width": 77, "Height": 33}')
    # What is typed is echoed, so the command must not have the words of the answer.
    shell.write_stdin("tty; until stty size | grep '3[3] 7[7]'; do sleep 0.1; done; exit\n")
    out = ""
    until = time.monotonic() + 15
    while shell.is_open() and time.monotonic() < until:
        out += shell.read_stdout(timeout=1) or ""
    want(("/dev/pts/" in out, "33 77" in out, out), (True, True, out))


@check("exec of binary data through stdin and stdout")
def _():
    data = bytes(range(256)) * 400
    cat = execute(["head", "-c", str(len(data))], stdin=True, binary=True, _preload_content=False)
    for i in range(0, len(data), 10240):
        cat.write_stdin(data[i:i + 10240])
    out = b""
    until = time.monotonic() + 10
    while len(out) < len(data) and time.monotonic() < until:
        cat.update(timeout=1)
        if cat.peek_stdout():
            out += cat.read_stdout()
    cat.close()
    want(out == data, True)


@check("exec of what is not there")
def _():
    missing = execute(["/none"], _preload_content=False)
    missing.run_forever(timeout=10)
    error = missing.read_channel(3)
    want("no such file or directory" in error and '"status":"Failure"' in error, True)


@check("port-forward over WebSocket")
def _():
    forward = portforward(core.connect_get_namespaced_pod_portforward, "shell", SPACE, ports="8080")
    socket = forward.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET / HTTP/1.0\r\nHost: pod\r\n\r\n")
    answer = b""
    while part := socket.recv(4096):
        answer += part
    want((b"Hello from Orch" in answer, forward.error(8080)), (True, None))


@check("delete a pod, and see it go")
def _():
    now = core.list_namespaced_pod(SPACE).metadata.resource_version
    core.delete_namespaced_pod("shell", SPACE, grace_period_seconds=1)
    types, watcher = [], watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, SPACE, resource_version=now, timeout_seconds=30):
        types.append(event["type"])
        if event["type"] == "DELETED":
            watcher.stop()
    want(types[-1], "DELETED")


def rolled_out(image):
    def done():
        now = apps.read_namespaced_deployment("web", SPACE)
        status, wanted = now.status, now.spec.replicas
        return (status.observed_generation == now.metadata.generation and status.updated_replicas == wanted
                and status.available_replicas == wanted and status.replicas == wanted)

    eventually(60, done)
    running = [p for p in core.list_namespaced_pod(SPACE, label_selector="app=web").items if not p.metadata.deletion_timestamp]
    want({p.spec.containers[0].image for p in running}, {image})
    return {p.metadata.name for p in running}


@check("a deployment: create, update, restart, delete")
def _():
    container = client.V1Container(name="web", image=HELLO % 1, ports=[client.V1ContainerPort(container_port=8080)],
                                   readiness_probe=client.V1Probe(period_seconds=1, http_get=client.V1HTTPGetAction(path="/", port=8080)))
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels={"app": "web"}),
                                        spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=1))
    deployment = client.V1Deployment(api_version="apps/v1", kind="Deployment", metadata=client.V1ObjectMeta(name="web"),
                                     spec=client.V1DeploymentSpec(replicas=2, selector={"matchLabels": {"app": "web"}}, template=template))
    apps.create_namespaced_deployment(body=deployment, namespace=SPACE)
    rolled_out(HELLO % 1)
    deployment.spec.template.spec.containers[0].image = HELLO % 2
    apps.patch_namespaced_deployment(name="web", namespace=SPACE, body=deployment)
    updated = rolled_out(HELLO % 2)
    stamp = datetime.datetime.now(datetime.timezone.utc).isoformat()
    apps.patch_namespaced_deployment("web", SPACE, {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": stamp}}}}})
    want(rolled_out(HELLO % 2) & updated, set())
    apps.delete_namespaced_deployment(name="web", namespace=SPACE, body=client.V1DeleteOptions(propagation_policy="Foreground", grace_period_seconds=5))
    eventually(40, lambda: not core.list_namespaced_pod(SPACE).items)


@check("a job to its end")
def _():
    container = {"name": "sum", "image": BUSYBOX, "command": ["sh", "-c", "echo $((6 * 7))"]}
    batch = client.BatchV1Api()
    batch.create_namespaced_job(SPACE, {"metadata": {"name": "sum"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}})
    eventually(30, lambda: batch.read_namespaced_job_status("sum", SPACE).status.succeeded == 1)
    pod = core.list_namespaced_pod(SPACE, label_selector="job-name=sum").items[0]
    want(core.read_namespaced_pod_log(pod.metadata.name, SPACE), "42\n")


@check("the namespace goes with all in it")
def _():
    core.delete_namespace(SPACE)
    eventually(40, lambda: SPACE not in [n.metadata.name for n in core.list_namespace().items])
