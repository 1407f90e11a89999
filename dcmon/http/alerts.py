"""Routes of alerts."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy.orm import Session

from dcmon.alerting import alert_views, operator_actions, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.alerting.change_context import ChangeContext
from dcmon.db.tables.org import Alert
from dcmon.db.work_queue import Work
from dcmon.http.auth import Access, Asks
from dcmon.severity import Severity
from dcmon.states import AlertState

Action = Callable[[Session, Alert, ChangeContext], bool]

router = APIRouter(tags=["alerts"])


class Remark(BaseModel):
    """Why; kept in the alert's history."""

    note: str | None = None


@router.get("/alert-rules/{rule_id}/alerts")
def alerts_of(asks: Asks, rule_id: int, resolved: bool | None = None) -> list[dict[str, Any]]:
    """The alerts of a rule in the order of their windows."""
    with asks.session() as session:
        rules.get(session, rule_id)
        found = [view for view in alert_views.list_alerts(session) if view.rule.id == rule_id]
        return [
            describe_alert(view)
            for view in found
            if resolved is None or (view.alert.state == AlertState.RESOLVED) is resolved
        ]


@router.get("/alerts/count_active")
def count_active(asks: Asks) -> dict[str, int]:
    """How many alerts fire, by severity."""
    with asks.session() as session:
        firing = [
            view.alert.severity for view in alert_views.list_alerts(session) if view.alert.state == AlertState.FIRING
        ]
        return {severity: firing.count(severity) for severity in Severity if severity in firing}


@router.get("/alerts/{alert_id}")
def show_alert(asks: Asks, alert_id: int) -> dict[str, Any]:
    """An alert, with its history."""
    with asks.session() as session:
        view = alert_views.get_alert(session, alert_id)
        lines = alert_views.list_changes(session, alert_id)
        return {
            **describe_alert(view),
            "history": [
                {"at": line.at.isoformat(), "kind": line.kind, "by": line.by, "note": line.note} for line in lines
            ],
        }


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(asks: Asks, alert_id: int, body: Remark | None = None) -> dict[str, Any]:
    """Say that somebody works on an alert."""
    return _act(asks, alert_id, operator_actions.acknowledge, body)


@router.post("/alerts/{alert_id}/resolve")
def resolve(asks: Asks, alert_id: int, body: Remark | None = None) -> dict[str, Any]:
    """Declare an alert over."""
    return _act(asks, alert_id, operator_actions.resolve, body)


@router.post("/alerts/{alert_id}/reactivate")
def reactivate(asks: Asks, alert_id: int, body: Remark | None = None) -> dict[str, Any]:
    """Take back that an alert was declared over."""
    return _act(asks, alert_id, operator_actions.reopen, body)


def _act(
    asks: Access, alert_id: int, act: Callable[[Session, Alert, ChangeContext], bool], body: Remark | None
) -> dict[str, Any]:
    """What an operator does to an alert; the answer is what it is then."""
    with asks.session() as session:
        alert = alert_views.get_alert(session, alert_id).alert
        note = body.note if body else None
        act(session, alert, ChangeContext(asks.org, asks.app.settings.url, by=asks.email, note=note))
    asks.enqueue(Work.notify)
    with asks.session() as session:
        return describe_alert(alert_views.get_alert(session, alert_id))


def describe_alert(view: AlertView) -> dict[str, Any]:
    """An alert in an answer."""
    alert = view.alert
    failed = {} if alert.current_value is None else {alert.metric: alert.current_value}
    return {
        "id": alert.id,
        "alert_rule_id": alert.rule_id,
        "state": alert.state,
        "severity": alert.severity,
        "failed_values": {view.version.name: failed},
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
