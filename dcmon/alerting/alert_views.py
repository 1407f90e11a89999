"""Alerts and rules with the names of their monitors and models, for lists."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, Select, case, func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import rules
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, Check, Model, Monitor, Result, Version
from dcmon.severity import Severity
from dcmon.states import AlertState, ResultState


@dataclass(frozen=True)
class AlertView:
    """An alert with its rule, monitor, model, version and check."""

    alert: Alert
    rule: AlertRule
    monitor: Monitor
    model: Model
    version: Version
    check: Check

    @property
    def name(self) -> str:
        return f"{self.model.name}/{self.monitor.name}"

    @property
    def failed_metric(self) -> str:
        """The metric that violated the rule in the alert's last window."""
        return str((self.alert.details or {}).get("last_metric", self.alert.metric))

    @property
    def failed_value(self) -> float | None:
        """Its value in that window. `current_value` is that of a later window if the alert has recovered."""
        value: float | None = (self.alert.details or {}).get("last_value", self.alert.current_value)
        return value

    @property
    def driver(self) -> str | None:
        """The entry with the largest share in the alert."""
        return next(iter(self.alert.drivers), None)


def condition(rule: AlertRule) -> str:
    """Return a rule's condition as text, like "> 0.2"."""
    return rules.condition_text(rule)


def list_alerts(session: Session, model_id: int | None = None, *, pending: bool = False) -> list[AlertView]:
    """Return all alerts, or those of a model, in the order of their first windows.

    `pending`: also return pending alerts.
    """
    statement = _alerts()
    if model_id is not None:
        statement = statement.where(Model.id == model_id)
    if not pending:
        statement = statement.where(Alert.state != AlertState.PENDING)
    return [AlertView(*row) for row in session.execute(statement)]


def newest_of_monitors(
    session: Session, monitor_ids: Sequence[int], limit: int, until: datetime | None = None
) -> list[AlertView]:
    """Return the alerts of monitors without pending ones: those that fire, then the newest, at most `limit`.

    `until`: only alerts whose first window ends then or before.
    """
    is_over = Alert.state != AlertState.FIRING
    statement = _alerts().where(Monitor.id.in_(monitor_ids), Alert.state != AlertState.PENDING)
    if until is not None:
        statement = statement.where(Alert.first_window_end <= until)
    ordered = statement.order_by(None).order_by(is_over, Alert.first_window_start.desc(), Alert.id.desc())
    return [AlertView(*row) for row in session.execute(ordered.limit(limit))]


def worst_firing(session: Session, limit: int) -> list[AlertView]:
    """Return the firing alerts of all models, the most severe first and then the newest, at most `limit`."""
    rank = case({severity.value: severity.rank for severity in Severity}, value=Alert.severity, else_=-1)
    ordered = (
        _alerts().where(Alert.state == AlertState.FIRING)
        .order_by(None).order_by(rank.desc(), Alert.first_window_start.desc(), Alert.id.desc())
    )  # fmt: skip
    return [AlertView(*row) for row in session.execute(ordered.limit(limit))]


def alerts_of_rule(
    session: Session, rule_id: int, *, resolved: bool | None = None, limit: int | None = None, offset: int = 0
) -> list[AlertView]:
    """Return the alerts of a rule without pending ones, in the order of their first windows."""
    statement = _alerts().where(AlertRule.id == rule_id, Alert.state != AlertState.PENDING)
    if resolved is not None:
        is_resolved = Alert.state == AlertState.RESOLVED
        statement = statement.where(is_resolved if resolved else ~is_resolved)
    return [AlertView(*row) for row in session.execute(statement.limit(limit).offset(offset))]


def count_firing(session: Session, *, of_ingestion: bool) -> dict[Severity, int]:
    """Count the firing alerts by severity, the lowest first: those of data-ingestion rules, or all others."""
    is_ingestion = AlertRule.ingestion_type.is_not(None)
    statement = (
        select(Alert.severity, func.count().label("number"))
        .join(AlertRule, AlertRule.id == Alert.rule_id)
        .where(Alert.state == AlertState.FIRING, is_ingestion if of_ingestion else ~is_ingestion)
        .group_by(Alert.severity)
    )
    counts = {row.severity: row.number for row in session.execute(statement)}
    return {severity: counts[severity] for severity in Severity if severity in counts}


def _alerts() -> Select[Alert, AlertRule, Monitor, Model, Version, Check]:
    return (
        select(Alert, AlertRule, Monitor, Model, Version, Check)
        .join(AlertRule, AlertRule.id == Alert.rule_id)
        .join(Monitor, Monitor.id == AlertRule.monitor_id)
        .join(Check, Check.id == Monitor.check_id)
        .join(Version, Version.id == Alert.version_id)
        .join(Model, Model.id == Version.model_id)
        .order_by(Alert.first_window_start, Alert.id)
    )


