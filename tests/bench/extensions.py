"""Benches of what goes beyond plain objects: server-side apply, custom resources, protobuf, many definitions."""

import itertools
import json
import shutil
import subprocess
import tempfile
import time

from figures import alternate, judged, median, rates, ratio
from sides import DIR, Orch, Running, TOOLS, fail, run, tool, wait_ready
from workloads import deployment, pod_template

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def send(side, method, path, content, *more):
    """`content` sent to `path` by http_load; a {} in either is a number."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=DIR) as body:
        json.dump(content, body)
        body.flush()
        return tool("http_load", *side.target(), "--method", method, "--path", path, "--body", body.name, *more)


def apply(options):
    """An apply that changes nothing, of one of 64 Deployments."""
    path = "/apis/apps/v1/namespaces/bench/deployments/web-{}?fieldManager=bench&force=true"
    content = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("web-{}", 0)}
    content["spec"]["selector"]["matchLabels"] = content["spec"]["template"]["metadata"]["labels"] = {"app": "web"}
    container = content["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": f"VARIABLE_{i}", "value": f"value {i}"} for i in range(10)]
    container["ports"] = [{"containerPort": 8080, "name": "http"}, {"containerPort": 9090, "name": "metrics"}]
    container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5}

    def measure(side, _):
        return send(side, "PATCH", path, content, "--content-type", "application/apply-patch+yaml", "--count", 64,
                    "--connections", 64, "--seconds", options.seconds)

    with Running(options) as sides:
        for side in sides:
            side.ensure_namespace("bench")
            measure(side, 0)
            time.sleep(2)
        return judged(rates(alternate(sides, options.rounds, measure)), 3)


def definition(plural, schema, group="bench.orch.io"):
    kind = plural[:-1].capitalize()
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "singular": plural[:-1], "kind": kind,
                                                                   "listKind": kind + "List"},
                     "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                                   "schema": {"openAPIV3Schema": schema}}]}}


def wait_established(api, names, timeout=120):
    end = time.monotonic() + timeout
    for name in names:
        while True:
            conditions = api.call("GET", f"{DEFINITIONS}/{name}").get("status", {}).get("conditions") or []
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                break
            if time.monotonic() > end:
                fail(f"{name} is not established in time")
            time.sleep(0.05)


def ruled_schema():
    """Rules over numbers, text, lists and maps, and one over what was there before."""
    return {"type": "object", "properties": {"spec": {
        "type": "object",
        "properties": {
            "minReplicas": {"type": "integer"}, "maxReplicas": {"type": "integer"}, "replicas": {"type": "integer"},
            "class": {"type": "string", "maxLength": 63},
            "hosts": {"type": "array", "maxItems": 16, "items": {"type": "string", "maxLength": 253}},
            "limits": {"type": "object", "maxProperties": 16, "additionalProperties": {"type": "integer"}},
        },
        "x-kubernetes-validations": [
            {"rule": "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas", "message": "out of range"},
            {"rule": "self.hosts.all(h, h.endsWith('.example.com'))", "message": "only hosts of example.com"},
            {"rule": "self.limits.all(k, self.limits[k] > 0)", "messageExpression": "'limits of ' + self.class"},
            {"rule": "self.class.matches('^[a-z]+$')", "message": "lower case letters only"},
            {"rule": "self.class == oldSelf.class", "message": "class is immutable"},
        ]}}}


def customresources(options):
    count = 10000
    resource = {"apiVersion": "bench.orch.io/v1", "kind": "Widget", "spec": {
        "minReplicas": 1, "maxReplicas": 9, "replicas": 3, "class": "fast", "hosts": [f"h{i}.example.com" for i in range(4)],
        "limits": {"cpu": 4, "memory": 8, "pods": 10}}}

    def measure(side, number):
        content = {**resource, "metadata": {"name": f"w{number}-{{}}"}}
        return send(side, "POST", "/apis/bench.orch.io/v1/namespaces/bench/widgets", content, "--connections", 64,
                    "--requests", count)

    with Running(options) as sides:
        for side in sides:
            side.ensure_namespace("bench")
            api = side.api()
            api.call("POST", DEFINITIONS, definition("widgets", ruled_schema()))
            wait_established(api, ["widgets.bench.orch.io"])
            time.sleep(5)  # the peer serves a resource some time after it said so
            bad = {**resource, "metadata": {"name": "bad"}, "spec": {**resource["spec"], "replicas": 10}}
            api.call("POST", "/apis/bench.orch.io/v1/namespaces/bench/widgets", bad, (422,))
        return judged(rates(alternate(sides, options.rounds, measure)), 3)


def protobuf(options):
    """A list of 10,000 pods, which nobody schedules."""
    content = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod-{}", "labels": {"app": "web"}},
               "spec": {**pod_template("web")["spec"], "schedulerName": "nobody"}}
    with Running(options) as sides:
        for side in sides:
            side.ensure_namespace("bench")
            send(side, "POST", "/api/v1/namespaces/bench/pods", content, "--connections", 16, "--requests", 10000)
        runs = alternate(sides, options.rounds, lambda side, n: tool(
            "http_load", *side.target(), "--path", "/api/v1/namespaces/bench/pods", "--accept",
            "application/vnd.kubernetes.protobuf", "--connections", 1, "--requests", 10))
    figures = {"list_ms": {name: round(median(r["p50_ms"] for r in all), 1) for name, all in runs.items()}}
    figures["ratio"] = ratio(figures["list_ms"], "less")
    return judged(figures, 2)


def large_schema():
    """Some 25 KB of described fields four deep, as providers of cloud resources bring them."""
    def level(depth):
        text = "What the provider is told of this member, in a sentence as long as they mostly are."
        members = {f"field{i}": {"type": "string", "description": text} for i in range(6)}
        members["count"] = {"type": "integer", "minimum": 0, "description": text}
        members["tags"] = {"type": "object", "additionalProperties": {"type": "string"}, "description": text}
        if depth > 0:
            for i in range(3):
                members[f"part{i}"] = {"type": "array", "items": level(depth - 1), "description": text}
        return {"type": "object", "properties": members}
    return {"type": "object", "description": "A resource of the provider.", "properties": {
        "spec": level(2), "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}


def definitions(_):
    count = 500
    side = Orch()
    shutil.rmtree(side.dir, ignore_errors=True)
    side.start()
    try:
        side.ensure_namespace("bench")
        time.sleep(10)
        before = side.resident_kb()
        side.stop()
        side.spawn()
        start_before = wait_ready(side.host, side.port, side.process)
        api = side.api()
        names = [f"resource{i}s" for i in range(count)]
        size = len(json.dumps(definition(names[0], large_schema()), separators=(",", ":")))
        begin = time.monotonic()
        for name in names:
            api.call("POST", DEFINITIONS, definition(name, large_schema()))
        wait_established(api, [name + ".bench.orch.io" for name in names])
        made = time.monotonic() - begin
        # Clients ask for these: discovery and one group's document.
        api.call("GET", "/apis/bench.orch.io/v1")
        api.call("GET", "/openapi/v3/apis/bench.orch.io/v1")
        time.sleep(30)
        after = side.resident_kb()
        side.stop()
        side.spawn()
        start_after = wait_ready(side.host, side.port, side.process)
        api = side.api()
        for name in names:
            api.call("GET", f"/apis/bench.orch.io/v1/namespaces/bench/{name}")
        time.sleep(10)
        again = side.resident_kb()
    finally:
        side.stop()
    figures = {"definitions": count, "definition_bytes": size, "create_seconds": round(made, 1),
               "more_mb": round((after - before) * 1024 / 1e6, 1),
               "more_mb_after_restart": round((again - before) * 1024 / 1e6, 1),
               "start_seconds": {"without": round(start_before, 3), "with": round(start_after, 3)}}
    more = start_after - start_before
    return {"figures": figures, "budget": {"more_mb": 100, "more_start_seconds": 2},
            "pass": figures["more_mb"] <= 100 and figures["more_mb_after_restart"] <= 100 and more <= 2}


def account(side, name, role, namespace):
    """A service account with a role in its namespace; the token it comes with."""
    api = side.api()
    base = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    api.call("POST", base, {"metadata": {"name": name}}, (201, 409))
    api.call("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", {
        "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]}, (201, 409))
    return api.call("POST", f"{base}/{name}/token", {"spec": {"expirationSeconds": 3600}})["status"]["token"]


class Noise:
    """64 connections of one account that ask all the time, within a `with`. Its own processor time is not the
    server's doing: it takes what nobody else wants, as a client on another machine would."""

    def __init__(self, side, token, *request):
        self.command = ["chrt", "--idle", "0", f"{TOOLS}/bench_http_load", "--server", f"{side.host}:{side.port}", "--token",
                        token, "--connections", "64", "--seconds", "3600", *request]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        time.sleep(3)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def noisy(options):
    """How long a client that asks every five milliseconds waits, alone and beside one that asks all the time."""
    figures = {}

    def quiet(side, token, *request):
        # Given the processor at once: how long it would wait for that itself is not the server's doing either.
        return json.loads(run("chrt", "--fifo", "1", f"{TOOLS}/bench_http_load", "--server", f"{side.host}:{side.port}", "--token",
                              token, "--connections", "1", "--interval", "5", "--seconds", str(2 * options.seconds), *request))["p99_ms"]

    with Running(options) as sides:
        for side in sides:
            for namespace in ("noise", "calm"):
                side.ensure_namespace(namespace)
            noise, calm = account(side, "noise", "edit", "noise"), account(side, "calm", "edit", "calm")
            for namespace in ("noise", "calm"):
                tool("http_load", *side.target(), "--create", namespace, "--requests", 500, "--connections", 16)
            time.sleep(5)
            maps = "/api/v1/namespaces/{}/configmaps"
            # Creates come last, for what they leave behind.
            kinds = {"list": ["--path", maps.format("noise")], "get": ["--path", maps.format("noise") + "/load-1"],
                     "create": ["--create", "noise", "--prefix", "noise-"]}
            number = itertools.count()

            def measure():
                return {"get": median(quiet(side, calm, "--path", maps.format("calm") + "/load-1") for _ in range(options.rounds)),
                        "create": median(quiet(side, calm, "--create", "calm", "--prefix", f"calm-{next(number)}-")
                                         for _ in range(options.rounds))}

            out = figures[side.name] = {"alone_p99_ms": measure()}
            for kind, load in kinds.items():
                with Noise(side, noise, *load):
                    beside = measure()
                out[f"beside_{kind}_p99_ms"] = beside
                out[f"beside_{kind}_times"] = {ask: round(p99 / out["alone_p99_ms"][ask], 2) for ask, p99 in beside.items()}
    worst = max(max(v.values()) for k, v in figures["orch"].items() if k.endswith("_times"))
    return {"figures": figures, "budget": {"times": 2}, "pass": worst < 2}


BENCHES = {"apply": apply, "customresources": customresources, "protobuf": protobuf, "definitions": definitions,
           "noisy": noisy}
