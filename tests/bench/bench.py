"""The benches of scripts/bench.sh: drives the load programs and judges the figures."""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import extensions
import schedperf
import workloads
from figures import alternate, at_least, judged, median, rates, ratio
from sides import (
    DIR,
    HELLO,
    IMAGE,
    LAB,
    Node,
    Orch,
    Peer,
    Running,
    TOOLS,
    children,
    cpu_seconds,
    fail,
    file_states,
    pss_kb,
    run,
    say,
    status_kb,
    tool,
    wait_ready,
    written_bytes,
)


# --- The benches -------------------------------------------------------------------------------------


def footprint(_):
    seconds = 120
    node = Node()
    node.stop()
    node.start()
    try:
        time.sleep(120)
        pid = node.pids()[0]
        before = cpu_seconds(pid), written_bytes(pid), file_states(node.dir)
        time.sleep(seconds)
        cpu = (cpu_seconds(pid) - before[0]) / seconds * 100
        written = written_bytes(pid) - before[1]
        after = file_states(node.dir)
        changed = sorted(p.replace(node.dir + "/", "") for p in after if after[p] != before[2].get(p))
        # Containerd keeps its own books; what Orch itself wrote is counted by the kernel.
        figures = {"resident_mb": round(status_kb(pid, "VmRSS") / 1000, 1), "pss_mb": round(pss_kb(pid) / 1000, 1),
                   "anonymous_mb": round(status_kb(pid, "RssAnon") / 1000, 1), "cpu_percent": round(cpu, 3),
                   "written_bytes": written, "files_changed": changed[:10], "threads": len(os.listdir(f"/proc/{pid}/task")),
                   "containerd_resident_mb": [round(status_kb(c, "VmRSS") / 1000, 1) for c in children(pid)]}
    finally:
        node.stop()
    return {"figures": figures, "budget": {"resident_mb": 45, "cpu_percent": 0.3, "written_bytes": 0},
            "pass": figures["resident_mb"] <= 45 and cpu <= 0.3 and written == 0}


def start(options):
    first, second = [], []
    for number in range(options.rounds):
        side = Orch(f"{DIR}/start-{number}")
        shutil.rmtree(side.dir, ignore_errors=True)
        for out in (first, second):
            side.spawn()
            out.append(wait_ready(side.host, side.port, side.process))
            side.stop()
        shutil.rmtree(side.dir, ignore_errors=True)
    figures = {"first_seconds": round(max(first), 3), "second_seconds": round(max(second), 3)}
    return {"figures": figures, "budget": {"first_seconds": 3, "second_seconds": 1},
            "pass": figures["first_seconds"] <= 3 and figures["second_seconds"] <= 1}


def create(options):
    out = {}
    with Running(options) as sides:
        for side in sides:
            side.ensure_namespace("bench")
        for connections, budget in ((64, 4), (1, 2)):
            runs = alternate(sides, options.rounds, lambda side, n: tool(
                "http_load", *side.target(), "--create", "bench", "--prefix", f"c{connections}-{n}-",
                "--connections", connections, "--seconds", options.seconds))
            out[f"connections_{connections}"] = {**rates(runs), "at_least": budget}
    passed = [at_least(f["ratio"], f["at_least"]) for f in out.values()]
    return {"figures": out, "budget": {"ratio_64": 4, "ratio_1": 2}, "pass": None if None in passed else all(passed)}


def fill(side, count, size):
    """`count` config maps of `size` bytes; bytes of the resident memory that they took."""
    side.ensure_namespace("full")
    time.sleep(2)
    before = side.resident_kb()
    tool("http_load", *side.target(), "--create", "full", "--prefix", "full-", "--connections", 16, "--requests", count,
         "--size", size)
    time.sleep(10)
    return (side.resident_kb() - before) * 1024


