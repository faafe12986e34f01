"""What the benches measure: processes, control planes and nodes, started, asked and stopped."""

import base64
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time

ORCH = os.path.abspath(os.environ.get("ORCH", "build/release/orch"))
TOOLS = os.path.abspath(os.environ.get("BENCH_TOOLS", "build/release"))
DIR = os.path.abspath(os.environ.get("BENCH_DIR", "build/bench"))
PORT = int(os.environ.get("BENCH_PORT", "20200"))
LAB = dict(os.environ, LAB_NAME=os.environ.get("LAB_NAME", "orch-bench"), LAB_DIR=DIR + "/lab", ORCH=ORCH)
IMAGE = "docker.io/library/busybox:1.36"
HELLO = "docker.io/library/orch-hello:1"


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def fail(text):
    say("error: " + text)
    sys.exit(1)


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        fail(f"{' '.join(command[:3])}: {done.stderr.strip()[-500:]}")
    return done.stdout


def tool(name, *arguments):
    """One of the load programs; its figures."""
    figures = json.loads(run(f"{TOOLS}/bench_{name}", *map(str, arguments)))
    if figures.get("errors"):
        fail(f"{name}: {figures['errors']} requests failed")
    return figures


# --- Processes ---------------------------------------------------------------------------------------


def status_kb(pid, key):
    with open(f"/proc/{pid}/status") as file:
        found = re.search(rf"^{key}:\s+(\d+) kB", file.read(), re.M)
    return int(found.group(1)) if found else 0


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def written_bytes(pid):
    with open(f"/proc/{pid}/io") as file:
        return int(re.search(r"^write_bytes: (\d+)", file.read(), re.M).group(1))


def children(pid):
    out = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    if file.read().rsplit(")", 1)[1].split()[1] == str(pid):
                        out.append(int(entry))
            except OSError:
                continue
    return out


def file_states(folder):
    out = {}
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                info = os.stat(os.path.join(base, name))
                out[os.path.join(base, name)] = (info.st_mtime_ns, info.st_size)
            except OSError:
                continue
    return out


# --- What is measured --------------------------------------------------------------------------------


class Api:
    """A way to the API for what is not timed, or not to the tenth of a millisecond."""

    def __init__(self, host, port, certificate, key):
        self.where = (host, port)
        self.context = ssl._create_unverified_context()
        self.context.load_cert_chain(certificate, key)
        self.connection = None

    def call(self, method, path, body=None, accept=(200, 201)):
        text = None if body is None else json.dumps(body)
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(*self.where, context=self.context, timeout=60)
        self.connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status not in accept:
            fail(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content) if content[:1] == b"{" else content

    def events(self, path):
        """Of a watch, as they come."""
        connection = http.client.HTTPSConnection(*self.where, context=self.context, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        while line := answer.readline():
            yield json.loads(line)


class Side:
    """A control plane: where it is and which processes it consists of."""

    name = ""
    host, port = "127.0.0.1", 0
    certificate = key = ""

    def target(self):
        return ["--server", f"{self.host}:{self.port}", "--certificate", self.certificate, "--key", self.key]

    def api(self):
        return Api(self.host, self.port, self.certificate, self.key)

    def resident_kb(self):
        return sum(status_kb(pid, "VmRSS") for pid in self.pids())

    def ensure_namespace(self, name):
        api = self.api()
        api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, (201, 409))
        for _ in range(200):  # the default account comes with the controllers; without them, none is asked for
            found = api.call("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default", accept=(200, 404))
            if found.get("kind") == "ServiceAccount":
                return
            time.sleep(0.1)
        fail(f"no default service account in {name} of {self.name}")


