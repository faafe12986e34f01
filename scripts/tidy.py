#!/usr/bin/env python3
"""Runs clang-tidy over src/ within a time budget; scripts/lint.sh says which files, and in which order."""

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

BUILD = pathlib.Path("build/debug")
CACHE = pathlib.Path("build/tidy")
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.M)
EXTRA = ["--extra-arg=-Wno-unknown-warning-option", "--quiet"]


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


def prepare():
    """A compile database, and the generated headers that sources include."""
    done = run("cmake", "--preset", "debug")
    if done.returncode == 0:
        done = run("cmake", "--build", str(BUILD), "--target", "orch_generated")
    if done.returncode != 0:
        sys.exit("cannot prepare build/debug:\n" + (done.stdout + done.stderr)[-3000:])
    entries = json.loads((BUILD / "compile_commands.json").read_text())
    root = os.getcwd()
    files = {os.path.relpath(e["file"], root): e["command"] for e in entries}
    return {name: command for name, command in files.items() if name.startswith("src/")}


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
    """Digest of a source and of all project headers it includes, directly or not."""

    def __init__(self):
        self.includes = {}

    def closure(self, name, seen):
        if name in seen:
            return
        seen.add(name)
        if name not in self.includes:
            data = pathlib.Path(name).read_bytes()
            below = [os.path.normpath("src/" + m.decode()) for m in INCLUDE.findall(data)]
            self.includes[name] = (hashlib.sha256(data).digest(), [b for b in below if os.path.exists(b)])
        for below in self.includes[name][1]:
            self.closure(below, seen)

    def of(self, name, salt):
        seen = set()
        self.closure(name, seen)
        total = hashlib.sha256(salt)
        for each in sorted(seen):
            total.update(each.encode() + self.includes[each][0])
        return total.hexdigest()


def main():
    started = time.monotonic()
    tool = shutil.which("clang-tidy")
    if tool is None:
        sys.exit("clang-tidy is missing: scripts/deps.sh test")
    commands = prepare()
    everything = os.environ.get("TIDY") == "all"
    budget = float("inf") if everything else float(os.environ.get("TIDY_SECONDS", "360"))
    CACHE.mkdir(parents=True, exist_ok=True)
    salt = run(tool, "--version").stdout.encode() + pathlib.Path(".clang-tidy").read_bytes()
    digests = Digests()
    recent = changed()
    headers = {name for name in recent if name.startswith("src/") and name.endswith(".h")}
    commit = run("git", "rev-parse", "HEAD").stdout

    def rank(name):
        seen = set()
        digests.closure(name, seen)
        order = hashlib.sha256((commit + name).encode()).hexdigest()
        return (name not in recent, not (seen & headers), order)

    todo = []
    for name in sorted(commands, key=rank):
        stamp = CACHE / digests.of(name, salt + commands[name].encode())
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
            read.append(name)
            if done.returncode == 0 and not re.search(r"(warning|error):", done.stdout):
                stamp.touch()
            else:
                problems.append(done.stdout.strip() or done.stderr.strip())
                print(problems[-1], flush=True)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(tidy, todo))
    print(f"{len(read)} of {len(commands)} files read, {len(commands) - len(todo)} known to be clean, "
          f"{len(todo) - len(read)} left for another run; {len(problems)} with findings")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
