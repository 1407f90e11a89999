"""Read the stored results and alerts of a model's monitors, all monitors in the same statements."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import alert_views, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.checks import catalogue, data_flow
from dcmon.checks.kinds import PERFORMANCE
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Result, Version
from dcmon.monitoring import monitor_views, results
from dcmon.monitoring.monitor_views import MonitorView
from dcmon.monitoring.results import Span
from dcmon.pages.charts import AlertSpan, Interval, MonitorSeries, Point, Threshold
from dcmon.severity import Severity
from dcmon.states import AlertState, ResultState, TaskType
from dcmon.storage import versions

MOST_WINDOWS = 400  # of a monitor and version, the newest
MOST_WINDOWS_OF_ALERT = 1_000  # of the monitor and a version, up to a while after the alert
MOST_ALERTS = 500  # of the monitors that are read


@dataclass(frozen=True)
class Reading:
    """Which monitors of a model to read, those with the most severe open alerts first, and how many of their windows.

    `since`: only windows that end later. `until`: only those that end then or before, and alerts of that time.
    `monitor_ids`: only these monitors.
    """

    limit: int | None = None
    offset: int = 0
    windows: int = MOST_WINDOWS
    since: datetime | None = None
    until: datetime | None = None
    monitor_ids: Sequence[int] | None = None


@dataclass(frozen=True)
class ModelSeries:
    """Monitors of a model over time, in the period [`start`, `end`). `count`: of all monitors of the model.

    `versions`: the newest samples first.
    """

    model: Model
    versions: Sequence[Version]
    start: datetime
    end: datetime
    monitors: Sequence[MonitorSeries]
    alerts: Sequence[AlertView]
    count: int


def read(session: Session, model: Model, reading: Reading = Reading()) -> ModelSeries:
    """Return monitors of a model with their results and alerts, in six statements."""
    model_versions = versions.entries(session, model)
    names = {version.id: version.name for version in model_versions}
    count, rows = _monitors(session, model, reading)
    ids = [monitor.id for monitor, _ in rows]
    of_rules = defaultdict[int, list[AlertRule]](list)
    for rule in session.scalars(select(AlertRule).where(AlertRule.monitor_id.in_(ids)).order_by(AlertRule.id)):
        of_rules[rule.monitor_id].append(rule)
    span = Span(reading.since, reading.until)
    stored = results.newest_windows_of_monitors(session, model.id, ids, reading.windows, span)
    alerts = alert_views.newest_of_monitors(session, ids, MOST_ALERTS, reading.until)
    if reading.since is not None:
        since = reading.since
        alerts = [
            view for view in alerts if view.alert.state == AlertState.FIRING or view.alert.last_window_end > since
        ]
    series = [
        of_view(MonitorView(monitor, check, model, of_rules[monitor.id], stored[monitor.id]), alerts, names)
        for monitor, check in rows
    ]
    start, end = _period(model_versions, series, span)
    return ModelSeries(model, model_versions, start, end, series, alerts, count)


def _monitors(session: Session, model: Model, reading: Reading) -> tuple[int, Sequence[tuple[Monitor, Check]]]:
    """Return the number of all monitors of a model, and those to read."""
    ranks = {severity: place for place, severity in enumerate(reversed(Severity))}
    firing = (
        select(AlertRule.monitor_id, func.min(_rank(ranks)).label("rank"))
        .join(Alert, Alert.rule_id == AlertRule.id)
        .where(Alert.state == AlertState.FIRING)
        .group_by(AlertRule.monitor_id)
        .subquery()
    )
    of_model = select(Monitor, Check).join(Check, Check.id == Monitor.check_id).where(Check.model_id == model.id)
    if reading.monitor_ids is not None:
        of_model = of_model.where(Monitor.id.in_(reading.monitor_ids))
    count = session.scalar(select(func.count()).select_from(of_model.subquery())) or 0
    ordered = of_model.outerjoin(firing, firing.c.monitor_id == Monitor.id).order_by(
        func.coalesce(firing.c.rank, len(ranks)), Monitor.id
    )
    rows = session.execute(ordered.limit(reading.limit).offset(reading.offset))
    return count, [(row[0], row[1]) for row in rows]


def _rank(ranks: dict[Severity, int]) -> Any:
    return case({severity.value: place for severity, place in ranks.items()}, value=Alert.severity, else_=len(ranks))


def _period(
    model_versions: Sequence[Version], series: Sequence[MonitorSeries], span: Span
) -> tuple[datetime, datetime]:
    """Return the period of charts: that of the windows; without any, that of the samples."""
    now = datetime.now(UTC)
    points = [point for entry in series for point in entry.points]
    start = min((point.start for point in points), default=None)
    end = max((point.end for point in points), default=None)
    earliest = min((version.earliest for version in model_versions if version.earliest), default=now)
    newest = max((version.watermark for version in model_versions if version.watermark), default=now)
    last = span.until or max(end or newest, newest)
    return min(span.since or start or earliest, last), last


def monitor_series(session: Session, monitor_id: int, windows: int = MOST_WINDOWS) -> ModelSeries:
    """Return one monitor, with its model. Raises MonitorNotFound."""
    row = session.execute(
        select(Model).join(Check, Check.model_id == Model.id).join(Monitor, Monitor.check_id == Check.id)
        .where(Monitor.id == monitor_id)
    ).scalar_one_or_none()  # fmt: skip
    if row is None:
        raise errors.MonitorNotFound(name=monitor_id)
    return read(session, row, Reading(monitor_ids=[monitor_id], windows=windows))


def of_alert(session: Session, shown: AlertView, span: Span) -> MonitorSeries:
    """Return the monitor of an alert in a span of time, with the alerts of that time."""
    monitor, alert_rules = shown.monitor, select(AlertRule).where(AlertRule.monitor_id == shown.monitor.id)
    stored = results.newest_windows_of_monitors(session, shown.model.id, [monitor.id], MOST_WINDOWS_OF_ALERT, span)
    alerts = alert_views.newest_of_monitors(session, [monitor.id], MOST_ALERTS)
    if all(other.alert.id != shown.alert.id for other in alerts):
        alerts = [*alerts, shown]
    names = {version.id: version.name for version in versions.entries(session, shown.model)}
    rules_of_monitor = session.scalars(alert_rules.order_by(AlertRule.id)).all()
    series = of_view(
        MonitorView(monitor, shown.check, shown.model, rules_of_monitor, stored[monitor.id]), alerts, names
    )
    in_span = [
        alert
        for alert in series.alerts
        if (span.since is None or alert.until is None or alert.until > span.since)
        and (span.until is None or alert.since < span.until)
    ]
    return replace(series, alerts=in_span)


def of_view(view: MonitorView, alerts: Sequence[AlertView], names: dict[int, str]) -> MonitorSeries:
    """Return a monitor's series. `names`: of versions by id."""
    points = [
        Point(
            result.window_start, result.window_end, result.metrics, result.n, result.state, result.reason,
            names.get(result.version_id, ""), _intervals(result), result.revision,
        )
        for result in view.results
    ]  # fmt: skip
    alerts_of_monitor = [alert for alert in alerts if alert.monitor.id == view.monitor.id]
    metrics = _metrics(view, [alert for alert in alerts_of_monitor if alert.alert.state == AlertState.FIRING])
    return MonitorSeries(
        view.monitor.name,
        monitor_views.frequency_text(view.monitor.frequency, view.monitor.aggregation_window),
        points,
        [line for rule in view.rules for line in thresholds(rule)],
        [_span(alert, view) for alert in alerts_of_monitor],
        view.monitor.description,
        metrics,
        _has_own_axes(view),
        len(view.rules),
        view.monitor.id,
    )


def _metrics(view: MonitorView, firing: Sequence[AlertView]) -> list[str]:
    """Return the metrics to show: first those for which an alert fires, whose values a reader looks for.

    An alert of a rule on features names the feature: the metric is that which had the feature's value in the window.
    """
    metrics, first = view.metrics, list[str]()
    for alert in firing:
        window = (alert.alert.version_id, alert.alert.last_window_end)
        values = next((r.metrics for r in view.results if (r.version_id, r.window_end) == window), {})
        first += [name for name in metrics if name == alert.failed_metric or values.get(name) == alert.failed_value]
    return list(dict.fromkeys([*first, *metrics]))


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
        alert.first_window_end, until, alert.severity, alert.worst_value, _threshold(alert_view.rule),
        alert_view.driver, alert.id, alert.first_window_start,
    )  # fmt: skip