def get_alert(session: Session, alert_id: int) -> AlertView:
    """Return an alert. Raises AlertNotFound."""
    row = session.execute(_alerts().where(Alert.id == alert_id)).one_or_none()
    if row is None:
        raise errors.AlertNotFound(name=alert_id)
    return AlertView(*row)


def lock_views_of(session: Session, alerts: Sequence[Alert], lock: ScalarSelect[Any]) -> list[AlertView]:
    """Return these alerts with their rules, monitors, models, versions and checks, and wait for a lock.

    It takes one statement. `lock`: a column that waits; it must not guard what is read here. The alerts' rows are
    stored, but the alerts themselves may be copies.
    """
    statement = _alerts().where(Alert.id.in_({alert.id for alert in alerts})).add_columns(lock)
    by_id = {view.alert.id: view for *row, _ in session.execute(statement) for view in (AlertView(*row),)}
    return [replace(by_id[alert.id], alert=alert) for alert in alerts]


def list_changes(session: Session, alert_id: int) -> Sequence[AlertChange]:
    """Return the lines of an alert's history, oldest first."""
    return session.scalars(select(AlertChange).where(AlertChange.alert_id == alert_id).order_by(AlertChange.id)).all()


def alert_row(view: AlertView) -> dict[str, Any]:
    """Return an alert as a row for an output."""
    alert = view.alert
    return {
        "id": alert.id,
        "severity": alert.severity,
        "state": alert.state,
        "monitor": view.name,
        "since": alert.first_window_start,
        "until": alert.last_window_end if alert.state == AlertState.RESOLVED else None,
        "last": alert.last_window_end,
        "windows": alert.windows,
        "first": (alert.details or {}).get("first_value"),
        "worst": alert.worst_value,
        "rule": condition(view.rule),
        "driver": view.driver,
    }


@dataclass(frozen=True)
class RuleView:
    """A rule with its monitor, its model, and the number of its alerts.

    `alerts` counts all of them, `open` those that fire.
    """

    rule: AlertRule
    monitor: Monitor
    model: Model
    alerts: int
    open: int


def list_rules(session: Session, model_id: int | None = None) -> list[RuleView]:
    """Return all rules, or those of a model."""
    is_open = func.count(Alert.id).filter(Alert.state == AlertState.FIRING)
    statement = (
        select(AlertRule, Monitor, Model, func.count(Alert.id), is_open)
        .join(Monitor, Monitor.id == AlertRule.monitor_id)
        .join(Check, Check.id == Monitor.check_id)
        .join(Model, Model.id == Check.model_id)
        .outerjoin(Alert, Alert.rule_id == AlertRule.id)
        .group_by(AlertRule.id, Monitor.id, Model.id)
        .order_by(Model.name, Monitor.id, AlertRule.id)
    )
    if model_id is not None:
        statement = statement.where(Model.id == model_id)
    return [RuleView(*row) for row in session.execute(statement)]


def rule_row(view: RuleView) -> dict[str, Any]:
    """Return a rule as a row for an output."""
    rule = view.rule
    return {
        "id": rule.id,
        "name": rule.name,
        "monitor": f"{view.model.name}/{view.monitor.name}",
        "condition": condition(rule),
        "severity": rule.severity if rule.warn_severity is None else f"{rule.warn_severity}..{rule.severity}",
        "for": rule.for_windows,
        "keep_firing": rule.keep_firing,
        "min_n": rule.min_n,
        "no_data": rule.no_data,
        "error": rule.on_error,
        "inhibit": rule.is_inhibited,
        "active": rule.is_active,
        "open": view.open,
        "alerts": view.alerts,
    }


def unknown_name_remark(session: Session, rule: AlertRule) -> str | None:
    """Return a remark when the newest result lacks what a rule names.

    A rule may name a metric or an entry. Only results that have values count.
    """
    name = rules.condition_of(rule).target.name
    newest = select(Result).where(Result.monitor_id == rule.monitor_id, Result.state == ResultState.OK)
    last = session.scalar(newest.order_by(Result.window_end.desc(), Result.revision.desc()).limit(1))
    if name is None or last is None:
        return None
    known = [*last.metrics, *last.entries]
    if name.lower() in (known_name.lower() for known_name in known):
        return None
    return f"The newest result has no {name!r}, only {', '.join(map(repr, known[:10]))}: such windows have no verdict."
