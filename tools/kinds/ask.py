#!/usr/bin/env python3
"""Sends the corpus to a server, keeps what it answers, and compares two servers' answers.

    tools/kinds/ask.py ask --server https://127.0.0.1:6443 --cert FILE --key FILE --out FILE [BASE...]
    tools/kinds/ask.py compare ANSWERS OTHER [-v] [BASE...]
    tools/kinds/ask.py write ANSWERS       the files of tests/integration/server/kinds, from a kube-apiserver's answers
    tools/kinds/ask.py differences ANSWERS OTHER   the lists of what differs: differences.txt there, and
                                           docs/api-differences.md

Both servers are to be empty, with 10.96.0.0/16 for services and without controllers and scheduler. The integration
test "every kind as Kubernetes serves it" does the same in process.
"""
import argparse
import collections
import gzip
import http.client
import json
import os
import re
import ssl
import sys
import time
import urllib.parse

import corpus

FOLDER = os.path.join(corpus.ROOT, "tests/integration/server/kinds")
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
AGE = re.compile(r"^(\d+[smhdy]){1,2}$")
NAMES = re.compile(r"(kube-api-access-|X509SHA256=)[0-9a-z]+")
# Of a struct that JSON does not know, kube-apiserver shows Go's members; what differs between two, in Go's text.
STRUCT = re.compile(r"(Invalid value: )\{.*\}(: )", re.S)
CHANGES = re.compile(r"\n(@@|[ +-]?[ {]).*", re.S)
ADDRESS = re.compile(r"10\.96\.\d+\.\d+")


class Server:
    def __init__(self, args):
        url = urllib.parse.urlsplit(args.server)
        context = ssl._create_unverified_context()
        context.load_cert_chain(args.cert, args.key)
        self.connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=30)

    def send(self, method, path, body, accept="application/json", kind="application/json"):
        headers = {"Accept": accept, "User-Agent": "kinds"}
        if body is not None:
            headers["Content-Type"] = kind
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.headers.get_all("Warning") or [], answer.read()
            except (http.client.HTTPException, OSError):
                self.connection.close()
                if attempt == 2:
                    raise
        return None


def plain(tree, key=""):
    """The tree without what differs from run to run."""
    if isinstance(tree, dict):
        return {k: "" if key == "columnDefinitions" and k == "description" else plain(v, k) for k, v in tree.items()}
    if isinstance(tree, list):
        return [plain(v, key) for v in tree]
    if isinstance(tree, str):
        if key == "resourceVersion":
            return "N" if tree.isdigit() else tree
        if key == "serverAddress":
            return "ADDRESS"
        if key == "username" and tree in ("admin", "system:admin"):
            return "ADMIN"
        if key == "cells" and AGE.match(tree):
            return "AGE"
        if key == "cells" and tree == "system:admin":
            return "admin"
        if key == "message":
            tree = CHANGES.sub("", STRUCT.sub(r"\1{}\2", tree))
        return ADDRESS.sub("IP", TIME.sub("TIME", UID.sub("UID", NAMES.sub(r"\1N", tree))))
    if key in ("nodePort", "healthCheckNodePort") and isinstance(tree, int) and 30000 <= tree <= 32767:
        return "PORT"
    return tree


def undescribed(tree):
    """An OpenAPI document without its sentences, and without the shell that a reference needs to have one."""
    if isinstance(tree, dict):
        whole = tree.get("allOf")
        if isinstance(whole, list) and len(whole) == 1 and list(whole[0]) == ["$ref"]:
            tree = {**{k: v for k, v in tree.items() if k != "allOf"}, **whole[0]}
        if isinstance(tree.get("required"), list):
            tree = {**tree, "required": sorted(tree["required"])}
        return {k: undescribed(v) for k, v in tree.items() if k != "description" or not isinstance(v, str)}
    if isinstance(tree, list):
        tree = [undescribed(v) for v in tree]
        return sorted(tree, key=lambda v: v["name"]) if all(isinstance(v, dict) and "in" in v for v in tree) else tree
    return tree