def admin_of(kubeconfig, folder):
    """Certificate and key of a kubeconfig, as files."""
    with open(kubeconfig) as file:
        text = file.read()
    out = []
    for member, name in (("client-certificate-data", "admin.crt"), ("client-key-data", "admin.key")):
        path = f"{folder}/{name}"
        with open(path, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(base64.b64decode(re.search(member + r":\s*\"?([A-Za-z0-9+/=]+)", text).group(1)))
        out.append(path)
    return out


class Orch(Side):
    """The server without a node."""

    name = "orch"

    def __init__(self, folder=None, port=PORT, flags=()):
        self.dir, self.port, self.flags = folder or DIR + "/orch", port, flags
        self.process = None

    def command(self):
        return [ORCH, "server", "--disable-agent", "--data-dir", self.dir, "--bind-address", "127.0.0.1",
                "--https-listen-port", str(self.port), "--write-kubeconfig", self.dir + "/kubeconfig.yaml", *self.flags]

    def spawn(self):
        os.makedirs(self.dir, exist_ok=True)
        with open(self.dir + "/orch.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)

    def start(self):
        self.spawn()
        wait_ready(self.host, self.port, self.process)
        while not os.path.exists(self.dir + "/kubeconfig.yaml"):
            time.sleep(0.01)
        self.certificate, self.key = admin_of(self.dir + "/kubeconfig.yaml", self.dir)
        return self

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pids(self):
        return [self.process.pid]


class Peer(Side):
    name = "peer"

    def __init__(self, folder=None, port=PORT + 10, part="all", api_flags=""):
        self.dir, self.port, self.part, self.api_flags = folder or DIR + "/peer", port, part, api_flags
        self.certificate, self.key = self.dir + "/admin.crt", self.dir + "/admin.key"

    def script(self, *arguments):
        run("scripts/peer.sh", *arguments, env=dict(os.environ, PEER_PORT=str(self.port), PEER_API_FLAGS=self.api_flags))

    def start(self):
        self.script("up", self.dir, self.part)
        return self

    def stop(self):
        self.script("down", self.dir)

    def pids(self):
        out = []
        for name in ("etcd", "apiserver", "controllers", "scheduler"):
            if os.path.exists(f"{self.dir}/{name}.pid"):
                with open(f"{self.dir}/{name}.pid") as file:
                    out.append(int(file.read()))
        return out


class Node(Side):
    """A server with its node, in namespaces of its own."""

    name = "orch"

    def __init__(self):
        net = os.environ.get("LAB_NET", "192.168.77")
        self.host, self.port, self.dir = net + ".10", 6443, LAB["LAB_DIR"] + "/0"

    def script(self, *arguments):
        # Not captured: what it leaves running would hold the pipe.
        done = subprocess.run(["scripts/two-nodes.sh", *arguments], env=LAB, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            fail(f"two-nodes.sh {arguments[0]} failed: see {self.dir}/agent.log")

    def start(self):
        self.script("server")
        wait_ready(self.host, self.port)
        os.makedirs(DIR, exist_ok=True)
        self.certificate, self.key = admin_of(f"{LAB['LAB_DIR']}/kubeconfig.yaml", DIR)
        for _ in range(600):
            nodes = self.api().call("GET", "/api/v1/nodes")["items"]
            if any(c["type"] == "Ready" and c["status"] == "True" for n in nodes for c in n["status"]["conditions"]):
                return self
            time.sleep(0.1)
        fail(f"the node does not become ready: see {self.dir}/agent.log")

    def stop(self):
        self.script("down")

    def pids(self):
        with open(self.dir + "/agent.pid") as file:
            return [int(file.read())]

    def enter(self, *command):
        """A command as it is run where the node lives."""
        with open(self.dir + "/holder.pid") as file:
            holder = file.read().strip()
        return ["nsenter", "--target", holder, "--net", "--mount", "--uts", f"--wd={os.getcwd()}", "--", *command]


def wait_ready(host, port, process=None, timeout=60):
    """Seconds until /readyz answers 200."""
    begin = time.monotonic()
    context = ssl._create_unverified_context()
    while time.monotonic() - begin < timeout:
        if process is not None and process.poll() is not None:
            fail("the server ended: see its log")
        try:
            connection = http.client.HTTPSConnection(host, port, context=context, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return time.monotonic() - begin
        except OSError:
            pass
        time.sleep(0.005)
    fail(f"{host}:{port} does not become ready")


class Running:
    """Sides that are up within a `with`."""

    def __init__(self, options, fresh=True, part="all"):
        self.sides = [Orch()] + ([Peer(part=part)] if options.peer else [])
        for side in self.sides if fresh else []:
            shutil.rmtree(side.dir, ignore_errors=True)

    def __enter__(self):
        for side in self.sides:
            side.start()
        return self.sides

    def __exit__(self, *_):
        for side in self.sides:
            side.stop()
