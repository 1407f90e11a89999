"""Find out whether a monitor is up to date on each version, or why not.

It is up to date if its newest window has a result. This is only shown to people, and does not decide what is evaluated.
A window is overdue if it could have been evaluated two minutes ago and has no result: then check whether a scheduler
and an evaluator run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.checks import data_flow
from dcmon.db.tables.org import Version
from dcmon.monitoring import empty_windows, flow_metrics, liveness, monitor_views, reevaluation_policy, schedules
from dcmon.monitoring.due_windows import GRACE
from dcmon.monitoring.elapsed_windows import MAX_ELAPSED_WINDOWS
from dcmon.monitoring.liveness import Liveness
from dcmon.monitoring.monitor_views import MonitorView
from dcmon.monitoring.schedules import Schedule
from dcmon.storage import sampling
from dcmon.windows import Window

OVERDUE_AFTER = timedelta(minutes=2)  # enough for a run of the scheduler and a poll of the evaluator

LAST_ROW = text("select max(at) from quarter_hours where version_id = :version and n > 0 and at < :before")


class ProgressState(StrEnum):
    """Why a window has no result yet."""

    DUE = "due"
    OVERDUE = "overdue"
    WAITS_FOR_LABELS = "waits for labels"


@dataclass(frozen=True)
class Progress:
    """How up to date a monitor is on a version.

    `awaited`: the end of the newest window that has no result yet; None if every window has one.
    """

    state: Liveness | ProgressState
    awaited: datetime | None = None


@dataclass(frozen=True)
class MonitorLine:
    """A monitor on one version.

    `version`: None if its model has no version.
    """

    view: MonitorView
    version: Version | None
    progress: Progress

    @property
    def row(self) -> dict[str, Any]:
        """The line as a row of a table."""
        return {
            **monitor_views.monitor_row(self.view),
            "version": self.version and self.version.name,
            "liveness": self.progress.state,
            "awaited": self.progress.awaited,
        }


@dataclass(frozen=True)
class _VersionSchedule(Schedule):
    """The schedule of a monitor on a version."""

    version: Version


def list_lines(
    session: Session,
    view: MonitorView,
    versions: Sequence[Version],
    now: datetime,
    org_retention: timedelta | None = None,
    last_window_quiet: timedelta = timedelta(),
) -> list[MonitorLine]:
    """Return a line for each version that has results, or should have one.

    Versions with results come first, the one with the newest window at the top. `last_window_quiet`: how long the last
    window of loaded history waits for more rows.
    """
    by_id = {version.id: version for version in versions}
    parts = {part.version_id: part.view for part in monitor_views.by_version(view)}
    with_results, without_results = list[MonitorLine](), list[MonitorLine]()
    for version_id in [*(part_id for part_id in parts if part_id in by_id), *(by_id.keys() - parts.keys())]:
        version, part = by_id[version_id], parts.get(version_id)
        last_end = part.last.window_end if part and part.last else None
        schedule = _VersionSchedule(view.monitor, view.check, view.model, version)
        progress = _progress(session, schedule, last_end, now, org_retention, last_window_quiet)
        if part is not None:
            with_results.append(MonitorLine(part, version, progress))
        elif progress.awaited is not None:
            without_results.append(MonitorLine(replace(view, results=[]), version, progress))
    if lines := [*with_results, *without_results]:
        return lines
    newest = max(
        versions, key=lambda version: (version.watermark is not None, version.watermark, version.id), default=None
    )
    state = liveness.classify(view.model, newest) if newest else Liveness.EMPTY
    return [MonitorLine(view, newest, Progress(state))]


def _progress(
    session: Session,
    schedule: _VersionSchedule,
    last_end: datetime | None,
    now: datetime,
    org_retention: timedelta | None,
    last_window_quiet: timedelta,
) -> Progress:
    """Return whether a monitor is up to date on a version.

    `last_end`: the end of the window of its newest result.
    """
    state = liveness.classify(schedule.model, schedule.version)
    is_flow = data_flow.is_data_flow(schedule.check)
    end = _last_counted_end(schedule, now) if is_flow else _last_complete_end(session, schedule, now)
    if end is None or (last_end is not None and last_end >= end):
        return Progress(state)
    window = schedule.ending(end)
    if window.start < schedules.retained_from(schedule.model, org_retention, now):
        return Progress(state)
    if schedule.check.needs_labels and _awaits_labels(session, schedule, window, now):
        return Progress(ProgressState.WAITS_FOR_LABELS, end)
    is_followed = schedule.version.watermark is not None and end + schedule.model.lateness <= schedule.version.watermark
    is_quiet = state == Liveness.LOADED and not is_followed
    is_overdue = _is_overdue(schedule, end, state, now - last_window_quiet if is_quiet else now)
    return Progress(ProgressState.OVERDUE if is_overdue else ProgressState.DUE, end)


def _last_counted_end(schedule: _VersionSchedule, now: datetime) -> datetime | None:
    """Return the end of the newest window in which the flow of rows is counted."""
    start, newest = flow_metrics.countable_range(schedule.model, schedule.version, now - GRACE)
    last_row_end = schedule.floor(schedule.version.watermark or start)
    last_empty_end = schedule.step(last_row_end, empty_windows.MAX_EMPTY_WINDOWS + schedule.grid.units)
    ends = [min(schedule.floor(newest), last_empty_end)]
    if schedule.version.watermark is not None:
        elapsed = schedule.floor(now - schedule.model.lateness - GRACE)
        ends.append(min(elapsed, schedule.step(last_row_end, schedule.grid.units)))
    return max((end for end in ends if end > start), default=None)


def _last_complete_end(session: Session, schedule: _VersionSchedule, now: datetime) -> datetime | None:
    """Return the end of the newest complete window that should have a result.

    This is a window with rows, or one of the first windows in which a live version got no row.
    """
    version, model = schedule.version, schedule.model
    if version.watermark is None:
        return None
    filled = schedule.floor(version.watermark - model.lateness)
    elapsed = schedule.floor(now - model.lateness - GRACE)
    newest = max(filled, elapsed)
    last_row = session.scalar(LAST_ROW, {"version": version.id, "before": newest})
    with_rows = None if last_row is None else min(newest, schedule.step(schedule.floor(last_row), schedule.grid.units))
    after = schedule.step(schedule.floor(version.watermark), 1)
    is_silent = liveness.is_live(model, version) and elapsed > after
    without_rows = min(elapsed, schedule.step(after, MAX_ELAPSED_WINDOWS)) if is_silent else None
    return max((end for end in (with_rows, without_rows) if end is not None), default=None)


def _awaits_labels(session: Session, schedule: _VersionSchedule, window: Window, now: datetime) -> bool:
    """Return True if labels are awaited.

    These are labels of the window, or of the window that it is compared with.
    """
    compared = schedules.compared_window(schedule, window)
    windows = [window, *([] if compared is None else [compared])]
    statistics = [
        sampling.window_statistics(session, schedule.version.id, source.start, source.end) for source in windows
    ]
    ratio, delay = schedule.model.label_ratio, schedule.model.label_delay
    return reevaluation_policy.labels_awaited_until(statistics, ratio, delay, now) is not None


def _is_overdue(schedule: _VersionSchedule, end: datetime, state: Liveness, now: datetime) -> bool:
    """Return True if a complete window has waited too long for its result."""
    logged_at = schedule.version.newest_logged_at or schedule.version.created_at
    over_at = end + schedule.model.lateness + GRACE + OVERDUE_AFTER
    is_over = state in (Liveness.LIVE, Liveness.EMPTY) and over_at <= now
    return is_over or max(logged_at, schedule.monitor.created_at) + OVERDUE_AFTER <= now
