"""Clients that write and watch, write down what they see, and know nothing of crashes: when a connection
breaks they try again, like any client. Each is a thread; its time is its own record's time."""
import random
import threading
import time
import urllib.parse
from collections import namedtuple

from .api import Api, Doubt, Unsent
from .records import (DOUBT, OK, REFUSED, Expired, Listing, Passed, Read, Recorder, Seen, Started, Write,
                      digest, now)

NAMESPACE = "fault"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
PATHS = {"configmaps": MAPS, "leases": LEASES}
RETRY = 0.03  # seconds until a server that is away is asked again


def half(key):
    """The label a key always has: what a watcher with a selector selects."""
    return "odd" if key[-1] in "13579" else "even"


class Actor(threading.Thread):
    def __init__(self, name, credentials, folder, stop):
        super().__init__(name=name, daemon=True)
        self.api = Api(credentials)
        self.record = Recorder(f"{folder}/{name}.jsonl")
        self.stop = stop
        self.random = random.Random(name)
        self.odd = open(f"{folder}/{name}.odd", "w", encoding="utf-8")  # answers no client should get

    def run(self):
        try:
            while not self.stop.is_set():
                try:
                    self.step()
                except Unsent:
                    time.sleep(RETRY)
        finally:
            self.record.close()
            self.odd.close()
            self.api.close()

    def step(self):
        raise NotImplementedError

    def strange(self, what, answer):
        self.odd.write(f"{what}: {answer}\n")


Known = namedtuple("Known", "revision uid")


class Writer(Actor):
    """Creates, updates, patches, deletes and reads objects, some its own, some shared with all others."""

    def __init__(self, name, credentials, folder, stop, kind, keys, pause):
        super().__init__(name, credentials, folder, stop)
        self.kind, self.keys, self.pause = kind, keys, pause
        self.known = {}  # key -> Known, None: it does not exist; missing: not known
        self.count = 0

    def step(self):
        time.sleep(self.random.uniform(0, 2 * self.pause))
        key = self.random.choice(self.keys)
        if key not in self.known:
            self.read(key)
        elif self.known[key] is None:
            self.create(key)
        else:
            way = self.random.choices(("update", "patch", "delete", "read"), (45, 30, 15, 10))[0]
            getattr(self, way)(key)

    def token(self):
        self.count += 1
        return f"{self.name}-{self.count}"

    def body(self, key, data):
        if self.kind == "leases":
            return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": key},
                    "spec": {"holderIdentity": data["v"], "leaseDurationSeconds": 40}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key, "labels": {"half": half(key)}},
                "data": data}

    def create(self, key):
        token = self.token()
        data = {"v": token}
        self.write("create", key, token, data, 0, "POST", PATHS[self.kind], self.body(key, data))

    def update(self, key):
        token, known = self.token(), self.known[key]
        data = {"v": token, "by": self.name}
        body = self.body(key, data)
        body["metadata"]["resourceVersion"] = str(known.revision)
        self.write("update", key, token, data, known.revision, "PUT", f"{PATHS[self.kind]}/{key}", body)

    def patch(self, key):
        token, known = self.token(), self.known[key]
        data = {"v": token, "p" + self.name: token}
        body = {"data": data} if self.kind == "configmaps" else {"spec": {"holderIdentity": token}}
        base = known.revision if self.random.random() < 0.3 else 0
        if base:
            body["metadata"] = {"resourceVersion": str(base)}
        self.write("patch", key, token, data, base, "PATCH", f"{PATHS[self.kind]}/{key}", body,
                   "application/merge-patch+json")

    def delete(self, key):
        known = self.known[key]
        conditions = {"uid": known.uid}
        base = known.revision if self.random.random() < 0.5 else 0
        if base:
            conditions["resourceVersion"] = str(base)
        self.write("delete", key, "", {}, base, "DELETE", f"{PATHS[self.kind]}/{key}",
                   {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions})

    def write(self, op, key, token, data, base, method, path, body, content_type="application/json"):
        before = self.known.pop(key)
        uid = before.uid if before else ""
        begun = now()
        try:
            code, answer = self.api.request(method, path, body, content_type)
        except Doubt:
            code, answer = 0, {}
        ended = now()
        outcome, revision = REFUSED, 0
        if 200 <= code < 300:
            outcome = OK
            if op == "delete":
                self.known[key] = None
            else:
                revision = int(answer["metadata"]["resourceVersion"])
                uid = answer["metadata"]["uid"]
                self.known[key] = Known(revision, uid)
        elif code == 0 or code >= 500:
            # An error of the server says nothing about what became of the write.
            outcome = DOUBT
        if code not in (0, 200, 201, 404, 409):
            self.strange(f"{method} {path}", (code, answer))
        self.record.add(Write(self.kind, op, key, token, data, base, begun, ended, outcome, revision, uid))

    def read(self, key):
        begun = now()
        try:
            code, answer = self.api.request("GET", f"{PATHS[self.kind]}/{key}")
        except Doubt:
            return
        if code == 404:
            self.known[key] = None
            found, revision = "", 0
        elif code == 200:
            meta = answer["metadata"]
            revision, found = int(meta["resourceVersion"]), digest(answer.get("data", {}))
            self.known[key] = Known(revision, meta["uid"])
        else:
            self.strange(f"GET {key}", (code, answer))
            return
        # A lease may be gone after a crash; reads of them are held against nothing.
        if self.kind == "configmaps":
            self.record.add(Read(self.kind, key, begun, now(), revision, found))


