#!/usr/bin/env python3
"""Makes docs/conformance.md, the state of every conformance spec, from JUnit reports of the e2e suite.

    conformance_table.py --specs FILE --table FILE [JUNIT...]

--specs  the names of all conformance specs, one a line, as the suite lists them
--table  the table: what it says of a spec stays true until a report has a newer result

Reports count in the order of their time stamps: a spec's latest result is the one that is shown. A spec without
any is "not run". Prints "N passed, N failed" for the conformance specs of these reports alone, where a spec that
the run's time limit cut off counts as failed; in the table it is "not run", for that says nothing about it.
"""

import argparse
import os
import re
import sys
import xml.etree.ElementTree

HEADER = """# Conformance

Kubernetes' own e2e suite v1.35.4, its {total} conformance specs, unpatched, against two nodes. Written by
`scripts/test.sh conformance` from the suite's JUnit reports; a run of some specs renews their rows.

"""
PASSED, FAILED, SKIPPED, CUT_OFF, NOT_RUN = "passed", "failed", "skipped", "cut off", "not run"
SHOWN = (PASSED, FAILED, SKIPPED, NOT_RUN)
ROW = re.compile(r"^\| (\[sig-.*) \| (passed|failed|skipped) \| ([0-9]+) \|$")


class Malformed(Exception):
    """A report or table that is not what its writer writes."""


def group(spec):
    """The special interest group a spec names first."""
    found = re.match(r"\[(sig-[a-z-]+)\]", spec)
    if not found:
        raise Malformed(f"a spec names no group: {spec}")
    return found.group(1)


def case_state(case):
    """State of one JUnit test case; None for what the focus left out."""
    if case.get("status") in ("interrupted", "timedout"):
        return CUT_OFF
    if case.find("failure") is not None or case.find("error") is not None:
        return FAILED
    skipped = case.find("skipped")
    if skipped is None:
        return PASSED
    # The suite reports every spec that it has; one that skipped itself says why after "skipped - ".
    return SKIPPED if skipped.get("message", "skipped") not in ("skipped", "pending") else None


def read_report(path):
    """(time stamp, {spec: (state, seconds)}) of one JUnit file."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except xml.etree.ElementTree.ParseError as error:
        raise Malformed(f"{path}: {error}") from error
    results = {}
    for case in root.iter("testcase"):
        name = case.get("name", "")
        state = case_state(case)
        # Other nodes of the suite (its preparations) are cases too, by other names.
        if name.startswith("[It] ") and state:
            results[name[len("[It] "):].strip()] = (state, float(case.get("time") or 0))
    return max((suite.get("timestamp", "") for suite in root.iter("testsuite")), default=""), results


def read_table(text):
    """{spec: (state, seconds)} of a table that render() made; what was not run is not in it."""
    results = {}
    for line in text.splitlines():
        found = ROW.match(line)
        if found:
            results[found.group(1).replace("\\|", "|")] = (found.group(2), float(found.group(3)))
    return results


def merge(earlier, reports, specs):
    """What is known of each of `specs` after `reports`, [(time stamp, results)], on top of `earlier`."""
    known = {spec: result for spec, result in earlier.items() if spec in specs}
    for _, results in sorted(reports, key=lambda report: report[0]):
        known.update({spec: result for spec, result in results.items() if spec in specs and result[0] != CUT_OFF})
    return known


def count(results):
    """(passed, failed) of what was run, cut off counting as failed."""
    states = [state for state, _ in results.values()]
    return states.count(PASSED), states.count(FAILED) + states.count(CUT_OFF)


def render(specs, known):
    """The table as Markdown."""
    groups = {}
    for spec in sorted(specs):
        groups.setdefault(group(spec), []).append(spec)

    def states(of):
        found = [known.get(spec, (NOT_RUN, 0))[0] for spec in of]
        return " | ".join(str(found.count(state)) for state in SHOWN)

    lines = [f"| group | specs | {' | '.join(SHOWN)} |", "|---" * (2 + len(SHOWN)) + "|"]
    lines += [f"| {name} | {len(groups[name])} | {states(groups[name])} |" for name in sorted(groups)]
    lines.append(f"| all | {len(specs)} | {states(specs)} |")
    for name in sorted(groups):
        lines += ["", f"## {name}", "", "| spec | state | seconds |", "|---|---|---|"]
        for spec in groups[name]:
            state, seconds = known.get(spec, (NOT_RUN, None))
            shown = "" if seconds is None else f"{seconds:.0f}"
            lines.append(f"| {spec.replace('|', chr(92) + '|')} | {state} | {shown} |")
    return HEADER.format(total=len(specs)) + "\n".join(lines) + "\n"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specs", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("reports", nargs="*")
    args = parser.parse_args(arguments)
    with open(args.specs, encoding="utf-8") as lines:
        specs = {line.strip() for line in lines if line.strip()}
    earlier = {}
    if os.path.exists(args.table):
        with open(args.table, encoding="utf-8") as table:
            earlier = read_table(table.read())
    reports = [read_report(path) for path in args.reports]
    text = render(specs, merge(earlier, reports, specs))
    with open(args.table + ".new", "w", encoding="utf-8") as out:
        out.write(text)
    os.rename(args.table + ".new", args.table)
    latest = {}
    for _, results in sorted(reports, key=lambda report: report[0]):
        latest.update({spec: result for spec, result in results.items() if spec in specs})
    print("%d passed, %d failed" % count(latest))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Malformed as error:
        sys.exit(f"conformance_table: error: {error}")
