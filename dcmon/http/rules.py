"""Routes of alert rules."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from dcmon import errors
from dcmon.alerting import condition_parser, judging, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rules import Change, Condition
from dcmon.db.tables.org import AlertRule
from dcmon.db.work_queue import Work
from dcmon.http.auth import Asks
from dcmon.monitoring import monitors

router = APIRouter(tags=["alert rules"])


class ConditionBody(BaseModel):
    """A comparison with a threshold."""

    operator: str
    value: float


class Policies(BaseModel):
    """What a rule waits for; see docs/alerts.md."""

    name: str | None = None
    warn_severity: str | None = None
    for_windows: int | None = None
    keep_firing: int | None = None
    min_n: int | None = None
    no_data: str | None = None
    on_error: str | None = None
    is_inhibited: bool | None = None

    def change(self, **more: Any) -> Change:
        """The change of a rule that these fields ask for."""
        return Change(**{name: getattr(self, name) for name in Policies.model_fields}, **more)


class RuleBody(Policies):
    """What a rule is created from: a comparison, or in words, "any feature > 0.3"."""

    condition: ConditionBody | str
    alert_severity: str = "medium"
    is_active: bool = True


class RuleChange(Policies):
    """What of a rule is changed."""

    condition: ConditionBody | str | None = None
    alert_severity: str | None = None
    is_active: bool | None = None


@router.post("/monitors/{monitor_id}/alert-rules")
def create(asks: Asks, monitor_id: int, body: RuleBody) -> dict[str, int]:
    """Add a rule to a monitor; what is stored is judged at once."""
    condition = _condition(body.condition)
    with asks.session() as session:
        rule = rules.create(
            session, monitor_id, condition, body.alert_severity, is_active=body.is_active, more=body.change()
        )
        settings = asks.app.settings
        context = ChangeContext(asks.org, settings.url, settings.alerts.recent, by=asks.email)
        judging.rejudge_rule(session, rule, context)
        made = rule.id
    asks.enqueue(Work.notify)
    return {"id": made}


@router.get("/monitors/{monitor_id}/alert-rules")
def entries(asks: Asks, monitor_id: int) -> list[dict[str, Any]]:
    """The rules of a monitor."""
    with asks.session() as session:
        monitor = monitors.get(session, monitor_id)
        return [describe(rule) for rule in rules.for_monitor(session, monitor.id)]


@router.get("/alert-rules/{rule_id}")
def show(asks: Asks, rule_id: int) -> dict[str, Any]:
    """A rule."""
    with asks.session() as session:
        return describe(rules.get(session, rule_id))


@router.put("/alert-rules/{rule_id}")
def change(asks: Asks, rule_id: int, body: RuleChange) -> None:
    """Change a rule; open alerts and the newest window are judged by it at once, what is over stays as it is."""
    condition = None if body.condition is None else _condition(body.condition)
    wanted = body.change(condition=condition, severity=body.alert_severity, is_active=body.is_active)
    with asks.session() as session:
        rule = rules.get(session, rule_id)
        if rules.change(session, rule, wanted):
            settings = asks.app.settings
            context = ChangeContext(
                asks.org, settings.url, settings.alerts.recent, by=asks.email, note="the rule was changed"
            )
            judging.rejudge_rule(session, rule, context)
    asks.enqueue(Work.notify)


@router.delete("/alert-rules/{rule_id}")
def delete(asks: Asks, rule_id: int) -> None:
    """Delete a rule with its alerts."""
    with asks.session() as session:
        rules.delete(session, rules.get(session, rule_id))
    asks.enqueue(Work.notify)


def describe(rule: AlertRule) -> dict[str, Any]:
    """A rule in an answer."""
    return {
        "id": rule.id,
        "monitor_id": rule.monitor_id,
        "condition": {"operator": rule.operator, "value": rule.threshold},
        "alert_severity": rule.severity,
        "is_active": rule.is_active,
        "start_time": None if rule.start_time is None else rule.start_time.isoformat(),
        "text": rules.condition_text(rule),
        **{name: getattr(rule, name) for name in Policies.model_fields},
    }


def _condition(given: ConditionBody | str) -> Condition:
    if isinstance(given, str):
        return condition_parser.parse(given)
    if given.operator not in rules.SIGNS.values():
        known = ", ".join(dict.fromkeys(rules.SIGNS.values()))
        raise errors.InvalidInput(f"There is no operator {given.operator!r}: it is one of {known}.")
    return Condition(given.operator, given.value)
