"""Routes of alert rules."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, FiniteFloat
from sqlalchemy.orm import Session

from dcmon.alerting import condition_parser, rule_actions, rule_changes, rules
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rules import Change, Condition
from dcmon.checks import own_defaults
from dcmon.db.tables.org import AlertRule
from dcmon.db.work_queue import Work
from dcmon.http.auth import Access, Reader, Writer
from dcmon.http.fields import CreatedView, Timestamp, timestamp
from dcmon.http.responses import MAY_BE_FULL, MAY_CONFLICT
from dcmon.monitoring import default_monitors, monitors
from dcmon.operators import Operator
from dcmon.severity import Severity
from dcmon.windows import Frequency

router = APIRouter(tags=["alert rules"])


Comparison = Literal["greater_than", "greater_than_equals", "less_than", "less_than_equals", "equals", "not_equals"]


class ConditionBody(BaseModel):
    """A comparison of a value with a threshold."""

    operator: Comparison
    value: FiniteFloat


class RuleSettings(BaseModel):
    """Settings of a rule besides its condition; see docs/alerts.md."""

    name: str | None = None
    warn_severity: Severity | None = None
    for_windows: int | None = None
    keep_firing: int | None = None
    min_n: int | None = None
    no_data: str | None = None
    on_error: str | None = None
    is_inhibited: bool | None = None

    def change(self, **more: Any) -> Change:
        """Return the change of a rule with these fields."""
        return Change(**{name: getattr(self, name) for name in RuleSettings.model_fields}, **more)


class ConditionView(BaseModel):
    """The operator and threshold of a rule. A range has the operator outside or inside, and its lower end as value."""

    operator: Operator
    value: float


class RuleView(BaseModel):
    """A rule. condition: what the old API knows of it; text: the condition as text, like "any feature > 0.3"."""

    id: int
    monitor_id: int
    condition: ConditionView
    alert_severity: Severity
    is_active: bool
    start_time: Timestamp | None
    text: str
    name: str | None
    warn_severity: Severity | None
    for_windows: int
    keep_firing: int
    min_n: int
    no_data: str
    on_error: str
    is_inhibited: bool


class ActionBody(BaseModel):
    """The reason for an action, which is kept in the alert's history."""

    note: str | None = Field(None, max_length=10_000)


class BulkView(BaseModel):
    """How many alerts an action has changed, and how many it could not change."""

    changed: int
    refused: int


BulkAction = Callable[[Session, Actor, AlertRule, str | None], rule_actions.BulkOutcome]


class RuleBody(RuleSettings):
    """The properties of a rule to be created. condition: a comparison, or text like "any feature > 0.3"."""

    condition: ConditionBody | str
    alert_severity: Severity = Severity.MEDIUM
    is_active: bool = True

    @property
    def is_plain(self) -> bool:
        """True if the body has no setting that the SDK does not know."""
        return (
            isinstance(self.condition, ConditionBody) and not self.model_fields_set & RuleSettings.model_fields.keys()
        )


class RuleChange(RuleSettings):
    """Changes of a rule."""

    condition: ConditionBody | str | None = None
    alert_severity: Severity | None = None
    is_active: bool | None = None


@router.post("/monitors/{monitor_id}/alert-rules", responses=MAY_BE_FULL)
def create(access: Writer, monitor_id: int, body: RuleBody) -> CreatedView:
    """Add a rule to a monitor, and judge the stored results by it immediately.

    A default rule of the SDK gets settings of dcmon's own beside its operator and threshold: a minimum number of rows,
    and what is usual.
    """
    condition = _condition(body.condition)
    with access.session() as session:
        settings = body.change(severity=body.alert_severity, is_active=body.is_active)
        monitor = monitors.get(session, monitor_id)
        if body.is_plain and default_monitors.is_sdk_rule(session, monitor, condition, body.alert_severity):
            condition = default_monitors.with_own_settings(condition, Frequency(monitor.frequency))
            settings = replace(
                settings,
                min_n=own_defaults.MIN_N,
                keep_firing=own_defaults.keep_firing(monitor.frequency),
            )
        rule_id = rule_changes.add(session, access.actor, monitor_id, condition, settings).rule.id
    access.enqueue(Work.notify)
    return CreatedView(id=rule_id)


@router.get("/alert-rules/{rule_id}", response_model=RuleView)
def show(access: Reader, rule_id: int) -> dict[str, Any]:
    """Show a rule."""
    with access.session() as session:
        return describe(rules.get(session, rule_id))


@router.put("/alert-rules/{rule_id}")
def change(access: Writer, rule_id: int, body: RuleChange) -> None:
    """Change a rule, and judge its open alerts and the newest window immediately. Resolved alerts do not change."""
    condition = None if body.condition is None else _condition(body.condition)
    wanted = body.change(condition=condition, severity=body.alert_severity, is_active=body.is_active)
    with access.session() as session:
        rule_changes.change(session, access.actor, rules.get(session, rule_id), wanted)
    access.enqueue(Work.notify)


@router.post("/alert-rules/{rule_id}/resolve-all")
def resolve_all(access: Writer, rule_id: int, body: ActionBody | None = None) -> BulkView:
    """Resolve all open alerts of a rule."""
    return act_on_all(access, rules.get, rule_id, rule_actions.resolve_all, body)


@router.post("/alert-rules/{rule_id}/alerts/reactivate-resolved")
def reactivate_resolved(access: Writer, rule_id: int, body: ActionBody | None = None) -> BulkView:
    """Reopen the alerts of a rule that a person resolved, where their windows still violate the rule.

    `refused` counts the alerts that dcmon resolved itself: their windows recovered, or their rule changed.
    """
    return act_on_all(access, rules.get, rule_id, rule_actions.reopen_all, body)


def act_on_all(
    access: Access, find: Callable[[Session, int], AlertRule], rule_id: int, action: BulkAction, body: ActionBody | None
) -> BulkView:
    """Apply an action to all alerts of the rule that `find` returns, and notify receivers."""
    with access.session() as session:
        outcome = action(session, access.actor, find(session, rule_id), body.note if body else None)
    access.enqueue(Work.notify)
    return BulkView(changed=outcome.changed, refused=outcome.refused)


@router.delete("/alert-rules/{rule_id}", responses=MAY_CONFLICT)
def delete(access: Writer, rule_id: int) -> None:
    """Delete a rule with its alerts."""
    with access.session() as session:
        rules.delete(session, rules.get(session, rule_id))
    access.enqueue(Work.notify)


def describe(rule: AlertRule) -> dict[str, Any]:
    """Return the JSON of a rule."""
    return {
        "id": rule.id,
        "monitor_id": rule.monitor_id,
        "condition": {"operator": rule.operator, "value": rule.threshold},
        "alert_severity": rule.severity,
        "is_active": rule.is_active,
        "start_time": timestamp(rule.start_time),
        "text": rules.condition_text(rule),
        **{name: getattr(rule, name) for name in RuleSettings.model_fields},
    }


def _condition(body: ConditionBody | str) -> Condition:
    if isinstance(body, str):
        return condition_parser.parse(body)
    return Condition(body.operator, body.value)
