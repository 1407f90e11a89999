"""Rules, their backtests and their tests, as rows."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dcmon.alerting import alert_views, rule_failures, rules
from dcmon.commands.views import rule_noise
from dcmon.output import Fields, Page, Part, Remark, Table
from dcmon.storage import models

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.alerting.backtest import Backtest
    from dcmon.alerting.rule_tests import RuleTestResult
    from dcmon.app import App
    from dcmon.commands.operations.rule_test_files import FileOutcome
    from dcmon.monitoring.rule_noise import RuleNoise

ALERT_COLUMNS = {  # headings by key
    "id": "", "state": "", "since": "", "until": "", "windows": "", "worst": "worst value",
}  # fmt: skip
SHOWN_ALERTS = 10  # the newest
NOTHING_JUDGED = "No result of these windows is stored: nothing was judged."
SPAN_COLUMNS = ["version", "severity", "since", "until", "windows", "days", "metric", "worst"]
TEST_COLUMNS = {  # headings by key
    "": "", "window": "", "value": "", "expected": "", "actual": "", "reason": "",
}  # fmt: skip


def row(session: "Session", rule_id: int) -> dict[str, Any]:
    """Read a rule as a row."""
    return alert_views.rule_row(next(view for view in alert_views.list_rules(session) if view.rule.id == rule_id))


def find_row(app: "App", name: str) -> dict[str, Any]:
    """Find a rule as a row. Raises RuleNotFound."""
    with app.org() as session:
        return row(session, rules.find(session, name).id)


def listing(app: "App", model: str | None) -> Page:
    """Show rules as a table, with a remark on each rule that can't judge results."""
    with app.org() as session:
        views = alert_views.list_rules(session, models.find(session, model).id if model else None)
        failures = rule_failures.failing(session)
        rows = [{**alert_views.rule_row(view), "failing": failures.get(view.rule.id)} for view in views]
    columns = ["id", "name", "monitor", "condition", "severity", "for", "open", "active"]
    narrow = [column for column in columns if column not in ("name", "for")]
    empty = 'No rule yet. "dcmon rule create MONITOR CONDITION" adds one.'
    table = Table(rows, columns, empty=empty, narrow=narrow)
    remarks = [
        f"Rule {row['id']} can't judge the results of its monitor: {row['failing']}" for row in rows if row["failing"]
    ]
    return Page(rows, [table], remarks)


def detail(app: "App", name: str) -> Page:
    """Show a rule and its alerts. Raises RuleNotFound."""
    with app.org() as session:
        rule_id = rules.find(session, name).id
        views = [view for view in alert_views.list_alerts(session, pending=True) if view.rule.id == rule_id]
        rule_row, alerts = row(session, rule_id), [alert_views.alert_row(view) for view in views]
    table = Table(alerts[-SHOWN_ALERTS:], ALERT_COLUMNS, title="Last alerts", empty="No alert yet.")
    shown = {key: value for key, value in rule_row.items() if key != "alerts"}
    return Page({**rule_row, "alerts": alerts}, [Fields(shown), table])


def backtest_report(tested: "Backtest", noise: "RuleNoise | str | None") -> Page:
    """Show the numbers of a backtest, the alerts that the rule would have opened, and what it does on noise."""
    from dcmon.alerting import condition_parser

    summary = {"rule": condition_parser.to_text(tested.policy.condition), **tested.summary()}
    spans = _span_rows(tested)
    table = Table(
        spans,
        SPAN_COLUMNS,
        title="Alerts it would have opened",
        empty="It would not have fired." if tested.windows else NOTHING_JUDGED,
    )
    if noise is None:
        return Page({**summary, "spans": spans}, [Fields(summary), table])
    on_noise = rule_noise.texts(noise)
    data = {**summary, "spans": spans, "noise": on_noise.data}
    return Page(data, [Fields(summary), table, on_noise.lines], on_noise.warnings)


def _span_rows(tested: "Backtest") -> list[dict[str, Any]]:
    return [
        {
            "version": alert.version,
            "severity": alert.span.severity,
            "since": alert.span.first.window_start,
            "until": None if alert.span.is_open else alert.span.last.window_end,
            "windows": alert.span.windows,
            "days": round(alert.duration / timedelta(days=1), 2),
            "metric": alert.span.metric,
            "worst": alert.span.worst_value,
        }
        for alert in tested.alerts
    ]


def test_report(tested: "list[FileOutcome]") -> Page:
    """Show a line for each rule test, and the windows of a failed test."""
    parts: list[Part] = []
    for test in tested:
        outcome = test.outcome
        parts.append(Remark(f"{'ok  ' if outcome.is_passed else 'FAIL'}  {test.file.name}: {outcome.name}"))
        if not outcome.is_passed:
            parts.append(Table(_test_lines(outcome), TEST_COLUMNS, title=f"{outcome.name}: {outcome.rule}"))
    failed = sum(not test.outcome.is_passed for test in tested)
    return Page([_test_row(test) for test in tested], parts, [f"{len(tested) - failed} passed, {failed} failed"])


def _test_row(tested: "FileOutcome") -> dict[str, Any]:
    outcome = tested.outcome
    lines = [
        {"window": line.number, "value": line.window, "expected": line.expected, "actual": line.actual,
         "reason": line.reason, "passed": line.is_right}
        for line in outcome.lines
    ]  # fmt: skip
    return {
        "file": str(tested.file),
        "name": outcome.name,
        "rule": outcome.rule,
        "passed": outcome.is_passed,
        "windows": lines,
    }


def _test_lines(outcome: "RuleTestResult") -> list[dict[str, Any]]:
    """Return the windows of a failed rule test, with the wrong ones marked."""
    return [
        {"": "" if line.is_right else ">", "window": line.number, "value": line.window, "expected": line.expected,
         "actual": line.actual, "reason": line.reason}
        for line in outcome.lines
    ]  # fmt: skip
