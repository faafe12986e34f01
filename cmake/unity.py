#!/usr/bin/env python3
"""Groups source files into chunks that are compiled as one, each a file of #include lines.

    unity.py OUTPUT PREFIX LINES ROOT FILES...

A header is then read once for a chunk in place of once for every source, which is most of the time of a build.
Two files that declare the same name for themselves (in an unnamed namespace, or static) do not come into the
same chunk, nor does one of a test beside a fixture that has the name. A chunk has at most LINES lines unless a single file has more. FILES are relative to ROOT, which is in
the include path, so that chunks read the same wherever the project lies (the compiler cache relies on it).
Writes OUTPUT/PREFIX_N.cpp, those that changed only, and prints their names with ';' between, for CMake.
"""

import pathlib
import re
import sys

# Comments, literals and preprocessor lines, none of which declares anything here.
IGNORED = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<raw>[^\s()\\]{0,16})\(.*?\)(?P=raw)"|"(?:\\.|[^"\\\n])*"|'
    r"(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*", re.S | re.M)
INCLUDE = re.compile(r'^#include "(tests/[^"]+)"', re.M)
TOKEN = re.compile(r"[A-Za-z_]\w*|::|[{}();=<>\[\],]|[^\s]")
TYPES = {"class", "struct", "enum", "union"}
NEVER = {"operator", "const", "constexpr", "static", "inline", "template", "typename", "noexcept", "final", "return"}


def declared(head):
    """The name that a declaration introduces, from its tokens up to its body, initializer or end."""
    words, depth = [], 0
    for token in head:
        if token == "<":
            depth += 1
        elif token == ">":
            depth -= 1
        elif depth == 0:
            words.append(token)
    if words[:1] == ["template"]:
        words = words[1:]
    if not words or words[0] in ("namespace", "extern", "friend", "static_assert", "TEST_CASE"):
        return None
    if words[0] == "using":
        names = words[1:words.index("=")] if "=" in words else words[1:]
        return names[-1] if names and "namespace" not in names else None
    if words[0] in TYPES:
        names = [w for w in words[1:] if re.match(r"[A-Za-z_]", w) and w not in TYPES and w not in NEVER]
        return names[0] if names else None
    ends = [i for i, w in enumerate(words) if w in ("(", "[", "=", ":")]
    names = [w for w in words[: ends[0] if ends else None] if re.match(r"[A-Za-z_]", w)]
    return names[-1] if names and names[-1] not in NEVER else None


def own_names(text, everything=False):
    """The names a source declares for itself alone, or in any namespace."""
    names, scopes, head, inner = set(), [], [], 0
    for token in TOKEN.findall(IGNORED.sub(" ", text)):
        if inner:  # within a body, an initializer or a list of parameters
            inner += (token in "{(") - (token in "})")
            continue
        if token == "}":
            if scopes:
                scopes.pop()
            head = []
        elif token == "(":
            head.append(token)
            inner = 1
        elif token == "{":
            if head[:1] == ["namespace"]:
                scopes.append(head[1:])
            else:
                note(names, everything or [] in scopes, head)
                inner = 1
            if head[:1] == ["namespace"] or "(" in head or "=" not in head:
                head = []
        elif token == ";":
            note(names, everything or [] in scopes, head)
            head = []
        else:
            head.append(token)
    return names


def note(names, private, head):
    if private or "static" in head:
        name = declared(head) if head else None
        if name:
            names.add(name)


def fixtures(text, root, known):
    """The names that the headers of tests which a source includes declare."""
    names = set()
    for name in INCLUDE.findall(text):
        if name not in known:
            known[name] = set()
            header = (root / name).read_text()
            known[name] = own_names(header, everything=True) | fixtures(header, root, known)
        names |= known[name]
    return names


def chunks_of(sources, limit, root):
    chunks, known = [], {}
    for path, text in sources:
        own, lines = own_names(text), text.count("\n")
        around = fixtures(text, root, known)
        for chunk in chunks:
            fits = chunk["lines"] + lines <= limit
            if fits and own.isdisjoint(chunk["own"] | chunk["around"]) and around.isdisjoint(chunk["own"]):
                break
        else:
            chunk = {"lines": 0, "own": set(), "around": set(), "files": []}
            chunks.append(chunk)
        chunk["files"].append(path)
        chunk["lines"] += lines
        chunk["own"] |= own
        chunk["around"] |= around
    return chunks


def main():
    output, prefix, limit, root = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), pathlib.Path(sys.argv[4])
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for chunk in chunks_of([(f, (root / f).read_text()) for f in sorted(sys.argv[5:])], limit, root):
        path = output / f"{prefix}_{len(written)}.cpp"
        text = "".join(f'#include "{f}"\n' for f in chunk["files"])
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        written.append(str(path))
    print(";".join(written), end="")


if __name__ == "__main__":
    main()
