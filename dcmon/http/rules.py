"""Routes of alert rules, and of their alerts."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from dcmon import alerts, errors, grammar, monitors, overview, rules, wake
from dcmon.http.access import Access, Asks
from dcmon.overview import AlertView
from dcmon.rules import Change, Condition
from dcmon.tables.org import AlertRule

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


class Remark(BaseModel):
    """Why; kept in the alert's history."""

    note: str | None = None


@router.post("/monitors/{monitor_id}/alert-rules")
def create(asks: Asks, monitor_id: int, body: RuleBody) -> dict[str, int]:
    """Add a rule to a monitor; what is stored is judged at once."""
    condition = _condition(body.condition)
    with asks.session() as session:
        rule = rules.create(
            session, monitor_id, condition, body.alert_severity, is_active=body.is_active, more=body.change()
        )
        settings = asks.app.settings
        alerts.rejudge(session, asks.org, rule, settings.url, by=asks.email, recent=settings.alerts.recent)
        made = rule.id
    _ring(asks)
    return {"id": made}


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


@router.put("/alert-rules/{rule_id}")
def change(asks: Asks, rule_id: int, body: RuleChange) -> None:
    """Change a rule; open alerts are judged by it at once, those that are over stay as they are."""
    condition = None if body.condition is None else _condition(body.condition)
    wanted = body.change(condition=condition, severity=body.alert_severity, is_active=body.is_active)
    with asks.session() as session:
        rule = rules.get(session, rule_id)
        if rules.change(session, rule, wanted):
            settings = asks.app.settings
            alerts.rejudge(
                session, asks.org, rule, settings.url,
                by=asks.email, note="the rule was changed", recent=settings.alerts.recent,
            )  # fmt: skip
    _ring(asks)


@router.delete("/alert-rules/{rule_id}")
def delete(asks: Asks, rule_id: int) -> None:
    """Delete a rule with its alerts."""
    with asks.session() as session:
        rules.delete(session, rules.get(session, rule_id))


@router.get("/alert-rules/{rule_id}/alerts")
def alerts_of(asks: Asks, rule_id: int, resolved: bool | None = None) -> list[dict[str, Any]]:
    """The alerts of a rule in the order of their windows."""
    with asks.session() as session:
        rules.get(session, rule_id)
        found = [view for view in overview.alerts(session) if view.rule.id == rule_id]
        return [
            describe_alert(view) for view in found if resolved is None or (view.alert.state == "resolved") is resolved
        ]


@router.get("/alerts/count_active")
def count_active(asks: Asks) -> dict[str, int]:
    """How many alerts fire, by severity."""
    with asks.session() as session:
        firing = [view.alert.severity for view in overview.alerts(session) if view.alert.state == "firing"]
        return {severity: firing.count(severity) for severity in rules.SEVERITIES if severity in firing}


@router.get("/alerts/{alert_id}")
def show_alert(asks: Asks, alert_id: int) -> dict[str, Any]:
    """An alert, with its history."""
    with asks.session() as session:
        view = overview.alert(session, alert_id)
        lines = alerts.history(session, alert_id)
        return {
            **describe_alert(view),
            "history": [
                {"at": line.at.isoformat(), "kind": line.kind, "by": line.by, "note": line.note} for line in lines
            ],
        }


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(asks: Asks, alert_id: int, body: Remark | None = None) -> dict[str, Any]:
    """Say that somebody works on an alert."""
    with asks.session() as session:
        view = overview.alert(session, alert_id)
        note = body.note if body else None
        alerts.acknowledge(session, asks.org, view.alert, asks.app.settings.url, by=asks.email, note=note)
    _ring(asks)
    return _again(asks, alert_id)


@router.post("/alerts/{alert_id}/resolve")
def resolve(asks: Asks, alert_id: int, body: Remark | None = None) -> dict[str, Any]:
    """Declare an alert over."""
    with asks.session() as session:
        view = overview.alert(session, alert_id)
        note = body.note if body else None
        alerts.resolve(session, asks.org, view.alert, asks.app.settings.url, by=asks.email, note=note)
    _ring(asks)
    return _again(asks, alert_id)


@router.post("/alerts/{alert_id}/reactivate")
def reactivate(asks: Asks, alert_id: int) -> dict[str, Any]:
    """Take back that an alert was declared over."""
    with asks.session() as session:
        view = overview.alert(session, alert_id)
        alerts.reopen(session, asks.org, view.alert, asks.app.settings.url, by=asks.email)
    _ring(asks)
    return _again(asks, alert_id)


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
        "worst_value": alert.worst_value,
        "drivers": alert.drivers,
        "moved": (alert.details or {}).get("moved", []),
        "start_time": alert.first_window_start.isoformat(),
        "end_time": alert.last_window_end.isoformat(),
        "windows": alert.windows,
        "resolved": alert.state == "resolved",
        "resolved_by": alert.resolved_by,
        "acknowledged_by": alert.acknowledged_by,
        "created_at": alert.opened_at.isoformat(),
    }


def _condition(given: ConditionBody | str) -> Condition:
    if isinstance(given, str):
        return grammar.parse(given)
    if given.operator not in rules.SIGNS.values():
        known = ", ".join(dict.fromkeys(rules.SIGNS.values()))
        raise errors.InvalidInput(f"There is no operator {given.operator!r}: it is one of {known}.")
    return Condition(given.operator, given.value)


def _ring(asks: Access) -> None:
    """Wake the notifier after the commit."""
    with asks.app.public() as session:
        wake.ring(session, asks.org.id, wake.Work.notify)


def _again(asks: Access, alert_id: int) -> dict[str, Any]:
    with asks.session() as session:
        return describe_alert(overview.alert(session, alert_id))
