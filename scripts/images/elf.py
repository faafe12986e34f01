"""Finds the shared libraries that programs of unpacked packages need, without running them."""

import os
import re
import subprocess


class Missing(Exception):
    """A library that no unpacked package has."""


def needs(path):
    """(interpreter or None, names of shared libraries) of one ELF file."""
    out = subprocess.run(["readelf", "--wide", "--program-headers", "--dynamic", path],
                         check=True, capture_output=True, text=True).stdout
    interpreter = re.search(r"program interpreter: (\S+)\]", out)
    return interpreter and interpreter.group(1), re.findall(r"\(NEEDED\).*\[(\S+)\]", out)


def library_folders(root):
    """Where Debian's dynamic linker looks, in packages unpacked under `root`."""
    return [folder
            for top in ("lib", "usr/lib")
            for folder in [os.path.join(root, top)] + sorted(
                entry.path for entry in os.scandir(os.path.join(root, top)) if entry.name.endswith("-linux-gnu"))]


def closure(root, programs):
    """All files that `programs` (paths under `root`) need at run time: {path in an image: path of the file}.

    Libraries are put where the linker looks first; programs are not in the result.
    """
    folders = library_folders(root)
    found = {}
    queue = [os.path.join(root, program) for program in programs]
    while queue:
        interpreter, names = needs(queue.pop())
        # The interpreter has an absolute name of its own, and is a library with it.
        wanted = [(name, "lib/" + name) for name in names]
        if interpreter:
            wanted.append((os.path.basename(interpreter), interpreter.lstrip("/")))
        for name, target in wanted:
            if target in found:
                continue
            path = next((p for p in (os.path.join(folder, name) for folder in folders) if os.path.exists(p)), None)
            if path is None:
                raise Missing(f"{name}: no unpacked package has it")
            found[target] = path
            queue.append(path)
    return found
