"""One alert: which feature, since when and how bad first; then what moved, the value over time, and its history."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from dcmon.alerting import alert_payload, alert_views, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.alerting.rule_conditions import Measure
from dcmon.db import Organization
from dcmon.formatting import count_of, format_number
from dcmon.monitoring import results
from dcmon.monitoring.results import Span
from dcmon.notifications import notification_views
from dcmon.notifications.integrations import message_text
from dcmon.pages import distribution_charts, distribution_reading, monitor_series, series_charts
from dcmon.pages.charts import MonitorSeries, Threshold
from dcmon.pages.distribution_reading import Compared, main_drivers
from dcmon.pages.markup import (
    NOTHING,
    Markup,
    badge,
    element,
    fields,
    items,
    joined,
    link,
    moment,
    number,
    paragraph,
    table,
)
from dcmon.pages.view import View
from dcmon.states import AlertState

HISTORY_HEADS = ("Time", "Change", "By", "Severity", "Value", "Note")
NOTIFICATION_HEADS = ("Time", "Kind", "Receiver", "State")
MAX_LINES = 5  # of drivers in the first lines
MARGIN = timedelta(days=30)  # of the chart before the alert, at least
Parts = list[object]


def render(
    session: Session,
    view: View,
    organization: Organization,
    alert: AlertView,
    *,
    shows_receivers: bool,
    level: str = "h1",
) -> Markup:
    """Return the page of an alert. `shows_receivers`: False leaves their names out. `level`: of its heading."""
    payload = alert_payload.describe(session, organization, alert.alert, "")
    compared = distribution_reading.of_alert(session, alert)
    return joined(
        (
            _first(view, alert, payload, level),
            element("h2", "What moved"),
            _distributions(compared),
            element("h2", "The value over time"),
            _over_time(session, view, alert),
            element("h2", "Details"),
            element("div", fields(_details(alert, payload)), "card"),
            _history(session, alert),
            _notifications(session, alert, shows_receivers=shows_receivers),
        )
    )


def _first(view: View, alert_view: AlertView, payload: Mapping[str, Any], level: str) -> Markup:
    """Return what the owner of a model must know first: what, since when, how bad, and which features."""
    alert = alert_view.alert
    state = "resolved" if alert.state == AlertState.RESOLVED else alert.severity
    name = link(alert_view.monitor.name, view.links.monitor(alert_view.monitor.id))
    head = joined((badge(f"{alert.severity} {alert.state}", state), " ", _lead_name(alert_view)))
    windows = count_of(alert.windows, "window")
    since = joined(("Since ", moment(alert.first_window_start), f" ({windows}): ", _values(payload)))
    drivers = main_drivers(alert_view)
    changes = [entry for entry in payload["moved"] if not drivers or entry["name"] in drivers]
    lines = [_driver_line(entry) for entry in changes[:MAX_LINES]]
    where = joined((
        "Monitor ", name, " of model ", link(alert_view.model.name, view.links.model(alert_view.model.id)),
        f", version {alert_view.version.name}. Rule: {payload['sentence']}.",
    ))  # fmt: skip
    content = joined((paragraph(since, "lead"), items(lines), paragraph(where, "note"), _acknowledged(payload)))
    return element(level, head) + Markup('<div class="card alarm {}">{}</div>').format(state, content)


def _lead_name(alert_view: AlertView) -> str:
    """Return the feature that drives an alert with the monitor's name, or the monitor's name alone."""
    drivers = main_drivers(alert_view)
    if not drivers:
        return f"{alert_view.model.name}: {alert_view.monitor.name}"
    named = " and ".join(drivers) if len(drivers) < 3 else f"{drivers[0]}, {drivers[1]} and {len(drivers) - 2} more"
    return f"{named} – {alert_view.model.name}: {alert_view.monitor.name}"


def _values(payload: Mapping[str, Any]) -> Markup:
    """Return how bad it is: the value now, the worst, and the rule."""
    worst, current = payload["worst_value"], payload["value"]
    if worst is None:
        return element("span", payload["reason"] or "no value")
    now, at_worst = f"{format_number(current)} now", f"{format_number(worst)} at worst"
    metric = _measured(payload)
    is_over = payload["state"] == AlertState.RESOLVED
    text = f"{metric} was {at_worst}, is {now}" if is_over else f"{metric} is {now}, was {at_worst}"
    before = payload["before_value"]
    text += f", and {format_number(before)} before" if before is not None else ""
    return element("span", f"{text}. The rule: {payload['condition']}.")


def _measured(payload: Mapping[str, Any]) -> str:
    """Return what has the values: of a rule on features, what the monitor computes of one, not its own value."""
    metric: str = payload["metric"]
    monitor = str(payload["monitor"]).partition("/")[2]
    return f"{monitor} of {metric}" if monitor and metric in (payload["drivers"] or {}) else metric


def _driver_line(entry: Mapping[str, Any]) -> Markup:
    """Return how a driver changed, in its own units: "age: mean 65 → 88 (0.02 → 0.31)"."""
    units = message_text.entry_units(dict(entry))
    before = f"{format_number(entry['before'])} → " if entry.get("before") is not None else ""
    after = entry.get("after")
    value = f"{before}{format_number(after) if isinstance(after, int | float) else after}"
    return Markup("<b>{}</b>: {}").format(entry["name"], f"{units} ({value})" if units else value)


def _acknowledged(payload: Mapping[str, Any]) -> Markup:
    if not payload["acknowledged_by"]:
        return NOTHING
    note = f": {payload['acknowledgement']}" if payload["acknowledgement"] else ""
    return paragraph(f"Acknowledged by {payload['acknowledged_by']}{note}", "note")


def _distributions(compared: Compared) -> Markup:
    """Return the distributions of reference, before and now, feature by feature."""
    if not compared.features:
        return paragraph(compared.remark, "none")
    parts: Parts = []
    for name, distributions in compared.features.items():
        head = element("h3", name)
        drawn = distribution_charts.side_by_side(compared.names, distributions)
        parts.append(element("section", head + drawn, "card"))
    return joined(parts)


def _over_time(session: Session, view: View, alert_view: AlertView) -> Markup:
    """Return the chart of the monitor, from a while before the alert until a while after it, as the alert found it."""
    alert = alert_view.alert
    length = max(alert.first_window_end - alert.first_window_start, timedelta(minutes=1))
    margin = max(20 * length, min(MARGIN, 60 * length))
    start, until = alert.first_window_start - margin, alert.last_window_end + margin
    span = Span(start, until if alert.state == AlertState.RESOLVED else None, _revision(session, alert_view))
    shown = monitor_series.of_alert(session, alert_view, span)
    if alert.metric not in shown.metrics and alert.drivers:
        shown = _of_entries(session, alert_view, shown, span)
    start = min((point.start for point in shown.points), default=alert.first_window_start)
    end = max((point.end for point in shown.points), default=alert.last_window_end)
    return element("div", series_charts.chart(view, shown, start, end) + series_charts.value_table(shown, 30), "card")


def _revision(session: Session, alert_view: AlertView) -> int:
    """Return the revision of the monitor that the alert is about: the current one may have no result of its time."""
    alert, monitor = alert_view.alert, alert_view.monitor
    end, at = alert.last_window_end, alert.resolved_at
    return results.revision_at(session, monitor.id, alert.version_id, end, at) or monitor.revision


def _of_entries(session: Session, alert_view: AlertView, series: MonitorSeries, span: Span) -> MonitorSeries:
    """Return the values of the entries that drive an alert, such as features, in place of the monitor's metrics."""
    names = list(dict.fromkeys([alert_view.alert.metric, *main_drivers(alert_view)]))
    version = alert_view.version.name
    of_version = alert_view.monitor.id, alert_view.version.id
    since = min((point.start for point in series.points), default=alert_view.alert.first_window_start)
    entries = results.entries_of(session, *of_version, since, span.revision or alert_view.monitor.revision)
    points = [
        replace(point, metrics={name: of[name] for name in names if name in of}, intervals={})
        for point in series.points
        if point.version == version
        for of in (entries.get(point.end, {}),)
    ]
    condition = rules.condition_of(alert_view.rule)
    lines = [
        Threshold(level, alert_view.rule.severity, condition.operator)
        for level in (condition.threshold, condition.upper)
        if level is not None and condition.measure == Measure.VALUE
    ]
    alerts = [alert for alert in series.alerts if alert.alert_id == alert_view.alert.id]
    return replace(series, points=points, shown=names, thresholds=lines, alerts=alerts)


