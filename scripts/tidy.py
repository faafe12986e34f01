#!/usr/bin/env python3
"""Runs clang-tidy over src/ within a time budget; scripts/lint.sh says which files, and in which order.

It reads the chunks that are compiled (cmake/unity.py): most of its time goes into headers.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import typing

BUILD = pathlib.Path("build/debug")
CACHE = pathlib.Path("build/tidy")
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.M)
# Chunks are there to include sources.
EXTRA = ["--extra-arg=-Wno-unknown-warning-option", "--checks=-bugprone-suspicious-include", "--quiet"]


class Chunk(typing.NamedTuple):
    command: str
    sources: list


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


def prepare():
    """A compile database, and the generated headers that sources include."""
    done = run("cmake", "--preset", "debug")
    if done.returncode == 0:
        done = run("cmake", "--build", str(BUILD), "--target", "orch_generated")
    if done.returncode != 0:
        sys.exit("cannot prepare build/debug:\n" + (done.stdout + done.stderr)[-3000:])
    found = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        name = os.path.relpath(os.path.join(entry["directory"], entry["file"]))
        if name.startswith("src/"):
            found[name] = Chunk(entry["command"], [name])
        elif "/unity/orch_" in name:
            found[name] = Chunk(entry["command"], sources_of(pathlib.Path(name).read_bytes()))
    return found


def sources_of(text):
    """What the #include lines of our own name."""
    return [os.path.normpath("src/" + m.decode()) for m in INCLUDE.findall(text)]


def changed():
    """Files changed since the branch left main, or by the last commit when this is main."""
    for branch in ("origin/main", "main"):
        base = run("git", "merge-base", "HEAD", branch).stdout.strip()
        if base:
            break
    head = run("git", "rev-parse", "HEAD").stdout.strip()
    if not base or base == head:
        base = "HEAD~1"
    names = run("git", "diff", "--name-only", base).stdout.split()
    return set(names) | set(run("git", "ls-files", "--others", "--exclude-standard").stdout.split())


class Digests:
    """Digest of sources and of all project headers they include, directly or not."""

    def __init__(self):
        self.includes = {}

    def closure(self, name, seen):
        if name in seen:
            return
        seen.add(name)
        if name not in self.includes:
            data = pathlib.Path(name).read_bytes()
            self.includes[name] = (hashlib.sha256(data).digest(), list(filter(os.path.exists, sources_of(data))))
        for below in self.includes[name][1]:
            self.closure(below, seen)

    def closures(self, names):
        seen = set()
        for name in names:
            self.closure(name, seen)
        return seen

    def of(self, names, salt):
        seen = self.closures(names)
        total = hashlib.sha256(salt)
        for each in sorted(seen):
            total.update(each.encode() + self.includes[each][0])
        return total.hexdigest()


def main():
    started = time.monotonic()
    tool = shutil.which("clang-tidy")
    if tool is None:
        sys.exit("clang-tidy is missing: scripts/deps.sh test")
    chunks = prepare()
    everything = os.environ.get("TIDY") == "all"
    budget = float("inf") if everything else float(os.environ.get("TIDY_SECONDS", "360"))
    CACHE.mkdir(parents=True, exist_ok=True)
    salt = run(tool, "--version").stdout.encode() + pathlib.Path(".clang-tidy").read_bytes()
    digests = Digests()
    recent = changed()
    headers = {name for name in recent if name.startswith("src/") and name.endswith(".h")}
    commit = run("git", "rev-parse", "HEAD").stdout

    def rank(name):
        sources = chunks[name].sources
        order = hashlib.sha256((commit + name).encode()).hexdigest()
        return (recent.isdisjoint(sources), not (digests.closures(sources) & headers), order)

    todo = []
    for name in sorted(chunks, key=rank):
        stamp = CACHE / digests.of(chunks[name].sources, salt + chunks[name].command.encode())
        if not stamp.exists():
            todo.append((name, stamp))
    lock = threading.Lock()
    problems, read = [], []

    def tidy(item):
        name, stamp = item
        if time.monotonic() - started > budget:
            return
        done = run(tool, "-p", str(BUILD), *EXTRA, name)
        with lock:
            read.extend(chunks[name].sources)
            if done.returncode == 0 and not re.search(r"(warning|error):", done.stdout):
                stamp.touch()
            else:
                problems.append(done.stdout.strip() or done.stderr.strip())
                print(problems[-1], flush=True)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(tidy, todo))
    total = sum(len(c.sources) for c in chunks.values())
    due = sum(len(chunks[name].sources) for name, _ in todo)
    print(f"{len(read)} of {total} files read, {total - due} known to be clean, "
          f"{due - len(read)} left for another run; {len(problems)} chunks with findings")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
