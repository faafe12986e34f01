#!/usr/bin/env python3
"""Writes the images that Kubernetes' conformance specs name, as OCI archives.

    conformance.py --root FOLDER --programs FOLDER --module FOLDER --applets FILE --output FOLDER [--arch amd64]

--root      Debian packages, unpacked
--programs  agnhost, nonewprivs, sample-apiserver and sh (from sh.c), built statically
--module    the source of the module k8s.io/kubernetes, for the data files of its test images
--applets   the names of busybox (`busybox --list-full`)

What is in them follows the Dockerfiles of the module's test/images: users, setuid bits, entry points, tools.
Equal input gives equal bytes.
"""

import argparse
import os

import elf
import oci

REGISTRY = "registry.k8s.io/e2e-test-images/"

# Tools of agnhost's Dockerfile besides the shell utilities: name in the image, where the package has it.
AGNHOST_TOOLS = {
    "bin/bash": "bin/bash",
    "usr/bin/dig": "usr/bin/dig",
    "usr/bin/curl": "usr/bin/curl",
    "usr/bin/nc": "bin/nc.openbsd",
    "usr/sbin/ss": "bin/ss",
    "usr/bin/iperf": "usr/bin/iperf",
    "usr/bin/getent": "usr/bin/getent",
}
DNS_TOOLS = ("bin/bash", "usr/bin/dig", "usr/bin/getent")
USERS = "user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n"
GROUPS = "user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n"

NGINX_CONF = """user nobody nogroup;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 256; }
http {
  include mime.types;
  default_type application/octet-stream;
  access_log /dev/stdout;
  server {
    listen 80;
    root /usr/share/nginx/html;
    index index.html;
  }
}
"""


