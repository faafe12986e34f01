#!/usr/bin/env python3
"""A Deployment of 1,000 pods on simulated nodes is brought to a new revision and back while the server is killed
ten times. Meanwhile its replica sets never want more than replicas + maxSurge, nor are there fewer ready pods than
replicas - maxUnavailable; in the end there is what is wanted, everything belongs to somebody, and nothing is written any more.
Prints a line "ok NAME" or "not ok NAME" for each check."""
import argparse
import http.client
import json
import random
import subprocess
import sys
import time

from faultlib.api import Credentials
from faultlib.server import Server

REPLICAS, SURGE, UNAVAILABLE = 1000, 250, 250
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/web"
PODS, SETS = "/api/v1/namespaces/default/pods", "/apis/apps/v1/namespaces/default/replicasets"


class Api:
    def __init__(self, credentials):
        self.credentials = credentials

    def call(self, method, path, body=None, kind="application/json"):
        """None if there was no answer: the server is down, or went down."""
        c = self.credentials
        connection = http.client.HTTPSConnection(c.host, c.port, timeout=30, context=c.context())
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if answer.status >= 500 or answer.status == 429:
            return None
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content)

    def insist(self, *what, seconds=60):
        end = time.monotonic() + seconds
        while (answer := self.call(*what)) is None:
            if time.monotonic() > end:
                raise RuntimeError(f"no answer to {what[0]} {what[1]}")
            time.sleep(0.05)
        return answer


def deployment(image):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": REPLICAS, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": image}]}}}}


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or [])


class Bounds:
    """Looks at what is wanted and what is there, again and again."""

    def __init__(self, api):
        self.api, self.looks, self.most, self.fewest = api, 0, 0, REPLICAS

    def look(self):
        pods, sets = self.api.call("GET", PODS), self.api.call("GET", SETS)
        if pods is None or sets is None:
            return
        self.looks += 1
        self.most = max(self.most, sum(s["spec"]["replicas"] for s in sets["items"]))
        self.fewest = min(self.fewest, sum(is_ready(p) for p in pods["items"] if "deletionTimestamp" not in p["metadata"]))

    def seen(self):
        return f"{self.looks} looks: at most {self.most} wanted, at least {self.fewest} ready"

    def verdict(self):
        return self.most <= REPLICAS + SURGE and self.fewest >= REPLICAS - UNAVAILABLE


def rolled_out(api):
    found = api.call("GET", DEPLOYMENT)
    if found is None:
        return False
    status = found.get("status", {})
    return status.get("observedGeneration", 0) >= found["metadata"]["generation"] and all(
        status.get(k) == REPLICAS for k in ("replicas", "updatedReplicas", "availableReplicas"))


def wait_rolled_out(api, seconds=180):
    end = time.monotonic() + seconds
    while not rolled_out(api):
        if time.monotonic() > end:
            raise RuntimeError(f"not rolled out in time: {api.call('GET', DEPLOYMENT)['status']}")
        time.sleep(0.2)


def under_fire(server, api, kills, dice):
    """Until the rollout is over, with so many kills in it: the first at once."""
    bounds = Bounds(api)
    done, next_kill = 0, time.monotonic() + dice.uniform(0.1, 0.5)
    end = time.monotonic() + 300
    while done < kills or not rolled_out(api):
        if time.monotonic() > end:
            raise RuntimeError("not rolled out in time")
        if done < kills and time.monotonic() >= next_kill:
            server.kill()
            time.sleep(dice.uniform(0, 0.5))
            server.start()
            server.wait_ready()
            done += 1
            next_kill = time.monotonic() + dice.uniform(0.2, 1.2)
        bounds.look()
    return bounds


def problems(api, image, seconds=30):
    """What is not as it should be once all is over, which is when the last pod has ended."""
    end = time.monotonic() + seconds
    while any("deletionTimestamp" in p["metadata"] for p in api.insist("GET", PODS)["items"]) and time.monotonic() < end:
        time.sleep(0.2)
    out = []
    pods, sets = api.insist("GET", PODS)["items"], api.insist("GET", SETS)["items"]
    uids = {s["metadata"]["uid"]: s for s in sets}
    if len(pods) != REPLICAS:
        out.append(f"{len(pods)} pods")
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or []
        if len(owners) != 1 or owners[0]["uid"] not in uids:
            out.append(f"{pod['metadata']['name']} belongs to nobody")
        if pod["spec"]["containers"][0]["image"] != image:
            out.append(f"{pod['metadata']['name']} is of the wrong revision")
        if not is_ready(pod) or not pod["spec"].get("nodeName"):
            out.append(f"{pod['metadata']['name']} does not run")
    wanted = sorted(s["spec"]["replicas"] for s in sets)
    if wanted != [0, REPLICAS]:
        out.append(f"replica sets want {wanted}")
    return out[:5]


def main():
    parser = argparse.ArgumentParser()
    for name in ("--orch", "--kubelets", "--kubectl", "--dir", "--port"):
        parser.add_argument(name, required=True)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"# seed {options.seed}", flush=True)
    dice = random.Random(options.seed)
    bad = []

    def check(what, good, more=""):
        print(f"{'ok' if good else 'not ok'} rollout: {what}" + (f"\n# {more}" if more else ""), flush=True)
        if not good:
            bad.append(what)

    server = Server(options.orch, options.dir, int(options.port))
    kubelets = None
    try:
        server.start()
        server.wait_ready()
        credentials = Credentials(server.kubeconfig, options.dir)
        api = Api(credentials)
        with open(f"{options.dir}/kubelets.log", "wb") as log:
            kubelets = subprocess.Popen([options.kubelets, "--server", f"127.0.0.1:{options.port}", "--certificate", credentials.pair,
                                         "--key", credentials.pair, "--nodes", "100"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        if not kubelets.stdout.readline():
            raise RuntimeError(f"the simulated nodes could not be made: see {options.dir}/kubelets.log")
        api.insist("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("first:1"))
        wait_rolled_out(api)
        check(f"{REPLICAS} pods run", True)

        change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "second:1"}]}}}}
        api.insist("PATCH", DEPLOYMENT, change, "application/strategic-merge-patch+json")
        bounds = under_fire(server, api, 5, dice)
        wrong = problems(api, "second:1")
        check("a new revision while the server is killed five times", not wrong, wrong)
        check("no more wanted than allowed, no fewer ready", bounds.verdict(), bounds.seen())

        undone = subprocess.run([options.kubectl, "--kubeconfig", server.kubeconfig, "rollout", "undo", "deployment/web"],
                                capture_output=True, text=True, check=False)
        check("kubectl rollout undo", undone.returncode == 0, undone.stderr)
        bounds = under_fire(server, api, 5, dice)
        wrong = problems(api, "first:1")
        check("back again under five more", not wrong, wrong)
        check("no more wanted than allowed, no fewer ready, on the way back", bounds.verdict(), bounds.seen())

        # Events may still be written, which have no part in it: pods and what owns them are at rest.
        time.sleep(3)
        before = [p["metadata"]["resourceVersion"] for path in (PODS, SETS) for p in api.insist("GET", path)["items"]]
        time.sleep(5)
        after = [p["metadata"]["resourceVersion"] for path in (PODS, SETS) for p in api.insist("GET", path)["items"]]
        check("then nothing is written any more", before == after)
    except RuntimeError as error:
        check("the run", False, str(error))
    finally:
        if kubelets is not None:
            kubelets.stdin.close()
            try:
                kubelets.wait(20)
            except subprocess.TimeoutExpired:
                kubelets.kill()
        server.close()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
