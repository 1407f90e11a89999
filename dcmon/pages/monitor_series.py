"""Read the stored results and alerts of a model's monitors for a report."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from dcmon.alerting import alert_views, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.checks import catalogue, data_flow
from dcmon.checks.kinds import PERFORMANCE
from dcmon.db.tables.org import AlertRule, Model, Result
from dcmon.monitoring import monitor_views
from dcmon.monitoring.monitor_views import MonitorView
from dcmon.pages.charts import AlertSpan, Interval, MonitorSeries, Point, Threshold
from dcmon.pages.report import Report
from dcmon.severity import Severity
from dcmon.states import AlertState, ResultState, TaskType
from dcmon.storage import versions


def model_report(session: Session, organization: str, model: Model) -> Report:
    """Return the report on a model: all results of its monitors, and all alerts."""
    model_versions = versions.entries(session, model)
    names = {version.id: version.name for version in model_versions}
    alerts = alert_views.list_alerts(session, model.id)
    series = [_series(view, alerts, names) for view in monitor_views.list_views(session, model.id)]
    now = datetime.now(UTC)
    return Report(
        organization,
        model.name,
        ", ".join(names.values()),
        min((version.earliest for version in model_versions if version.earliest), default=now),
        max((version.watermark for version in model_versions if version.watermark), default=now),
        now,
        series,
    )


def _series(view: MonitorView, alerts: Sequence[AlertView], names: dict[int, str]) -> MonitorSeries:
    points = [
        Point(
            result.window_start, result.window_end, result.metrics, result.n, result.state, result.reason,
            names.get(result.version_id, ""), _intervals(result),
        )
        for result in view.results
    ]  # fmt: skip
    alerts_of_monitor = [alert for alert in alerts if alert.monitor.id == view.monitor.id]
    return MonitorSeries(
        view.monitor.name,
        view.monitor.frequency,
        points,
        [line for rule in view.rules for line in thresholds(rule)],
        [_span(alert, view) for alert in alerts_of_monitor],
        view.monitor.description,
        view.metrics,
        _has_own_axes(view),
        len(view.rules),
    )


def _intervals(result: Result) -> dict[str, Interval]:
    """Return the intervals of the metrics; a result of an earlier version of dcmon has none."""
    return {name: Interval(*limits) for name, limits in (result.intervals or {}).items() if name in result.metrics}


def _has_own_axes(view: MonitorView) -> bool:
    """Return True if the metrics have different units, such as rows and shares, or scores and gaps."""
    is_regression = view.check.class_name == PERFORMANCE and view.model.task_type == TaskType.REGRESSION
    is_estimate = catalogue.uses_late_labels(view.check.module_name, view.check.class_name)
    return len(view.metrics) > 1 and (data_flow.is_data_flow(view.check) or is_regression or is_estimate)


def thresholds(rule: AlertRule) -> list[Threshold]:
    """Return the lines to draw for a rule on the axis of values.

    A rule on a range has two lines; a rule on changes or on entries has no line.
    """
    condition = rules.condition_of(rule)
    if not condition.is_on_metric_values:
        return []
    severity, warn_severity = rule.severity, rule.warn_severity or Severity.LOW
    lines = (
        (condition.threshold, severity), (condition.upper, severity),
        (condition.warn, warn_severity), (condition.warn_upper, warn_severity),
    )  # fmt: skip
    return [
        Threshold(value, line_severity, condition.operator, metric=condition.target.name)
        for value, line_severity in lines
        if value is not None
    ]


def _threshold(rule: AlertRule) -> Threshold:
    return Threshold(rule.threshold, rule.severity, rule.operator, "" if rule.condition is None else rule.condition)


def _span(alert_view: AlertView, view: MonitorView) -> AlertSpan:
    """Return an alert as a span of time, which ends when a window is OK."""
    alert = alert_view.alert
    recovered = [
        result.window_end
        for result in view.results
        if result.version_id == alert.version_id
        and result.state == ResultState.OK
        and result.window_end > alert.last_window_end
    ]
    until = None if alert.state == AlertState.FIRING else min(recovered, default=alert.last_window_end)
    return AlertSpan(
        alert.first_window_end, until, alert.severity, alert.worst_value, _threshold(alert_view.rule), alert_view.driver
    )
