"""Routes of data-ingestion alert rules: how many samples and labels arrive."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from dcmon.alerting import alert_views, operator_actions, rule_actions
from dcmon.alerting.operator_actions import Action
from dcmon.alerting.rules import Change, Condition
from dcmon.db.tables.org import AlertRule
from dcmon.db.work_queue import Work
from dcmon.http.auth import Access, Reader, Writer
from dcmon.http.fields import CreatedView, IdentifierKind, Timestamp, timestamp
from dcmon.http.paging import Paged
from dcmon.http.responses import MAY_BE_FULL, MAY_CONFLICT
from dcmon.http.routes.models import resolve
from dcmon.http.routes.rules import ActionBody, BulkView, ConditionBody, ConditionView, act_on_all
from dcmon.monitoring import ingestion_rules
from dcmon.monitoring.ingestion_rules import IngestionRule, IngestionType, NewIngestionRule
from dcmon.severity import Severity
from dcmon.states import AlertState
from dcmon.windows import Frequency

router = APIRouter(tags=["data-ingestion alert rules"])
RULE, ALERT = "/data-ingestion-alert-rules/{rule_id}", "/data-ingestion-alerts/{alert_id}"


class IngestionRuleBody(BaseModel):
    """A rule to be created. frequency: of the windows in which samples or labels are counted."""

    name: str = Field(min_length=1, max_length=100)
    condition: ConditionBody
    alert_type: IngestionType
    frequency: Frequency
    alert_severity: Severity = Severity.MEDIUM
    is_active: bool = True


class IngestionRuleChange(BaseModel):
    """Changes of a rule; fields that are null or missing do not change."""

    name: str | None = Field(None, min_length=1, max_length=100)
    condition: ConditionBody | None = None
    alert_severity: Severity | None = None
    is_active: bool | None = None


class IngestionRuleView(BaseModel):
    """A data-ingestion rule."""

    id: int
    name: str
    model_id: int
    condition: ConditionView
    alert_severity: Severity
    is_active: bool
    alert_type: IngestionType
    frequency: Frequency
    monitor_id: int


class IngestionAlertView(BaseModel):
    """A span of windows in which a version violates a rule. value: in the last of them."""

    id: int
    created_at: Timestamp
    alert_rule_id: int
    value: float | None
    start_time: Timestamp
    end_time: Timestamp
    resolved: bool
    resolved_by: str | None
    state: AlertState
    severity: Severity
    version_id: int
    version: str
    windows: int


@router.post("/models/{identifier}/data-ingestion-alert-rules", responses=MAY_BE_FULL)
def create(
    access: Writer, identifier: str, body: IngestionRuleBody, identifier_kind: IdentifierKind | None = None
) -> CreatedView:
    """Add a rule to a model. Its last windows with samples are counted and judged."""
    condition = Condition(body.condition.operator, body.condition.value)
    new = NewIngestionRule(body.name, body.alert_type, body.frequency, condition, body.alert_severity, body.is_active)
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        rule = ingestion_rules.create(session, access.actor, model, new, access.org.retention)
        created = CreatedView(id=rule.id)
    access.enqueue()
    return created


@router.get("/models/{identifier}/data-ingestion-alert-rules", response_model=list[IngestionRuleView])
def entries(
    access: Reader, page: Paged, identifier: str, identifier_kind: IdentifierKind | None = None
) -> list[dict[str, Any]]:
    """List the data-ingestion rules of a model, the oldest first."""
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        return [_rule(entry) for entry in ingestion_rules.entries(session, model, page.limit, page.offset)]


@router.get(RULE, response_model=IngestionRuleView)
def show(access: Reader, rule_id: int) -> dict[str, Any]:
    """Show a data-ingestion rule."""
    with access.session() as session:
        return _rule(ingestion_rules.get(session, rule_id))


@router.put(RULE)
def change(access: Writer, rule_id: int, body: IngestionRuleChange) -> None:
    """Change a rule, and judge its open alerts and the newest window by it. Resolved alerts do not change."""
    condition = None if body.condition is None else Condition(body.condition.operator, body.condition.value)
    wanted = Change(condition, body.alert_severity, name=body.name, is_active=body.is_active)
    with access.session() as session:
        ingestion_rules.change(session, access.actor, ingestion_rules.get(session, rule_id), wanted)
    access.enqueue(Work.notify)


@router.delete(RULE, responses=MAY_CONFLICT)
def delete(access: Writer, rule_id: int) -> None:
    """Delete a rule with its alerts."""
    with access.session() as session:
        ingestion_rules.delete(session, ingestion_rules.get(session, rule_id))
    access.enqueue(Work.notify)


@router.get(f"{RULE}/alerts", response_model=list[IngestionAlertView])
def alerts(access: Reader, page: Paged, rule_id: int, resolved: bool | None = None) -> list[dict[str, Any]]:
    """List the alerts of a rule in the order of their windows."""
    with access.session() as session:
        entry = ingestion_rules.get(session, rule_id)
        return [_alert(view) for view in ingestion_rules.alerts_of(session, entry, resolved, page.limit, page.offset)]


@router.post(f"{RULE}/resolve-all")
def resolve_all(access: Writer, rule_id: int, body: ActionBody | None = None) -> BulkView:
    """Resolve all open alerts of a rule."""
    return act_on_all(access, _find, rule_id, rule_actions.resolve_all, body)


@router.post(f"{RULE}/alerts/reactivate-resolved")
def reactivate_resolved(access: Writer, rule_id: int, body: ActionBody | None = None) -> BulkView:
    """Reopen the alerts of a rule that a person resolved, where their windows still violate the rule."""
    return act_on_all(access, _find, rule_id, rule_actions.reopen_all, body)


def _find(session: Session, rule_id: int) -> AlertRule:
    return ingestion_rules.get(session, rule_id).rule


@router.get("/data-ingestion-alerts/count_active")
def count_active(access: Reader) -> dict[Severity, int]:
    """Count the firing alerts of data-ingestion rules by severity."""
    with access.session() as session:
        return alert_views.count_firing(session, of_ingestion=True)


@router.get(ALERT, response_model=IngestionAlertView)
def show_alert(access: Reader, alert_id: int) -> dict[str, Any]:
    """Show an alert."""
    with access.session() as session:
        return _alert(ingestion_rules.get_alert(session, alert_id))


@router.post(f"{ALERT}/resolve", response_model=IngestionAlertView)
def resolve_alert(access: Writer, alert_id: int, body: ActionBody | None = None) -> dict[str, Any]:
    """Resolve an alert."""
    return _act(access, alert_id, operator_actions.resolve, body)


@router.post(f"{ALERT}/reactivate", response_model=IngestionAlertView)
def reactivate(access: Writer, alert_id: int, body: ActionBody | None = None) -> dict[str, Any]:
    """Reopen an alert that a person resolved. One that dcmon resolved itself is refused."""
    return _act(access, alert_id, operator_actions.reopen, body)


@router.delete(ALERT, responses=MAY_CONFLICT)
def delete_alert(access: Writer, alert_id: int) -> None:
    """Delete an alert with its history, and notify the receivers that know it as firing."""
    with access.session() as session:
        rule_actions.delete_alert(session, ingestion_rules.get_alert(session, alert_id).alert)
    access.enqueue(Work.notify)


def _act(access: Access, alert_id: int, action: Action, body: ActionBody | None) -> dict[str, Any]:
    """Apply an operator's action to an alert, and return the alert after it."""
    with access.session() as session:
        ingestion_rules.get_alert(session, alert_id)
        operator_actions.apply(session, access.actor, alert_id, action, body.note if body else None)
    access.enqueue(Work.notify)
    with access.session() as session:
        return _alert(ingestion_rules.get_alert(session, alert_id))


def _rule(entry: IngestionRule) -> dict[str, Any]:
    rule = entry.rule
    return {
        "id": rule.id,
        "name": entry.monitor.name,
        "model_id": entry.model_id,
        "condition": {"operator": rule.operator, "value": rule.threshold},
        "alert_severity": rule.severity,
        "is_active": rule.is_active,
        "alert_type": rule.ingestion_type,
        "frequency": entry.monitor.frequency,
        "monitor_id": rule.monitor_id,
    }


def _alert(view: alert_views.AlertView) -> dict[str, Any]:
    alert = view.alert
    return {
        "id": alert.id,
        "created_at": timestamp(alert.opened_at),
        "alert_rule_id": alert.rule_id,
        "value": view.failed_value,
        "start_time": timestamp(alert.first_window_start),
        "end_time": timestamp(alert.last_window_end),
        "resolved": alert.state == AlertState.RESOLVED,
        "resolved_by": alert.resolved_by,
        "state": alert.state,
        "severity": alert.severity,
        "version_id": view.version.id,
        "version": view.version.name,
        "windows": alert.windows,
    }
