#!/usr/bin/env python3
"""Writes src/server/feature_gates.list: the feature gates that kube-apiserver v1.35 knows.

    tools/featuregates/extract.py MODULES > src/server/feature_gates.list

MODULES is the folder that holds kubernetes@v1.35.4, apiserver@v0.35.4 and so on (the k8s.io folder of a Go module
cache). A line is: name, its default, and "locked" when no other value is possible, separated by tabs.
"""
import glob
import re
import sys

VERSION = (1, 35)
SOURCES = [
    "kubernetes@v1.35*/pkg/features/kube_features.go",
    "apiserver@v0.35*/pkg/features/kube_features.go",
    "apiextensions-apiserver@v0.35*/pkg/features/kube_features.go",
    "component-base@v0.35*/logs/api/v1/kube_features.go",
    "component-base@v0.35*/metrics/features/kube_features.go",
    "component-base@v0.35*/zpages/features/kube_features.go",
    "controller-manager@v0.35*/pkg/features/kube_features.go",
]
ENTRY = re.compile(r"^\t(\"?[\w.]+\"?):\s*\{(.*?)^\t\},?$", re.S | re.M)
ONE_LINE = re.compile(r"^\t([\w.]+):\s*\{(Default:[^}]*|\{Default:.*\}),?\},?$", re.M)
SPEC = re.compile(r"\{([^{}]*Default:[^{}]*)\}")
NAMED = re.compile(r"(?m)^\s*(\w+)\s+(?:featuregate\.Feature\s*)?=?\s*(?:featuregate\.Feature)?\s*=?\s*\"(\w+)\"")


def read(root, pattern):
    return [open(path).read() for path in sorted(glob.glob(f"{root}/{pattern}"))]


def effective(body):
    best = None
    for spec in SPEC.findall(body):
        version = re.search(r"MustParse\(\"(\d+)\.(\d+)\"\)", spec)
        at = (int(version[1]), int(version[2])) if version else (0, 0)
        if at > VERSION or "MinCompatibilityVersion" in spec:
            continue
        if best is None or at >= best[0]:
            best = (at, "Default: true" in spec, "LockToDefault: true" in spec)
    return best


def main(root):
    names, gates = {}, {}
    texts = [t for p in SOURCES for t in read(root, p)]
    for text in texts:
        for ident, name in NAMED.findall(text):
            names[ident] = name
    for text in texts:
        for match in list(ENTRY.finditer(text)) + list(ONE_LINE.finditer(text)):
            ident = match[1].split(".")[-1]
            name = names.get(ident)
            found = effective(match[2] if "{" in match[2] else "{" + match[2] + "}")
            if name and found:
                gates[name] = found
    print("# Feature gates of kube-apiserver v1.35 (tools/featuregates): name, default, locked.")
    for name in sorted(gates):
        _, default, locked = gates[name]
        print("\t".join([name, "true" if default else "false"] + (["locked"] if locked else [])))


main(sys.argv[1])
