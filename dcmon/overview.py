"""What a person looks at: monitors with their values over time, alerts with their rule in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from dcmon import errors, results, rules
from dcmon.sparkline import sparkline
from dcmon.tables.org import Alert, AlertRule, Check, Model, Monitor, Result, Version


@dataclass(frozen=True)
class MonitorView:
    """A monitor, its rules, and its newest result of each window, oldest first."""

    monitor: Monitor
    check: Check
    model: Model
    rules: Sequence[AlertRule]
    results: Sequence[Result]

    @property
    def name(self) -> str:
        return f"{self.model.name}/{self.monitor.name}"

    @property
    def last(self) -> Result | None:
        return self.results[-1] if self.results else None

    @property
    def metrics(self) -> list[str]:
        """The metrics to show: those that rules name; all where none does, or one is about any of them."""
        known = list(dict.fromkeys(name for result in self.results for name in result.metrics))
        named = {rules.condition_of(rule).subject.name for rule in self.rules if rule.is_active}
        lower = {name.lower() for name in named if name is not None}
        watched = [name for name in known if name.lower() in lower]
        return [*watched, *(name for name in known if name not in watched)] if None in named else watched or known

    @property
    def metric(self) -> str | None:
        """The metric to show where there is room for one: the first, whichever is the largest."""
        return next(iter(self.metrics), None)

    @property
    def values(self) -> list[float | None]:
        """That metric over the windows; None where a window has no verdict."""
        return [result.metrics.get(self.metric) if self.metric else None for result in self.results]


@dataclass(frozen=True)
class AlertView:
    """An alert with everything that names it."""

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
    def driver(self) -> str | None:
        """What drives it most."""
        return next(iter(self.alert.drivers), None)


def condition(rule: AlertRule) -> str:
    """A rule's condition as a person writes it: "> 0.2"."""
    return rules.condition_text(rule)


def monitors(session: Session, model_id: int | None = None, last: int | None = None) -> list[MonitorView]:
    """All monitors, or those of a model, with their results; `last`: of so many windows of each version."""
    statement = _monitors()
    if model_id is not None:
        statement = statement.where(Model.id == model_id)
    on: dict[int, list[AlertRule]] = {}
    for rule in session.scalars(select(AlertRule).order_by(AlertRule.id)):
        on.setdefault(rule.monitor_id, []).append(rule)
    return [
        MonitorView(monitor, check, model, on.get(monitor.id, []), _results(session, monitor.id, last))
        for monitor, check, model in session.execute(statement)
    ]


def monitor(session: Session, monitor_id: int, last: int | None = None) -> MonitorView:
    """One monitor with its results."""
    row = session.execute(_monitors().where(Monitor.id == monitor_id)).one()
    return MonitorView(*row, rules.of_monitor(session, monitor_id), _results(session, monitor_id, last))


def _monitors() -> Select[Monitor, Check, Model]:
    return (
        select(Monitor, Check, Model)
        .join(Check, Check.id == Monitor.check_id)
        .join(Model, Model.id == Check.model_id)
        .order_by(Model.name, Monitor.id)
    )


def _results(session: Session, monitor_id: int, last: int | None) -> list[Result]:
    return results.series(session, monitor_id) if last is None else results.newest(session, monitor_id, last)


def alerts(session: Session, model_id: int | None = None, *, pending: bool = False) -> list[AlertView]:
    """All alerts, or those of a model, in the order in which their windows began; pending ones when asked for."""
    statement = _alerts()
    if model_id is not None:
        statement = statement.where(Model.id == model_id)
    if not pending:
        statement = statement.where(Alert.state != "pending")
    return [AlertView(*row) for row in session.execute(statement)]


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


def alert(session: Session, alert_id: int) -> AlertView:
    """One alert. Raises NotFound."""
    row = session.execute(_alerts().where(Alert.id == alert_id)).one_or_none()
    if row is None:
        raise errors.AlertNotFound(name=alert_id)
    return AlertView(*row)


def alert_row(view: AlertView) -> dict[str, Any]:
    """An alert as a row for an output."""
    alert = view.alert
    return {
        "id": alert.id,
        "severity": alert.severity,
        "state": alert.state,
        "monitor": view.name,
        "since": alert.first_window_start,
        "until": alert.last_window_end if alert.state == "resolved" else None,
        "last": alert.last_window_end,
        "windows": alert.windows,
        "first": (alert.details or {}).get("first_value"),
        "worst": alert.worst_value,
        "rule": condition(view.rule),
        "driver": view.driver,
    }


@dataclass(frozen=True)
class RuleView:
    """A rule with its monitor, and how many alerts it has, and has open."""

    rule: AlertRule
    monitor: Monitor
    model: Model
    alerts: int
    open: int


def rules_of(session: Session, model_id: int | None = None) -> list[RuleView]:
    """All rules, or those of a model."""
    is_open = func.count(Alert.id).filter(Alert.state == "firing")
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
    """A rule as a row for an output."""
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


def unknown_name(session: Session, rule: AlertRule) -> str | None:
    """A remark when a rule names what its monitor's newest result with a value does not have."""
    name = rules.condition_of(rule).subject.name
    newest = select(Result).where(Result.monitor_id == rule.monitor_id, Result.state == "OK")
    last = session.scalar(newest.order_by(Result.window_end.desc(), Result.revision.desc()).limit(1))
    if name is None or last is None:
        return None
    there = [*last.metrics, *last.entries]
    if name.lower() in (each.lower() for each in there):
        return None
    return f"The newest result has no {name!r}, only {', '.join(map(repr, there[:10]))}: such windows have no verdict."


def monitor_row(view: MonitorView, width: int = 24) -> dict[str, Any]:
    """A monitor as a row for an output: its last value and the shape of those before."""
    last = view.last
    judged = [value for value in view.values if value is not None]
    return {
        "id": view.monitor.id,
        "monitor": view.name,
        "every": every(view.monitor.frequency, view.monitor.aggregation_window),
        "metric": view.metric,
        "last": judged[-1] if judged else None,
        "state": None if last is None else last.state,
        "window_end": None if last is None else last.window_end,
        "history": sparkline(view.values, width),
        "rules": [f"{condition(rule)} {rule.severity}" for rule in view.rules],
    }


def every(frequency: str, units: int) -> str:
    """A frequency in words: "day", "3 days"."""
    unit = frequency.lower()
    return unit if units == 1 else f"{units} {unit}s"


def version_names(session: Session) -> dict[int, str]:
    """The names of all versions, by id."""
    return dict(session.execute(select(Version.id, Version.name)).tuples().all())


def by_version(view: MonitorView) -> list[tuple[int | None, MonitorView]]:
    """A monitor's results of each version apart, the version with the newest window first; once without any result."""
    found: dict[int, list[Result]] = {}
    for result in reversed(view.results):
        found.setdefault(result.version_id, []).append(result)
    if not found:
        return [(None, view)]
    return [(version, replace(view, results=each[::-1])) for version, each in found.items()]