def encoded(body):
    return None if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def answer_to(server, request, versions):
    method, path = request["do"].split(" ", 1)
    text = encoded(request["body"])
    if text and '"@current"' in text:
        own = re.sub(r"/(status|approval)$", "", path.split("?")[0])
        if own not in versions or "customresource" in own:
            versions[own] = json.loads(server.send("GET", own, None)[2])["metadata"].get("resourceVersion", "")
        text = text.replace("@current", versions[own])
    code, warnings, body = server.send(method, path, text and text.encode(), request.get("accept", "application/json"),
                                       request.get("type", "application/json"))
    out = {"code": code}
    if warnings:
        out["warnings"] = [plain(w) for w in warnings]
    try:
        tree = json.loads(body)
    except ValueError:
        return {**out, "text": body.decode(errors="replace")[:500]}
    if request.get("undescribed"):
        tree = undescribed(tree)
        tree.pop("info", None)  # the version of the server
    if isinstance(tree, dict) and tree.get("kind") == "Status" and tree.get("apiVersion") == "v1":
        out["status"] = plain({k: tree[k] for k in ("reason", "message", "details") if k in tree})
    else:
        out["body"] = plain(tree)
    return out


def ask(args):
    server, made = Server(args), corpus.Corpus()
    for path, tree in made.setup():
        code, _, body = server.send("POST", path, encoded(tree).encode())
        if code not in (201, 409):
            print(f"setup {path} {tree['metadata']['name']}: {code} {body[:300]}", file=sys.stderr)
    time.sleep(3)  # the custom resource is served
    versions, answers, begun = {}, {}, time.time()
    for request in made.requests():
        if args.names and request["name"].split()[0] not in args.names:
            continue
        answers[request["name"]] = answer_to(server, request, versions)
    with gzip.open(args.out, "wt", encoding="utf-8") as file:
        json.dump(answers, file)
    print(f"{len(answers)} answers in {time.time() - begun:.1f} s")


def causes(answer):
    return answer.get("status", {}).get("details", {}).get("causes", [])


def difference(want, got):
    """What kind of difference it is, and both sides of it; None if there is none."""
    if want == got:
        return None
    if want["code"] != got["code"]:
        return "code", *(f"{a['code']} {a.get('status', {}).get('message', '')[:300]}" for a in (want, got))
    if want.get("warnings") != got.get("warnings"):
        return "warnings", want.get("warnings"), got.get("warnings")
    if "status" in want and "status" in got:
        a, b = want["status"], got["status"]
        if a.get("reason") != b.get("reason"):
            return "reason", a, b
        if causes(want) != causes(got):
            both = [sorted(json.dumps(c, sort_keys=True) for c in causes(x)) for x in (want, got)]
            if both[0] == both[1]:
                return "order of causes", [c.get("field") for c in causes(want)], [c.get("field") for c in causes(got)]
            return "causes", [c for c in both[0] if c not in both[1]], [c for c in both[1] if c not in both[0]]
        if a.get("message") != b.get("message"):
            return "message", a.get("message"), b.get("message")
        return "details", a.get("details"), b.get("details")
    found = []
    compare_trees(want.get("body"), got.get("body"), "", found)
    return "object", [f"{p}: {json.dumps(a)[:200]}" for p, a, b in found[:5]], [f"{p}: {json.dumps(b)[:200]}" for p, a, b in found[:5]]


def compare_trees(a, b, path, found):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            compare_trees(a.get(key, "(none)"), b.get(key, "(none)"), f"{path}.{key}", found)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            compare_trees(x, y, f"{path}[{i}]", found)
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        found.append((path, a, b))


def read_answers(name):
    """Of a recording, or of the one that is committed."""
    with gzip.open(name, "rt", encoding="utf-8") as file:
        if name.endswith(".jsonl.gz"):
            return {r["name"]: r["answer"] for r in map(json.loads, file)}
        return {k: plain(v) for k, v in json.load(file).items()}


def write(args):
    os.makedirs(FOLDER, exist_ok=True)
    answers, made = read_answers(args.answers), corpus.Corpus()
    with open(os.path.join(FOLDER, "setup.json"), "w", encoding="utf-8") as file:
        json.dump([{"path": path, "body": body} for path, body in made.setup()], file, indent=1, ensure_ascii=False)
        file.write("\n")
    lines = []
    for request in made.requests():
        if request["name"] in answers:
            lines.append(json.dumps({**request, "answer": answers[request["name"]]}, separators=(",", ":"), ensure_ascii=False))
    with open(os.path.join(FOLDER, "answers.jsonl.gz"), "wb") as file:
        file.write(gzip.compress("\n".join(lines).encode() + b"\n", 9, mtime=0))
    return 0