class Builder:
    """Layers from unpacked packages, built programs and the module's files."""

    def __init__(self, args):
        self.args = args

    def read(self, folder, path):
        with open(os.path.join(folder, path), "rb") as source:
            return source.read()

    def packaged(self, path):
        """The file of a package; its folder may have moved to /usr (merged in newer releases)."""
        if not os.path.exists(os.path.join(self.args.root, path)):
            path = os.path.join("usr", path)
        return path

    def system(self, users="", groups=""):
        """Busybox in a small file system."""
        with open(self.args.applets, encoding="ascii") as lines:
            applets = [line.strip() for line in lines if line.strip()]
        # Specs name programs as the published image has them: all in /bin.
        applets += ["bin/" + os.path.basename(name) for name in applets]
        return oci.root(self.read(self.args.root, self.packaged("bin/busybox")), applets, {}, users, groups)

    def tools(self, programs, files=None):
        """A layer of packaged programs {path in the image: path in the package}, their libraries, and more files."""
        tree = oci.Tree()
        programs = {name: self.packaged(path) for name, path in programs.items()}
        for name, path in sorted(programs.items()):
            tree.file(name, self.read(self.args.root, path), 0o755)
        for name, path in sorted(elf.closure(self.args.root, programs.values()).items()):
            tree.file(name, self.read("/", path), 0o755)
        for name, data in sorted((files or {}).items()):
            tree.file(name, data)
        if "bin/bash" in programs:
            # Busybox's shell takes its own commands before those in PATH: its nc before that of the package.
            tree.link("bin/sh", "bash")
        return tree

    def built(self, name):
        return self.read(self.args.programs, name)

    def module(self, path):
        return self.read(os.path.join(self.args.module, "test/images"), path)

    def agnhost_layers(self):
        tools = self.tools(AGNHOST_TOOLS)
        tools.link("usr/local/bin/iperf", "/usr/bin/iperf")
        tools.folder("uploads")
        tools.folder("home/user-defined-in-image")
        program = oci.Tree()
        program.file("agnhost", self.built("agnhost"), 0o755)
        program.link("agnhost-2", "agnhost")
        for name in ("localhost.crt", "localhost.key"):
            program.file(name, self.module("agnhost/porter/" + name))
        return [self.system(USERS, GROUPS), tools.bytes(), program.bytes()]

    def agnhost(self, version):
        return {
            "Env": [oci.PATH],
            "Entrypoint": ["/agnhost"],
            "Cmd": ["pause"],
            "WorkingDir": "/",
            "ExposedPorts": {f"{port}/tcp": {} for port in (80, 5000, 8080, 8081, 9376)},
            # Two versions are two images, though what is in them is the same.
            "Labels": {"version": version},
        }

    def pet(self, name):
        """The layer of nautilus or kitten: a page for agnhost's web server, in its folder."""
        tree = oci.Tree()
        tree.file(name + ".jpg", self.module(f"{name}/html/{name}.jpg"))
        tree.file("data.json", self.module(f"{name}/html/data.json"))
        return tree.bytes()

    def nginx_layers(self):
        tools = self.tools({"usr/sbin/nginx": "usr/sbin/nginx"}, {
            "etc/nginx/nginx.conf": NGINX_CONF,
            "etc/nginx/mime.types": self.read(self.args.root, "etc/nginx/mime.types"),
            "usr/share/nginx/html/index.html": self.read(self.args.root, "usr/share/nginx/html/index.html"),
        })
        for folder in ("var/lib/nginx", "var/log/nginx"):
            tools.folder(folder)
        return [self.system(), tools.bytes()]

    def write(self, name, images):
        path = os.path.join(self.args.output, name + ".tar")
        oci.write_archive(path, self.args.arch, images)
        for image in images:
            print(path, image[0])

    def all(self):
        agnhost = self.agnhost_layers()
        self.write("agnhost", [
            (REGISTRY + "agnhost:2.59", agnhost, self.agnhost("2.59")),
            (REGISTRY + "agnhost:2.55", agnhost, self.agnhost("2.55")),
            *((REGISTRY + pet + ":1.7", agnhost + [self.pet(pet)], {**self.agnhost("1.7"), "Cmd": ["test-webserver"]})
              for pet in ("nautilus", "kitten")),
        ])

        # See sh.c: one of two shells.
        chooser = oci.Tree()
        chooser.file("bin/sh", self.built("sh"), 0o755)
        shell = [self.system(), self.tools({"bin/bash": "bin/bash"}).bytes(), chooser.bytes()]
        small = {"Env": [oci.PATH], "Cmd": ["sh"], "WorkingDir": "/"}
        setuid = oci.Tree()
        setuid.file("usr/local/bin/nnp", self.built("nonewprivs"), 0o6755)
        dns = self.tools({name: AGNHOST_TOOLS[name] for name in DNS_TOOLS})
        self.write("small", [
            (REGISTRY + "busybox:1.37.0-1", shell, small),
            (REGISTRY + "nonroot:1.4", shell, {**small, "User": "1234"}),
            (REGISTRY + "nonewprivs:1.3", shell + [setuid.bytes()], {**small, "Cmd": ["nnp"]}),
            (REGISTRY + "jessie-dnsutils:1.7", [self.system(), dns.bytes()], {**small, "Cmd": ["/bin/bash"]}),
        ])

        nginx = self.nginx_layers()
        self.write("nginx", [
            (f"{REGISTRY}nginx:{version}", nginx, {
                "Env": [oci.PATH, "NGINX_VERSION=" + version],
                "Cmd": ["nginx", "-g", "daemon off;"],
                "ExposedPorts": {"80/tcp": {}},
                "StopSignal": "SIGQUIT",
            })
            for version in ("1.14-4", "1.15-4")
        ])

        server = oci.Tree()
        server.file("sample-apiserver", self.built("sample-apiserver"), 0o755)
        etcd = self.tools({"usr/local/bin/etcd": "usr/bin/etcd"})
        self.write("aggregation", [
            (REGISTRY + "sample-apiserver:1.29.2", [self.system(), server.bytes()],
             {"Env": [oci.PATH], "Entrypoint": ["/sample-apiserver"], "WorkingDir": "/"}),
            ("registry.k8s.io/etcd:3.6.6-0", [self.system(), etcd.bytes()], {"Env": [oci.PATH], "WorkingDir": "/"}),
        ])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("root", "programs", "module", "applets", "output"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--arch", default="amd64")
    args = parser.parse_args()
    args.root = os.path.abspath(args.root)
    os.makedirs(args.output, exist_ok=True)
    Builder(args).all()


if __name__ == "__main__":
    main()
