"""Requests made from the field table: objects of every kind, each with one thing changed.

Deterministic: the same table and bases give the same requests in the same order.
"""
import copy
import hashlib
import os

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
NAMESPACE = "kinds"
LONG = "x" * 300
SCALARS = {"string", "bool", "int32", "int64", "double", "bytes", "quantity", "time", "microtime", "duration",
           "intorstring", "any", "schemaorbool", "schemaorarray", "schemaorstrings"}
# How many requests of a base are kept of those that the table gives; the others have DEFAULT.
BUDGET = {"pod-rich": 1500, "pod": 300, "service": 220, "service-lb": 150}
DEFAULT = 110


class Table:
    """kubernetes.schema and builtin.rows."""

    def __init__(self):
        self.types, self.kinds, self.rows, self.subresources = {}, {}, {}, {}
        fields = None
        with open(os.path.join(ROOT, "src/api/schema/kubernetes.schema"), encoding="utf-8") as file:
            for line in file:
                part = line.rstrip("\n").split("\t")
                if part[0] == "T":
                    fields = self.types[part[1]] = []
                elif part[0] == "F":
                    attributes = dict(a.split("=", 1) if "=" in a else (a, True) for a in part[4:])
                    fields.append((part[1], part[3], attributes))
                elif part[0] == "K":
                    self.kinds[(part[1], part[2], part[3])] = part[4]
        row = None
        with open(os.path.join(ROOT, "src/api/resources/builtin.rows"), encoding="utf-8") as file:
            for line in file:
                part = line.rstrip("\n").split("\t")
                if part[0] == "R":
                    row = (part[1], part[2], part[3])
                    self.rows[row] = {"plural": part[4], "namespaced": part[6] == "N", "verbs": part[9].split(",")}
                    self.subresources[row] = {}
                elif part[0] == "S":
                    self.subresources[row][part[1]] = part

    def fields(self, name):
        for field in self.types[name]:
            if field[2].get("inline") or field[0] == "-":
                yield from self.fields(field[1])
            else:
                yield field


def chance(text):
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def plausible(table, name, kind, attributes, depth=0):
    """A value of the type that is likely to be right for a field of this name."""
    if kind.startswith("wrap[]"):
        kind = kind[4:]
    if kind.startswith("[]"):
        return [plausible(table, name, kind[2:], attributes, depth)]
    if kind.startswith("map:"):
        return {"a": plausible(table, name, kind[4:], attributes, depth)}
    if "enum" in attributes:
        return attributes["enum"].split("|")[0]
    if "default" in attributes:
        return yaml.safe_load(attributes["default"])
    lower = name.lower()
    if kind == "string":
        for part, value in (("apiversion", "v1"), ("apigroup", "example.com"), ("cidr", "10.1.0.0/24"), ("url", "https://a.example"),
                            ("uri", "https://a.example"), ("fieldpath", "metadata.name"), ("mountpath", "/m"),
                            ("path", "a/b"), ("expression", "true"), ("schedule", "* * * * *"), ("ip", "10.1.2.3"),
                            ("address", "10.1.2.3"), ("uid", "5a5a5a5a-0000-4000-8000-000000000002"),
                            ("status", "True"), ("timezone", "Etc/UTC"), ("operator", "Exists"),
                            ("driver", "csi.example.com"), ("kind", "Thing"), ("reason", "Because")):
            if part in lower:
                return value
        return "a"
    return {
        "bool": True, "int32": 3, "int64": 4, "double": 1.5, "bytes": "AAEC", "quantity": "5",
        "time": "2020-01-02T03:04:05Z", "microtime": "2020-01-02T03:04:05.000006Z", "duration": "5s",
        "intorstring": 2, "any": {"a": 1}, "schemaorbool": True, "schemaorarray": {"type": "string"},
        "schemaorstrings": {"type": "string"},
    }.get(kind) if kind in SCALARS else message(table, kind, depth)


def message(table, kind, depth):
    """What the type asks for, or its first field."""
    out = {}
    if depth > 4:
        return out
    fields = list(table.fields(kind))
    wanted = [f for f in fields if f[2].get("req")]
    if not wanted:
        wanted = fields[:1]
    for name, of, attributes in wanted:
        out[name] = plausible(table, name, of, attributes, depth + 1)
    return out


