"""Describe an alert for messages and pages: its values, its drivers, and its command."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.alerting import alert_views, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.alerting.rule_conditions import CHANGES, Measure, Target
from dcmon.alerting.state_machine import MissingValuePolicy, value_in
from dcmon.checks import no_value_reasons
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, Result, Version
from dcmon.formatting import command_prefix, format_number, format_time
from dcmon.states import AlertState
from dcmon.windows import ComparedWith

OTHER_VERSIONS = 10  # how many versions are shown beside the alert's own


class VersionResult(NamedTuple):
    """The result of a version, with the version's name."""

    version: str
    result: Result


@dataclass(frozen=True)
class AlertDetails:
    """The data that describe an alert, besides the alert itself.

    `first`, `last`, `worst`: the results of these windows. `versions`: results of other versions in the last window.
    `change`: the line of history that the message is about.
    """

    last: Result | None = None
    worst: Result | None = None
    versions: Sequence[VersionResult] = ()
    change: AlertChange | None = None
    first: Result | None = None


def describe(
    session: Session, org: Organization, alert: Alert, public_url: str, kind: str | None = None
) -> dict[str, Any]:
    """Return the payload of messages about an alert.

    `kind`: the kind of the change that the message is about; None outside of messages.
    """
    (described,) = describe_all(session, org, [(alert_views.get_alert(session, alert.id), kind)], public_url)
    return described


def describe_all(
    session: Session,
    org: Organization,
    views: Sequence[tuple[AlertView, str | None]],
    public_url: str,
    new_lines: Sequence[AlertChange] = (),
) -> list[dict[str, Any]]:
    """Return the payloads of messages about alerts, each with the kind of its change, as `describe` does.

    `new_lines`: the newest lines of the alerts' histories, in order, which are not read again. The number of statements
    does not depend on the number of alerts.
    """
    all_details = _details(session, views, new_lines)
    return [payload(view, details, org.name, public_url) for (view, _), details in zip(views, all_details, strict=True)]


