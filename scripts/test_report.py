"""Sums up a test run: test_report.py REPORTS STEP=STATUS...

A step with a folder REPORTS/STEP is counted by the JUnit files in it, any other as one test. Prints the failures, the
reasons of the skipped tests and the counts; exits 1 on a failure, or when no test ran.
"""
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def outcomes(folder):
    """Yields (name, outcome, reason) of each test in a folder of JUnit files."""
    for file in sorted(folder.glob("*.xml")):
        for case in ElementTree.parse(file).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            if case.find("failure") is not None or case.find("error") is not None:
                yield name, "failed", ""
            elif (skipped := case.find("skipped")) is not None:
                yield name, "skipped", skipped.get("message", "").split("\n", 1)[-1].strip()
            else:
                yield name, "passed", ""


def main(reports, results):
    counts, reasons, failures = Counter(), Counter(), []
    for step, status in (result.rsplit("=", 1) for result in results):
        folder = Path(reports, step)
        if folder.is_dir():
            tests = list(outcomes(folder))
        else:
            tests = [(step, "failed" if int(status) else "passed", "")]
        failed = [name for name, outcome, _ in tests if outcome == "failed"]
        if int(status) and not failed:  # a crash, or an error outside of the tests
            tests.append((step, "failed", ""))
            failed = [f"{step} ended early, with status {status}"]
        failures += [f"{step}: {name}" for name in failed]
        reasons.update(reason for _, outcome, reason in tests if outcome == "skipped")
        own = Counter(outcome for _, outcome, _ in tests)
        counts += own
        print(f"{step:12}{own['passed']:5} passed {own['failed']:4} failed {own['skipped']:4} skipped")
    for failure in failures:
        print(f"FAILED   {failure}")
    for reason, count in reasons.most_common():
        print(f"SKIPPED  {count} x {reason}")
    if not counts["passed"] + counts["failed"]:
        print("no test ran" if counts else "no test matches")
        failures.append("none")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
