"""The server under test: started, killed, waited for; and the harm that can be done to its store meanwhile."""
import http.client
import os
import shutil
import signal
import ssl
import struct
import subprocess
import time


class Server:
    """`orch server` without a node. One process at a time, ended with this object."""

    def __init__(self, orch, folder, port, flags=()):
        self.data, self.kubeconfig = f"{folder}/data", f"{folder}/kubeconfig"
        self.port = port
        self.log = open(f"{folder}/orch.log", "ab")
        self.command = [orch, "server", "--disable-agent", "--data-dir", self.data, "--bind-address", "127.0.0.1",
                        "--https-listen-port", str(port), "--write-kubeconfig", self.kubeconfig, *flags]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def kill(self):
        """As the power cut of a process: no handler runs, nothing is tidied up."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """In order. The exit code, None if it did not end in time."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.log.close()

    def ready(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=context)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_ready(self, seconds=60):
        """How long it took; raises when the process ends or the time is over."""
        begun = time.monotonic()
        while not self.ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"orch ended with {self.process.returncode} instead of becoming ready")
            if time.monotonic() - begun > seconds:
                raise RuntimeError(f"orch was not ready after {seconds} seconds")
            time.sleep(0.02)
        return time.monotonic() - begun

    @property
    def store(self):
        return f"{self.data}/server/db/state.db"


class PowerDisk:
    """A disk for the data folder whose power can be cut: a file system in a file. Of what a program wrote, that
    file has what was flushed; the rest is in the kernel's memory and goes with it."""

    def __init__(self, folder, place):
        self.image, self.place = f"{folder}/disk.img", place
        os.makedirs(place, exist_ok=True)
        _run("truncate", "-s", "96M", self.image)
        _run("mkfs.ext4", "-q", "-m", "0", self.image)
        self._mount()

    def _mount(self):
        # The file system's own flush every few seconds would hide one that is missing.
        _run("mount", "-o", "loop,commit=600", self.image, self.place)

    def cut(self):
        """What is on the disk at this moment is what is there from now on. Nobody may have files open."""
        after = self.image + ".cut"
        _run("cp", "--sparse=always", self.image, after)
        _run("umount", self.place)
        os.replace(after, self.image)
        self._mount()

    def close(self):
        _run("umount", "-l", self.place)


def _run(*command):
    subprocess.run(command, check=True, capture_output=True)


class OlderCopy:
    """A store that forgets: what was written since the copy is gone."""

    def __init__(self, server):
        self.files = [server.store, server.store + "-wal"]
        self.copy = os.path.dirname(server.store) + ".older"

    def take(self):
        shutil.rmtree(self.copy, ignore_errors=True)
        os.mkdir(self.copy)
        for file in self.files:
            if os.path.exists(file):
                shutil.copy(file, self.copy)

    def put_back(self):
        for file in self.files + [self.files[0] + "-shm"]:
            if os.path.exists(file):
                os.unlink(file)
            kept = os.path.join(self.copy, os.path.basename(file))
            if os.path.exists(kept):
                shutil.copy(kept, file)


def cut_log(server, commits):
    """Takes the last commits out of the write-ahead log, as a disk does that says it has written what it
    has not. How many there were to take (https://sqlite.org/fileformat2.html#walformat)."""
    path = server.store + "-wal"
    with open(path, "r+b") as file:
        header = file.read(32)
        if len(header) < 32:
            return 0
        page, salt = struct.unpack(">I", header[8:12])[0], header[16:24]
        ends, at = [32], 32
        while True:
            frame = file.read(24 + page)
            if len(frame) < 24 + page or frame[8:16] != salt:
                break
            at += len(frame)
            if struct.unpack(">I", frame[4:8])[0]:  # the last frame of a commit
                ends.append(at)
        taken = min(commits, len(ends) - 1)
        file.truncate(ends[-1 - taken])
        return taken