def variants(table, name, kind, attributes):
    """Values of a field, as (label, value): good, doubtful and broken."""
    if kind.startswith("wrap[]"):
        kind = kind[4:]
    good = plausible(table, name, kind, attributes)
    out = [("set", good)]
    if kind.startswith("[]"):
        out += [("empty", []), ("twice", good + copy.deepcopy(good)), ("null element", [None]), ("wrong", "x"), ("wrong element", [[1]])]
        if "enum" in attributes:
            out += [("enum", ["Bogus"])]
        elif kind == "[]string":
            out += [("bad", ["Bad_Value!"]), ("blank", [""]), ("long", [LONG])]
        return out
    if kind.startswith("map:"):
        value = next(iter(good.values()))
        return out + [("empty", {}), ("bad key", {"Bad Key!": value}), ("blank key", {"": value}), ("wrong", ["x"]), ("null value", {"a": None}), ("wrong value", {"a": [1]})]
    if kind == "string":
        out += [("blank", ""), ("wrong", 7), ("null", None)]
        if "enum" in attributes:
            out += [("enum", "Bogus")] + [("enum " + e, e) for e in attributes["enum"].split("|")[1:]]
        else:
            out += [("bad", "Bad_Value!"), ("long", LONG), ("good", "b-2.example.com")]
    elif kind == "bool":
        out += [("false", False), ("wrong", "true"), ("null", None)]
    elif kind in ("int32", "int64"):
        out += [("negative", -1), ("zero", 0), ("one", 1), ("big", 1000000), ("over", 1 << (31 if kind == "int32" else 63)), ("wrong", "5"), ("broken", 1.5)]
    elif kind == "double":
        out += [("wrong", "x"), ("negative", -1.5)]
    elif kind == "quantity":
        out += [("negative", "-1"), ("zero", "0"), ("wrong", "1x"), ("number", 3), ("fine", "100m"), ("blank", "")]
    elif kind in ("time", "microtime"):
        out += [("wrong", "yesterday"), ("null", None)]
    elif kind == "intorstring":
        out += [("name", "http"), ("percent", "50%"), ("much", "150%"), ("negative", -1), ("zero", 0), ("bad", "Bad_Value!"), ("wrong", True)]
    elif kind == "bytes":
        out += [("wrong", "!!!"), ("blank", "")]
    elif kind in SCALARS:
        out += [("number", 1), ("text", "x"), ("null", None), ("list", [1])]
    else:
        out += [("empty", {}), ("wrong", "x"), ("null", None), ("unknown", {**good, "noSuchField": 1})]
    return out


def get(tree, path):
    for step in path:
        tree = tree[step]
    return tree


def changed(tree, path, value):
    """A copy of the tree with that value at the path; objects on the way are made."""
    tree = copy.deepcopy(tree)
    node = tree
    for i, step in enumerate(path[:-1]):
        if isinstance(node, dict) and step not in node:
            node[step] = [] if isinstance(path[i + 1], int) else {}
        if isinstance(node, list) and step == len(node):
            node.append({})
        node = node[step]
    if isinstance(node, list) and path[-1] == len(node):
        node.append(value)
    else:
        node[path[-1]] = value
    return tree


def dropped(tree, path):
    tree = copy.deepcopy(tree)
    node = get(tree, path[:-1])
    del node[path[-1]]
    return tree


def walk(table, tree, kind, path, seen, depth=0):
    """Every change at and below this place: (label, path, changed tree)."""
    for name, of, attributes in table.fields(kind):
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        if path and name in ("managedFields",):
            continue
        here = path + [name]
        node = get(tree, path)
        present = name in node
        if present:
            yield "drop", here, dropped(tree, here)
        for label, value in variants(table, name, of, attributes):
            yield label, here, changed(tree, here, value)
        if present and isinstance(node[name], list) and node[name]:
            yield "double", here, changed(tree, here, node[name] + [copy.deepcopy(node[name][0])])
        base = of.replace("wrap", "").replace("[]", "").replace("map:", "")
        if base in SCALARS:
            if present and isinstance(node[name], list):
                for label, value in variants(table, name, base, attributes):
                    yield label, here + [0], changed(tree, here + [0], value)
            continue
        if seen.count(base) > 0 or depth > 9:
            continue
        below = seen + [base]
        if not present:
            if depth > 5:
                continue
            inner = changed(tree, here, plausible(table, name, of, attributes))
        else:
            inner = tree
        value = get(inner, here)
        if of.startswith("[]") or of.startswith("wrap[]"):
            for i in range(len(value)):
                yield from walk(table, inner, base, here + [i], below, depth + 1)
        elif of.startswith("map:"):
            for key in value:
                yield from walk(table, inner, base, here + [key], below, depth + 1)
        elif isinstance(value, dict):
            yield from walk(table, inner, base, here, below, depth + 1)


