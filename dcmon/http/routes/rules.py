"""Routes of alert rules."""

from dataclasses import replace
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, FiniteFloat

from dcmon.alerting import condition_parser, rule_changes, rules
from dcmon.alerting.rules import Change, Condition
from dcmon.checks import own_defaults
from dcmon.db.tables.org import AlertRule
from dcmon.db.work_queue import Work
from dcmon.http.auth import Reader, Writer
from dcmon.monitoring import default_monitors, monitors
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
    warn_severity: str | None = None
    for_windows: int | None = None
    keep_firing: int | None = None
    min_n: int | None = None
    no_data: str | None = None
    on_error: str | None = None
    is_inhibited: bool | None = None

    def change(self, **more: Any) -> Change:
        """Return the change of a rule with these fields."""
        return Change(**{name: getattr(self, name) for name in RuleSettings.model_fields}, **more)


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


@router.post("/monitors/{monitor_id}/alert-rules")
def create(access: Writer, monitor_id: int, body: RuleBody) -> dict[str, int]:
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
    return {"id": rule_id}


@router.get("/monitors/{monitor_id}/alert-rules")
def entries(access: Reader, monitor_id: int) -> list[dict[str, Any]]:
    """List the rules of a monitor."""
    with access.session() as session:
        monitor = monitors.get(session, monitor_id)
        return [describe(rule) for rule in rules.for_monitor(session, monitor.id)]


@router.get("/alert-rules/{rule_id}")
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


@router.delete("/alert-rules/{rule_id}")
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
        "start_time": None if rule.start_time is None else rule.start_time.isoformat(),
        "text": rules.condition_text(rule),
        **{name: getattr(rule, name) for name in RuleSettings.model_fields},
    }


def _condition(body: ConditionBody | str) -> Condition:
    if isinstance(body, str):
        return condition_parser.parse(body)
    return Condition(body.operator, body.value)
