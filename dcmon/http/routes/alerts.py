"""Routes of alerts."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from dcmon.alerting import alert_views, operator_actions, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.alerting.operator_actions import Action
from dcmon.db.work_queue import Work
from dcmon.http.auth import Access, Reader, Writer
from dcmon.severity import Severity
from dcmon.states import AlertState

router = APIRouter(tags=["alerts"])


class ActionBody(BaseModel):
    """The reason for an action, which is kept in the alert's history."""

    note: str | None = None


@router.get("/alert-rules/{rule_id}/alerts")
def list_for_rule(access: Reader, rule_id: int, resolved: bool | None = None) -> list[dict[str, Any]]:
    """List the alerts of a rule in the order of their windows."""
    with access.session() as session:
        rules.get(session, rule_id)
        views = [view for view in alert_views.list_alerts(session) if view.rule.id == rule_id]
        return [
            describe_alert(view)
            for view in views
            if resolved is None or (view.alert.state == AlertState.RESOLVED) is resolved
        ]


@router.get("/alerts/count_active")
def count_active(access: Reader) -> dict[str, int]:
    """Count the firing alerts by severity."""
    with access.session() as session:
        firing = [
            view.alert.severity for view in alert_views.list_alerts(session) if view.alert.state == AlertState.FIRING
        ]
        return {severity: firing.count(severity) for severity in Severity if severity in firing}


@router.get("/alerts/{alert_id}")
def show_alert(access: Reader, alert_id: int) -> dict[str, Any]:
    """Show an alert with its history."""
    with access.session() as session:
        view = alert_views.get_alert(session, alert_id)
        changes = alert_views.list_changes(session, alert_id)
        return {
            **describe_alert(view),
            "history": [
                {"at": change.at.isoformat(), "kind": change.kind, "by": change.by, "note": change.note}
                for change in changes
            ],
        }


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(access: Writer, alert_id: int, body: ActionBody | None = None) -> dict[str, Any]:
    """Acknowledge an alert, to show that a person works on it."""
    return _act(access, alert_id, operator_actions.acknowledge, body)


@router.post("/alerts/{alert_id}/resolve")
def resolve(access: Writer, alert_id: int, body: ActionBody | None = None) -> dict[str, Any]:
    """Resolve an alert."""
    return _act(access, alert_id, operator_actions.resolve, body)


@router.post("/alerts/{alert_id}/reactivate")
def reactivate(access: Writer, alert_id: int, body: ActionBody | None = None) -> dict[str, Any]:
    """Reopen an alert that a person resolved."""
    return _act(access, alert_id, operator_actions.reopen, body)


def _act(access: Access, alert_id: int, action: Action, body: ActionBody | None) -> dict[str, Any]:
    """Apply an operator's action to an alert, and return the alert after it."""
    with access.session() as session:
        operator_actions.apply(session, access.actor, alert_id, action, body.note if body else None)
    access.enqueue(Work.notify)
    with access.session() as session:
        return describe_alert(alert_views.get_alert(session, alert_id))


def describe_alert(view: AlertView) -> dict[str, Any]:
    """Return the JSON of an alert."""
    alert = view.alert
    failed_values = {} if alert.current_value is None else {alert.metric: alert.current_value}
    return {
        "id": alert.id,
        "alert_rule_id": alert.rule_id,
        "state": alert.state,
        "severity": alert.severity,
        "failed_values": {view.version.name: failed_values},
        "first_value": (alert.details or {}).get("first_value"),
        "worst_value": alert.worst_value,
        "drivers": alert.drivers,
        "moved": (alert.details or {}).get("moved", []),
        "start_time": alert.first_window_start.isoformat(),
        "end_time": alert.last_window_end.isoformat(),
        "windows": alert.windows,
        "resolved": alert.state == AlertState.RESOLVED,
        "resolved_by": alert.resolved_by,
        "acknowledged_by": alert.acknowledged_by,
        "created_at": alert.opened_at.isoformat(),
    }