def payload(view: AlertView, data: AlertDetails, org: str, public_url: str) -> dict[str, Any]:
    """Return the payload of an alert.

    `summary` is one line. `moved` has the entries that changed most, with their values before and after.
    """
    alert, rule, details = view.alert, view.rule, view.alert.details or {}
    return {
        "id": alert.id,
        "model": view.model.name,
        "version": view.version.name,
        "monitor": view.monitor.name,
        "check": view.check.class_name,
        "rule": _rule(rule, alert.metric),
        "rule_id": rule.id,
        "rule_name": rule.name,
        "condition": alert_views.condition(rule),
        "sentence": sentence(rule),
        "severity": alert.severity,
        "state": alert.state,
        "summary": summary(view),
        "since": alert.first_window_start.isoformat(),
        "window": [
            None if data.last is None else _iso(data.last.window_start),
            alert.last_window_end.isoformat(),
        ],
        "last_window_end": alert.last_window_end.isoformat(),
        "windows": alert.windows,
        "n": alert.n,
        "metric": alert.metric,
        "value": alert.current_value,
        "first_metric": details.get("first_metric", alert.metric),
        "first_value": _value(details, "first_value", data.first, alert),
        "first_window": [alert.first_window_start.isoformat(), alert.first_window_end.isoformat()],
        "last_metric": details.get("last_metric", alert.metric),
        "last_value": _value(details, "last_value", data.last, alert),
        "violated_now": is_violated_now(alert),
        "worst_value": alert.worst_value,
        "worst_window": [details.get("worst_window_start"), alert.worst_window_end.isoformat()],
        "worst_n": details.get("worst_n"),
        "before_value": details.get("before_value"),
        "before_window_end": details.get("before_window_end"),
        "measured": details.get("measured"),
        "measured_against": _measured_against(rule, details),
        "compared_with": _compared_with(view, data.worst),
        "reason": details.get("reason"),
        "drivers": alert.drivers,
        "moved": details.get("moved", []),
        "versions": [_version(name, result, alert.metric) for name, result in data.versions],
        "by": data.change and data.change.by,
        "note": data.change and data.change.note,
        "acknowledged_at": _iso(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "acknowledgement": alert.acknowledgement,
        "resolved_at": _iso(alert.resolved_at),
        "resolved_by": alert.resolved_by,
        "link": link(alert, org, public_url),
        "command": command(alert, org),
    }


def _value(details: Mapping[str, Any], name: str, result: Result | None, alert: Alert) -> float | None:
    """Return the value that was judged.

    Alerts that an older dcmon wrote do not have it: for them, return the value that the result has now.
    """
    if name in details or result is None:
        judged: float | None = details.get(name)
        return judged
    return value_in(result, alert.metric)


def _rule(rule: AlertRule, metric: str) -> str:
    """Return the condition as text, with the alert's metric."""
    target, condition = rules.condition_of(rule).target, alert_views.condition(rule)
    if target == Target():
        return f"{metric} {condition}"
    return condition if target.name is not None else f"{condition} ({metric})"


class _WindowOfMonitor(NamedTuple):
    """The window of a monitor that ends at this time, of all versions."""

    model_id: int
    monitor_id: int
    end: datetime


def _details(
    session: Session, views: Sequence[tuple[AlertView, str | None]], new_lines: Sequence[AlertChange]
) -> list[AlertDetails]:
    results = _newest(session, {window for view, _ in views for window in _windows(view).values()})
    changes = {(line.alert_id, line.kind): line for line in new_lines}
    wanted = {(view.alert.id, kind) for view, kind in views if kind is not None}
    changes.update(_newest_changes(session, wanted - changes.keys()))
    all_details = []
    for view, kind in views:
        of_window = {name: results.get(window, []) for name, window in _windows(view).items()}
        own = {
            name: next((result for _, result in entries if result.version_id == view.version.id), None)
            for name, entries in of_window.items()
        }
        others = [entry for entry in of_window["last"] if entry.result.version_id != view.version.id]
        change = None if kind is None else changes.get((view.alert.id, kind))
        all_details.append(
            AlertDetails(own["last"], own["worst"], others[:OTHER_VERSIONS], change, first=own.get("first"))
        )
    return all_details


def _windows(view: AlertView) -> dict[str, _WindowOfMonitor]:
    """Return the windows whose results describe an alert, by name."""
    alert = view.alert
    ends = {"last": alert.last_window_end, "worst": alert.worst_window_end}
    if "first_value" not in (alert.details or {}):
        ends["first"] = alert.first_window_end
    return {name: _WindowOfMonitor(view.model.id, view.monitor.id, end) for name, end in ends.items()}


def _newest(
    session: Session, windows: Collection[_WindowOfMonitor]
) -> Mapping[_WindowOfMonitor, Sequence[VersionResult]]:
    """Return each version's newest result of each window, newest version first."""
    rows = session.execute(
        select(Version.model_id, Version.name, Result)
        .join(Version, Version.id == Result.version_id)
        .where(tuple_(Version.model_id, Result.monitor_id, Result.window_end).in_(windows))
        .ext(distinct_on(Result.monitor_id, Result.window_end, Result.version_id))
        .order_by(Result.monitor_id, Result.window_end, Result.version_id.desc(), Result.revision.desc())
    )
    by_window = defaultdict[_WindowOfMonitor, list[VersionResult]](list)
    for model_id, name, result in rows:
        by_window[_WindowOfMonitor(model_id, result.monitor_id, result.window_end)].append(VersionResult(name, result))
    return by_window


def _newest_changes(session: Session, changes: Collection[tuple[int, str]]) -> Mapping[tuple[int, str], AlertChange]:
    """Return the newest line of history of each alert and kind of change."""
    if not changes:
        return {}
    lines = session.scalars(
        select(AlertChange)
        .where(tuple_(AlertChange.alert_id, AlertChange.kind).in_(changes))
        .ext(distinct_on(AlertChange.alert_id, AlertChange.kind))
        .order_by(AlertChange.alert_id, AlertChange.kind, AlertChange.id.desc())
    )
    return {(line.alert_id, line.kind): line for line in lines}


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _version(name: str, result: Result, metric: str) -> dict[str, Any]:
    """Describe the result of another version in the same window."""
    return {"version": name, "value": value_in(result, metric), "n": result.n, "state": result.state}


def _compared_with(view: AlertView, worst: Result | None) -> dict[str, Any] | None:
    """Return what the check compared the worst window with; None without a comparison."""
    if worst is not None and worst.compared_start is not None:
        span = {"start": _iso(worst.compared_start), "end": _iso(worst.compared_end), "n": worst.compared_n}
        return {"what": view.monitor.compared_with, **span}
    if worst is None or not view.check.needs_reference or view.monitor.compared_with != ComparedWith.REFERENCE:
        return None
    return {"what": ComparedWith.REFERENCE.value, "revision": worst.reference_revision}


def _measured_against(rule: AlertRule, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the rule compared the value with; None for a condition on plain values."""
    condition = rules.condition_of(rule)
    if condition.measure == Measure.VALUE:
        return None
    if condition.measure in CHANGES:
        return {"what": condition.against, "value": details.get("compared_with")}
    mean = {"what": "mean", "windows": condition.over, "value": details.get("compared_with")}
    return {**mean, "limit": details.get("limit"), "values": details.get("looks_at")}


def link(alert: Alert, org: str, public_url: str) -> str:
    """Return the link to the alert's page.

    Ids of alerts are unique only in an organization, so the link names the organization.
    """
    return f"{public_url}/alerts/{alert.id}?org={quote(org)}"


def command(alert: Alert, org: str) -> str:
    """Return the command that shows the alert."""
    return f"{command_prefix(org)} alert show {alert.id}"


def summary(view: AlertView) -> str:
    """Return one line: the monitor, the metric and its value, the rule, and since when."""
    alert = view.alert
    name = f"{view.name} ({view.version.name})"
    if alert.worst_value is None:
        text = f"{alert.metric}: {(alert.details or {}).get('reason') or 'no value'}"
    elif alert.state == AlertState.RESOLVED:
        worst, now = format_number(alert.worst_value), format_number(alert.current_value)
        text = f"{_name(alert, alert.metric)} was {worst} at worst, is {now}"
    else:
        text = _current_text(alert)
    windows = f"{alert.windows} windows" if alert.windows != 1 else "1 window"
    return (
        f"{name}: {text} ({alert_views.condition(view.rule)}), {windows} since {format_time(alert.first_window_start)}"
    )


def is_violated_now(alert: Alert) -> bool:
    """Return True if the newest judged window violates the rule: its value is that of the last violated window."""
    if alert.state == AlertState.RESOLVED:
        return False
    details = alert.details or {}
    is_same = "last_value" not in details or details["last_value"] == alert.current_value
    return bool(details.get("violated_now", is_same))  # alerts of an older dcmon do not have it


def _name(alert: Alert, metric: str) -> str:
    """Return the name of a metric, and whether it is a plain mean in spite of its name."""
    return no_value_reasons.name_of_plain_mean(metric, (alert.details or {}).get("reason"))


def _current_text(alert: Alert) -> str:
    """Return the value that broke the rule last, the value now if it no longer breaks the rule, and the worst value."""
    details = alert.details or {}
    metric, last = details.get("last_metric", alert.metric), details.get("last_value", alert.current_value)
    is_now = is_violated_now(alert)
    text = f"{_name(alert, metric)} {'is' if is_now else 'was'} {format_number(last)}"
    if not is_now:
        name = "" if metric == alert.metric else f"{alert.metric} "
        text += f", {name}is {format_number(alert.current_value)} now and no longer breaks the rule"
    if metric != alert.metric:
        return f"{text}, {alert.metric} was {format_number(alert.worst_value)} at worst"
    return (
        text
        if alert.worst_value in (alert.current_value, last)
        else f"{text}, {format_number(alert.worst_value)} at worst"
    )


def sentence(rule: AlertRule) -> str:
    """Return a rule as a sentence, like "high when > 0.2"."""
    text = f"{rule.severity} when {alert_views.condition(rule)}"
    if rule.for_windows > 1:
        text += f" in {rule.for_windows} windows in a row"
    if rule.warn_severity is not None and rules.condition_of(rule).warn is not None:
        text += f"; {rule.warn_severity} when only its warning holds"
    if rule.keep_firing:
        text += f"; over after {rule.keep_firing + 1} ok windows"
    if rule.min_n:
        text += f"; windows of fewer than {rule.min_n:,} rows do not count"
    policies = (("no data", rule.no_data), ("an error", rule.on_error))
    texts = {MissingValuePolicy.ALERT.value: "is a violation", MissingValuePolicy.OK.value: "is ok"}
    return "; ".join([text, *(f"{name} {texts[policy]}" for name, policy in policies if policy in texts)])
