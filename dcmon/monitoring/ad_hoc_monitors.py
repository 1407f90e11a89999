"""Monitors that are not stored: a check with the choices of one request, which runs as a monitor would run it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import catalogue
from dcmon.checks.kinds import CheckKind
from dcmon.db.tables.org import Check, Model, Monitor, Version
from dcmon.monitoring import model_checks, monitor_validation, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.schedules import Schedule
from dcmon.storage import filters, sample_tables, versions
from dcmon.windows import ComparedWith

UNSAVED_ID = 0  # of a monitor that is not stored; ids of stored monitors begin with 1


@dataclass(frozen=True)
class AdHocMonitor:
    """A monitor to compute values of, with its check and model.

    `monitor`: may be unsaved; it is never added to a session. `equal_monitors`: the stored monitors whose results are
    the values of this one.
    """

    monitor: Monitor
    check: Check
    model: Model
    equal_monitors: Sequence[Monitor] = ()

    @cached_property
    def schedule(self) -> Schedule:
        """The monitor with all that decides when its windows begin and end."""
        return Schedule(self.monitor, self.check, self.model)

    @property
    def uses_reference(self) -> bool:
        """True if the check compares a window with the reference."""
        return self.check.needs_reference and self.monitor.compared_with == ComparedWith.REFERENCE

    def versions(self, session: Session) -> list[Version]:
        """Return the versions with all columns of the filters, the version with the newest sample first."""
        return [version for version in versions.entries(session, self.model) if self._has_filtered_columns(version)]

    def version(self, session: Session, version_id: int) -> Version:
        """Return a version of the model. Raises NotFound, also if it lacks a column of the filters."""
        for version in self.versions(session):
            if version.id == version_id:
                return version
        raise errors.NotFound(
            f"Model {self.model.name!r} has no version {version_id} with the columns that the filters name."
        )

    def _has_filtered_columns(self, version: Version) -> bool:
        column_types = sample_tables.columns(self.model, version).filterable
        try:
            filters.condition(self.monitor.data_filters, column_types, lambda _: "")
        except errors.InvalidInput:
            return False
        return True


def of_monitor(session: Session, monitor_id: int) -> AdHocMonitor:
    """Return a stored monitor. Raises MonitorNotFound."""
    monitor = monitors.get(session, monitor_id)
    check = session.get_one(Check, monitor.check_id)
    return AdHocMonitor(monitor, check, session.get_one(Model, check.model_id), [monitor])


def of_check(session: Session, check_id: int, spec: MonitorSpec) -> AdHocMonitor:
    """Return a check with the choices of a specification.

    Choices that the check does not have are left out. Raises NotFound, and InvalidInput if the choices or filters fit
    no version.
    """
    check, model = model_checks.get_with_model(session, check_id)
    if (kind := _installed_kind(check)) is not None:
        spec = replace(spec, additional_kwargs=_applicable(kind, spec.additional_kwargs or {}))
    monitor = Monitor(
        id=UNSAVED_ID, check_id=check.id, name=spec.name, frequency=spec.frequency.value,
        aggregation_window=spec.aggregation_window, lookback=timedelta(), rows=spec.rows, revision=0,
        data_filters=spec.data_filters, additional_kwargs=spec.additional_kwargs,
        compared_with=spec.compared_with.value,
    )  # fmt: skip
    stored = session.scalars(select(Monitor).where(Monitor.check_id == check.id).order_by(Monitor.id))
    equal = [candidate for candidate in stored if _value_fields(candidate) == _value_fields(monitor)]
    if kind is not None and not equal:  # the choices of a stored monitor were valid when it was created
        monitor_validation.require_valid(session, check, spec)
    return AdHocMonitor(monitor, check, model, equal)


def _installed_kind(check: Check) -> CheckKind | None:
    """Return the kind of a check; None if its package is not installed here.

    Then stored results are all that can be known: workers on another machine may have it.
    """
    try:
        return catalogue.for_config(check.module_name, check.class_name)
    except errors.InvalidInput:
        return None


def _applicable(kind: CheckKind, additional_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out choices without content, and those that the check does not have."""
    conf = {name: chosen for name, chosen in (additional_kwargs.get("check_conf") or {}).items() if chosen}
    known = {name: chosen for name, chosen in conf.items() if name in kind.choices}
    return {"check_conf": known, "res_conf": additional_kwargs.get("res_conf") or None}


def _value_fields(monitor: Monitor) -> tuple[Any, ...]:
    """Return what the values of monitors on one check depend on, in one spelling."""
    kwargs = monitor.additional_kwargs or {}
    conf = {name: chosen for name, chosen in (kwargs.get("check_conf") or {}).items() if chosen}
    return (
        monitor.frequency, monitor.aggregation_window, filters.conditions(monitor.data_filters), conf,
        kwargs.get("res_conf") or None, monitor.rows, monitor.compared_with,
    )  # fmt: skip
