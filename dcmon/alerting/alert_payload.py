"""An alert in words and numbers, for whoever is told of it: what is wrong, since when, what moved, what to type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.alerting import alert_views, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.alerting.rule_conditions import CHANGES, Target
from dcmon.alerting.state_machine import value_in
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, Result, Version
from dcmon.formatting import command_prefix, format_number, format_time
from dcmon.states import AlertState
from dcmon.windows import ComparedWith

VERSIONS = 10  # that are shown beside the alert's own


@dataclass(frozen=True)
class AlertDetails:
    """What is to be known beside the alert itself.

    The results of its first, last and worst window; those of all versions in the last one, by name; and the line of
    its history that is told, with who did it and why.
    """

    last: Result | None = None
    worst: Result | None = None
    versions: Sequence[tuple[str, Result]] = ()
    change: AlertChange | None = None
    first: Result | None = None


def describe(
    session: Session, org: Organization, alert: Alert, public_url: str, kind: str | None = None
) -> dict[str, Any]:
    """All that a message about an alert can say; `kind`: what is told of it (dcmon.states.AlertChangeKind)."""
    view = alert_views.get_alert(session, alert.id)
    return payload(view, _around(session, view, kind), org.name, public_url)


def payload(view: AlertView, around: AlertDetails, org: str, public_url: str) -> dict[str, Any]:
    """All that a message about an alert can say. `summary` is one line; `moved` has before and after."""
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
        "window": [None if around.last is None else _iso(around.last.window_start), alert.last_window_end.isoformat()],
        "last_window_end": alert.last_window_end.isoformat(),
        "windows": alert.windows,
        "n": alert.n,
        "metric": alert.metric,
        "value": alert.current_value,
        "first_value": _value(details, "first_value", around.first, alert),
        "first_window": [alert.first_window_start.isoformat(), alert.first_window_end.isoformat()],
        "last_value": _value(details, "last_value", around.last, alert),
        "worst_value": alert.worst_value,
        "worst_window": [details.get("worst_window_start"), alert.worst_window_end.isoformat()],
        "worst_n": details.get("worst_n"),
        "before_value": details.get("before_value"),
        "before_window_end": details.get("before_window_end"),
        "measured": details.get("measured"),
        "measured_against": _measured_against(rule, details),
        "compared_with": _compared_with(view, around.worst),
        "reason": details.get("reason"),
        "drivers": alert.drivers,
        "moved": details.get("moved", []),
        "versions": [_version(name, each, alert.metric) for name, each in around.versions],
        "by": around.change and around.change.by,
        "note": around.change and around.change.note,
        "acknowledged_at": _iso(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "acknowledgement": alert.acknowledgement,
        "resolved_at": _iso(alert.resolved_at),
        "resolved_by": alert.resolved_by,
        "link": link(alert, org, public_url),
        "command": command(alert, org),
    }


def _value(details: Mapping[str, Any], name: str, result: Result | None, alert: Alert) -> float | None:
    """The alert's number in its first or last window: as it was judged, or, of an older dcmon, as it is stored."""
    if name in details or result is None:
        found: float | None = details.get(name)
        return found
    return value_in(result, alert.metric)


def _rule(rule: AlertRule, metric: str) -> str:
    """The condition with the number that it is about, where it does not name one itself."""
    subject, condition = rules.condition_of(rule).target, alert_views.condition(rule)
    if subject == Target():
        return f"{metric} {condition}"
    return condition if subject.name is not None else f"{condition} ({metric})"


def _around(session: Session, view: AlertView, kind: str | None) -> AlertDetails:
    last = _newest(session, view, view.alert.last_window_end)
    worst = _newest(session, view, view.alert.worst_window_end)
    mine = view.version.id
    first = [] if "first_value" in (view.alert.details or {}) else _newest(session, view, view.alert.first_window_end)
    return AlertDetails(
        next((each for _, each in last if each.version_id == mine), None),
        next((each for _, each in worst if each.version_id == mine), None),
        [(name, each) for name, each in last if each.version_id != mine][:VERSIONS],
        None if kind is None else _change(session, view.alert, kind),
        next((each for _, each in first if each.version_id == mine), None),
    )


