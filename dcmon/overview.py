"""What a person looks at: monitors with their values over time, alerts with their rule in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors, results
from dcmon.sparkline import sparkline
from dcmon.tables.org import Alert, AlertRule, Check, Model, Monitor, Result, Version

SIGNS = {
    "greater_than": ">",
    "greater_than_equals": ">=",
    "less_than": "<",
    "less_than_equals": "<=",
    "equals": "=",
    "not_equals": "!=",
}


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
    def metric(self) -> str | None:
        """The metric to show where there is room for one."""
        found = next((results.headline(result.metrics) for result in reversed(self.results) if result.metrics), None)
        return found[0] if found else None

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

    @property
    def name(self) -> str:
        return f"{self.model.name}/{self.monitor.name}"

    @property
    def driver(self) -> str | None:
        """What drives it most."""
        return next(iter(self.alert.drivers), None)


def condition(rule: AlertRule) -> str:
    """A rule's condition in signs: "> 0.2"."""
    return f"{SIGNS[rule.operator]} {rule.threshold:g}"


def monitors(session: Session, model_id: int | None = None, since: datetime | None = None) -> list[MonitorView]:
    """All monitors, or those of a model, with their results that end after `since`."""
    statement = (
        select(Monitor, Check, Model)
        .join(Check, Check.id == Monitor.check_id)
        .join(Model, Model.id == Check.model_id)
        .order_by(Model.name, Monitor.id)
    )
    if model_id is not None:
        statement = statement.where(Model.id == model_id)
    rules: dict[int, list[AlertRule]] = {}
    for rule in session.scalars(select(AlertRule).order_by(AlertRule.id)):
        rules.setdefault(rule.monitor_id, []).append(rule)
    return [
        MonitorView(monitor, check, model, rules.get(monitor.id, []), results.series(session, monitor.id, since))
        for monitor, check, model in session.execute(statement)
    ]


def alerts(session: Session, model_id: int | None = None) -> list[AlertView]:
    """All alerts, or those of a model, in the order in which their windows began."""
    statement = (
        select(Alert, AlertRule, Monitor, Model, Version)
        .join(AlertRule, AlertRule.id == Alert.rule_id)
        .join(Monitor, Monitor.id == AlertRule.monitor_id)
        .join(Version, Version.id == Alert.version_id)
        .join(Model, Model.id == Version.model_id)
        .order_by(Alert.first_window_start, Alert.id)
    )
    if model_id is not None:
        statement = statement.where(Model.id == model_id)
    return [AlertView(*row) for row in session.execute(statement)]


def alert(session: Session, alert_id: int) -> AlertView:
    """One alert. Raises NotFound."""
    found = next((view for view in alerts(session) if view.alert.id == alert_id), None)
    if found is None:
        raise errors.NotFound(what="alert", name=alert_id)
    return found


def alert_row(view: AlertView) -> dict[str, Any]:
    """An alert as a row for an output."""
    alert = view.alert
    return {
        "id": alert.id,
        "severity": alert.severity,
        "state": alert.state,
        "monitor": view.name,
        "since": alert.first_window_start,
        "until": None if alert.state == "firing" else alert.last_window_end,
        "windows": alert.windows,
        "worst": alert.worst_value,
        "rule": condition(view.rule),
        "driver": view.driver,
    }


def monitor_row(view: MonitorView, width: int = 24) -> dict[str, Any]:
    """A monitor as a row for an output: its last value and the shape of those before."""
    last = view.last
    judged = [value for value in view.values if value is not None]
    return {
        "id": view.monitor.id,
        "monitor": view.name,
        "every": every(view.monitor.frequency, view.monitor.aggregation_window),
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
