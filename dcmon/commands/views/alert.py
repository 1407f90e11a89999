"""Alerts, as lists, as JSON and as text for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dcmon import formatting
from dcmon.alerting import alert_views
from dcmon.commands.views import monitor_chart
from dcmon.notifications import silences
from dcmon.output import Copied, Fields, Lines, Page, Part, Table
from dcmon.states import AlertChangeKind, AlertState, NotificationState, ResolvedBy
from dcmon.storage import models

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.alerting.alert_views import AlertView
    from dcmon.app import App

SHOWN_NOTIFICATIONS = 10  # the newest
NOTIFICATION_COLUMNS = {"at": "time", "what": "kind", "to": "receiver", "state": ""}  # headings by key
RESOLUTION_TEXTS: dict[str, str] = {
    ResolvedBy.RECOVERY: "by itself",
    ResolvedBy.RULE: "by a change of its rule",
    ResolvedBy.REVISION: "by later rows or labels",
}


HISTORY_COLUMNS = {  # headings by key
    "at": "time", "what": "change", "by": "", "window_end": "", "severity": "", "value": "", "note": "",
}  # fmt: skip


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts: of a model, in one of the states, of one of the severities, that began from `since` to `until`.

    Without `is_all` and `states` those that fire.
    """

    model: str | None
    states: Sequence[str]
    severities: Sequence[str]
    since: datetime | None
    until: datetime | None
    is_all: bool

    @property
    def empty(self) -> str:
        """What is said of no alert."""
        return "No alert fires." if self == AlertFilter(None, [], [], None, None, is_all=False) else "No such alert."

    def has(self, view: "AlertView") -> bool:
        """Return True if an alert is one of these."""
        alert = view.alert
        return (
            (not self.severities or alert.severity in self.severities)
            and (self.is_all or bool(self.states) or _is_firing(view))
            and (self.since is None or alert.first_window_start >= self.since)
            and (self.until is None or alert.first_window_start < self.until)
        )


def rows(app: "App", chosen: AlertFilter) -> list[dict[str, Any]]:
    """List alerts as rows, oldest first."""
    with app.org() as session:
        model_id = models.find(session, chosen.model).id if chosen.model else None
        views = filter(chosen.has, alert_views.list_alerts(session, model_id, pending=True))
        listed = [{**_row(view), "held": _hold_reason(session, view)} for view in views]
    listed = [row for row in listed if not chosen.states or set(chosen.states) & _states(row)]
    return listed if app.output.is_data else [{**row, "state": _state_text(row)} for row in listed]


def detail(app: "App", alert_id: int) -> Page:
    """Show an alert with its history and notifications, read in one transaction. Raises AlertNotFound."""
    from dcmon.alerting import alert_payload
    from dcmon.notifications import notification_views

    org = app.organization()
    with app.org(org) as session:
        view = alert_views.get_alert(session, alert_id)
        kind = AlertChangeKind.RESOLVED if view.alert.state == AlertState.RESOLVED else None
        payload = alert_payload.describe(session, org, view.alert, app.settings.url, kind)
        hold_reason = _hold_reason(session, view)
        notifications = [
            {
                "at": sent.notification.created_at,
                "what": sent.notification.kind,
                "to": sent.receiver.name,
                "state": notification_views.state(sent.notification),
            }
            for sent in notification_views.for_alert(session, alert_id)
        ]
        history = [_change_row(change) for change in alert_views.list_changes(session, alert_id)]
        next_commands = _next_commands(view, org.name)
        row = {
            **_json_row(view, payload), "held_back": hold_reason, "history": history, "notifications": notifications,
            "next": next_commands,
        }  # fmt: skip
        text = {key: value for key, value in _text(view, payload, hold_reason).items() if value not in (None, "", [])}
        chart = None if app.output.is_data else monitor_chart.alert_chart(session, view, app.output)
    parts: list[Part] = [
        Fields(text),
        *([chart] if chart else []),
        Table(history, HISTORY_COLUMNS, title="History"),
        Table(
            notifications[-SHOWN_NOTIFICATIONS:], NOTIFICATION_COLUMNS, title="Notifications",
            empty="No receiver was notified.",
        ),
        Lines([Copied(command) for command in next_commands], title="Next"),
    ]  # fmt: skip
    return Page(row, parts)


def history(app: "App", alert_id: int) -> list[dict[str, Any]]:
    """List the changes of an alert, oldest first. Raises AlertNotFound."""
    with app.org() as session:
        alert_views.get_alert(session, alert_id)
        return [_change_row(change) for change in alert_views.list_changes(session, alert_id)]


def _is_firing(view: "AlertView") -> bool:
    return view.alert.state == AlertState.FIRING


def _hold_reason(session: "Session", view: "AlertView") -> str | None:
    """Return why notifications of a firing alert are held back now, else None."""
    return silences.hold_reason(session, view.alert, datetime.now(UTC)) if _is_firing(view) else None


