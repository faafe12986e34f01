"""What the actors write down and the checker reads.

Each actor has a file of JSON lines in the order of what it did. Times are nanoseconds of the machine's
monotonic clock, so those of different processes can be compared.

  Write   a create, update, patch or delete and what became of it
  Read    a get of one object
  Listing a whole list, which is also where a watcher begins anew
  Started a watch was begun after a revision
  Seen    an event of a watch
  Passed  a bookmark
  Expired the server no longer has the history to go on from

Revisions are numbers here: that they ascend is what is to be proved.
"""
import hashlib
import json
import time
from collections import namedtuple

OK, REFUSED, DOUBT = "ok", "refused", "doubt"

# kind: configmaps | leases. data: the fields a create or update consists of, a patch sets; token: the value
# of the field "v" in it, which no other write has. base: the revision it insisted on, 0: none.
# revision, uid: of the answer; a delete is answered without a revision.
Write = namedtuple("Write", "kind op key token data base begun ended outcome revision uid")
Read = namedtuple("Read", "kind key begun ended revision digest")  # revision 0: there is none
Listing = namedtuple("Listing", "begun ended revision items")  # items: [key, revision, uid, token, digest]
Started = namedtuple("Started", "at after")
Seen = namedtuple("Seen", "at type revision key uid token digest")
Passed = namedtuple("Passed", "at revision")
Expired = namedtuple("Expired", "at message")

_KINDS = {t.__name__: t for t in (Write, Read, Listing, Started, Seen, Passed, Expired)}

now = time.monotonic_ns


def digest(data):
    """Of an object's data: short, so that millions of them can be kept."""
    text = "\n".join(f"{k}={data[k]}" for k in sorted(data))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


class Recorder:
    """Appends records to a file. One thread."""

    def __init__(self, path):
        self._file = open(path, "w", encoding="utf-8", buffering=1 << 16)

    def add(self, record):
        self._file.write(json.dumps([type(record).__name__, *record], separators=(",", ":")) + "\n")

    def close(self):
        self._file.close()


def read(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, *fields = json.loads(line)
            yield _KINDS[name](*fields)
