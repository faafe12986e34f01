#!/usr/bin/env python3
"""Tests of scripts/conformance_table.py, by reports as the suite writes them."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts"))
import conformance_table as table  # noqa: E402

A = "[sig-node] Pods should be submitted and removed [NodeConformance] [Conformance]"
B = "[sig-node] Pods should a | b [Conformance]"
C = "[sig-cli] Kubectl client should check [Conformance]"
SPECS = {A, B, C}


def case(name, body="", status="passed", seconds="1.4"):
    name = name.replace("&", "&amp;").replace("<", "&lt;")
    return f'<testcase name="{name}" classname="Kubernetes e2e suite" status="{status}" time="{seconds}">{body}</testcase>'


def junit(stamp, *cases):
    return ('<?xml version="1.0" encoding="UTF-8"?><testsuites tests="3">'
            f'<testsuite name="Kubernetes e2e suite" timestamp="{stamp}">{"".join(cases)}</testsuite></testsuites>')


class TableTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name, text=None):
        path = os.path.join(self.folder.name, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
        return path

    def report(self, *cases, stamp="2026-01-01T00:00:00"):
        return table.read_report(self.path("junit.xml", junit(stamp, *cases)))

    def test_states(self):
        for body, status, state in (
                ("", "passed", table.PASSED),
                ('<failure message="no">x</failure>', "failed", table.FAILED),
                ('<error message="no">x</error>', "panicked", table.FAILED),
                ('<skipped message="skipped - needs 3 nodes"/>', "skipped", table.SKIPPED),
                ('<failure message="no">x</failure>', "timedout", table.CUT_OFF),
                ('<error message="no">x</error>', "interrupted", table.CUT_OFF)):
            with self.subTest(status=status, body=body):
                self.assertEqual(self.report(case("[It] " + A, body, status))[1], {A: (state, 1.4)})

    def test_what_the_focus_left_out_has_no_result(self):
        for body in ('<skipped message="skipped"/>', "<skipped/>", '<skipped message="pending"/>'):
            self.assertEqual(self.report(case("[It] " + A, body, "skipped"))[1], {})

    def test_preparations_are_no_specs(self):
        self.assertEqual(self.report(case("[SynchronizedBeforeSuite]"), case("[It] " + C))[1], {C: (table.PASSED, 1.4)})

    def test_the_latest_result_counts(self):
        old = ("2026-01-01T10:00:00", {A: (table.PASSED, 1), B: (table.PASSED, 1)})
        new = ("2026-01-01T11:00:00", {A: (table.FAILED, 2), C: (table.CUT_OFF, 3)})
        for reports in ([old, new], [new, old]):
            self.assertEqual(table.merge({C: (table.SKIPPED, 9), "[sig-x] gone": (table.PASSED, 1)}, reports, SPECS),
                             {A: (table.FAILED, 2), B: (table.PASSED, 1), C: (table.SKIPPED, 9)})

    def test_a_table_is_read_as_it_was_written(self):
        known = {A: (table.PASSED, 12.0), B: (table.FAILED, 301.0)}
        text = table.render(SPECS, known)
        self.assertEqual(table.read_table(text), known)
        self.assertEqual(table.render(SPECS, table.read_table(text)), text)

    def test_counts_by_group(self):
        text = table.render(SPECS, {A: (table.PASSED, 1), B: (table.FAILED, 1)})
        self.assertIn("| sig-cli | 1 | 0 | 0 | 0 | 1 |", text)
        self.assertIn("| sig-node | 2 | 1 | 1 | 0 | 0 |", text)
        self.assertIn("| all | 3 | 1 | 1 | 0 | 1 |", text)
        self.assertIn(f"| {C} | not run |  |", text)

    def test_cut_off_is_no_success(self):
        self.assertEqual(table.count({A: (table.PASSED, 1), B: (table.CUT_OFF, 1), C: (table.SKIPPED, 1)}), (1, 1))

    def test_a_spec_without_a_group_is_refused(self):
        with self.assertRaises(table.Malformed):
            table.render({"Pods should"}, {})

    def test_a_torn_report_is_refused(self):
        with self.assertRaises(table.Malformed):
            table.read_report(self.path("torn.xml", "<testsuites><testsuite>"))

    def test_runs_add_up_in_one_table(self):
        specs, shown = self.path("specs.txt", "\n".join(sorted(SPECS)) + "\n"), self.path("table.md")
        first = self.path("1.xml", junit("2026-01-01T00:00:00", case("[It] " + A, '<failure message="">x</failure>', "failed")))
        second = self.path("2.xml", junit("2026-01-02T00:00:00", case("[It] " + A), case("[It] " + B)))
        table.main(["--specs", specs, "--table", shown, first])
        table.main(["--specs", specs, "--table", shown, second])
        with open(shown, encoding="utf-8") as text:
            self.assertEqual(table.read_table(text.read()), {A: (table.PASSED, 1), B: (table.PASSED, 1)})


if __name__ == "__main__":
    unittest.main()
