#!/usr/bin/env python3
"""Kills `orch server` again and again under writers and watchers, and proves that nothing was lost.

Prints lines "ok NAME" and "not ok NAME"; what the actors saw is left in the folder. See docs/testing.md.
"""
import argparse
import glob
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time

from faultlib import actors, records
from faultlib.actors import Plan, Watching, Writer
from faultlib.api import Api, Credentials
from faultlib.checker import Watcher, check, everything
from faultlib.server import OlderCopy, PowerDisk, Server, cut_log

WRITERS, PER_PROCESS = 16, 4
PAUSE = 0.012  # mean, seconds between two requests of a writer
LEASE_PAUSE = 0.05

# The first two never have a gap: by them every other is judged.
PLANS = [
    Plan("resume", "configmaps", "resume", False, 0, 0, ""),
    Plan("resume-bookmarks", "configmaps", "resume", True, 4, 0, ""),
    Plan("resume-often", "configmaps", "resume", True, 0, 300, ""),
    Plan("resume-odd", "configmaps", "resume", True, 3, 0, "half=odd"),
    Plan("list-watch", "configmaps", "list", False, 0, 0, ""),
    Plan("list-watch-odd", "configmaps", "list", True, 0, 400, "half=odd"),
    Plan("stream", "configmaps", "initial", True, 0, 0, ""),
    Plan("stream-short", "configmaps", "initial", True, 2, 0, ""),
    Plan("leases", "leases", "resume", False, 0, 0, ""),
]
SHARED = [f"shared-{i}" for i in range(40)]


def say(fine, name, why="", title="crash"):
    print(f"{'ok' if fine else 'not ok'} {title}: {name}", flush=True)
    if why and not fine:
        print("\n".join("  # " + line for line in str(why).splitlines()), flush=True)
    return fine


def run_writers(first, credentials, folder, stop):
    crew = [Writer(f"w{i:02}", credentials, folder, stop, "configmaps",
                   SHARED + [f"own-{i:02}-{j}" for j in range(10)], PAUSE) for i in range(first, first + PER_PROCESS)]
    if first == 0:
        # Their revisions are of the same sequence, though they are never on the disk.
        crew += [Writer(f"lease{i}", credentials, folder, stop, "leases",
                        [f"fault-{i}", "fault-shared"], LEASE_PAUSE) for i in range(2)]
    run(crew)


def run_watchers(plans, credentials, folder, stop, goals):
    run([Watching(plan, credentials, folder, stop, goals[plan.kind]) for plan in plans])


def run(crew):
    for actor in crew:
        actor.start()
    for actor in crew:
        actor.join()


