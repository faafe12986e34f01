#!/usr/bin/env python3
"""Shows that the checker finds what it is there to find: one true story, told falsely in every way that
matters. Prints one line per case."""
import sys

from faultlib.checker import Watcher, check, everything
from faultlib.records import (DOUBT, OK, REFUSED, Expired, Listing, Passed, Read, Seen, Started, Write,
                              digest)


class Story:
    """What clients of a correct store write down: a crash lies between revisions 19 and 100."""

    def __init__(self):
        self.time = 0
        self.w, self.whole, self.again, self.lister, self.odd, self.leases = [], [], [], [], [], []
        self.state = {}
        self.lists(10, self.whole, self.again, self.lister, self.odd, self.leases)
        self.create("a1", "one", 11)
        self.create("b2", "two", 12)
        self.put("update", "a1", "three", 13, base=11)
        self.put("patch", "b2", "four", 14)
        self.whole.append(Passed(self.tick(), 14))
        self.read("b2")
        self.delete("a1", 15)
        self.read("a1")
        self.create("a1", "five", 16)
        self.put("update", "b2", "six", 17, base=14, outcome=DOUBT)
        self.lease("create", "l", "lease one", 18)
        self.put("update", "a1", "never", 0, base=16, outcome=DOUBT)
        self.put("update", "a1", "refused", 0, base=11, outcome=REFUSED)
        self.create("c3", "seven", 19)
        self.goes_on(self.whole, 19)
        self.goes_on(self.again, 19)
        self.goes_on(self.odd, 19)
        self.leases.append(Expired(self.tick(), "too old"))
        self.lists(100, self.lister, self.leases)
        self.lease("create", "l", "lease two", 101)
        self.put("update", "a1", "eight", 102, base=16)
        self.delete("c3", 103)
        self.put("patch", "b2", "nine", 104)
        self.create("end1", "ten", 105)
        self.final = []
        self.lists(105, self.final)

    def tick(self):
        self.time += 10
        return self.time

    def all(self):
        return self.whole, self.again, self.lister, self.odd

    def goes_on(self, watcher, revision):
        watcher.append(Started(self.tick(), revision))

    def lists(self, revision, *watchers):
        items = [[key, *value[:4]] for key, value in self.state.items()]
        for watcher in watchers:
            mine = [i for i in items if watcher is not self.odd or i[0][-1] in "13579"]
            watcher.append(Listing(self.tick(), self.tick(), revision, [] if watcher is self.leases else mine))
            watcher.append(Started(self.tick(), revision))

    def show(self, kind, key, revision):
        _, uid, token, found, _ = self.state[key]
        for watcher in self.all():
            if watcher is not self.odd or key[-1] in "13579":
                watcher.append(Seen(self.tick(), kind, revision, key, uid, token, found))

    def create(self, key, token, revision):
        self.state[key] = (revision, f"uid of {token}", token, digest({"v": token}), {"v": token})
        self.write("create", key, token, {"v": token}, 0, OK, revision)
        self.show("ADDED", key, revision)

    def put(self, op, key, token, revision, base=0, outcome=OK):
        data = {"v": token} if op == "update" else {"v": token, "p": token}
        self.write(op, key, token, data, base, outcome, revision if outcome == OK else 0)
        if revision:
            _, uid, _, _, before = self.state[key]
            now = data if op == "update" else {**before, **data}
            self.state[key] = (revision, uid, token, digest(now), now)
            self.show("MODIFIED", key, revision)

    def delete(self, key, revision):
        self.write("delete", key, "", {}, 0, OK, 0)
        self.show("DELETED", key, revision)
        del self.state[key]

    def write(self, op, key, token, data, base, outcome, revision):
        uid = self.state[key][1] if key in self.state else ""
        self.w.append(Write("configmaps", op, key, token, data, base, self.tick(), self.tick(), outcome,
                            revision, uid))

    def lease(self, op, key, token, revision):
        self.w.append(Write("leases", op, key, token, {}, 0, self.tick(), self.tick(), OK, revision, "uid"))
        self.leases.append(Seen(self.tick(), "ADDED", revision, key, "uid", token, ""))

    def read(self, key):
        found = self.state.get(key)
        self.w.append(Read("configmaps", key, self.tick(), self.tick(), found[0] if found else 0,
                           found[3] if found else ""))

    def rules(self):
        def is_odd(key):
            return key[-1] in "13579"

        watchers = {name: Watcher("configmaps", everything, True, getattr(self, name))
                    for name in ("whole", "again", "lister", "final")}
        watchers["odd"] = Watcher("configmaps", is_odd, True, self.odd)
        watchers["leases"] = Watcher("leases", everything, False, self.leases)
        return set(check({"w": self.w}, watchers)[1]["violations"])

    # --- how to tell it falsely ------------------------------------------------------------------------

    def watchers(self):
        return [*self.all(), self.leases, self.final]

    def forget(self, revision, *watchers):
        for watcher in watchers or self.watchers():
            place = 0
            for i, r in enumerate(list(watcher)):
                if isinstance(r, Started) and r.after == revision:
                    watcher[i] = r._replace(after=place)
                if isinstance(r, (Seen, Listing)) and r.revision != revision:
                    place = r.revision
            watcher[:] = [r for r in watcher if not (isinstance(r, Seen) and r.revision == revision)]

    def alter(self, place, watchers=None, **fields):
        for watcher in watchers or self.watchers():
            watcher[:] = [r._replace(**fields) if isinstance(r, Seen) and r.revision == place else r
                          for r in watcher]

    def alter_write(self, token, **fields):
        self.w[:] = [r._replace(**fields) if isinstance(r, Write) and r.token == token else r for r in self.w]

    def alter_lists(self, change, *watchers):
        """change(item) gives the item to have instead, None for none."""
        for watcher in watchers or self.watchers():
            watcher[:] = [r._replace(items=[j for j in (change(i) for i in r.items) if j is not None])
                          if isinstance(r, Listing) else r for r in watcher]

    def at(self, watcher, revision):
        return next(i for i, r in enumerate(watcher) if isinstance(r, Seen) and r.revision == revision)


