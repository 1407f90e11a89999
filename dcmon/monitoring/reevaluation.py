"""Make windows due for other reasons than new rows.

The reasons are a new or changed monitor, a new reference, and changed waiting times of a model. A window that begins
before the retention is not evaluated again: it has lost rows, or will lose them soon, and its result from all rows is
better.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Model, Version
from dcmon.monitoring import due_windows, schedules
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.monitoring.lookback_windows import MAX_WINDOWS
from dcmon.monitoring.schedules import Schedule
from dcmon.windows import Window, WindowGrid, floor, same_clock_time, step, time_zone

WINDOWS_OF_A_NEW_MONITOR, WINDOWS_OF_A_CHANGED_MONITOR = 14, 500  # of each version
REFERENCE_PAUSE = timedelta(seconds=30)  # a reference comes in several requests: its windows wait for the last one


def enqueue_for_monitor(
    session: Session,
    monitor_id: int,
    now: datetime,
    since: datetime | None = None,
    org_retention: timedelta | None = None,
) -> int:
    """Make windows with samples due for a new or changed monitor; return how many.

    These are the last windows of each version, and those that a request for the values of the monitor shows, which each
    request would compute otherwise. `since`: in place of these also all windows that end at this time or later, at most
    WINDOWS_OF_A_CHANGED_MONITOR of each version.
    """
    schedule = schedules.for_monitor(session, monitor_id)
    due, first_start = set[VersionWindow](), schedules.retained_from(schedule.model, org_retention, now)
    versions = select(Version).where(Version.model_id == schedule.model.id, Version.watermark.is_not(None))
    for version in session.scalars(versions):
        shown_after = now
        last_windows = _last_windows(version, schedule.grid, schedule.zone)
        for number, window in enumerate(islice(last_windows, WINDOWS_OF_A_CHANGED_MONITOR)):
            if not number:
                shown_after = _shown_after(version, window.end, schedule)
            is_shown = since is None and number < MAX_WINDOWS and window.end > shown_after
            is_included = number < WINDOWS_OF_A_NEW_MONITOR or (since is not None and window.end >= since)
            if not (is_included or is_shown) or window.start < first_start:
                break
            due.add(VersionWindow(version.id, window))
    due_windows.add(session, due)
    return len(due)


def enqueue_for_reference(
    session: Session, version: Version, now: datetime, org_retention: timedelta | None = None
) -> int:
    """Make a version's windows due after a change of its reference; return how many.

    These are the windows with rows of monitors that compare with the reference: those of the longest lookback, counted
    from the newest sample, and at least the last WINDOWS_OF_A_NEW_MONITOR. Results of older windows stay, and hold the
    revision of the reference that they were compared with.
    """
    model = session.get_one(Model, version.model_id)
    zone, first_start = time_zone(model.time_zone), schedules.retained_from(model, org_retention, now)
    due = set[Window]()
    for grid, lookback in schedules.reference_lookbacks(session, model).items():
        last_windows = _last_windows(version, grid, zone)
        newest = next(last_windows, None)
        if newest is not None:
            earlier = _ending_after(last_windows, _lookback_start(newest.end, lookback, zone))
            due |= {window for window in (newest, *earlier) if window.start >= first_start}
    with_rows = schedules.windows_with_rows(session, version.id, due)
    windows = {VersionWindow(version.id, window) for window in with_rows}
    due_windows.add(session, windows, REFERENCE_PAUSE, is_reevaluation=True)
    return len(windows)


def _shown_after(version: Version, newest_end: datetime, schedule: Schedule) -> datetime:
    """Return the time at which the lookback of a monitor begins, counted from the newest window of a version."""
    lookback = schedule.monitor.lookback
    if version.earliest is not None:
        lookback = min(lookback, newest_end - version.earliest)
    return _lookback_start(newest_end, lookback, schedule.zone)


def _lookback_start(end: datetime, lookback: timedelta, zone: ZoneInfo) -> datetime:
    """Return the time at which a lookback begins.

    Its days are days of the calendar: 30 days have 30 daily windows, also when the clocks change.
    """
    return same_clock_time(end, -lookback.days, zone) - (lookback - timedelta(days=lookback.days))


def _ending_after(last_windows: Iterator[Window], time: datetime) -> Iterator[Window]:
    """Yield the windows before the newest one that end after a time, and at least WINDOWS_OF_A_NEW_MONITOR - 1."""
    for number, window in enumerate(last_windows, 1):
        if number >= WINDOWS_OF_A_NEW_MONITOR and window.end <= time:
            return
        yield window


def recheck_model(session: Session, model: Model) -> None:
    """Make the model's waiting windows due now, because its waiting times were changed."""
    session.execute(
        text(
            "update due_windows d set due_at = now() from versions v"
            " where v.id = d.version_id and v.model_id = :model and d.due_at > now()"
        ),
        {"model": model.id},
    )


def _last_windows(version: Version, grid: WindowGrid, zone: ZoneInfo) -> Iterator[Window]:
    """Yield the last windows that reach into the version's samples, newest first."""
    if version.watermark is None or version.earliest is None:
        return
    end = step(floor(version.watermark, grid.frequency, zone), grid.frequency, 1, zone)
    while end > version.earliest:
        yield grid.ending(end, zone)
        end = step(end, grid.frequency, -1, zone)
