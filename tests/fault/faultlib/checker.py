"""Proves, from what clients wrote down, that a store lost nothing and told no lies. It knows nothing of Orch:
it reads the records of faultlib.records and holds them against the rules of a revisioned store.

  lost      a write that was acknowledged is not in the history, or not in a later list
  revision  a revision was given twice, or one that is not above all that clients had seen before
  missed    a watcher did not get an event of a stretch that it watched without a gap
  repeated  a watcher got an event again, or a write took effect twice
  differs   two watchers saw different things under one revision
  phantom   something happened that nobody wrote, or that was refused
  content   an object is not what the writes to it make of it
  stale     a read or list does not have what had been seen before it began
  expired   a watcher could not resume although its history has to be there
  unproved  the records do not reach far enough to say: the test is at fault, or the server never came back
"""
import bisect
from array import array
from collections import defaultdict, namedtuple

from .records import DOUBT, OK, REFUSED, Expired, Listing, Passed, Read, Seen, Started, digest

Violation = namedtuple("Violation", "rule text")

# kind: of the objects. selects: which keys it sees. lasting: history must always suffice to resume.
Watcher = namedtuple("Watcher", "kind selects lasting records")

FIGURES = (OK, REFUSED, DOUBT, "reads", "lists", "watches", "events", "bookmarks", "expired", "history")
_MOST = 20  # violations told of one rule: one fault has thousands of consequences


def everything(_key):
    return True


class _Report:
    def __init__(self):
        self.violations = []
        self.counts = defaultdict(int)

    def add(self, rule, text):
        self.counts[rule] += 1
        if self.counts[rule] <= _MOST:
            self.violations.append(Violation(rule, text))


class _Watched:
    """What one watcher saw: revisions in order, and the stretches (after, up to] that it saw whole."""

    def __init__(self, watcher):
        self.selects = watcher.selects
        self.revisions = array("q")
        self.stretches = []

    def covers(self, revision):
        return any(a < revision <= b for a, b in self.stretches)


