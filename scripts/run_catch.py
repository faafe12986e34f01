#!/usr/bin/env python3
"""Runs one Catch2 executable (version 2 or 3) and counts its test cases.

    run_catch.py EXECUTABLE XML_FILE TIMEOUT_SECONDS

Says on standard output how it went, each failed check with its place, and writes "PASSED FAILED" to file
descriptor 3. A crash or a timeout counts as one failed case, on top of those that ended before it.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET


def command(executable, report):
    words = [executable, "--reporter", "xml", "--out", report, "--durations", "no"]
    if "tsan" in executable:  # ThreadSanitizer of GCC 12 does not cope with much address randomisation
        words = ["setarch", os.uname().machine, "-R"] + words
    return words


def read_cases(report):
    """Every test case of the report as (name, passed, checks that failed), as far as it was written."""
    cases = []
    current = None
    parser = ET.iterparse(report, events=("start", "end"))
    try:
        for event, node in parser:
            if node.tag == "TestCase":
                if event == "start":
                    current = node
                else:
                    result = node.find("OverallResult")
                    passed = result is not None and result.get("success") == "true"
                    skipped = result is not None and int(result.get("skips", 0)) > 0
                    if not (passed and skipped):
                        cases.append((node.get("name"), passed, list(failures(node))))
                    current = None
    except ET.ParseError:
        pass
    return cases, current.get("name") if current is not None else None


def failures(case):
    for node in case.iter():
        if node.tag == "Expression" and node.get("success") == "false":
            original = (node.findtext("Original") or "").strip()
            expanded = (node.findtext("Expanded") or "").strip()
            text = f"{node.get('type')}( {original} )"
            if expanded and expanded != original:
                text += f"\n      with: {expanded[:2000]}"
            for thrown in node.findall("Exception"):
                text += f"\n      threw: {(thrown.text or '').strip()}"
            yield node.get("filename"), node.get("line"), text
        elif node.tag in ("Failure", "FatalErrorCondition"):
            yield node.get("filename"), node.get("line"), f"{node.tag}: {(node.text or '').strip()}"
        elif node.tag == "Exception" and node.get("filename"):
            yield node.get("filename"), node.get("line"), f"threw: {(node.text or '').strip()}"


def main():
    executable, report, timeout = sys.argv[1], sys.argv[2], int(sys.argv[3])
    name = os.path.basename(executable)
    start = time.monotonic()
    if os.path.exists(report):
        os.remove(report)
    trouble = None
    output = report.replace(".xml", ".out")
    with open(output, "wb") as out:
        try:
            done = subprocess.run(command(executable, report), stdout=out, stderr=out, timeout=timeout, check=False)
            code = done.returncode
        except subprocess.TimeoutExpired:
            code, trouble = 1, f"no end after {timeout} s"
        except OSError as error:
            code, trouble = 1, str(error)

    cases, unfinished = read_cases(report) if os.path.exists(report) else ([], None)
    failed = [case for case in cases if not case[1]]
    if code != 0 and not failed and trouble is None:
        trouble = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    if not cases and trouble is None:
        trouble = "no test case ran"
    passed_count = len(cases) - len(failed)
    failed_count = len(failed) + (1 if trouble else 0)

    verdict = "ok" if failed_count == 0 else f"{failed_count} FAILED"
    print(f"{name}: {passed_count} passed, {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    for case, _, checks in failed:
        print(f"  FAILED: {case}")
        for file, line, text in checks:
            print(f"    {(file or '').replace('../', '')}:{line}: {text}")
    if trouble:
        where = f" in '{unfinished}'" if unfinished else ""
        print(f"  FAILED: {trouble}{where}; the end of {output}:")
        with open(output, "rb") as out:
            print(out.read()[-6000:].decode(errors="replace"))
    os.write(3, f"{passed_count} {failed_count}".encode())


if __name__ == "__main__":
    main()
