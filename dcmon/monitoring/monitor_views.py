"""Views of monitors for people: a monitor with its rules and its values over time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from dcmon.alerting import rules
from dcmon.alerting.alert_views import condition
from dcmon.db.tables.org import AlertRule, Check, Model, Monitor, Result, Version
from dcmon.monitoring import default_origins, results
from dcmon.monitoring.sparkline import sparkline


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
        """The name of the monitor with its model: MODEL/MONITOR."""
        return f"{self.model.name}/{self.monitor.name}"

    @property
    def last(self) -> Result | None:
        """The newest result."""
        return self.results[-1] if self.results else None

    @property
    def metrics(self) -> list[str]:
        """The metrics to show: those that active rules name.

        All metrics, if no rule names one; and after the named metrics also all others, if a rule is about any metric.
        """
        known = list(dict.fromkeys(name for result in self.results for name in result.metrics))
        named = {rules.condition_of(rule).target.name for rule in self.rules if rule.is_active}
        lower = {name.lower() for name in named if name is not None}
        watched = [name for name in known if name.lower() in lower]
        return [*watched, *(name for name in known if name not in watched)] if None in named else watched or known

    @property
    def metric(self) -> str | None:
        """The metric to show where only one is shown."""
        return next(iter(self.metrics), None)

    @property
    def values(self) -> list[float | None]:
        """The values of `metric` over the windows; None for a window without a value."""
        return [result.metrics.get(self.metric) if self.metric else None for result in self.results]


class VersionView(NamedTuple):
    """A monitor with its results of one version.

    `version_id`: None if the monitor has no results.
    """

    version_id: int | None
    view: MonitorView


def list_views(session: Session, model_id: int | None = None, last: int | None = None) -> list[MonitorView]:
    """Return all monitors, or those of a model, with their results.

    `last`: of how many windows of each version; None: all windows.
    """
    statement = _monitors()
    if model_id is not None:
        statement = statement.where(Model.id == model_id)
    rules_by_monitor: dict[int, list[AlertRule]] = {}
    for rule in session.scalars(select(AlertRule).order_by(AlertRule.id)):
        rules_by_monitor.setdefault(rule.monitor_id, []).append(rule)
    return [
        MonitorView(monitor, check, model, rules_by_monitor.get(monitor.id, []), _results(session, monitor.id, last))
        for monitor, check, model in session.execute(statement)
    ]


def get_view(session: Session, monitor_id: int, last: int | None = None) -> MonitorView:
    """Return one monitor, with its results.

    `last`: of how many windows of each version; None: all windows.
    """
    row = session.execute(_monitors().where(Monitor.id == monitor_id)).one()
    return MonitorView(*row, rules.for_monitor(session, monitor_id), _results(session, monitor_id, last))


def _monitors() -> Select[Monitor, Check, Model]:
    return (
        select(Monitor, Check, Model)
        .join(Check, Check.id == Monitor.check_id)
        .join(Model, Model.id == Check.model_id)
        .order_by(Model.name, Monitor.id)
    )


def _results(session: Session, monitor_id: int, last: int | None) -> list[Result]:
    return results.series(session, monitor_id) if last is None else results.newest_windows(session, monitor_id, last)


def monitor_row(view: MonitorView, width: int = 24) -> dict[str, Any]:
    """Return a monitor as a row of a table.

    `width`: the number of characters of the sparkline.
    """
    last = view.last
    values = [value for value in view.values if value is not None]
    return {
        "id": view.monitor.id,
        "monitor": view.name,
        "default": default_origins.of_monitor(view.model, view.check, view.monitor.name),
        "every": frequency_text(view.monitor.frequency, view.monitor.aggregation_window),
        "metric": view.metric,
        "last": values[-1] if values else None,
        "state": None if last is None else last.state,
        "window_end": None if last is None else last.window_end,
        "history": sparkline(view.values, width),
        "rules": [f"{condition(rule)} {rule.severity}" for rule in view.rules],
    }


def frequency_text(frequency: str, units: int) -> str:
    """Return a frequency in words: "day", "3 days"."""
    unit = frequency.lower()
    return unit if units == 1 else f"{units} {unit}s"


def version_names(session: Session) -> dict[int, str]:
    """Return the names of all versions, by id."""
    return {row.id: row.name for row in session.execute(select(Version.id, Version.name))}


def by_version(view: MonitorView) -> list[VersionView]:
    """Split a monitor's results by version, the version with the newest window first.

    A monitor without results is returned as one part.
    """
    results_by_version: dict[int, list[Result]] = {}
    for result in reversed(view.results):
        results_by_version.setdefault(result.version_id, []).append(result)
    if not results_by_version:
        return [VersionView(None, view)]
    return [
        VersionView(version_id, replace(view, results=newest_first[::-1]))
        for version_id, newest_first in results_by_version.items()
    ]