# Why something differs: what the first that matches the difference's line says.
REASONS = [
    (r"^served get /openapi", "Orch's OpenAPI documents leave out the deprecated paths below watch/ and what they refer to, and say parameters of a path where they are used"),
    (r"^(access-review|access-review-local|access-review-self|token-review) .*managedFields", "Orch answers reviews, which are not stored, without managedFields"),
    (r"^resource-quota", "Orch's quota admission counts at once; kube-apiserver waits for the quota controller, which the recording has not"),
    (r"disallowed by cluster policy", "the recorded kube-apiserver ran without --allow-privileged"),
    (r"^(cluster-role|cluster-role-binding) get|^served get /apis", "Orch brings along its metrics API, the role to read it, and the binding of its nodes' service proxy"),
    (r"^ip-address get", "IPAddresses follow services through a controller in Orch, and the comparison runs without controllers"),
    (r"^replication-controller put [^|]*\|warnings", "kube-apiserver warns of the template that goes, having exchanged its arguments; Orch of the one that comes"),
    (r"^daemon-set get", "the template's generation is an annotation of the whole DaemonSet alone in kube-apiserver, in Orch of its metadata too"),
    (r"managedFields", "who owns a field that the server itself set or left empty"),
    (r"^[a-z0-9-]+ (post|put) [^|]*\|warnings", "a warning is missing"),
    (r"^[a-z0-9-]+ delete", "what a dry deletion answers"),
    (r"\|code", "Orch accepts what kube-apiserver refuses, or the other way round"),
    (r"\|causes", "other causes are named"),
    (r"", "the stored object differs"),
]


def differences(args):
    want, got = read_answers(args.answers), read_answers(args.other)
    named, table, total = [], collections.defaultdict(lambda: [0, ""]), 0
    for name, answer in want.items():
        total += 1
        found = difference(answer, got.get(name, {"code": 0}))
        if found is None:
            continue
        named.append(name)
        line = f"{name} |{found[0]} {json.dumps(found[1:])}"
        reason = next(text for pattern, text in REASONS if re.search(pattern, line))
        base, _, rest = name.partition(" ")
        row = table[(reason, base, found[0])]
        row[0] += 1
        row[1] = row[1] or rest
    with open(os.path.join(FOLDER, "differences.txt"), "w", encoding="utf-8") as file:
        file.write("".join(name + "\n" for name in named))
    with open(os.path.join(corpus.ROOT, "docs/api-differences.md"), "w", encoding="utf-8") as file:
        file.write(
            "# Where Orch answers other than kube-apiserver\n\n"
            f"Made by `tools/kinds/ask.py differences` from {total} requests, to a kube-apiserver v1.35.4 and to Orch: objects of\n"
            "every kind with one thing changed, created, updated and deleted (tools/kinds/README.md). Code, reason, message,\n"
            f"causes, warnings and the stored object are compared. {len(named)} answers differ, "
            f"{total - len(named)} are the same. Each is named in\n`tests/integration/server/kinds/differences.txt`; "
            "the test there fails when another one differs.\n"
        )
        for reason in dict.fromkeys(text for _, text in REASONS):
            rows = sorted((k, v) for k, v in table.items() if k[0] == reason)
            if not rows:
                continue
            file.write(f"\n## {reason[0].upper() + reason[1:]} ({sum(v[0] for _, v in rows)})\n\n| object | what | how many | such as |\n|---|---|---|---|\n")
            for (_, base, kind), (count, sample) in rows:
                file.write(f"| {base} | {kind} | {count} | `{sample}` |\n")
    print(f"{total} answers, {len(named)} differ")
    return 0


def compare(args):
    sides = [read_answers(args.answers), read_answers(args.other)]
    counts, kinds, total = collections.Counter(), collections.Counter(), 0
    for name, want in sides[0].items():
        base = name.split()[0]
        if name not in sides[1] or (args.names and base not in args.names):
            continue
        total += 1
        found = difference(want, sides[1][name])
        if found is None:
            continue
        counts[base] += 1
        kinds[found[0]] += 1
        if args.verbose:
            print(f"== {name}\n   {found[0]}\n   want {found[1]}\n   got  {found[2]}")
    for base, count in counts.most_common():
        print(f"{count:6} {base}")
    print(dict(kinds))
    print(f"{total} answers, {sum(counts.values())} differ")
    return 1 if counts else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ask")
    one.add_argument("--server", required=True)
    one.add_argument("--cert", required=True)
    one.add_argument("--key", required=True)
    one.add_argument("--out", required=True)
    one.add_argument("names", nargs="*")
    one = commands.add_parser("compare")
    one.add_argument("answers")
    one.add_argument("other")
    one.add_argument("-v", "--verbose", action="store_true")
    one.add_argument("names", nargs="*")
    one = commands.add_parser("write")
    one.add_argument("answers")
    one = commands.add_parser("differences")
    one.add_argument("answers")
    one.add_argument("other")
    args = parser.parse_args()
    sys.exit({"ask": ask, "compare": compare, "write": write, "differences": differences}[args.command](args) or 0)


if __name__ == "__main__":
    main()