class Scene:
    """A server with writers and watchers in processes of their own, so that Python keeps up with it."""

    def __init__(self, args, folder, power=False):
        shutil.rmtree(folder, ignore_errors=True)
        self.seen = f"{folder}/seen"
        os.makedirs(self.seen)
        self.server = Server(args.orch, folder, args.port)
        self.disk = PowerDisk(folder, self.server.data) if power else None
        self.random = random.Random(args.seed)
        context = multiprocessing.get_context("fork")
        self.stop_writing, self.stop_watching = context.Event(), context.Event()
        self.goals = {kind: context.Value("q", 0, lock=False) for kind in ("configmaps", "leases")}
        self.context = context
        self.writers, self.watchers = [], []
        self.kills = {"in use": 0, "starting": 0}
        self.starts = []

    def begin(self):
        self.server.start()
        self.first_start = self.server.wait_ready()
        self.credentials = Credentials(self.server.kubeconfig, self.seen)
        api = Api(self.credentials)
        code, answer = api.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                                                                  "metadata": {"name": actors.NAMESPACE}})
        if code != 201:
            raise RuntimeError(f"creating a namespace: {code} {answer}")
        api.close()
        for first in range(0, WRITERS, PER_PROCESS):
            self.writers.append(self.context.Process(
                daemon=True, target=run_writers, args=(first, self.credentials, self.seen, self.stop_writing)))
        for part in (PLANS[0::3], PLANS[1::3], PLANS[2::3]):
            self.watchers.append(self.context.Process(
                daemon=True, target=run_watchers, args=(part, self.credentials, self.seen, self.stop_watching, self.goals)))
        # Watchers first: what was written before the first list is not judged.
        for process in self.watchers:
            process.start()
        time.sleep(0.5)
        for process in self.writers:
            process.start()

    def kill_in_use(self):
        time.sleep(self.random.uniform(0.05, 2.0))
        self.server.kill()
        if self.disk:
            self.disk.cut()
        self.kills["in use"] += 1

    def start(self):
        self.server.start()
        self.starts.append(self.server.wait_ready())

    def start_and_kill(self):
        self.server.start()
        usual = sorted(self.starts or [self.first_start])[len(self.starts) // 2]
        time.sleep(self.random.uniform(0, 1.2 * usual))
        self.server.kill()
        self.kills["starting"] += 1

    def finish(self):
        """Ends the writers, lets the watchers come to the end of what was written, and lists it once more."""
        self.stop_writing.set()
        for process in self.writers:
            process.join(60)
        recorder = records.Recorder(f"{self.seen}/last.jsonl")
        for kind, key in (("configmaps", "shared-last-1"), ("leases", "fault-last")):
            writer = Writer("last-" + kind, self.credentials, self.seen, None, kind, [key], 0)
            writer.record, writer.known = recorder, {key: None}
            writer.create(key)
            writer.api.close()
            self.goals[kind].value = writer.known[key].revision
        recorder.close()
        for process in self.watchers:
            process.join(90)
        self.stop_watching.set()
        for process in self.watchers:
            process.join(30)
        final = Watching(Plan("final", "configmaps", "list", False, 0, 0, ""), self.credentials, self.seen,
                         self.stop_watching, self.goals["configmaps"])
        final.list()
        final.record.close()
        final.api.close()
        return self.server.stop()

    def end(self):
        self.stop_writing.set()
        self.stop_watching.set()
        for process in self.writers + self.watchers:
            process.join(10)
            if process.is_alive():
                process.kill()
        self.server.close()
        if self.disk:
            self.disk.close()

    def judge(self):
        plans = PLANS + [Plan("final", "configmaps", "list", False, 0, 0, "")]
        watchers = {}
        for plan in plans:
            watchers[plan.name] = Watcher(plan.kind, actors.selects(plan) or everything, plan.kind != "leases",
                                          records.read(f"{self.seen}/{plan.name}.jsonl"))
        writers = {}
        for path in sorted(glob.glob(f"{self.seen}/*.jsonl")):
            name = os.path.basename(path)[:-len(".jsonl")]
            if name not in watchers and not name.startswith("last-"):
                writers[name] = records.read(path)
        return check(writers, watchers)

    def strange(self):
        lines = []
        for path in sorted(glob.glob(f"{self.seen}/*.odd")):
            with open(path, encoding="utf-8") as file:
                lines += [f"{os.path.basename(path)[:-4]}: {line.strip()[:300]}" for line in file]
        return lines


RULES = [
    ("lost", "no acknowledged write is lost"),
    ("revision", "no revision is reused or goes backwards, leases in memory included"),
    ("missed", "no watch event is missed"),
    ("repeated", "no watch event is repeated, no write takes effect twice"),
    ("differs", "all watchers saw the same history"),
    ("phantom", "nothing happened that nobody wrote"),
    ("content", "every object is what the writes make of it; conditions held"),
    ("stale", "every read and list has what was known before it"),
    ("expired", "every watch of config maps could resume"),
    ("unproved", "the records reach from the first to the last write"),
]


def crash(args):
    scene = Scene(args, f"{args.dir}/crash")
    begun = time.monotonic()

    def rounds():
        for _ in range(args.rounds):
            # A round is one kill. A quarter of them hit a server that has not come up yet.
            if scene.server.process.poll() is None:
                scene.kill_in_use()
            elif scene.random.random() < 0.25:
                scene.start_and_kill()
                continue
            else:
                scene.start()
                scene.kill_in_use()

    fine, figures = play(scene, rounds, "kill", "crash")
    if not figures:
        return False
    seconds = time.monotonic() - begun
    starts = sorted(scene.starts)
    print(f"# {args.rounds} rounds in {seconds:.0f} s: killed {scene.kills['in use']} times in use, "
          f"{scene.kills['starting']} times while starting; back after {starts[len(starts) // 2]:.2f} s "
          f"(median), {starts[-1]:.2f} s (longest)")
    print(f"# writes: {figures['ok']} acknowledged, {figures['refused']} refused, {figures['doubt']} in doubt; "
          f"{figures['reads']} reads; history of {figures['history']} events, {figures['events']} seen in "
          f"{figures['watches']} watches; {figures['lists']} lists, {figures['bookmarks']} bookmarks, "
          f"{figures['expired']} expired", flush=True)
    return fine


def play(scene, rounds, what, title):
    """The scene from its beginning to the judgement: (whether all is well, figures or None)."""
    try:
        scene.begin()
        rounds()
        scene.start()
        time.sleep(0.5)
        code = scene.finish()
    except RuntimeError as error:
        return say(False, f"the server comes back after every {what}", error, title), None
    finally:
        scene.end()
    say(True, f"the server comes back after every {what}", "", title)
    fine = say(code == 0, "the server ends in order", f"exit code {code}", title)
    violations, figures = scene.judge()
    for rule, name in RULES:
        fine &= say(rule not in figures["violations"], name,
                    "\n".join(v.text for v in violations if v.rule == rule), title)
    odd = scene.strange()
    fine &= say(not odd, "every answer was one to expect", "\n".join(odd[:20]), title)
    return fine, figures


def power(args):
    """The same with the power of the disk cut instead: what was not flushed is gone."""
    if os.geteuid() != 0:
        print("# no right to mount: power cuts not tested")
        return True
    scene = Scene(args, f"{args.dir}/power", power=True)

    def rounds():
        scene.kill_in_use()
        # That it is a power cut: what nobody flushed does not survive one.
        unflushed = f"{scene.server.data}/unflushed"
        with open(unflushed, "w", encoding="utf-8") as file:
            file.write("gone")
        scene.disk.cut()
        if os.path.exists(unflushed) and os.path.getsize(unflushed):
            raise RuntimeError("the disk kept what was not flushed: this is no power cut")
        for _ in range(args.power - 1):
            scene.start()
            scene.kill_in_use()

    fine, figures = play(scene, rounds, "power cut", "power")
    if figures:
        print(f"# {args.power} power cuts: {figures['ok']} writes acknowledged, {figures['doubt']} in doubt; history "
              f"of {figures['history']} events, {figures['events']} seen")
    return fine


def broken(args, name, wanted, harm):
    """The same scene with a store that is harmed between two kills: the checker has to say so."""
    scene = Scene(args, f"{args.dir}/broken-{name}")
    try:
        scene.begin()
        harm(scene)
        time.sleep(1.0)
        scene.finish()
    except RuntimeError as error:
        return say(False, f"the checker notices {name}", error)
    finally:
        scene.end()
    violations, figures = scene.judge()
    found = figures["violations"]
    print(f"# {name}: {found}; {next((v.text for v in violations if v.rule in wanted), '')}")
    return say(all(rule in found for rule in wanted), f"the checker notices {name}", f"it says {found}")


def harm_by_copy(scene):
    scene.kill_in_use()
    older = OlderCopy(scene.server)
    older.take()
    scene.start()
    time.sleep(1.0)
    scene.server.kill()
    older.put_back()
    scene.start()


def harm_by_cut(scene):
    time.sleep(1.5)
    scene.server.kill()
    if cut_log(scene.server, 5) == 0:
        raise RuntimeError("the log had nothing to lose")
    scene.start()


def first_starts(args):
    """The very first start, which makes keys and certificates, is cut off at any moment."""
    fine = True
    chance = random.Random(args.seed)
    usual = 0.0
    for number in range(args.first_starts + 1):
        folder = f"{args.dir}/first"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        server = Server(args.orch, folder, args.port)
        # Every other time with the power of the disk.
        disk = PowerDisk(folder, server.data) if number % 2 and os.geteuid() == 0 else None
        try:
            server.start()
            if number == 0:
                usual = server.wait_ready()
            else:
                time.sleep(chance.uniform(0, usual))
            server.kill()
            if disk:
                disk.cut()
            server.start()
            server.wait_ready()
            Api(Credentials(server.kubeconfig, folder)).request("GET", "/api/v1/namespaces")
            if server.stop() != 0:
                raise RuntimeError("it did not end in order")
        except (RuntimeError, OSError, ValueError) as error:
            fine = say(False, f"a first start that was cut off ({number})", error)
            break
        finally:
            server.close()
            if disk:
                disk.close()
    if fine:
        say(True, f"a first start that is cut off can be repeated ({args.first_starts} times)")
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orch", default=os.environ.get("ORCH", "build/release/orch"))
    parser.add_argument("--dir", required=True, help="a folder on a disk; what is in it is deleted")
    parser.add_argument("--port", type=int, default=17443)
    parser.add_argument("--rounds", type=int, default=0, help="kills")
    parser.add_argument("--power", type=int, default=0, help="power cuts of the disk; as root")
    parser.add_argument("--first-starts", type=int, default=0)
    parser.add_argument("--broken", action="store_true", help="show that the checker notices a broken store")
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    # When a time limit ends this, what was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.seed is None:
        args.seed = random.randrange(1 << 30)
        print(f"# seed {args.seed}")
    fine = True
    if args.broken:
        fine &= broken(args, "a store put back to an older copy", ["lost", "revision"], harm_by_copy)
        fine &= broken(args, "a log that lost its last commits", ["lost"], harm_by_cut)
    if args.first_starts:
        fine &= first_starts(args)
    if args.power:
        fine &= power(args)
    if args.rounds:
        fine &= crash(args)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
