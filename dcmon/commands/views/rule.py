"""Rules, their backtests and their tests, as rows."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon import errors
from dcmon.alerting import alert_views, backtest, rule_failures, rules
from dcmon.storage import models

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.alerting.backtest import Backtest
    from dcmon.alerting.rule_tests import RuleTestResult
    from dcmon.alerting.rules import Change
    from dcmon.alerting.state_machine import Policy
    from dcmon.app import App


class BacktestView(NamedTuple):
    """A backtest: totals, and a row for each alert that the rule would have opened."""

    summary: dict[str, Any]
    spans: list[dict[str, Any]]


class TestedPolicy(NamedTuple):
    """The policy that a backtest applies, and the monitor whose results it judges."""

    monitor_id: int
    policy: "Policy"


class FileOutcome(NamedTuple):
    """The outcome of one rule test, and the file that contains it."""

    file: Path
    outcome: "RuleTestResult"


def row(session: "Session", rule_id: int) -> dict[str, Any]:
    """Read a rule as a row."""
    return alert_views.rule_row(next(view for view in alert_views.list_rules(session) if view.rule.id == rule_id))


def find_row(app: "App", name: str) -> dict[str, Any]:
    """Find a rule as a row. Raises RuleNotFound."""
    with app.org() as session:
        return row(session, rules.find(session, name).id)


def rows(app: "App", model: str | None) -> list[dict[str, Any]]:
    """List rules; `failing` is the reason why a rule can't judge results, or None."""
    with app.org() as session:
        views = alert_views.list_rules(session, models.find(session, model).id if model else None)
        failures = rule_failures.failing(session)
        return [{**alert_views.rule_row(view), "failing": failures.get(view.rule.id)} for view in views]


def with_alerts(app: "App", name: str) -> dict[str, Any]:
    """Read a rule with all of its alerts, under "alerts". Raises RuleNotFound."""
    with app.org() as session:
        rule_id = rules.find(session, name).id
        views = [view for view in alert_views.list_alerts(session, pending=True) if view.rule.id == rule_id]
        return {**row(session, rule_id), "alerts": [alert_views.alert_row(view) for view in views]}


def run_backtest(app: "App", name: str, wanted: "Change", lookback: timedelta) -> BacktestView:
    """Judge stored results by a changed rule; `name` may be a monitor if there is a condition."""
    from dcmon.alerting import condition_parser
    from dcmon.monitoring import results

    with app.org() as session:
        monitor_id, policy = _policy(session, name, wanted)
        tested = backtest.run(session, monitor_id, policy, results.recent_series(session, monitor_id, lookback))
        summary = {"rule": condition_parser.to_text(policy.condition), **tested.summary()}
        return BacktestView(summary, _span_rows(tested))


def _policy(session: "Session", name: str, wanted: "Change") -> "TestedPolicy":
    """Return the monitor and the policy to test; a monitor without a rule needs a condition."""
    from dcmon.monitoring import monitors

    try:
        rule = rules.find(session, name)
    except (errors.RuleNotFound, errors.InvalidInput):
        if wanted.condition is None:
            raise
        return TestedPolicy(monitors.find(session, name).id, rules.preview(None, wanted))
    return TestedPolicy(rule.monitor_id, rules.preview(rule, wanted))


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


def run_tests(files: list[Path]) -> list[FileOutcome]:
    """Run the rule tests of YAML files. Raises FileRefused or InvalidInput."""
    from dcmon.alerting import rule_tests

    outcomes: list[FileOutcome] = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise errors.FileRefused(path=file, reason=error.strerror or error) from None
        outcomes += [FileOutcome(file, outcome) for outcome in rule_tests.run_all(content, file.name)]
    return outcomes


def test_row(tested: FileOutcome) -> dict[str, Any]:
    """Return the outcome of a rule test as a row."""
    outcome = tested.outcome
    lines = [
        {"window": line.number, "value": line.window, "expected": line.expected, "found": line.actual,
         "why": line.reason, "right": line.is_right}
        for line in outcome.lines
    ]  # fmt: skip
    return {
        "file": str(tested.file),
        "name": outcome.name,
        "rule": outcome.rule,
        "passed": outcome.is_passed,
        "windows": lines,
    }


def test_lines(outcome: "RuleTestResult") -> list[dict[str, Any]]:
    """Return the windows of a failed rule test as rows for people; wrong ones are marked."""
    return [
        {"": "" if line.is_right else ">", "window": line.number, "value": line.window, "expected": line.expected,
         "found": line.actual, "why": line.reason}
        for line in outcome.lines
    ]  # fmt: skip
