"""Timetables of monitors: how the windows of one lie in the time zone of its model."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from dcmon.db.tables.org import Check, Model, Monitor
from dcmon.windows import Frequency, Window, WindowGrid, floor, step, time_zone


@dataclass(frozen=True)
class Schedule:
    """A monitor with all that says how its windows lie."""

    monitor: Monitor
    check: Check
    model: Model

    @cached_property
    def shape(self) -> WindowGrid:
        """How long its windows are, and what they step by."""
        return WindowGrid(Frequency(self.monitor.frequency), self.monitor.aggregation_window)

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone that they are aligned in."""
        return time_zone(self.model.time_zone)

    def floor(self, time: datetime) -> datetime:
        """The end of the last window that was over by then."""
        return floor(time, self.shape.frequency, self.zone)

    def step(self, end: datetime, units: int) -> datetime:
        """The end of a window so many windows later, or earlier."""
        return step(end, self.shape.frequency, units, self.zone)

    def ending(self, end: datetime) -> Window:
        """The window that ends then."""
        return self.shape.ending(end, self.zone)


def for_monitor(session: Session, monitor_id: int) -> Schedule:
    """The timetable of the monitor of that id."""
    monitor = session.get_one(Monitor, monitor_id)
    check = session.get_one(Check, monitor.check_id)
    return Schedule(monitor, check, session.get_one(Model, check.model_id))
