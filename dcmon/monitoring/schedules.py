"""The windows of monitors on the time axis: grids, time zone and retention."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime

from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Check, Model, Monitor, MonitorWithCheck, Version
from dcmon.tenancy import retention
from dcmon.windows import ComparedWith, Comparison, Frequency, Window, WindowGrid, floor, step, time_zone

WITH_ROWS = text("""
    select w.window_start, w.window_end from unnest(:starts, :ends) w(window_start, window_end)
     where exists (select 1 from quarter_hours q
                    where q.version_id = :version and q.at >= w.window_start and q.at < w.window_end and q.n > 0)
""").bindparams(
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))), bindparam("ends", type_=ARRAY(DateTime(timezone=True)))
)


@dataclass(frozen=True)
class Schedule:
    """A monitor with its check and model, which decide when its windows begin and end."""

    monitor: Monitor
    check: Check
    model: Model

    @cached_property
    def grid(self) -> WindowGrid:
        """The length of the windows, and the time from one window to the next."""
        return monitor_grid(self.monitor)

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone that the windows are aligned in."""
        return time_zone(self.model.time_zone)

    def floor(self, time: datetime) -> datetime:
        """Return the end of the last window that had ended by `time`."""
        return floor(time, self.grid.frequency, self.zone)

    def step(self, end: datetime, units: int) -> datetime:
        """Return the end of the window that is `units` units later; earlier if negative."""
        return step(end, self.grid.frequency, units, self.zone)

    def ending(self, end: datetime) -> Window:
        """Return the window that ends at `end`."""
        return self.grid.ending(end, self.zone)

    def first_ending(self, time: datetime) -> Window:
        """Return the window that ends at a time, or the first one that ends after it."""
        return self.grid.first_ending(time, self.zone)


class VersionGrids(NamedTuple):
    """The model of a version, and the grids of its monitors' windows."""

    model: Model
    grids: set[WindowGrid]


def for_monitor(session: Session, monitor_id: int) -> Schedule:
    """Return the schedule of a monitor."""
    monitor = session.get_one(Monitor, monitor_id)
    check = session.get_one(Check, monitor.check_id)
    return Schedule(monitor, check, session.get_one(Model, check.model_id))


def monitor_grid(monitor: Monitor) -> WindowGrid:
    """Return the grid of a monitor's windows."""
    return WindowGrid(Frequency(monitor.frequency), monitor.aggregation_window)


def monitors_of_model(session: Session, model: Model) -> list[MonitorWithCheck]:
    """Return the monitors of a model with their checks, in order of id."""
    statement = select(Monitor, Check).join(Check, Check.id == Monitor.check_id).where(Check.model_id == model.id)
    return [MonitorWithCheck(monitor, check) for monitor, check in session.execute(statement.order_by(Monitor.id))]


def version_grids(session: Session, version_id: int, *, reads_rows: bool = False) -> VersionGrids:
    """Return the model of a version and the grids of its monitors.

    `reads_rows`: only of monitors that read rows, which monitors on the flow of rows do not.
    """
    version = session.get_one(Version, version_id)
    is_chosen = (Check.class_name != DATA_FLOW.class_name) | (not reads_rows)
    rows = session.execute(
        select(Monitor.frequency, Monitor.aggregation_window)
        .join(Check, Check.id == Monitor.check_id)
        .where(Check.model_id == version.model_id, is_chosen)
        .distinct()
    )
    grids = {WindowGrid(Frequency(frequency), units) for frequency, units in rows}
    return VersionGrids(session.get_one(Model, version.model_id), grids)


def reference_lookbacks(session: Session, model: Model) -> dict[WindowGrid, timedelta]:
    """Return the grids of a model's monitors that compare with the reference, with the longest lookback of each."""
    rows = session.execute(
        select(Monitor.frequency, Monitor.aggregation_window, func.max(Monitor.lookback))
        .join(Check, Check.id == Monitor.check_id)
        .where(Check.model_id == model.id, Check.needs_reference, Monitor.compared_with == ComparedWith.REFERENCE)
        .group_by(Monitor.frequency, Monitor.aggregation_window)
    )
    return {WindowGrid(Frequency(frequency), units): lookback for frequency, units, lookback in rows}


def flow_grids(session: Session) -> dict[int, set[WindowGrid]]:
    """Return the grids of all monitors on the flow of rows, by model id."""
    grids: dict[int, set[WindowGrid]] = {}
    rows = session.execute(
        select(Check.model_id, Monitor.frequency, Monitor.aggregation_window)
        .join(Monitor, Monitor.check_id == Check.id)
        .where(Check.module_name == DATA_FLOW.module_name, Check.class_name == DATA_FLOW.class_name)
        .distinct()
    )
    for model_id, frequency, units in rows:
        grids.setdefault(model_id, set()).add(WindowGrid(Frequency(frequency), units))
    return grids


def comparisons(session: Session, model: Model) -> set[Comparison]:
    """Return how monitors of a model compare a window with an earlier window."""
    rows = session.execute(
        select(Monitor.frequency, Monitor.aggregation_window, Monitor.compared_with)
        .join(Check, Check.id == Monitor.check_id)
        .where(Check.model_id == model.id, Check.needs_reference, Monitor.compared_with != ComparedWith.REFERENCE)
        .distinct()
    )
    return {
        Comparison(WindowGrid(Frequency(frequency), units), ComparedWith(compared_with))
        for frequency, units, compared_with in rows
    }


def compared_window(schedule: Schedule, window: Window) -> Window | None:
    """Return the earlier window that the monitor compares with.

    None if it compares with the reference, or does not compare.
    """
    compared_with = ComparedWith(schedule.monitor.compared_with)
    if compared_with is ComparedWith.REFERENCE or not schedule.check.needs_reference:
        return None
    return Comparison(schedule.grid, compared_with).compared_window(window, schedule.zone)


def windows_with_rows(session: Session, version_id: int, windows: Collection[Window]) -> set[Window]:
    """Return the windows in which the version has rows."""
    if not windows:
        return set()
    ordered = sorted(windows)
    starts, ends = [window.start for window in ordered], [window.end for window in ordered]
    rows = session.execute(WITH_ROWS, {"version": version_id, "starts": starts, "ends": ends})
    return {Window(row.window_start, row.window_end) for row in rows}


def retained_from(model: Model, org_retention: timedelta | None, now: datetime) -> datetime:
    """Return the earliest start of a window that is still evaluated.

    The rows of earlier windows are pruned, or will be soon. `org_retention`: the organization's retention of samples;
    the model's own retention takes precedence.
    """
    return retention.cutoff(retention.effective_term(model.retention, org_retention), now) or datetime.min.replace(
        tzinfo=UTC
    )