# mode: resume, from where it was | list, anew each time, in pages | initial, anew as one stream.
# seconds: the server is asked to end each watch after so many, 0: not. leave: it ends a watch itself after
# up to so many events, 0: not. selector: of labels.
Plan = namedtuple("Plan", "name kind mode bookmarks seconds leave selector")


def selects(plan):
    """Which keys a watcher sees."""
    if plan.selector == "half=odd":
        return lambda key: half(key) == "odd" and key.startswith(("own", "shared"))
    return None


class Lost(Exception):
    """A watch has ended."""


class Watching(Actor):
    def __init__(self, plan, credentials, folder, stop, goal):
        super().__init__(plan.name, credentials, folder, stop)
        self.plan = plan
        self.place = None  # the revision up to which all is known
        self.goal = goal   # a shared number: 0, or the revision after which to end
        self.api = Api(credentials, timeout=4.0)

    def step(self):
        if self.goal.value and self.place is not None and self.place >= self.goal.value:
            self.stop = threading.Event()
            self.stop.set()
            return
        try:
            if self.plan.mode == "initial":
                self.watch(fresh=True)
                return
            if self.place is None or self.plan.mode == "list":
                self.list()
            self.watch(fresh=False)
        except (Doubt, Lost):
            time.sleep(RETRY)

    def path(self, **query):
        if self.plan.selector:
            query["labelSelector"] = self.plan.selector
        return f"{PATHS[self.plan.kind]}?{urllib.parse.urlencode(query)}"

    def list(self):
        begun, items, query = now(), [], {"limit": 17}
        while True:
            code, answer = self.api.request("GET", self.path(**query))
            if code != 200:
                self.strange("list", (code, answer))
                raise Lost
            items += [self.item(o) for o in answer.get("items", [])]
            meta = answer["metadata"]
            if not meta.get("continue"):
                break
            query["continue"] = meta["continue"]
        self.place = int(meta["resourceVersion"])
        self.record.add(Listing(begun, now(), self.place, items))

    def item(self, o):
        meta = o["metadata"]
        return [meta["name"], int(meta["resourceVersion"]), meta["uid"], *self.content(o)]

    def content(self, o):
        if self.plan.kind == "leases":
            return o.get("spec", {}).get("holderIdentity", ""), ""
        data = o.get("data", {})
        return data.get("v", ""), digest(data)

    def watch(self, fresh):
        query = {"watch": "true"}
        if fresh:
            query.update(sendInitialEvents="true", resourceVersionMatch="NotOlderThan")
        else:
            query["resourceVersion"] = self.place
            self.record.add(Started(now(), self.place))
        if self.plan.bookmarks or fresh:
            query["allowWatchBookmarks"] = "true"
        if self.plan.seconds:
            query["timeoutSeconds"] = self.plan.seconds
        begun, initial = now(), [] if fresh else None
        left = self.random.randint(1, self.plan.leave) if self.plan.leave else -1
        for event in self.api.stream(self.path(**query)):
            initial = self.event(event, initial, begun)
            left -= 1
            goal = self.goal.value
            if left == 0 or (goal and initial is None and self.place >= goal):
                break
        raise Lost

    def event(self, event, initial, begun):
        """Returns the initial objects so far; None when they are complete or there are none."""
        kind, o = event["type"], event["object"]
        if kind == "ERROR":
            if o.get("code") != 410:
                self.strange("watch", o)
                raise Lost
            self.record.add(Expired(now(), o.get("message", "")))
            self.place = None
            raise Lost
        meta = o["metadata"]
        revision = int(meta["resourceVersion"])
        if initial is not None:
            if kind == "BOOKMARK":
                self.record.add(Listing(begun, now(), revision, initial))
                self.record.add(Started(now(), revision))
                self.place = revision
                return None
            initial.append(self.item(o))
            return initial
        if kind == "BOOKMARK":
            self.record.add(Passed(now(), revision))
        else:
            self.record.add(Seen(now(), kind, revision, meta["name"], meta["uid"], *self.content(o)))
        self.place = max(self.place, revision)
        return None
