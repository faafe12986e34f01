"""Benches of the controllers: workloads on simulated nodes, whose kubelets bench_kubelets plays."""

import json
import re
import shutil
import subprocess
import tempfile
import time
import types

from figures import judged, ratio
from sides import DIR, Orch, Peer, TOOLS, cpu_seconds, fail, status_kb, tool, written_bytes

IMAGE = "registry.k8s.io/pause:3.10.1"


class Kubelets:
    """Simulated nodes that live within a `with`."""

    def __init__(self, side, nodes):
        self.command = [f"{TOOLS}/bench_kubelets", *side.target(), "--nodes", str(nodes)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.process.stdout.readline():
            fail("the simulated nodes could not be made")
        return self

    def __exit__(self, *_):
        report = json.loads(self.process.communicate(timeout=120)[0])
        if report["failed"]:
            fail(f"kubelets: {report['failed']} requests failed")


def pod_template(app, restart="Always"):
    return {"metadata": {"labels": {"app": app}},
            "spec": {"restartPolicy": restart, "terminationGracePeriodSeconds": 0,
                     "containers": [{"name": "c", "image": IMAGE, "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}}


def deployment(name, replicas):
    return {"metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name)}}


def job(name):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"template": pod_template("job", "Never")}}


def each_side(options, nodes, measure):
    """measure(side) of Orch, then of the peer: their controllers would be in each other's way."""
    out = {}
    for make in [Orch] + ([Peer] if options.peer else []):
        side = make()
        shutil.rmtree(side.dir, ignore_errors=True)
        side.start()
        try:
            side.ensure_namespace("bench")
            with Kubelets(side, nodes):
                out[side.name] = {**measure(side), "resident_mb": round(side.resident_kb() / 1000)}
        finally:
            side.stop()
    return out


ALONE = types.SimpleNamespace(peer=False)


def wait_rolled_out(api, path, replicas, timeout=900):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = api.call("GET", path)
        status = found.get("status", {})
        if status.get("observedGeneration", 0) >= found["metadata"]["generation"] and all(
                status.get(k) == replicas for k in ("replicas", "updatedReplicas", "availableReplicas")):
            return
        time.sleep(0.02)
    fail(f"{path} is not rolled out: {status}")


def rollout(options):
    replicas = 1000
    path = "/apis/apps/v1/namespaces/bench/deployments"

    def measure(side):
        api = side.api()
        begin = time.monotonic()
        api.call("POST", path, deployment("web", replicas))
        wait_rolled_out(api, path + "/web", replicas)
        made = time.monotonic() - begin
        found = api.call("GET", path + "/web")
        found["spec"]["template"]["metadata"]["labels"]["version"] = "2"
        begin = time.monotonic()
        found["metadata"].pop("resourceVersion")
        api.call("PUT", path + "/web", found)
        wait_rolled_out(api, path + "/web", replicas)
        return {"create_seconds": round(made, 2), "rollout_seconds": round(time.monotonic() - begin, 2)}

    figures = each_side(options, 100, measure)
    figures["ratio"] = ratio({name: f["rollout_seconds"] for name, f in figures.items()}, "less")
    return judged(figures, 5)


def jobs(options):
    count = 5000
    path = "/apis/batch/v1/namespaces/bench/jobs"

    def measure(side):
        api = side.api()
        with tempfile.NamedTemporaryFile("w", suffix=".json", dir=DIR) as body:
            json.dump(job("job-{}"), body)
            body.flush()
            begin = time.monotonic()
            made = tool("http_load", *side.target(), "--method", "POST", "--path", path, "--body", body.name, "--connections", 16, "--requests", count)
        end, done = begin + 1800, 0
        while done < count:
            if time.monotonic() > end:
                fail(f"after half an hour {done} of {count} jobs are complete")
            time.sleep(1 if done < count * 0.98 else 0.2)
            text = api.call("GET", path + "?resourceVersion=0")
            done = sum(any(c["type"] == "Complete" and c["status"] == "True" for c in j.get("status", {}).get("conditions", []))
                       for j in text["items"])
        return {"create_seconds": made["seconds"], "seconds": round(time.monotonic() - begin, 1)}

    figures = each_side(options, 100, measure)
    figures["ratio"] = ratio({name: f["seconds"] for name, f in figures.items()}, "less")
    return judged(figures, 5)


def reconciles(api):
    """How often anything was queued for a controller or the scheduler."""
    text = api.call("GET", "/metrics").decode()
    return sum(float(v) for v in re.findall(r"^workqueue_adds_total\S* (\S+)$", text, re.M))


def busy(_):
    seconds, each = 60, 20
    api_groups = {
        "deployments": ("apps", deployment), "replicasets": ("apps", deployment),
        "statefulsets": ("apps", lambda n, r: {"metadata": {"name": n}, "spec": {
            **deployment(n, r)["spec"], "serviceName": n, "podManagementPolicy": "Parallel"}}),
        "jobs": ("batch", lambda n, r: {"metadata": {"name": n}, "spec": {"template": pod_template(n, "Never")}}),
        "cronjobs": ("batch", lambda n, r: {"metadata": {"name": n}, "spec": {
            "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": pod_template(n, "Never")}}}}),
    }

    def measure(side):
        api = side.api()
        for plural, (group, make) in api_groups.items():
            for i in range(each):
                # Two replicas each for some, so that there are 110 pods: 20 + 20 + 20 + 20 ended, and 30 more.
                replicas = 2 if plural == "deployments" or (plural == "replicasets" and i < 10) else 1
                api.call("POST", f"/apis/{group}/v1/namespaces/bench/{plural}", make(f"{plural}-{i}", replicas))
        for i in range(each):
            api.call("POST", "/api/v1/namespaces/bench/services",
                     {"metadata": {"name": f"s-{i}"}, "spec": {"selector": {"app": f"deployments-{i}"}, "ports": [{"port": 80}]}})
        time.sleep(45)  # until all run, and what follows from that is written
        pid = side.process.pid
        before = cpu_seconds(pid), written_bytes(pid), reconciles(api)
        time.sleep(seconds)
        after = cpu_seconds(pid), written_bytes(pid), reconciles(api)
        pods = api.call("GET", "/api/v1/namespaces/bench/pods")["items"]
        return {"pods": len(pods), "running": sum(p["status"]["phase"] == "Running" for p in pods),
                "cpu_percent": round((after[0] - before[0]) / seconds * 100, 3), "written_bytes": after[1] - before[1],
                "reconciles": after[2] - before[2], "rss_mb": round(status_kb(pid, "VmRSS") / 1000, 1)}

    figures = each_side(ALONE, 10, measure)["orch"]
    return {"figures": figures, "budget": {"cpu_percent": 0.5, "written_bytes": 0, "reconciles": 0},
            "pass": figures["cpu_percent"] <= 0.5 and figures["written_bytes"] == 0 and figures["reconciles"] == 0}


def scaled(nodes, per_node=10, seconds=60):
    """What a server of so many nodes costs while one in a hundred of its pods is replaced each second."""
    count = nodes * per_node

    def measure(side):
        api = side.api()
        begin = time.monotonic()
        tool("schedule", *side.target(), "--nodes", 0, "--namespace", "bench", "--pods", count, "--timeout", 1800)
        bound = time.monotonic() - begin
        waiting = "/api/v1/namespaces/bench/pods?limit=1&fieldSelector=status.phase%21%3DRunning"
        while api.call("GET", waiting)["items"]:
            if time.monotonic() > begin + 1800:
                fail("not all pods run in time")
            time.sleep(0.5)
        running = time.monotonic() - begin
        time.sleep(15)
        pid = side.process.pid
        quiet = cpu_seconds(pid)
        time.sleep(20)
        quiet = (cpu_seconds(pid) - quiet) / 20 * 100
        cpu = cpu_seconds(pid)
        churn = tool("churn", *side.target(), "--namespace", "bench", "--pods", count, "--rate", count // 100, "--seconds", seconds)
        cpu = (cpu_seconds(pid) - cpu) / seconds * 100
        return {"pods": count, "bound_seconds": round(bound, 1), "running_seconds": round(running, 1),
                "cpu_percent_quiet": round(quiet, 1), "cpu_percent": round(cpu, 1),
                **{key: churn[key] for key in ("per_second", "p50_ms", "p99_ms")}}

    return each_side(ALONE, nodes, measure)["orch"]


def scale(options):
    few, many = scaled(options.nodes), scaled(options.nodes * 5)
    growth = round(many["resident_mb"] / few["resident_mb"], 2)
    figures = {f"nodes_{options.nodes}": few, f"nodes_{options.nodes * 5}": many, "memory_growth": growth}
    return {"figures": figures, "budget": {"resident_mb": 1000, "cpu_percent": 100, "p99_ms": 100, "memory_growth": 5},
            "pass": many["resident_mb"] <= 1000 and many["cpu_percent"] <= 100 and many["p99_ms"] <= 100 and growth <= 5}


BENCHES = {"rollout": rollout, "jobs": jobs, "busy": busy}
LONG = {"scale": scale}