def _row(view: "AlertView") -> dict[str, Any]:
    alert = view.alert
    return {
        **alert_views.alert_row(view),
        "now": alert.current_value,
        "version": view.version.name,
        "acknowledged_by": alert.acknowledged_by,
        "resolved_by": alert.resolved_by,
    }


def _states(row: dict[str, Any]) -> set[str]:
    """Return all values of --state that match.

    A firing alert can also be acknowledged and held.
    """
    states = {row["state"]}
    if row["acknowledged_by"] and row["state"] == AlertState.FIRING:
        states.add(AlertChangeKind.ACKNOWLEDGED)
    return states | {NotificationState.HELD} if row["held"] else states


def _state_text(row: dict[str, Any]) -> str:
    """Return the state for people: that of the data, and what else a person needs to know: "firing, held"."""
    is_retracted = row["state"] == AlertState.RESOLVED and row["resolved_by"] == ResolvedBy.REVISION
    more = [AlertChangeKind.RETRACTED] if is_retracted else sorted(_states(row) - {row["state"]})
    return ", ".join([row["state"], *more])


def _json_row(view: "AlertView", payload: dict[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in _row(view).items() if name not in ("driver", "now")}
    renamed = {
        "rule": payload["condition"], "first": payload["first_value"], "current": payload["value"],
        "before": payload["before_value"],
    }  # fmt: skip
    fields = {name: value for name, value in payload.items() if name not in ("by", "note", "model", "command")}
    alert = view.alert
    return {
        **fields, **row, **renamed, "worst_window_end": alert.worst_window_end, "opened_at": alert.opened_at,
    }  # fmt: skip


def _text(view: "AlertView", payload: dict[str, Any], hold_reason: str | None) -> dict[str, Any]:
    from dcmon.notifications.integrations import message_text

    alert, row = view.alert, _row(view)
    return {
        "summary": payload["summary"],
        "state": _resolution(payload)
        if alert.state == AlertState.RESOLVED
        else _state_text({**row, "held": hold_reason}),
        "severity": alert.severity,
        "monitor": f"{row['monitor']}, check {payload['check']}",
        "version": row["version"],
        "rule": f"{payload['rule_name'] or payload['rule_id']}: {payload['sentence']}",
        "since": row["since"],
        "until": row["until"],
        "first_window": message_text.span(payload["first_window"]),
        "last_window": message_text.window(payload) or f"until {message_text.time(payload['last_window_end'])}",
        "worst_window": message_text.span(payload["worst_window"]),
        "windows": alert.windows,
        payload["metric"]: _value_texts(payload),
        "measured": message_text.measured_text(payload),
        "compared_with": message_text.comparison_text(payload),
        "n": alert.n,
        "other_versions": message_text.other_versions(payload),
        "largest_changes": Lines([message_text.entry_change(entry) for entry in payload["moved"]]),
        "reason": payload["reason"],
        "acknowledged": payload["acknowledged_by"] and f"by {payload['acknowledged_by']}, {_acknowledgement(payload)}",
        "held_back": hold_reason,
        "link": payload["link"],
    }


def _resolution(payload: dict[str, Any]) -> str:
    """Describe how an alert was resolved: the cause or the operator, and the note."""
    resolution = RESOLUTION_TEXTS.get(payload["resolved_by"], f"by {payload['by'] or 'an operator'}")
    return f"resolved {resolution}" + (f": {payload['note']}" if payload["note"] else "")


def _value_texts(payload: dict[str, Any]) -> str:
    """Return the values of the alert's metric; those of another metric with its name."""
    values = [
        ("value", "metric", "now"), ("first_value", "first_metric", "at first"),
        ("last_value", "last_metric", "at last"), ("worst_value", "metric", "at worst"),
    ]  # fmt: skip
    texts = []
    for value, metric, moment in values:
        prefix = "" if payload[metric] == payload["metric"] else f"{payload[metric]} "
        texts.append(f"{prefix}{formatting.format_number(payload[value])} {moment}")
    before = [] if payload["before_value"] is None else [f"{formatting.format_number(payload['before_value'])} before"]
    return ", ".join(texts + before)


def _acknowledgement(payload: dict[str, Any]) -> str:
    from dcmon.notifications.integrations import message_text

    return f"{message_text.time(payload['acknowledged_at'])}" + (
        f": {payload['acknowledgement']}" * bool(payload["acknowledgement"])
    )


def _next_commands(view: "AlertView", org: str) -> list[str]:

    number, dcmon = view.alert.id, formatting.command_prefix(org)
    inspect = [f"{dcmon} monitor show {formatting.shell_argument(view.name)}", f"{dcmon} rule show {view.rule.id}"]
    if view.alert.state == AlertState.RESOLVED:
        return inspect
    return [
        *inspect,
        f"{dcmon} alert ack {number}",
        f"{dcmon} silence create alert={number} --for 4h",
        f"{dcmon} alert resolve {number}",
    ]


def _change_row(change: Any) -> dict[str, Any]:
    return {
        "at": change.at,
        "what": change.kind,
        "by": change.by,
        "window_end": change.window_end,
        "severity": change.severity,
        "value": change.value,
        "note": change.note,
    }