def get(options):
    with Running(options) as sides:
        for side in sides:
            fill(side, 10000, 900)
        runs = alternate(sides, options.rounds, lambda side, n: tool(
            "http_load", *side.target(), "--path", "/api/v1/namespaces/full/configmaps/full-{}", "--count", 10000,
            "--seconds", options.seconds))
    return judged(rates(runs), 4)


def list_(options):
    memory = {}
    with Running(options) as sides:
        for side in sides:
            memory[side.name] = fill(side, 10000, 900) / 10000
        api = sides[0].api()
        size = len(json.dumps(api.call("GET", "/api/v1/namespaces/full/configmaps/full-1"), separators=(",", ":")))
        runs = alternate(sides, options.rounds, lambda side, n: tool(
            "http_load", *side.target(), "--path", "/api/v1/namespaces/full/configmaps", "--connections", 1,
            "--requests", 20))
    time_of = {name: round(median(r["p50_ms"] for r in all), 1) for name, all in runs.items()}
    per_object = round(memory["orch"])
    figures = {"list_ms": time_of, "ratio": ratio(time_of, "less"), "object_bytes": size,
               "memory_per_object": {n: round(m) for n, m in memory.items()}}
    budget = {"ratio": 4, "memory_per_object": 2 * size + 400}
    fast = at_least(figures["ratio"], 4)
    return {"figures": figures, "budget": budget,
            "pass": False if per_object > budget["memory_per_object"] else fast}


def watch(options):
    with Running(options) as sides:
        for side in sides:
            side.ensure_namespace("bench")
        runs = alternate(sides, options.rounds, lambda side, n: tool(
            "watch", *side.target(), "--namespace", "bench", "--prefix", f"watch{n}-", "--events", 250))
    for name, all in runs.items():
        if any(r["received"] != r["events"] * r["watchers"] for r in all):
            fail(f"watchers of {name} missed events")
    p50 = {name: median(r["p50_ms"] for r in all) for name, all in runs.items()}
    figures = {"p50_ms": p50, "p99_ms": {n: median(r["p99_ms"] for r in a) for n, a in runs.items()},
               "ratio": ratio(p50, "less")}
    return judged(figures, 2)


