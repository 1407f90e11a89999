"""Reports of `monitor run`: exit code, JUnit XML, summary and annotations of GitHub Actions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dcmon.commands.operations import run_reports
from dcmon.commands.operations.run_reports import Reports
from dcmon.commands.views import github, junit
from dcmon.file_errors import FileUnwritable
from dcmon.output import Output
from dcmon.severity import Severity

# Elements of JUnit XML as CI servers read it: required attributes, further attributes, and elements inside.
SCHEMA: Mapping[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors"}, {"skipped", "time", "timestamp"}, {"testcase"}),
    "testcase": ({"name", "classname"}, {"time"}, {"failure", "error", "skipped", "system-out"}),
    "failure": ({"message", "type"}, set(), set()),
    "error": ({"message", "type"}, set(), set()),
    "skipped": (set(), {"message"}, set()),
}


def row(monitor: str, state: str | None = "OK", violates: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "monitor": monitor, "state": state, "violates": violates or [], "no_verdict": None, "reason": None,
        "failed": state == "ERROR",
        "window_end": datetime(2026, 3, 2, tzinfo=UTC), "version": "v1", "seconds": 0.25, "value": 0.5, **more,
    }  # fmt: skip


ROWS = [
    row("credit/Drift", violates=["high: age"]),
    row("credit/Drift", violates=["low: job"]),
    row("fraud/A <b> & \x07", state="NO_DATA", no_verdict="NO_DATA", reason="no rows"),
    row("fraud/Broken", state="ERROR", reason="it failed"),
    row("credit/Good"),
]


def require_valid(element: ElementTree.Element) -> None:
    required, allowed, inside = SCHEMA[element.tag]
    assert required <= set(element.attrib) <= required | allowed, element.tag
    for child in element:
        assert child.tag in inside
        require_valid(child)


def test_junit_has_a_case_for_each_monitor() -> None:
    suites = ElementTree.fromstring(junit.document(ROWS).partition("\n")[2])
    require_valid(suites)
    cases = {
        (case.get("classname"), case.get("name")): [child.tag for child in case] for case in suites.iter("testcase")
    }
    assert cases == {
        ("credit", "Drift"): ["failure"], ("credit", "Good"): [], ("fraud", "A <b> & \\x07"): ["skipped"],
        ("fraud", "Broken"): ["error"],
    }  # fmt: skip
    credit, fraud = suites.findall("testsuite")
    assert (credit.get("tests"), credit.get("failures"), credit.get("time")) == ("2", "1", "0.750")
    assert (fraud.get("skipped"), fraud.get("errors")) == ("1", "1")
    failure = suites.find(".//failure")
    assert failure is not None
    assert failure.text == (
        "window to 2026-03-02 00:00, version v1: high: age\nwindow to 2026-03-02 00:00, version v1: low: job"
    )


@pytest.mark.parametrize(
    ("rows", "fail_on", "code"),
    [
        (ROWS, "low", 1), (ROWS, "critical", 8), (ROWS[1:2], "medium", 0), (ROWS[1:2], "low", 1), (ROWS[4:], "low", 0),
        ([], "low", 8), (ROWS[2:3], "critical", 8),
    ],
)  # fmt: skip
def test_exit_code_follows_the_severity(rows: list[dict[str, Any]], fail_on: str, code: int) -> None:
    assert run_reports.exit_code(rows, Reports(Severity(fail_on))) == code


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (ROWS, 8), (ROWS[:3], 0), (ROWS[2:3], 8), ([*ROWS, row("a", violates=["critical: b"])], 1), ([], 8),
        ([row("a", no_verdict="Rule 3 could not judge it", failed=True), row("b")], 8),
    ],
)  # fmt: skip
def test_missing_verdicts_pass_where_they_are_allowed(rows: list[dict[str, Any]], code: int) -> None:
    """Not when all are missing, and not when a check or a rule failed."""
    assert run_reports.exit_code(rows, Reports(Severity.CRITICAL, allows_no_verdict=True)) == code


def test_summary_of_github_escapes_markdown() -> None:
    rows = [row("credit/a|b_<i>", violates=["high: age"])]
    shown = github.summary(rows, rows)
    assert shown.startswith("### dcmon: 1 result, 1 with a violated rule\n\n|")
    assert r"| ❌ | credit/a\|b\_&lt;i> | 2026-03-02 00:00 | v1 | 0.5 | high: age |  |" in shown


def test_summary_of_github_shows_what_does_not_fail_the_run(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    run_reports.write([row("a", violates=["high: age"])], Reports(Severity.CRITICAL, summary=path), Output())
    shown = path.read_text()
    assert shown.startswith("### dcmon: 1 result, 1 with a violated rule, of which 0 fail the run\n\n|")
    assert "| ⚠️ | a | 2026-03-02 00:00 | v1 | 0.5 | high: age |  |" in shown


def test_annotations_of_github_are_one_line_each() -> None:
    assert github.annotations([row("a,b/c\n::error::x", violates=["medium: 50%"])]) == [
        "::warning title=a%2Cb/c\\n%3A%3Aerror%3A%3Ax::medium: 50%25 in the window to 2026-03-02 00:00"
    ]


def test_report_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    for reports in (Reports(Severity.LOW, junit=Path("/dev/full")), Reports(Severity.LOW, summary=Path("/dev/full"))):
        with pytest.raises(FileUnwritable, match="/dev/full can't be written: No space left"):
            run_reports.write(ROWS, reports, Output())
    missing = tmp_path / "missing" / "junit.xml"
    with pytest.raises(FileUnwritable, match=f"{missing} can't be written"):
        run_reports.write(ROWS, Reports(Severity.LOW, junit=missing), Output())
