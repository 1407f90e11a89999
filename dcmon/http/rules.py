"""Routes of alert rules."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from dcmon import monitors, rules
from dcmon.http.access import Asks
from dcmon.tables.org import AlertRule

router = APIRouter(tags=["alert rules"])


class ConditionBody(BaseModel):
    """A comparison with a threshold."""

    operator: str
    value: float


class RuleBody(BaseModel):
    """What a rule is created from."""

    condition: ConditionBody
    alert_severity: str = "medium"
    is_active: bool = True


@router.post("/monitors/{monitor_id}/alert-rules")
def create(asks: Asks, monitor_id: int, body: RuleBody) -> dict[str, int]:
    """Add a rule to a monitor."""
    condition = rules.Condition(body.condition.operator, body.condition.value)
    with asks.session() as session:
        rule = rules.create(session, monitor_id, condition, body.alert_severity, is_active=body.is_active)
        return {"id": rule.id}


@router.get("/monitors/{monitor_id}/alert-rules")
def entries(asks: Asks, monitor_id: int) -> list[dict[str, Any]]:
    """The rules of a monitor."""
    with asks.session() as session:
        monitor = monitors.get(session, monitor_id)
        return [describe(rule) for rule in rules.of_monitor(session, monitor.id)]


@router.get("/alert-rules/{rule_id}")
def show(asks: Asks, rule_id: int) -> dict[str, Any]:
    """A rule."""
    with asks.session() as session:
        return describe(rules.get(session, rule_id))


@router.delete("/alert-rules/{rule_id}")
def delete(asks: Asks, rule_id: int) -> None:
    """Delete a rule with its alerts."""
    with asks.session() as session:
        rules.delete(session, rules.get(session, rule_id))


def describe(rule: AlertRule) -> dict[str, Any]:
    """A rule in an answer."""
    return {
        "id": rule.id,
        "monitor_id": rule.monitor_id,
        "condition": {"operator": rule.operator, "value": rule.threshold},
        "alert_severity": rule.severity,
        "is_active": rule.is_active,
        "start_time": None if rule.start_time is None else rule.start_time.isoformat(),
    }