def _newest(session: Session, view: AlertView, end: datetime) -> Sequence[tuple[str, Result]]:
    """The newest result of each version in the monitor's window that ends then, the newest version first."""
    found = session.execute(
        select(Version.name, Result)
        .join(Version, Version.id == Result.version_id)
        .where(Version.model_id == view.model.id, Result.monitor_id == view.monitor.id, Result.window_end == end)
        .ext(distinct_on(Result.version_id))
        .order_by(Result.version_id.desc(), Result.revision.desc())
    )
    return [(name, result) for name, result in found]


def _change(session: Session, alert: Alert, kind: str) -> AlertChange | None:
    lines = select(AlertChange).where(AlertChange.alert_id == alert.id, AlertChange.kind == kind)
    return session.scalar(lines.order_by(AlertChange.id.desc()).limit(1))


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _version(name: str, result: Result, metric: str) -> dict[str, Any]:
    """What another version has in the same window."""
    return {"version": name, "value": value_in(result, metric), "n": result.n, "state": result.state}


def _compared_with(view: AlertView, worst: Result | None) -> dict[str, Any] | None:
    """What the check compared the worst window with; None where it compares with nothing."""
    if worst is not None and worst.compared_start is not None:
        span = {"start": _iso(worst.compared_start), "end": _iso(worst.compared_end), "n": worst.compared_n}
        return {"what": view.monitor.compared_with, **span}
    if worst is None or not view.check.needs_reference or view.monitor.compared_with != ComparedWith.REFERENCE:
        return None
    return {"what": ComparedWith.REFERENCE.value, "revision": worst.reference_revision}


def _measured_against(rule: AlertRule, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the rule compared the value with, where its condition is about a change or a deviation."""
    condition = rules.condition_of(rule)
    if condition.measure == "value":
        return None
    if condition.measure in CHANGES:
        return {"what": condition.against, "value": details.get("compared_with")}
    return {"what": "mean", "windows": condition.over, "value": details.get("compared_with")}


def link(alert: Alert, org: str, public_url: str) -> str:
    """Where a browser shows the alert: ids count in an organization, so the link names it."""
    return f"{public_url}/alerts/{alert.id}?org={quote(org)}"


def command(alert: Alert, org: str) -> str:
    """What to type to see more."""
    return f"{command_prefix(org)} alert show {alert.id}"


def summary(view: AlertView) -> str:
    """One line: which value of which monitor is what, and since when."""
    alert = view.alert
    what = f"{view.name} ({view.version.name})"
    if alert.worst_value is None:
        said = f"{alert.metric}: {(alert.details or {}).get('reason') or 'no value'}"
    elif alert.state == AlertState.RESOLVED:
        said = (
            f"{alert.metric} was {format_number(alert.worst_value)} at worst, is {format_number(alert.current_value)}"
        )
    else:
        said = f"{alert.metric} is {format_number(alert.current_value)}"
        if alert.current_value != alert.worst_value:
            said += f", {format_number(alert.worst_value)} at worst"
    windows = f"{alert.windows} windows" if alert.windows != 1 else "1 window"
    return (
        f"{what}: {said} ({alert_views.condition(view.rule)}), {windows} since {format_time(alert.first_window_start)}"
    )


def sentence(rule: AlertRule) -> str:
    """What a rule does, in a sentence: "high when > 0.2 in 2 windows in a row"."""
    said = f"{rule.severity} when {alert_views.condition(rule)}"
    if rule.for_windows > 1:
        said += f" in {rule.for_windows} windows in a row"
    if rule.warn_severity is not None and rules.condition_of(rule).warn is not None:
        said += f"; {rule.warn_severity} when only its warning holds"
    if rule.keep_firing:
        said += f"; over after {rule.keep_firing + 1} good windows"
    if rule.min_n:
        said += f"; windows of fewer than {rule.min_n:,} rows do not count"
    policies = (("no data", rule.no_data), ("an error", rule.on_error))
    means = {"alert": "is bad", "ok": "is good"}
    return "; ".join([said, *(f"{name} {means[chosen]}" for name, chosen in policies if chosen in means)])


def change_text(entry: Mapping[str, Any]) -> str:
    """An entry that moved, in a line: "age 0.02 → 0.31"."""
    before, after = entry.get("before"), entry.get("after")
    return (
        f"{entry['name']} {format_number(before)} → {format_number(after)}"
        if before is not None
        else f"{entry['name']} {format_number(after)}"
    )
