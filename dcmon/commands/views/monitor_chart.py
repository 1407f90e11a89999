"""Results of monitors as charts for a terminal."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from dcmon.alerting import rules
from dcmon.alerting.rule_conditions import Measure
from dcmon.alerting.state_machine import value_in
from dcmon.commands.views import terminal_chart
from dcmon.commands.views.terminal_chart import Limit, Mark
from dcmon.monitoring import results
from dcmon.output import Lines
from dcmon.pages import monitor_series

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.alerting.alert_views import AlertView
    from dcmon.db.tables.org import AlertRule, Result
    from dcmon.output import Output

WINDOWS_BEFORE, MOST_WINDOWS = 21, 120  # of an alert's chart: before the alert, and in all


def charts(
    rules_of_monitor: "Sequence[AlertRule]",
    stored: "Sequence[Result]",
    metrics: Sequence[str],
    versions: dict[int, str],
    output: "Output",
) -> list[Lines]:
    """Return a chart for each metric and version, that of the version with the newest window last."""
    by_version: dict[int, list[Result]] = {}
    for result in stored:
        by_version.setdefault(result.version_id, []).append(result)
    newest_last = sorted(by_version.items(), key=lambda entry: entry[1][-1].window_end)
    return [
        _chart(f"{metric}, version {versions.get(version_id, version_id)}", of_version, metric, limits, output)
        for metric in metrics
        for limits in (_limits(rules_of_monitor, metric),)
        for version_id, of_version in newest_last
    ]


def alert_chart(session: "Session", view: "AlertView", output: "Output") -> Lines | None:
    """Return the chart of the value that an alert is about, from some windows before it on; None without results."""
    alert = view.alert
    length = max(alert.first_window_end - alert.first_window_start, timedelta(minutes=1))
    since = alert.first_window_start - WINDOWS_BEFORE * length
    stored = [
        result
        for result in results.series(session, view.monitor.id, results.Span(since))
        if result.version_id == view.version.id
    ]
    if not stored:
        return None
    shown, which = windows_to_draw(stored, is_open=alert.resolved_at is None)
    title = f"{alert.metric}, version {view.version.name}{which}"
    return _chart(title, shown, alert.metric, _limits_of_rule(view.rule), output)


def windows_to_draw(stored: "Sequence[Result]", *, is_open: bool) -> "tuple[Sequence[Result], str]":
    """Return the windows to draw of an alert, and which of all they are, for the title.

    Of a long alert that is open, they are the newest: how bad is it now? Of one that has ended, the first: what began?
    """
    if len(stored) <= MOST_WINDOWS:
        return stored, ""
    which = f", the {'newest' if is_open else 'first'} {MOST_WINDOWS} of {len(stored):,} windows"
    return stored[-MOST_WINDOWS:] if is_open else stored[:MOST_WINDOWS], which


def _chart(title: str, stored: "Sequence[Result]", metric: str, limits: Sequence[Limit], output: "Output") -> Lines:
    marks = [Mark(result.window_end, value_in(result, metric)) for result in stored]
    return Lines(terminal_chart.draw(marks, limits, output.width, terminal_chart.terminal_signs()), title=title)


def _limits(rules_of_monitor: "Sequence[AlertRule]", metric: str) -> list[Limit]:
    """Return the thresholds of the active rules that are about a metric."""
    return [
        Limit(line.value, line.operator, f"{line.text} {line.severity}")
        for rule in rules_of_monitor
        if rule.is_active
        for line in monitor_series.thresholds(rule)
        if line.metric is None or line.metric.lower() == metric.lower()
    ]


def _limits_of_rule(rule: "AlertRule") -> list[Limit]:
    """Return the thresholds of a rule on values, also if it is about entries."""
    condition = rules.condition_of(rule)
    if condition.measure != Measure.VALUE:
        return []
    return [
        Limit(value, condition.operator, f"{rules.condition_text(rule)} {rule.severity}")
        for value in (condition.threshold, condition.upper)
        if value is not None
    ]
