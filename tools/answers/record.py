#!/usr/bin/env python3
"""Asks a server the requests of tests/integration/server/answers/cases.yaml.

Writes what it answers to answers.json beside them (--write, meant for a kube-apiserver), or compares with what is
written there (the default, for any server). The integration test "as Kubernetes answers" does the same in process.

    tools/answers/record.py --server https://127.0.0.1:6443 (--token T | --cert FILE --key FILE) [--write] [NAME...]

The kube-apiserver is to run with --authorization-mode=Node,RBAC, --token-auth-file (for T, of system:masters) and
--disable-admission-plugins=ServiceAccount, on an empty store, without controllers.
"""
import argparse
import base64
import http.client
import json
import os
import re
import ssl
import sys
import urllib.parse

import yaml

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/integration/server/answers")


def joined(parts):
    out = b""
    for part in parts if isinstance(parts, list) else [parts]:
        if isinstance(part, str):
            out += part.encode()
        elif "repeat" in part:
            out += part["repeat"][0].encode() * part["repeat"][1]
        else:
            out += base64.b64decode(part["base64"])
    return out


def body_of(case):
    body = case.get("body")
    if body is None or isinstance(body, str):
        return None if body is None else body.encode()
    if isinstance(body, dict) and list(body) == ["parts"]:
        return joined(body["parts"])
    return json.dumps(body, separators=(",", ":")).encode()


def shortened(text):
    """See shortened() of answers_test.cpp."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID", text)
    text = re.sub(r"(current|resourceVersion|ResourceVersion in (?:object meta|record))(\W+)\d+", r"\1\2N", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r'(patch: Invalid value: |^Invalid value: )"\{(?:\\.|[^"\\])*\}', r'\1"{}', text)
    return text if len(text) <= 500 else text[:300] + "..." + text[-100:]


def answer_to(case, args):
    method, path = joined(case["do"]).decode().split(" ", 1)
    body = body_of(case)
    headers = {}
    if body is not None:
        headers["Content-Type"] = case.get("type", "application/json")
        headers["Content-Length"] = str(len(body))
    if "accept" in case:
        headers["Accept"] = case["accept"]
    url = urllib.parse.urlsplit(args.server)
    context = ssl._create_unverified_context()
    who = case.get("as", "admin")
    if who == "admin" and args.cert:
        context.load_cert_chain(args.cert, args.key)
    elif who == "admin":
        headers["Authorization"] = "Bearer " + args.token
    elif who == "garbage":
        headers["Authorization"] = "Bearer garbage"
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=30)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    try:
        for at in range(0, len(body or b""), 1 << 16):
            connection.send(body[at : at + (1 << 16)])
    except OSError:
        pass  # refused before it was read
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    out = {"code": answer.status}
    for key, header in (("type", "Content-Type"), ("allow", "Allow"), ("retry", "Retry-After"), ("warning", "Warning")):
        if answer.getheader(header) is not None:
            out[key] = answer.getheader(header)
    try:
        tree = json.loads(text)
    except ValueError:
        tree = yaml.safe_load(text) if out.get("type") == "application/yaml" else None
    if isinstance(tree, dict) and tree.get("kind") == "Status":
        for key in ("status", "reason", "message", "details", "metadata"):
            if key in tree:
                out[key] = json.loads(json.dumps(tree[key]), object_hook=short_texts)
        out["message"] = shortened(out.get("message", ""))
    elif "body_of" in case:
        out["body"] = shortened(text) if case["body_of"] == "text" else tree.get(case["body_of"])
    elif answer.status >= 400:
        out["body"] = shortened(text)
    return out


def short_texts(tree):
    return {k: shortened(v) if isinstance(v, str) else v for k, v in tree.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--token")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    http.client._MAXLINE = 1 << 20
    with open(os.path.join(HERE, "cases.yaml"), encoding="utf-8") as file:
        cases = yaml.safe_load(file)
    path = os.path.join(HERE, "answers.json")
    known = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
    answers = {}
    differ = 0
    for case in cases:
        name = case["name"]
        if args.names and name not in args.names and not case.get("setup"):
            continue
        answer = answer_to(case, args)
        if case.get("setup"):
            if answer["code"] // 100 != 2:
                print(f"{name}: {answer}")
            continue
        answers[name] = answer
        expected = known.get(name, {})
        if "differs" in case:
            answer, expected = ({k: a.get(k) for k in ("code", "reason")} for a in (answer, expected))
        if not args.write and expected != answer:
            differ += 1
            print(f"== {name}: {str(case['do'])[:150]}")
            for key in sorted(set(expected) | set(answer)):
                if expected.get(key) != answer.get(key):
                    print(f"   {key}:\n      want {expected.get(key)}\n      got  {answer.get(key)}")
    if args.write:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(answers, file, indent=1, sort_keys=False, ensure_ascii=False)
            file.write("\n")
    print(f"{len(answers)} answers, {differ} differ")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