CASES = []


def case(name, *rules):
    def add(tell):
        CASES.append((name, set(rules), tell))
        return tell
    return add


@case("nothing is wrong")
def _(_s):
    pass


@case("the revision of a doubtful write may be any", )
def _(s):
    s.alter_write("never", outcome=REFUSED)


@case("an acknowledged create is in no history", "lost")
def _(s):
    s.forget(19)
    s.forget(103)
    s.w[:] = [r for r in s.w if not (isinstance(r, Write) and r.op == "delete" and r.key == "c3")]
    s.alter_lists(lambda i: None if i[0] == "c3" else i)


@case("an acknowledged update is in no history", "lost")
def _(s):
    s.forget(102)
    s.alter_lists(lambda i: ["a1", 16, "uid of five", "five", digest({"v": "five"})] if i[0] == "a1" else i, s.final)


@case("an acknowledged patch is in no history", "lost")
def _(s):
    s.forget(104)
    old = {"v": "six"}
    s.alter_lists(lambda i: ["b2", 17, i[2], "six", digest(old)] if i[0] == "b2" else i, s.final)


@case("an acknowledged delete is in no history", "lost")
def _(s):
    c3 = next(r for r in s.whole if isinstance(r, Seen) and r.revision == 19)
    s.forget(103)
    for r in s.final:
        if isinstance(r, Listing):
            r.items.append(["c3", 19, c3.uid, c3.token, c3.digest])


@case("an object is missing in the last list", "lost")
def _(s):
    s.alter_lists(lambda i: None if i[0] == "a1" else i, s.final)


@case("the last list has an older state", "lost")
def _(s):
    s.alter_lists(lambda i: ["a1", 16, i[2], "five", digest({"v": "five"})] if i[0] == "a1" else i, s.final)


@case("a store forgot what watchers have seen before the crash", "lost", "revision")
def _(s):
    # After the crash it stands at 17 again: 18 and 19 are given anew.
    s.alter_lists(lambda i: None if i[0] == "c3" else i, s.lister)
    for watcher in s.watchers():
        watcher[:] = [r._replace(revision=18) if isinstance(r, Listing) and r.revision == 100 else
                      r._replace(after=18) if isinstance(r, Started) and r.after == 100 else r for r in watcher]
    s.alter(102, revision=19)
    s.alter_write("eight", revision=19)


@case("a revision is acknowledged twice", "revision")
def _(s):
    s.alter_write("eight", revision=104)


@case("a revision of a lease is given again", "revision")
def _(s):
    s.alter(102, revision=101)
    s.alter_write("eight", revision=101)


@case("revisions run backwards over the crash", "revision")
def _(s):
    s.alter(101, revision=15)
    s.alter_write("lease two", revision=15)


@case("a watcher is shown a smaller revision", "revision")
def _(s):
    i = s.at(s.again, 13)
    s.again[i], s.again[i + 1] = s.again[i + 1], s.again[i]


@case("a watcher misses one event", "missed")
def _(s):
    s.forget(14, s.again)


@case("a watcher misses what happened before it came back", "missed")
def _(s):
    s.forget(102, s.again)


@case("a watcher with a selector misses an event", "missed")
def _(s):
    s.forget(16, s.odd)


@case("a bookmark is ahead of an event", "missed")
def _(s):
    i = s.at(s.again, 17)
    s.again.insert(i, Passed(s.again[i].at, 17))
    s.forget(17, s.again)


