#!/usr/bin/env python3
"""Sends the corpus to a server, keeps what it answers, and compares two servers' answers.

    tools/kinds/ask.py ask --server https://127.0.0.1:6443 --cert FILE --key FILE --out FILE [BASE...]
    tools/kinds/ask.py compare ANSWERS OTHER [-v] [BASE...]
    tools/kinds/ask.py write ANSWERS       the files of tests/integration/server/kinds, from a kube-apiserver's answers

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
UID = re.compile(r"(?!5a5a5a5a)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"(?!2020)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
AGE = re.compile(r"^(\d+[smhdy]){1,2}$")
NAMES = re.compile(r"(kube-api-access-|X509SHA256=)[0-9a-z]+")
# Of a struct that JSON does not know, kube-apiserver shows Go's members; what differs between two, in Go's text.
STRUCT = re.compile(r"(Invalid value: )\{.*\}(: )", re.S)
CHANGES = re.compile(r"\n(@@|[ +-]?[ {]).*", re.S)
ADDRESS = re.compile(r"10\.96\.(?!7\.)\d+\.\d+")


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
        if key == "cells" and AGE.match(tree):
            return "AGE"
        if key == "message":
            tree = CHANGES.sub("", STRUCT.sub(r"\1{}\2", tree))
        return ADDRESS.sub("IP", TIME.sub("TIME", UID.sub("UID", NAMES.sub(r"\1N", tree))))
    if key in ("nodePort", "healthCheckNodePort") and isinstance(tree, int) and 30000 <= tree <= 32767 and tree != 30100:
        return "PORT"
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


def compare(args):
    sides = []
    for name in (args.answers, args.other):
        with gzip.open(name, "rt", encoding="utf-8") as file:
            sides.append({k: plain(v) for k, v in json.load(file).items()})
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
    args = parser.parse_args()
    sys.exit(ask(args) if args.command == "ask" else compare(args))


if __name__ == "__main__":
    main()