def watches(_):
    count, idle_seconds = 5000, 65  # bookmarks would be due after 60
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    side = Orch()
    shutil.rmtree(side.dir, ignore_errors=True)
    side.start()
    program = None
    try:
        side.ensure_namespace("bench")
        pid = side.process.pid
        threads = lambda: len(os.listdir(f"/proc/{pid}/task"))
        command = [f"{TOOLS}/bench_watches", *side.target(), "--namespace", "bench", "--watchers"]
        run(*command, "10", stdin=subprocess.DEVNULL)  # what the first watch touches is not counted
        time.sleep(10)  # threads that have nothing to do end
        before = side.resident_kb(), threads()
        program = subprocess.Popen([*command, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        opened = json.loads(program.stdout.readline() or fail("the watches could not be opened"))
        time.sleep(10)
        cpu = cpu_seconds(pid)
        time.sleep(idle_seconds)
        cpu = (cpu_seconds(pid) - cpu) / idle_seconds * 100
        after = side.resident_kb(), threads()
        reached = json.loads(program.communicate(timeout=120)[0])["reached"]
        time.sleep(10)
        left = side.resident_kb()
    finally:
        if program is not None:
            program.kill()
        side.stop()
    more = (after[0] - before[0]) * 1024
    figures = {"watches": count, "resident_mb": {name: round(kb * 1024 / 1e6, 1) for name, kb in
                                                 (("before", before[0]), ("watching", after[0]), ("closed", left))},
               "more_mb": round(more / 1e6, 1), "bytes_per_watch": round(more / count),
               "threads": {"before": before[1], "watching": after[1]}, "idle_cpu_percent": round(cpu, 3),
               "open_seconds": opened["open_seconds"], "reached": reached}
    return {"figures": figures, "budget": {"more_mb": 60, "more_threads": 0},
            "pass": figures["more_mb"] <= 60 and after[1] <= before[1] and reached == count}


def schedule(options):
    speed, memory, created = {}, {}, {}
    # One after the other: a thousand nodes keep either side's controllers busy.
    for make in [Orch] + ([Peer] if options.peer else []):
        side = make()
        shutil.rmtree(side.dir, ignore_errors=True)
        side.start()
        try:
            side.ensure_namespace("bench")
            run_ = tool("schedule", *side.target(), "--namespace", "bench", "--nodes", options.nodes, "--pods", options.pods)
            speed[side.name], created[side.name] = run_["pods_per_second"], run_["created_seconds"]
            memory[side.name] = round(side.resident_kb() / 1000)
        finally:
            side.stop()
    figures = {"pods_per_second": speed, "created_seconds": created, "resident_mb": memory, "ratio": ratio(speed)}
    return judged(figures, 5)


def wait_phase(api, path, phase, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        pod = api.call("GET", path)
        if pod["status"].get("phase") == phase:
            return pod
        time.sleep(0.05)
    fail(f"{path} is not {phase} in time")


def pod(name, image, command=None, port=None, labels=None):
    container = {"name": "c", "image": image, "imagePullPolicy": "IfNotPresent"}
    if command:
        container["command"] = command
    if port:
        container["ports"] = [{"containerPort": port}]
    return {"metadata": {"name": name, "labels": labels or {}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}


def need_images():
    run("scripts/images.sh", "--output", "build/images")
    LAB["LAB_IMAGES"] = os.path.abspath("build/images")


def podstart(options):
    need_images()
    node = Node()
    node.stop()
    node.start()
    count = 5
    try:
        node.ensure_namespace("bench")
        api, other = node.api(), node.api()
        pods = "/api/v1/namespaces/bench/pods"
        running = {}
        told = threading.Event()

        def follow():
            told.set()
            for event in other.events(pods + "?watch=1"):
                if event["object"]["status"].get("phase") == "Running":
                    running.setdefault(event["object"]["metadata"]["name"], time.monotonic())

        threading.Thread(target=follow, daemon=True).start()
        told.wait()
        time.sleep(0.5)

        def one(name):
            begin = time.monotonic()
            api.call("POST", pods, pod(name, IMAGE, ["sleep", "600"]))
            while name not in running:
                if time.monotonic() > begin + 60:
                    fail(f"pod {name} does not run: see {node.dir}/agent.log")
                time.sleep(0.0005)
            taken = running[name] - begin
            api.call("DELETE", f"{pods}/{name}", {"gracePeriodSeconds": 0})
            time.sleep(1)
            return taken

        def bare(n):
            found = run(*node.enter("find", "/run", "-name", "containerd.sock", "-type", "s")).split()
            endpoint = "unix://" + found[0]
            return json.loads(run(*node.enter(f"{TOOLS}/bench_bare_cri", "--endpoint", endpoint, "--image", IMAGE,
                                              "--command", "sleep 600", "--pods", str(n))))["p50_ms"]

        one("warm")
        bare(1)
        times, bares = [], []
        for number in range(options.rounds):
            times += [one(f"start-{number}-{i}") * 1000 for i in range(count)]
            bares.append(bare(count))
    finally:
        node.stop()
    figures = {"running_ms": round(median(times), 1), "bare_cri_ms": round(median(bares), 1)}
    figures["ratio"] = round(figures["running_ms"] / figures["bare_cri_ms"], 2)
    return {"figures": figures, "budget": {"ratio": 1.4}, "pass": figures["ratio"] <= 1.4}


def servicelatency(options):
    need_images()
    node = Node()
    node.stop()
    node.start()
    try:
        node.ensure_namespace("bench")
        api = node.api()
        base = "/api/v1/namespaces/bench"
        # Requests: a web server behind a service, by its own address and by the cluster's.
        api.call("POST", base + "/pods", pod("web", HELLO, port=8080, labels={"app": "web"}))
        service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}
        cluster_ip = api.call("POST", base + "/services", service)["spec"]["clusterIP"]
        pod_ip = wait_phase(api, base + "/pods/web", "Running")["status"]["podIP"]
        time.sleep(2)
        costs = [json.loads(run(*node.enter(f"{TOOLS}/bench_connect", "--a", f"{pod_ip}:8080", "--b", f"{cluster_ip}:80",
                                            "--requests", "1000"))) for _ in range(options.rounds)]
        # Changes: a slice of our own, whose endpoint moves; nft tells what the kernel has been given.
        api.call("POST", base + "/services", {"metadata": {"name": "moving"}, "spec": {"ports": [{"port": 80}]}})
        slices = "/apis/discovery.k8s.io/v1/namespaces/bench/endpointslices"
        slice_ = {"metadata": {"name": "moving-1", "labels": {"kubernetes.io/service-name": "moving"}},
                  "addressType": "IPv4", "ports": [{"port": 8080, "name": ""}],
                  "endpoints": [{"addresses": ["10.99.0.1"], "conditions": {"ready": True}}]}
        slice_ = api.call("POST", slices, slice_)
        monitor = subprocess.Popen(node.enter("nft", "-n", "monitor"), stdout=subprocess.PIPE, text=True)
        seen = {}

        def follow():
            for line in monitor.stdout:
                now = time.monotonic()
                for address in re.findall(r"10\.99\.1\.\d+", line):
                    seen.setdefault(address, now)

        threading.Thread(target=follow, daemon=True).start()
        time.sleep(1)
        delays, writes = [], []
        for i in range(1, 51):
            address = f"10.99.1.{i}"
            slice_["endpoints"][0]["addresses"] = [address]
            begin = time.monotonic()
            slice_ = api.call("PUT", slices + "/moving-1", slice_)
            writes.append((time.monotonic() - begin) * 1000)
            while address not in seen:
                if time.monotonic() > begin + 10:
                    fail(f"the endpoint {address} did not reach nftables")
                time.sleep(0.0005)
            delays.append((seen[address] - begin) * 1000)
            time.sleep(0.1)
        monitor.send_signal(signal.SIGTERM)
    finally:
        node.stop()
    delays.sort()
    figures = {"change_p50_ms": round(median(delays), 1), "change_max_ms": round(delays[-1], 1),
               "write_p50_ms": round(median(writes), 1), "write_max_ms": round(max(writes), 1),
               "direct_p50_ms": median(c["a_p50_ms"] for c in costs), "cluster_ip_p50_ms": median(c["b_p50_ms"] for c in costs),
               "cost_ratio": round(median(c["ratio"] for c in costs), 3)}
    return {"figures": figures, "budget": {"change_max_ms": 50, "cost_ratio": 1.1},
            "pass": figures["change_max_ms"] <= 50 and figures["cost_ratio"] <= 1.1}


BENCHES = {"footprint": footprint, "start": start, "create": create, "get": get, "list": list_, "watch": watch,
           "watches": watches, "schedule": schedule, "podstart": podstart, "servicelatency": servicelatency,
           **workloads.BENCHES, **extensions.BENCHES}
# Asked for by name alone: they take their time.
LONG = {**schedperf.BENCHES, **workloads.LONG}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench.sh")
    parser.add_argument("names", nargs="+", choices=[*BENCHES, *LONG, "all"], metavar="NAME")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of one run of a load")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--workload", action="append", help="of schedperf; may be given more than once (all)")
    parser.add_argument("--share", type=int, default=1, help="schedperf with only one in so many pods")
    options = parser.parse_args()
    os.makedirs(DIR, exist_ok=True)
    bad = 0
    for name in BENCHES if "all" in options.names else options.names:
        say(name)
        try:
            result = {"bench": name, **{**BENCHES, **LONG}[name](options)}
        except SystemExit:  # what was wrong is on stderr; the others are measured all the same
            result = {"bench": name, "pass": False}
        print(json.dumps(result), flush=True)
        bad += result["pass"] is False
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