@case("a bookmark runs backwards", "revision")
def _(s):
    s.again.insert(s.at(s.again, 17) + 1, Passed(s.time, 12))


@case("a watcher gets an event again", "repeated")
def _(s):
    i = s.at(s.again, 14)
    s.again.insert(i + 1, s.again[i])


@case("a watcher gets an event again after coming back", "repeated")
def _(s):
    s.again.insert(s.at(s.again, 102), s.again[s.at(s.again, 19)])


@case("a write takes effect twice", "repeated")
def _(s):
    for watcher in s.all():
        if watcher is not s.odd:
            i = s.at(watcher, 17)
            watcher.insert(i + 1, watcher[i]._replace(revision=18))
    s.alter_lists(lambda i: ["b2", 18, *i[2:]] if i[:2] == ["b2", 17] else i)
    s.w[:] = [r for r in s.w if r.kind != "leases"]
    s.forget(18, s.leases)


@case("one object is deleted twice", "repeated")
def _(s):
    s.w.append(next(r for r in s.w if isinstance(r, Write) and r.op == "delete"))


@case("two watchers see different contents", "differs")
def _(s):
    s.alter(14, [s.again], digest="other")


@case("two watchers see different kinds of event", "differs")
def _(s):
    s.alter(14, [s.again], type="ADDED")


@case("an event that nobody wrote", "phantom")
def _(s):
    s.w[:] = [r for r in s.w if not (isinstance(r, Write) and r.token == "six")]


@case("a refused write took effect", "phantom")
def _(s):
    s.alter_write("six", outcome=REFUSED)


@case("a delete that nobody asked for", "phantom")
def _(s):
    s.w[:] = [r for r in s.w if not (isinstance(r, Write) and r.op == "delete" and r.key == "c3")]


@case("the last list has what was deleted", "phantom")
def _(s):
    for r in s.final:
        if isinstance(r, Listing):
            r.items.append(["c3", 19, "uid of seven", "seven", digest({"v": "seven"})])


@case("a condition on a revision was ignored", "content")
def _(s):
    s.alter_write("eight", base=11)


@case("a patch lost a field", "content")
def _(s):
    lacking = digest({"v": "nine"})
    s.alter(104, digest=lacking)
    s.alter_lists(lambda i: [*i[:4], lacking] if i[0] == "b2" else i, s.final)


@case("a deleted object is shown as it never was", "content")
def _(s):
    s.alter(103, digest="other")


@case("a change of what does not exist", "content", "lost")
def _(s):
    s.forget(16)


@case("a read has what was there earlier", "stale")
def _(s):
    s.w.append(Read("configmaps", "a1", s.tick(), s.tick(), 16, digest({"v": "five"})))


@case("a read does not find what is there", "stale")
def _(s):
    s.w.append(Read("configmaps", "a1", s.tick(), s.tick(), 0, ""))


@case("a read finds what was deleted", "stale")
def _(s):
    s.w.append(Read("configmaps", "c3", s.tick(), s.tick(), 19, digest({"v": "seven"})))


@case("a list is older than what was known", "stale")
def _(s):
    whole = s.lister[next(i for i, r in enumerate(s.lister) if isinstance(r, Listing) and r.revision == 100)]
    s.final.append(Listing(s.tick(), s.tick(), 100, whole.items))


@case("a watcher of config maps cannot resume", "expired")
def _(s):
    i = next(i for i, r in enumerate(s.again) if isinstance(r, Started) and r.after == 19)
    s.again[i] = Expired(s.again[i].at, "too old resource version")
    del s.again[i + 1:]


@case("leases vanish in a crash and a watcher of them is not told", "missed")
def _(s):
    i = next(i for i, r in enumerate(s.leases) if isinstance(r, Expired))
    s.leases[i:i + 3] = [Started(s.leases[i].at, 18)]


@case("a watcher of leases misses an acknowledged one", "missed")
def _(s):
    s.forget(101, s.leases)
    s.leases.append(Passed(s.time, 105))


@case("the watchers ended too early", "unproved")
def _(s):
    s.forget(105)
    s.final.clear()


@case("a watcher left out a stretch", "unproved")
def _(s):
    i = next(i for i, r in enumerate(s.again) if isinstance(r, Started) and r.after == 19)
    s.again[i] = Started(s.again[i].at, 100)


def main():
    failed = 0
    for name, wanted, tell in CASES:
        story = Story()
        tell(story)
        found = story.rules()
        if found >= wanted and bool(found) == bool(wanted):
            print(f"ok checker: {name}")
        else:
            failed += 1
            print(f"not ok checker: {name}\n  # wanted {sorted(wanted)}, found {sorted(found)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
