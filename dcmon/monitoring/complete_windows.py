"""Find the complete windows of a monitor that a person asks for: `monitor run` and `monitor backfill`.

A window is complete if it ends before the newest sample, or if its time is over by the clock and it reaches into the
samples. The evaluator waits longer, because more rows may come (monitoring.due_windows): a person decides that herself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import data_flow
from dcmon.db.tables.org import Version
from dcmon.formatting import format_moment
from dcmon.monitoring import flow_metrics, schedules
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.monitoring.schedules import Schedule
from dcmon.windows import Window

MAX_NAMED_VERSIONS = 3  # in one message


class EndRange(NamedTuple):
    """A range of windows: those that end later than `after`, and at `until` or before.

    `after`: None for only the last window of each version where windows are evaluated, and for all where results are
    listed. `until`: None for all windows up to the newest rows.
    """

    after: datetime | None
    until: datetime | None


class VersionRange(NamedTuple):
    """A version, and the period in which its rows come or are counted."""

    version: Version
    start: datetime
    end: datetime


@dataclass(frozen=True)
class _CompleteWindows:
    """The complete windows of a monitor on a version: those that end from `first_end` to `last_end`.

    If `last_end` is earlier than `first_end`, no window is complete.
    """

    schedule: Schedule
    version: Version
    first_end: datetime
    last_end: datetime

    @property
    def has_some(self) -> bool:
        return self.first_end <= self.last_end

    def includes(self, window: Window) -> bool:
        return self.first_end <= window.end <= self.last_end

    def in_range(self, ends: EndRange) -> Iterator[VersionWindow]:
        """Yield the windows that end in a range, the newest first."""
        end = min(self.last_end, self.schedule.floor(ends.until)) if ends.until else self.last_end
        while end >= self.first_end and (ends.after is None or end > ends.after):
            yield VersionWindow(self.version.id, self.schedule.ending(end))
            if ends.after is None:
                break
            end = self.schedule.step(end, -1)

    def reason_against(self, window: Window) -> str:
        """Return why a window is not complete, and which complete window is next to it."""
        name, watermark = f"Version {self.version.name}", self.version.watermark
        neighbour, end = "last", self.last_end
        if window.end < self.first_end:
            reason = f"{name} has no samples in it: its samples begin later."
            neighbour, end = "first", self.first_end
        elif watermark is not None and window.start > watermark:
            reason = f"{name} has no samples in it: its newest sample is of {format_moment(watermark)}."
        else:
            over_at = window.end + self.schedule.model.lateness
            over = format_moment(over_at)
            reason = f"For version {self.version.name} it is complete at {over}, or when a newer sample comes."
        if self.has_some:
            reason += f" The {neighbour} complete window ends at {format_moment(end)} (--at {_option(end)})."
        return reason


def in_range(session: Session, monitor_id: int, ends: EndRange, now: datetime) -> list[VersionWindow]:
    """Return a monitor's complete windows that end in a range, in order of time."""
    schedule = schedules.for_monitor(session, monitor_id)
    windows = [window for complete in _by_version(session, schedule, now) for window in complete.in_range(ends)]
    return sorted(windows, key=lambda version_window: (version_window.window.end, version_window.version_id))


def ending_at(session: Session, monitor_id: int, at: datetime, now: datetime) -> list[VersionWindow]:
    """Return the complete window of each version that ends at a time, or the first that ends after it.

    Versions without this window are left out. Raises NoWindowAt if no version has it.
    """
    schedule = schedules.for_monitor(session, monitor_id)
    window, by_version = schedule.first_ending(at), list(_by_version(session, schedule, now))
    windows = [VersionWindow(complete.version.id, window) for complete in by_version if complete.includes(window)]
    if windows:
        return windows
    reasons = [complete.reason_against(window) for complete in _newest_first(by_version)[:MAX_NAMED_VERSIONS]]
    reason = " ".join(reasons) or f"No version of {schedule.model.name} has samples."
    raise errors.NoWindowAt(
        at=format_moment(at), start=format_moment(window.start), end=format_moment(window.end), reason=reason
    )


def describe_ends(session: Session, monitor_id: int, now: datetime) -> str:
    """Return a sentence that says when a monitor's complete windows end, for a run that found none."""
    schedule = schedules.for_monitor(session, monitor_id)
    by_version = [
        complete for complete in _newest_first(list(_by_version(session, schedule, now))) if complete.has_some
    ]
    if not by_version:
        return "There is no complete window with samples yet."
    named = by_version[:MAX_NAMED_VERSIONS]
    spans = ((format_moment(item.first_end), format_moment(item.last_end), item.version.name) for item in named)
    ends = ", ".join(f"from {first} to {last} (version {name})" for first, last, name in spans)
    return f"There is no complete window with samples in this time range. Complete windows end {ends}."


def version_ranges(session: Session, schedule: Schedule, now: datetime) -> Iterator[VersionRange]:
    """Yield the versions that have windows.

    A monitor that counts arriving rows has windows on versions without rows, too.
    """
    versions = select(Version).where(Version.model_id == schedule.model.id).order_by(Version.id)
    for version in session.scalars(versions):
        if data_flow.is_data_flow(schedule.check):
            yield VersionRange(version, *flow_metrics.countable_range(schedule.model, version, now))
        elif version.earliest is not None and version.watermark is not None:
            yield VersionRange(version, version.earliest, version.watermark)


def _by_version(session: Session, schedule: Schedule, now: datetime) -> Iterator[_CompleteWindows]:
    over = schedule.floor(now - schedule.model.lateness)
    for version, start, newest in version_ranges(session, schedule, now):
        ends = [schedule.floor(newest)]
        if version.watermark is not None:
            ends.append(min(over, schedule.step(schedule.floor(version.watermark), schedule.grid.units)))
        yield _CompleteWindows(schedule, version, schedule.step(schedule.floor(start), 1), max(ends))


def _newest_first(by_version: Sequence[_CompleteWindows]) -> list[_CompleteWindows]:
    return sorted(by_version, key=lambda complete: (complete.last_end, complete.version.id), reverse=True)


def _option(end: datetime) -> str:
    """Return an end of a window as it is typed after --at."""
    return f"{end:%Y-%m-%d}" if end.time() == end.min.time() else f"{end:%Y-%m-%dT%H:%M:%S}"