class _Checker:
    def __init__(self, actors, watchers):
        self.report = _Report()
        self.actors, self.watchers = actors, watchers
        self.events = {}  # config maps: revision -> Seen, `at` the earliest
        self.watched = {}
        self.listings = []  # (Listing, selects, name)
        self.leases = {}  # name of a lease watcher -> _Watched
        self.done = []  # (time, revision, what): known to a client from then on
        self.begun = []  # (time, revision, strictly above, what): must not be behind what is known then
        self.puts = {}  # token -> Write, config maps
        self.deletes = defaultdict(list)  # (key, uid) -> [Write]
        self.reads = []
        self.lease_writes = []
        self.figures = defaultdict(int)

    # --- reading ---------------------------------------------------------------------------------------

    def read_actors(self):
        given = {}
        for name, records in self.actors.items():
            for record in records:
                if isinstance(record, Read):
                    self.reads.append((record, name))
                    self.figures["reads"] += 1
                    continue
                self.figures[record.outcome] += 1
                if record.kind == "leases":
                    self.lease_writes.append(record)
                elif record.op == "delete":
                    self.deletes[(record.key, record.uid)].append(record)
                else:
                    self.puts[record.token] = record
                if record.outcome != OK or not record.revision:
                    continue
                what = f"{name}'s {record.op} of {record.kind} {record.key}"
                if record.revision in given:
                    self.report.add("revision", f"{record.revision} was given to {given[record.revision]} "
                                                f"and to {what}")
                given[record.revision] = what
                self.done.append((record.ended, record.revision, what))
                self.begun.append((record.begun, record.revision, True, what))

    def read_watchers(self):
        for name, watcher in self.watchers.items():
            seen = _Watched(watcher)
            if watcher.kind == "leases":
                self.leases[name] = seen
            else:
                self.watched[name] = seen
            self._read_watcher(name, watcher, seen)

    def _read_watcher(self, name, watcher, seen):
        place = None  # all up to this revision is known to the watcher
        leases = {}
        for record in watcher.records:
            if isinstance(record, Listing):
                place = record.revision
                seen.stretches.append([place, place])
                self.figures["lists"] += 1
                what = f"{name}'s list"
                self.done.append((record.ended, place, what))
                self.begun.append((record.begun, place, False, what))
                leases = {item[0] for item in record.items}
                if watcher.kind != "leases":
                    self.listings.append((record, watcher.selects, name))
            elif isinstance(record, Started):
                if record.after != place:
                    self.report.add("unproved", f"{name} went on from {record.after}, having seen up to {place}")
                    place = record.after
                    seen.stretches.append([place, place])
                self.figures["watches"] += 1
            elif isinstance(record, Expired):
                self.figures["expired"] += 1
                if watcher.lasting:
                    self.report.add("expired", f"{name} at {place}: {record.message}")
                place = None
            elif isinstance(record, Passed):
                self.figures["bookmarks"] += 1
                if place is not None and record.revision < place:
                    self.report.add("revision", f"{name} was at {place} and got a bookmark of {record.revision}")
                else:
                    place = record.revision
                    seen.stretches[-1][1] = place
                self.done.append((record.at, record.revision, f"{name}'s bookmark"))
            elif isinstance(record, Seen):
                self.figures["events"] += 1
                place = self._event(name, watcher, seen, record, place, leases)

    def _event(self, name, watcher, seen, event, place, leases):
        if watcher.kind == "leases":
            self._lease_event(name, event, leases)
            self.done.append((event.at, event.revision, f"{name}'s event"))
        else:
            self._merge(name, event)
        if place is not None and event.revision <= place:
            if _holds(seen.revisions, event.revision):
                self.report.add("repeated", f"{name} got the {event.type} of {event.key} at {event.revision} again")
            else:
                self.report.add("revision", f"{name} was at {place} and got {event.type} of {event.key} at "
                                            f"{event.revision}")
            return place
        seen.revisions.append(event.revision)
        seen.stretches[-1][1] = event.revision
        return event.revision

    def _merge(self, name, event):
        known = self.events.get(event.revision)
        if known is None:
            self.events[event.revision] = event
        elif known[1:] != event[1:]:
            self.report.add("differs", f"revision {event.revision} is {known.type} of {known.key} ({known.token}) "
                                       f"and for {name} {event.type} of {event.key} ({event.token})")
        elif event.at < known.at:
            self.events[event.revision] = known._replace(at=event.at)

    def _lease_event(self, name, event, leases):
        there = event.key in leases
        if (event.type == "ADDED") == there:
            self.report.add("missed", f"{name} got {event.type} of lease {event.key} at {event.revision}, which "
                                      f"{'it knows already' if there else 'it did not know of'}")
        if event.type == "DELETED":
            leases.discard(event.key)
        else:
            leases.add(event.key)

    # --- rules -----------------------------------------------------------------------------------------

    def check_watchers(self):
        order = sorted(self.events)
        for name, seen in self.watched.items():
            got = seen.revisions
            for after, upto in seen.stretches:
                wanted = [r for r in order[bisect.bisect_right(order, after):bisect.bisect_right(order, upto)]
                          if seen.selects(self.events[r].key)]
                here = got[bisect.bisect_right(got, after):bisect.bisect_right(got, upto)]
                if len(wanted) == len(here):
                    continue
                for revision in sorted(set(wanted) - set(here)):
                    event = self.events[revision]
                    self.report.add("missed", f"{name} watched from {after} to {upto} and did not get the "
                                              f"{event.type} of {event.key} at {revision}")
        for write in self.lease_writes:
            if write.outcome != OK:
                continue
            for name, seen in self.leases.items():
                if seen.covers(write.revision) and not _holds(seen.revisions, write.revision):
                    self.report.add("missed", f"{name} did not get the {write.op} of lease {write.key} at "
                                              f"{write.revision}")

    def replay(self):
        """Carries the writes out again in the order of the history, and looks at every step."""
        whole = [(l, s, n) for l, s, n in self.listings if s is everything]
        if not whole:
            self.report.add("unproved", "no watcher has a list of everything")
            return
        first = min(whole, key=lambda entry: entry[0].revision)[0]
        # key -> (revision, uid, token, digest, data); data None: from before the test
        state = {key: (revision, uid, token, found, None) for key, revision, uid, token, found in first.items}
        versions = defaultdict(list)  # key -> [(revision, digest or None)]
        for key, value in state.items():
            versions[key].append((value[0], value[3]))
        self.ours = {w.key for w in self.puts.values()}
        self.applied = {}  # token -> revision
        self.deleted = {}  # (key, uid) -> revision
        lists = sorted((entry for entry in self.listings if entry[0].revision >= first.revision),
                       key=lambda entry: entry[0].revision)
        for entry in self.listings:
            if entry[0].revision < first.revision:
                self.report.add("unproved", f"{entry[2]}'s list at {entry[0].revision} is before the history")
        at = 0
        for revision in sorted(self.events):
            while at < len(lists) and lists[at][0].revision < revision:
                self._list(lists[at], state)
                at += 1
            event = self.events[revision]
            if revision > first.revision:
                self._step(event, state, versions)
        for entry in lists[at:]:
            self._list(entry, state)
        self._acknowledged()
        self.versions = versions

    def _step(self, event, state, versions):
        key = event.key
        before = state.get(key)
        if (event.type == "ADDED") != (before is None):
            self.report.add("content", f"{event.type} of {key} at {event.revision}, which "
                                       f"{'does not exist' if before is None else 'exists'}")
        elif before is not None and before[1] != event.uid:
            self.report.add("content", f"{event.type} of {key} at {event.revision} is of another object of the name")
        if event.type == "DELETED":
            self._deletion(event, before)
            state.pop(key, None)
            versions[key].append((event.revision, None))
            return
        data = self._put(event, before)
        state[key] = (event.revision, event.uid, event.token, event.digest, data)
        versions[key].append((event.revision, event.digest))

    def _put(self, event, before):
        if event.key not in self.ours:
            return None
        write = self.puts.get(event.token)
        at = f"{event.type} of {event.key} at {event.revision}"
        if write is None or write.key != event.key:
            self.report.add("phantom", f"{at} with {event.token!r}, which nobody wrote there")
            return None
        if write.outcome == REFUSED:
            self.report.add("phantom", f"{at} with {event.token!r}, which was refused")
        if event.token in self.applied:
            self.report.add("repeated", f"{at}: the write {event.token!r} has had its effect at "
                                        f"{self.applied[event.token]}")
        self.applied[event.token] = event.revision
        if (write.op == "create") != (event.type == "ADDED"):
            self.report.add("content", f"{at} came of a write that is a {write.op}")
        if write.base and before is not None and write.base != before[0]:
            self.report.add("content", f"{at} came of a write on condition of {write.base}; it was at {before[0]}")
        data = dict(write.data)
        if write.op == "patch":
            data = None if before is None or before[4] is None else {**before[4], **write.data}
        if data is not None and digest(data) != event.digest:
            self.report.add("content", f"{at} is not what the writes make of it")
        return data

    def _deletion(self, event, before):
        if event.key not in self.ours:
            return
        at = f"DELETED of {event.key} at {event.revision}"
        asked = [w for w in self.deletes[(event.key, event.uid)] if w.outcome in (OK, DOUBT)]
        if not asked:
            self.report.add("phantom", f"{at}, which nobody deleted")
        elif before is not None and not any(w.base in (0, before[0]) for w in asked):
            self.report.add("content", f"{at} came of a delete on condition of another revision than {before[0]}")
        if before is not None and (before[2], before[3]) != (event.token, event.digest):
            self.report.add("content", f"{at} does not show the object as it was")
        self.deleted[(event.key, event.uid)] = event.revision

    def _acknowledged(self):
        reached = [w for w in self.watched.values() if w.selects is everything]

        def observed(revision):
            return any(w.covers(revision) for w in reached)

        for token, write in self.puts.items():
            if write.outcome != OK:
                continue
            what = f"the {write.op} of {write.key} acknowledged at {write.revision} ({token})"
            if self.applied.get(token) == write.revision:
                continue
            if token in self.applied:
                self.report.add("revision", f"{what} happened at {self.applied[token]}")
            elif observed(write.revision):
                self.report.add("lost", f"{what} is not in the history")
            else:
                self.report.add("unproved", f"{what} is where nobody watched")
        for (key, uid), asked in self.deletes.items():
            done = sum(1 for w in asked if w.outcome == OK)
            if done and (key, uid) not in self.deleted:
                self.report.add("lost", f"the delete of {key} ({uid}) was acknowledged and is not in the history")
            if done > 1:
                self.report.add("repeated", f"{done} deletes of one object {key} ({uid}) were acknowledged")
            if done and (key, uid) in self.deleted:
                revision = self.deleted[(key, uid)]
                for write in asked:
                    if write.outcome == OK:
                        what = f"delete of {key}"
                        self.done.append((write.ended, revision, what))
                        self.begun.append((write.begun, revision, True, what))

    def _list(self, entry, state):
        listing, selects, name = entry
        have = {item[0]: tuple(item[1:]) for item in listing.items}
        want = {key: value[:4] for key, value in state.items() if selects(key)}
        if have == want:
            return
        for key in sorted(set(have) | set(want)):
            if have.get(key) == want.get(key):
                continue
            at = f"{name}'s list at {listing.revision}: {key}"
            if key not in have:
                self.report.add("lost", f"{at} is missing, the history has it at {want[key][0]}")
            elif key not in want:
                self.report.add("phantom", f"{at} is there, the history has none")
            else:
                self.report.add("lost" if have[key][0] < want[key][0] else "content",
                                f"{at} is at {have[key][0]}, in the history at {want[key][0]}")

    def check_order(self):
        """Whoever begins after somebody was answered finds himself behind that answer."""
        for revision, event in self.events.items():
            self.done.append((event.at, revision, "an event"))
        for read, name in self.reads:
            self.begun.append((read.begun, read, None, name))
        self.done.sort(key=lambda entry: entry[0])
        self.begun.sort(key=lambda entry: entry[0])
        at = known = 0
        source = ""
        for time, revision, above, what in self.begun:
            while at < len(self.done) and self.done[at][0] < time:
                if self.done[at][1] > known:
                    known, source = self.done[at][1:]
                at += 1
            if above is None:
                self._read(revision, known, what)
            elif above and revision <= known:
                self.report.add("revision", f"{what} got {revision}, when {known} was known from {source}")
            elif not above and revision < known:
                self.report.add("stale", f"{what} is of {revision}, when {known} was known from {source}")

    def _read(self, read, known, name):
        versions = self.versions.get(read.key, [])
        at = bisect.bisect_right(versions, known, key=lambda v: v[0])
        # The state when the read began, or any later one.
        possible = versions[max(at - 1, 0):]
        if read.revision == 0:
            fine = at == 0 or any(d is None for _, d in possible)
        else:
            fine = any((r, d) == (read.revision, read.digest) for r, d in possible)
        if not fine:
            found = f"revision {read.revision}" if read.revision else "nothing"
            self.report.add("stale", f"{name} read {found} of {read.key}, when {known} was known; "
                                     f"the history has {[v[0] for v in possible[:3]]}")


def _holds(ascending, value):
    at = bisect.bisect_left(ascending, value)
    return at < len(ascending) and ascending[at] == value


def check(actors, watchers):
    """actors: name -> Writes and Reads; watchers: name -> Watcher. (violations, figures); figures are counts
    of what was looked at, and of violations by rule."""
    checker = _Checker(actors, watchers)
    checker.read_actors()
    checker.read_watchers()
    checker.check_watchers()
    checker.replay()
    if hasattr(checker, "versions"):
        checker.check_order()
    checker.figures["history"] = len(checker.events)
    figures = {name: checker.figures[name] for name in FIGURES}
    return checker.report.violations, {**figures, "violations": dict(checker.report.counts)}