def metadata_changes(tree):
    """What may be wrong with the metadata of any object."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "5a5a5a5a-0000-4000-8000-000000000003"}
    for label, path, value in (
        ("bad", ["name"], "Bad_Name!"), ("dots", ["name"], "a.b"), ("colon", ["name"], "a:b"), ("long", ["name"], "n" * 64),
        ("longer", ["name"], "n" * 254), ("blank", ["name"], ""), ("slash", ["name"], "a/b"), ("dot", ["name"], ".."),
        ("other", ["namespace"], "elsewhere"), ("bad key", ["labels"], {"Bad Key!": "v"}), ("bad value", ["labels"], {"a": "b c"}),
        ("wrong", ["labels"], {"a": 1}), ("bad key", ["annotations"], {"a/b/c": "v"}), ("bad", ["finalizers"], ["x"]),
        ("good", ["finalizers"], ["example.com/x"]), ("good", ["ownerReferences"], [owner]),
        ("two", ["ownerReferences"], [{**owner, "controller": True}, {**owner, "name": "q", "controller": True}]),
        ("blank", ["ownerReferences"], [{**owner, "name": "", "uid": ""}]), ("version", ["resourceVersion"], "5"),
        ("generation", ["generation"], 7), ("generation", ["generation"], -1), ("self", ["selfLink"], "/x"),
        ("good", ["uid"], "5a5a5a5a-0000-4000-8000-000000000004"), ("unknown", ["noSuchField"], 1),
        ("time", ["deletionTimestamp"], "2020-01-02T03:04:05Z"), ("negative", ["deletionGracePeriodSeconds"], -1),
        ("wrong", ["creationTimestamp"], "x"), ("null", ["labels"], None),
    ):
        yield label, ["metadata"] + path, changed(tree, ["metadata"] + path, value)
    yield "drop", ["metadata", "name"], dropped(tree, ["metadata", "name"])


class Corpus:
    def __init__(self):
        self.table = Table()
        with open(os.path.join(HERE, "bases.yaml"), encoding="utf-8") as file:
            self.bases = yaml.load(file, Loader=Texts)

    def row_of(self, tree):
        group, _, version = tree["apiVersion"].rpartition("/")
        return (group or "-", version, tree["kind"])

    def path(self, tree, name="", subresource=""):
        row = self.row_of(tree)
        group, version = row[:2]
        path = f"/api/{version}" if group == "-" else f"/apis/{group}/{version}"
        if self.table.rows[row]["namespaced"]:
            path += f"/namespaces/{NAMESPACE}"
        path += "/" + self.table.rows[row]["plural"]
        for part in (name, subresource):
            path += "/" + part if part else ""
        return path

    def setup(self):
        """What is created for real before the others, in order: (path, object)."""
        yield "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        yield (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
               {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
        for entry in self.bases.values():
            if entry.get("stored"):
                yield self.path(entry["object"]), entry["object"]

    def requests(self):
        """Every request: {"name", "do", "body"}, and "type" where the body is not JSON."""
        for name, entry in self.bases.items():
            tree = entry["object"]
            row = self.row_of(tree)
            kept = list(self.of_base(name, tree, row, entry.get("stored")))
            kept.sort(key=lambda r: chance(r["name"]))
            # The table's first: those that were not made from it are few and stay.
            fixed = [r for r in kept if r.pop("fixed", False)]
            taken = {r["name"] for r in fixed}
            drawn = [r for r in {r["name"]: r for r in kept}.values() if r["name"] not in taken][: BUDGET.get(name, DEFAULT)]
            yield from sorted(fixed + drawn, key=lambda r: r["name"])
        yield from self.served()

    def served(self):
        """What the server says it serves: discovery in both forms, and OpenAPI v3, of each group version."""
        def request(path, **more):
            return {"name": f"served get {path}: {more.get('label', 'as it is')}", "do": f"GET {path}", "body": None, **more}

        together = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        for path in ("/api", "/apis"):
            yield request(path)
            yield request(path, label="together", accept=together)
        versions = dict.fromkeys((row[0], row[1]) for row in self.table.rows)
        for group in dict.fromkeys(g for g, _ in versions if g != "-"):
            yield request(f"/apis/{group}")
        for group, version in versions:
            path = f"/api/{version}" if group == "-" else f"/apis/{group}/{version}"
            yield request(path)
            yield request("/openapi/v3" + path, undescribed=True)

    def of_base(self, name, tree, row, stored):
        kind = self.table.kinds[row]
        reviewed = self.table.rows[row]["verbs"] == ["create"]
        where = self.path(tree)
        extra = "" if reviewed else "?dryRun=All&fieldManager=kinds"
        fresh = copy.deepcopy(tree)
        fresh.setdefault("metadata", {})
        if stored and row[2] not in ("IPAddress", "CSIDriver", "CustomResourceDefinition"):
            # The stored one has the name already.
            fresh["metadata"]["name"] += "-new"
        if name == "service":
            fresh["spec"]["clusterIP"] = "10.96.7.8"
        if row[2] == "IPAddress":
            fresh["metadata"]["name"] = "192.168.7.8"
        if row[2] == "CSIDriver":
            fresh["metadata"]["name"] = "new.example.com"
        if row[2] == "CustomResourceDefinition":
            fresh["metadata"]["name"] = "news.example.com"
            fresh["spec"]["names"] = {"plural": "news", "kind": "New"}

        def request(method, path, label, at, body, **more):
            place = "/".join(str(p) for p in at)
            return {"name": f"{name} {method.lower()} {place}: {label}", "do": f"{method} {path}", "body": body, **more}

        yield request("POST", where + extra, "as it is", [], fresh, fixed=True)
        yield request("POST", where + (extra + "&" if extra else "?") + "fieldValidation=Strict", "strict unknown", [],
                      {**fresh, "noSuchField": 1}, fixed=True)
        yield request("POST", where + extra, "other kind", ["kind"], {**fresh, "kind": "Other"}, fixed=True)
        for label, at, body in walk(self.table, fresh, kind, [], [kind]):
            if at[0] == "status" and chance(str(at)) % 4:
                continue
            yield request("POST", where + extra, label, at, body)
        if not reviewed:
            for label, at, body in metadata_changes(fresh):
                yield request("POST", where + extra, label, at, body, fixed=label in ("bad", "blank"))
        if not stored:
            return
        own = self.path(tree, tree["metadata"]["name"])
        yield request("POST", where + extra, "again", [], tree, fixed=True)
        yield request("PUT", own + extra, "as it is", [], tree, fixed=True)
        yield request("PATCH", own + extra, "apply", [], tree, type="application/apply-patch+yaml", fixed=True)
        yield request("PATCH", own + extra + "&force=true", "apply by force", [], changed(tree, ["metadata", "labels"], {"x": "y"}),
                      type="application/apply-patch+yaml", fixed=True)
        for label, kind_of in (("merge", "merge-patch"), ("strategic", "strategic-merge-patch")):
            yield request("PATCH", own + extra, label, [], {"metadata": {"labels": {"a": "b"}, "annotations": {"x": None}}},
                          type=f"application/{kind_of}+json", fixed=True)
        yield request("PATCH", own + extra, "json patch", [], [{"op": "test", "path": "/metadata/name", "value": "other"}],
                      type="application/json-patch+json", fixed=True)
        yield request("DELETE", own + extra, "dry", [], {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}, fixed=True)
        yield request("DELETE", own + extra, "precondition", [],
                      {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}, "dryRun": ["All"]}, fixed=True)
        current = changed(tree, ["metadata", "resourceVersion"], "@current")
        for label, at, body in walk(self.table, current, kind, [], [kind]):
            if label in ("set", "drop", "empty", "blank", "null", "good", "one", "double", "false", "fine"):
                yield request("PUT", own + extra, label, at, body)
        for sub, line in self.table.subresources[row].items():
            if sub == "status" or (sub == "approval"):
                status_of = [f for f in self.table.fields(kind) if f[0] == "status"]
                if not status_of:
                    continue
                body = changed(current, ["status"], plausible(self.table, "status", status_of[0][1], {}))
                path = own + "/" + sub + extra
                yield request("PUT", path, sub, ["status"], body, fixed=True)
                yield request("PUT", path, sub + " alone", [], current, fixed=True)
                drawn = []
                for label, at, one in walk(self.table, body, status_of[0][1], ["status"], [kind]):
                    drawn.append(request("PUT", path, label, at, one))
                drawn.sort(key=lambda r: chance(r["name"]))
                for one in drawn[:40]:
                    also = " (approval)" if sub == "approval" else ""
                    yield {**one, "name": one["name"] + also, "fixed": True}
            elif sub == "scale":
                for label, replicas in (("two", 2), ("negative", -1), ("wrong", "2"), ("null", None)):
                    yield request("PUT", own + "/scale" + extra, "scale " + label, [],
                                  {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": tree["metadata"]["name"], "namespace": NAMESPACE},
                                   "spec": {"replicas": replicas}}, fixed=True)
                yield request("GET", own + "/scale", "scale", [], None, fixed=True)
        yield request("GET", own, "table", [], None, accept="application/json;as=Table;v=v1;g=meta.k8s.io", fixed=True)
        yield request("GET", where, "list as table", [], None, accept="application/json;as=Table;v=v1;g=meta.k8s.io", fixed=True)
        yield request("GET", own, "metadata", [], None, accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", fixed=True)


class Texts(yaml.SafeLoader):
    """Times stay texts."""


Texts.yaml_implicit_resolvers = {
    k: [(tag, regexp) for tag, regexp in v if tag != "tag:yaml.org,2002:timestamp"]
    for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

if __name__ == "__main__":
    import collections
    counts = collections.Counter(r["name"].split()[0] for r in Corpus().requests())
    for name, count in counts.items():
        print(f"{count:6} {name}")
    print(sum(counts.values()))
