#!/usr/bin/env python3
"""Writes OCI image archives (for `ctr -n k8s.io images import`) from files, without network or daemon.

    oci.py pause   --program FILE --output FILE [--arch amd64]
    oci.py busybox --program FILE --applets FILE --output FOLDER [--arch amd64]

`pause` writes the image of pod sandboxes. `busybox` writes busybox.tar, hello.tar and hello-2.tar, the
last two serving a page with busybox httpd. Equal input gives equal bytes.
"""

import argparse
import hashlib
import io
import json
import os
import tarfile

PAUSE = "registry.k8s.io/pause:3.10.1"
BUSYBOX = "docker.io/library/busybox:1.36"
HELLO = "docker.io/library/orch-hello:"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Tree:
    """A tar archive in the making; every time is 0 and every owner root."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.USTAR_FORMAT)
        self.folders = set()

    def entry(self, name, kind, mode, data=b"", link=""):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
        self.tar.addfile(info, io.BytesIO(data) if data else None)

    def folder(self, name, mode=0o755):
        if name and name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self.entry(name, tarfile.DIRTYPE, mode)

    def file(self, name, data, mode=0o644):
        self.folder(os.path.dirname(name))
        self.entry(name, tarfile.REGTYPE, mode, data if isinstance(data, bytes) else data.encode())

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.entry(name, tarfile.SYMTYPE, 0o777, link=target)

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def write_archive(path, arch, images):
    """An archive of images, each (name, layers, config); equal layers are in it once."""
    blobs = {}

    def blob(kind, data):
        blobs[digest(data)] = data
        return {"mediaType": kind, "digest": "sha256:" + digest(data), "size": len(data)}

    def document(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    def image(name, layers, config):
        layer_blobs = [blob("application/vnd.oci.image.layer.v1.tar", layer) for layer in layers]
        config_blob = blob("application/vnd.oci.image.config.v1+json", document({
            "created": "1970-01-01T00:00:00Z",
            "architecture": arch,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layer_blobs]},
            "history": [{"created": "1970-01-01T00:00:00Z"}] * len(layers),
        }))
        manifest = blob("application/vnd.oci.image.manifest.v1+json", document({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config_blob,
            "layers": layer_blobs,
        }))
        manifest["platform"] = {"architecture": arch, "os": "linux"}
        manifest["annotations"] = {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1],
        }
        return manifest

    manifests = [image(*each) for each in images]
    archive = Tree()
    archive.file("oci-layout", document({"imageLayoutVersion": "1.0.0"}))
    archive.file("index.json", document({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    }))
    for key in sorted(blobs):
        archive.file("blobs/sha256/" + key, blobs[key])
    with open(path + ".new", "wb") as out:
        out.write(archive.bytes())
    os.rename(path + ".new", path)


def write_image(path, name, arch, layer, config):
    """One image of one layer under one name."""
    write_archive(path, arch, [(name, [layer], config)])


def pause(args):
    tree = Tree()
    with open(args.program, "rb") as program:
        tree.file("pause", program.read(), 0o755)
    write_image(args.output, PAUSE, args.arch, tree.bytes(), {
        "User": "65535:65535",
        "Env": [PATH],
        "Entrypoint": ["/pause"],
        "WorkingDir": "/",
    })


def root(program, applets, pages, users="", groups=""):
    """The layer of a small system: busybox under all its names, users, and `pages`, more files by their paths."""
    tree = Tree()
    tree.file("bin/busybox", program, 0o755)
    for applet in sorted(set(applets) - {"bin/busybox"}):
        tree.link(applet, "/bin/busybox")
    tree.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n" + users)
    tree.file("etc/group", "root:x:0:\nnogroup:x:65534:\n" + groups)
    tree.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    tree.folder("root", 0o700)
    tree.folder("tmp", 0o1777)
    tree.folder("var/tmp", 0o1777)
    for folder in ("dev", "proc", "sys", "run"):
        tree.folder(folder)
    for name, page in pages.items():
        tree.file(name, page)
    return tree.bytes()


def busybox(args):
    with open(args.program, "rb") as program:
        binary = program.read()
    with open(args.applets, encoding="ascii") as lines:
        applets = [line.strip() for line in lines if line.strip()]
    os.makedirs(args.output, exist_ok=True)
    write_image(os.path.join(args.output, "busybox.tar"), BUSYBOX, args.arch, root(binary, applets, {}),
                {"Env": [PATH], "Cmd": ["sh"]})
    for version, name in (("1", "hello.tar"), ("2", "hello-2.tar")):
        layer = root(binary, applets, {"www/index.html": f"Hello from Orch, version {version}\n"})
        write_image(os.path.join(args.output, name), HELLO + version, args.arch, layer, {
            "Env": [PATH, "HELLO_VERSION=" + version],
            "Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"],
            "ExposedPorts": {"8080/tcp": {}},
            "WorkingDir": "/",
        })


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", choices=("pause", "busybox"))
    parser.add_argument("--program", required=True)
    parser.add_argument("--applets")
    parser.add_argument("--output", required=True)
    parser.add_argument("--arch", default="amd64")
    args = parser.parse_args()
    {"pause": pause, "busybox": busybox}[args.image](args)


if __name__ == "__main__":
    main()
