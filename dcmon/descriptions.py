"""An alert in words and numbers, for whoever is told of it: what is wrong, since when, what moved, what to type."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from dcmon import overview
from dcmon.charts import moment, number
from dcmon.db import Organization
from dcmon.overview import AlertView
from dcmon.tables.org import Alert


def describe(session: Session, org: Organization, alert: Alert, public_url: str) -> dict[str, Any]:
    """All that a message about an alert can say. `summary` is one line; `moved` has before and after."""
    view = overview.alert(session, alert.id)
    details = alert.details or {}
    return {
        "id": alert.id,
        "model": view.model.name,
        "version": view.version.name,
        "monitor": view.monitor.name,
        "check": view.check.class_name,
        "rule": f"{alert.metric} {overview.condition(view.rule)}",
        "rule_id": view.rule.id,
        "rule_name": view.rule.name,
        "condition": overview.condition(view.rule),
        "severity": alert.severity,
        "state": alert.state,
        "summary": summary(view),
        "since": alert.first_window_start.isoformat(),
        "last_window_end": alert.last_window_end.isoformat(),
        "metric": alert.metric,
        "value": alert.current_value,
        "worst_value": alert.worst_value,
        "worst_window": [details.get("worst_window_start"), alert.worst_window_end.isoformat()],
        "before_value": details.get("before_value"),
        "before_window_end": details.get("before_window_end"),
        "measured": details.get("measured"),
        "reason": details.get("reason"),
        "drivers": alert.drivers,
        "moved": details.get("moved", []),
        "n": alert.n,
        "windows": alert.windows,
        "acknowledged_by": alert.acknowledged_by,
        "acknowledgement": alert.acknowledgement,
        "resolved_by": alert.resolved_by,
        "link": f"{public_url}/api/v1/alert-rules/{view.rule.id}",
        "command": command(org, alert),
    }


def command(org: Organization, alert: Alert) -> str:
    """What to type to see more."""
    return f"dcmon --org {org.name!r} alert show {alert.id}"


def summary(view: AlertView) -> str:
    """One line: which value of which monitor is what, and since when."""
    alert = view.alert
    what = f"{view.name} ({view.version.name})"
    if alert.worst_value is None:
        said = f"{alert.metric}: {(alert.details or {}).get('reason') or 'no value'}"
    elif alert.state == "resolved":
        said = f"{alert.metric} was {number(alert.worst_value)} at worst, is {number(alert.current_value)}"
    else:
        said = f"{alert.metric} is {number(alert.current_value)}"
        if alert.current_value != alert.worst_value:
            said += f", {number(alert.worst_value)} at worst"
    windows = f"{alert.windows} windows" if alert.windows != 1 else "1 window"
    return f"{what}: {said} ({overview.condition(view.rule)}), {windows} since {moment(alert.first_window_start)}"


def moved(entry: Mapping[str, Any]) -> str:
    """An entry that moved, in a line: "age 0.02 → 0.31"."""
    before, after = entry.get("before"), entry.get("after")
    return (
        f"{entry['name']} {number(before)} → {number(after)}"
        if before is not None
        else f"{entry['name']} {number(after)}"
    )
