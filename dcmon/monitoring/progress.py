"""How far a monitor is: whether the newest window of a version that should have a result has one, and why it has none.

An operator's view: nothing here decides what is evaluated. A window that could have been evaluated two minutes ago and
has no result is overdue: somebody should look whether anything evaluates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.checks import data_flow
from dcmon.db.tables.org import Check, Model, Monitor, Version
from dcmon.monitoring import (
    elapsed_windows,
    empty_windows,
    flow_metrics,
    liveness,
    monitor_views,
    planner,
    reevaluation_policy,
    schedules,
)
from dcmon.monitoring.due_windows import GRACE
from dcmon.monitoring.liveness import Liveness
from dcmon.monitoring.monitor_views import MonitorView
from dcmon.monitoring.schedules import Schedule
from dcmon.storage import sampling
from dcmon.windows import Window

SOON = timedelta(minutes=2)  # a scheduler's round, an evaluator's turn

LAST_ROW = text("select max(at) from quarter_hours where version_id = :version and n > 0 and at < :before")


@dataclass(frozen=True)
class Progress:
    """`awaited`: the end of the newest window that should have a result and has none; None: nothing is due."""

    state: Liveness | Literal["due", "overdue", "waits for labels"]
    awaited: datetime | None = None


@dataclass(frozen=True)
class MonitorLine:
    """A monitor on one version, or on none: a model without a version has no more to say."""

    view: MonitorView
    version: Version | None
    progress: Progress

    @property
    def row(self) -> dict[str, Any]:
        """The line as a row for an output."""
        return {
            **monitor_views.monitor_row(self.view),
            "version": self.version and self.version.name,
            "liveness": self.progress.state,
            "awaited": self.progress.awaited,
        }


@dataclass(frozen=True)
class _On(Schedule):
    """A monitor on a version."""

    version: Version


def list_lines(
    session: Session, view: MonitorView, versions: Sequence[Version], now: datetime, kept: timedelta | None = None
) -> list[MonitorLine]:
    """A monitor's results of each version apart, the version with the newest window first; and those that have none,
    where one is due. `kept`: the organization's retention.
    """
    of_version = {version.id: version for version in versions}
    parts = dict(monitor_views.by_version(view))
    found, others = list[MonitorLine](), list[MonitorLine]()
    for version_id in [*(each for each in parts if each in of_version), *(of_version.keys() - parts.keys())]:
        version, part = of_version[version_id], parts.get(version_id)
        until = part.last.window_end if part and part.last else None
        progress = monitor_progress(session, view.monitor, view.check, view.model, version, until, now, kept)
        if part is not None:
            found.append(MonitorLine(part, version, progress))
        elif progress.awaited is not None:
            others.append(MonitorLine(replace(view, results=[]), version, progress))
    newest = max(
        versions, key=lambda version: (version.watermark is not None, version.watermark, version.id), default=None
    )
    return [*found, *others] or [
        MonitorLine(view, newest, Progress(liveness.classify(view.model, newest) if newest else Liveness.EMPTY))
    ]


def monitor_progress(
    session: Session,
    monitor: Monitor,
    check: Check,
    model: Model,
    version: Version,
    until: datetime | None,
    now: datetime,
    kept: timedelta | None = None,
) -> Progress:
    """How far a monitor is on a version. `until`: the end of its newest result; `kept`: as in `lines`."""
    on, alive = _On(monitor, check, model, version), liveness.classify(model, version)
    end = _counted(on, now) if data_flow.is_flow(check) else _complete(session, on, now)
    if end is None or (until is not None and until >= end):
        return Progress(alive)
    window = on.ending(end)
    if window.start < schedules.retained_from(model, kept, now):
        return Progress(alive)
    if check.needs_labels and _waits(session, on, window, now):
        return Progress("waits for labels", end)
    return Progress("overdue" if _is_late(on, end, alive, now) else "due", end)


def _counted(on: _On, now: datetime) -> datetime | None:
    """The end of the newest window in which the flow of rows is counted."""
    begins, newest = flow_metrics.countable_range(on.model, on.version, now - GRACE)
    silent = on.step(on.floor(on.version.watermark or begins), empty_windows.MAX_EMPTY_WINDOWS + on.grid.units)
    end = min(on.floor(newest), silent)
    return end if end > begins else None


def _complete(session: Session, on: _On, now: datetime) -> datetime | None:
    """The end of the newest complete window with rows, or that a live version let pass in silence."""
    version, model = on.version, on.model
    if version.watermark is None:
        return None
    passed = on.floor(version.watermark - model.lateness)
    over = on.floor(now - model.lateness - GRACE) if liveness.is_live(model, version) else passed
    newest = max(passed, over)
    last = session.scalar(LAST_ROW, {"version": version.id, "before": newest})
    with_rows = None if last is None else min(newest, on.step(on.floor(last), on.grid.units))
    after = on.step(on.floor(version.watermark), 1)
    silent = min(over, on.step(after, elapsed_windows.MAX_ELAPSED_WINDOWS)) if over > after else None
    return max((each for each in (with_rows, silent) if each is not None), default=None)


def _waits(session: Session, on: _On, window: Window, now: datetime) -> bool:
    """Whether labels of the window, or of the one that it is compared with, are waited for."""
    other = planner.compared(on.monitor, on.check, window, on.zone)
    windows = [window, *([] if other is None else [other])]
    there = [sampling.extent(session, on.version.id, each.start, each.end) for each in windows]
    return reevaluation_policy.labels_awaited_until(there, on.model.label_ratio, on.model.label_delay, now) is not None


def _is_late(on: _On, end: datetime, alive: Liveness, now: datetime) -> bool:
    """Whether a window has been complete for so long that somebody should have evaluated it."""
    logged = on.version.newest_logged_at or on.version.created_at
    is_over = alive in ("live", "empty") and end + on.model.lateness + GRACE + SOON <= now
    return is_over or max(logged, on.monitor.created_at) + SOON <= now
