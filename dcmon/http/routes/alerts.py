"""Routes of alerts."""

from typing import Any, NotRequired

from fastapi import APIRouter
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic does not take that of typing before Python 3.12

from dcmon.alerting import alert_views, operator_actions, rule_actions, rules
from dcmon.alerting.operator_actions import Action
from dcmon.db.work_queue import Work
from dcmon.http.auth import Access, Reader, Writer
from dcmon.http.fields import Timestamp
from dcmon.http.paging import Paged
from dcmon.http.responses import MAY_CONFLICT
from dcmon.http.routes.rules import ActionBody
from dcmon.severity import Severity
from dcmon.states import AlertState

router = APIRouter(tags=["alerts"])


class LargestChange(TypedDict):
    """An entry, such as a feature, with its value in the ok window before the alert (null: none) and in the worst one.

    change: how the values of the feature differ, in their own units; absent if that is not known.
    """

    name: str
    before: float | None
    after: float
    change: NotRequired[dict[str, Any]]


class AlertView(BaseModel):
    """An alert: a span of windows, from start_time to end_time, in which a version violates a rule.

    failed_values: the value in the last violated window by metric, in lists by the name of the version, and of a single
    alert by its id.
    """

    id: int
    alert_rule_id: int
    state: AlertState
    severity: Severity
    failed_values: dict[str, dict[str, float | None]]
    version_id: int
    version: str
    first_value: float | None
    worst_value: float | None
    drivers: dict[str, float]
    largest_changes: list[LargestChange] = Field(alias="moved")
    start_time: Timestamp
    end_time: Timestamp
    windows: int
    resolved: bool
    resolved_by: str | None
    acknowledged_by: str | None
    created_at: Timestamp


class ChangeView(BaseModel):
    """A change in an alert's history. by: null for dcmon itself."""

    at: Timestamp
    kind: str
    by: str | None
    note: str | None


class AlertWithHistory(AlertView):
    """An alert with its history, the oldest change first."""

    history: list[ChangeView]


@router.get("/alert-rules/{rule_id}/alerts", response_model=list[AlertView])
def list_for_rule(access: Reader, page: Paged, rule_id: int, resolved: bool | None = None) -> list[dict[str, Any]]:
    """List the alerts of a rule in the order of their windows."""
    with access.session() as session:
        rules.get(session, rule_id)
        views = alert_views.alerts_of_rule(session, rule_id, resolved=resolved, limit=page.limit, offset=page.offset)
        return [describe_alert(view, view.version.name) for view in views]


@router.get("/alerts/count_active")
def count_active(access: Reader) -> dict[Severity, int]:
    """Count the firing alerts by severity, without those of data-ingestion rules."""
    with access.session() as session:
        return alert_views.count_firing(session, of_ingestion=False)


@router.get("/alerts/{alert_id}", response_model=AlertWithHistory)
def show_alert(access: Reader, alert_id: int) -> dict[str, Any]:
    """Show an alert with its history."""
    with access.session() as session:
        view = alert_views.get_alert(session, alert_id)
        changes = alert_views.list_changes(session, alert_id)
        return {
            **describe_alert(view, str(view.version.id)),
            "history": [
                {"at": change.at.isoformat(), "kind": change.kind, "by": change.by, "note": change.note}
                for change in changes
            ],
        }


@router.post("/alerts/{alert_id}/acknowledge", response_model=AlertView)
def acknowledge(access: Writer, alert_id: int, body: ActionBody | None = None) -> dict[str, Any]:
    """Acknowledge an alert, to show that a person works on it."""
    return _act(access, alert_id, operator_actions.acknowledge, body)


@router.post("/alerts/{alert_id}/resolve", response_model=AlertView)
def resolve(access: Writer, alert_id: int, body: ActionBody | None = None) -> dict[str, Any]:
    """Resolve an alert."""
    return _act(access, alert_id, operator_actions.resolve, body)


@router.post("/alerts/{alert_id}/reactivate", response_model=AlertView)
def reactivate(access: Writer, alert_id: int, body: ActionBody | None = None) -> dict[str, Any]:
    """Reopen an alert that a person resolved.

    An alert that dcmon resolved itself is refused: its windows are no longer violated, so that it would end again at
    once.
    """
    return _act(access, alert_id, operator_actions.reopen, body)


@router.delete("/alerts/{alert_id}", responses=MAY_CONFLICT)
def delete(access: Writer, alert_id: int) -> None:
    """Delete an alert with its history, and notify the receivers that know it as firing."""
    with access.session() as session:
        rule_actions.delete_alert(session, alert_views.get_alert(session, alert_id).alert)
    access.enqueue(Work.notify)


def _act(access: Access, alert_id: int, action: Action, body: ActionBody | None) -> dict[str, Any]:
    """Apply an operator's action to an alert, and return the alert after it."""
    with access.session() as session:
        operator_actions.apply(session, access.actor, alert_id, action, body.note if body else None)
    access.enqueue(Work.notify)
    with access.session() as session:
        view = alert_views.get_alert(session, alert_id)
        return describe_alert(view, view.version.name)


def describe_alert(view: alert_views.AlertView, version_key: str) -> dict[str, Any]:
    """Return the JSON of an alert. `version_key`: the key of its failed values."""
    alert = view.alert
    failed_values = {} if view.failed_value is None else {view.failed_metric: view.failed_value}
    return {
        "id": alert.id,
        "alert_rule_id": alert.rule_id,
        "state": alert.state,
        "severity": alert.severity,
        "failed_values": {version_key: failed_values},
        "version_id": view.version.id,
        "version": view.version.name,
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