def _details(alert_view: AlertView, payload: Mapping[str, Any]) -> dict[str, object]:
    alert = dict(payload)
    return {
        "Check": payload["check"],
        "Compared with": message_text.comparison_text(alert),
        "Measured": message_text.measured_text(alert),
        "First window": message_text.span(payload["first_window"]),
        "Last window": message_text.span(payload["window"]),
        "Worst window": message_text.span(payload["worst_window"]),
        "Rows": number(f"{payload['n']:,}"),
        "Other versions": message_text.other_versions(alert),
        "Resolved by": payload["resolved_by"],
        "Remark": payload["reason"],
        "In a terminal": element("code", payload["command"]),
    }


def _history(session: Session, alert_view: AlertView) -> Markup:
    rows = [
        (moment(change.at), change.kind, change.by, change.severity, number(change.value), change.note)
        for change in alert_views.list_changes(session, alert_view.alert.id)
    ]
    return element("h2", "History") + table(HISTORY_HEADS, rows, "History") if rows else NOTHING


def _notifications(session: Session, alert_view: AlertView, *, shows_receivers: bool) -> Markup:
    rows = [
        (
            moment(entry.notification.created_at), entry.notification.kind,
            entry.receiver.name if shows_receivers else "", notification_views.state(entry.notification),
        )
        for entry in notification_views.for_alert(session, alert_view.alert.id)
    ]  # fmt: skip
    shown = table(NOTIFICATION_HEADS, rows, "Notifications") if rows else paragraph("No receiver was notified.", "none")
    return element("h2", "Notifications") + shown
