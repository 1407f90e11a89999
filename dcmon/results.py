"""Results: what a monitor found in a window, in revisions; and when it is worth looking again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from dcmon.checks.layout import Value
from dcmon.reading import Extent
from dcmon.tables.org import Check, Model, Monitor, Result, Version
from dcmon.windows import Window

WORTH = 0.10  # a window that gained a tenth of its rows or labels is evaluated again at once
LONGEST_QUIET = timedelta(hours=24)
FEATURE_DRIFT = ("FeatureDrift", "TrainTestFeatureDrift")


@dataclass(frozen=True)
class Verdict:
    """Whether a monitor is to be evaluated now, and otherwise when to look again (None: when touched)."""

    now: bool
    again_at: datetime | None = None


def verdict(
    there: Extent,
    last: Result | None,
    *,
    needs_labels: bool,
    label_ratio: float,
    label_delay: timedelta,
    quiet: timedelta,
    is_same_monitor: bool,
    touched_at: datetime,
    now: datetime,
    compared: Extent | None = None,
) -> Verdict:
    """Whether a complete window is evaluated now. See docs/concepts.md, "When a window is due".

    A first evaluation waits only for labels: until the model's ratio is reached, or its delay has passed since the
    window's newest row was logged. A further one waits until the window gained or lost a tenth, or was quiet a while.
    `compared`: what is in the earlier window that it is compared with, whose late rows count as its own.
    """
    if needs_labels and there.n and there.label_ratio < label_ratio:
        waits_until = (there.logged_at or now) + label_delay
        if waits_until > now:
            return Verdict(False, waits_until)
    if last is None or not is_same_monitor:
        return Verdict(True)
    if not _is_stale(there, last, needs_labels) and not _is_overtaken(compared, last, needs_labels):
        return Verdict(False)
    is_worth = (
        _has_moved(there.n, last.n_rows)
        or (needs_labels and _has_moved(there.n_labelled, last.n_labelled))
        or (compared is not None and _has_moved(compared.n_used(needs_labels), last.compared_n))
    )
    quiet_at = min(touched_at + quiet, last.computed_at + LONGEST_QUIET)
    return Verdict(True) if is_worth or quiet_at <= now else Verdict(False, quiet_at)


def _is_stale(there: Extent, last: Result, needs_labels: bool) -> bool:
    has_new_labels = needs_labels and there.labels_revision > last.labels_revision
    return there.rows_revision > last.rows_revision or has_new_labels


def _is_overtaken(compared: Extent | None, last: Result, needs_labels: bool) -> bool:
    """Whether the earlier window that it was compared with has other rows by now."""
    if compared is None:
        return False
    has_new_labels = needs_labels and compared.labels_revision > last.compared_labels_revision
    return compared.rows_revision > last.compared_rows_revision or has_new_labels


def _has_moved(n: int, before: int) -> bool:
    return abs(n - before) >= max(1, WORTH * before)


def latest(session: Session, version_id: int, window: Window, monitor_ids: Sequence[int]) -> dict[int, Result]:
    """The newest result of each monitor for a version's window."""
    statement = (
        select(Result)
        .where(
            Result.monitor_id.in_(monitor_ids),
            Result.version_id == version_id,
            Result.window_end == window.end,
            Result.window_start == window.start,
        )
        .order_by(Result.monitor_id, Result.revision)
    )
    return {result.monitor_id: result for result in session.scalars(statement)}


def put(
    session: Session,
    monitor: Monitor,
    version_id: int,
    window: Window,
    value: Value,
    there: Extent,
    n: int,
    reference_revision: int,
    duration: timedelta,
    earlier: tuple[Window, Extent, int] | None = None,
) -> Result | None:
    """Store a value as the next revision; None when the same inputs gave one already (another worker was faster).

    `earlier`: the window that it was compared with, what was in it, and how many of these rows count.
    """
    compared: dict[str, Any] = {}
    if earlier is not None:
        compared = {
            "compared_start": earlier[0].start,
            "compared_end": earlier[0].end,
            "compared_n": earlier[2],
            "compared_rows_revision": earlier[1].rows_revision,
            "compared_labels_revision": earlier[1].labels_revision,
        }
    before = select(func.coalesce(func.max(Result.revision), 0) + 1).where(
        Result.monitor_id == monitor.id,
        Result.version_id == version_id,
        Result.window_end == window.end,
        Result.window_start == window.start,
    )
    statement = (
        insert(Result)
        .values(
            monitor_id=monitor.id,
            version_id=version_id,
            window_start=window.start,
            window_end=window.end,
            revision=before.scalar_subquery(),
            state=value.state,
            metrics=value.metrics,
            entries=value.entries,
            reason=value.reason,
            n=n,
            n_rows=there.n,
            n_labelled=there.n_labelled,
            rows_revision=there.rows_revision,
            labels_revision=there.labels_revision,
            reference_revision=reference_revision,
            monitor_revision=monitor.revision,
            duration=duration,
            **compared,
        )
        .on_conflict_do_nothing(constraint="uq_results_inputs")
        .returning(Result)
    )
    return session.scalar(statement)


def series(session: Session, monitor_id: int, since: datetime | None = None) -> list[Result]:
    """A monitor's newest result for each version and window, in order of windows."""
    statement = (
        select(Result)
        .where(Result.monitor_id == monitor_id)
        .ext(distinct_on(Result.version_id, Result.window_end))
        .order_by(Result.version_id, Result.window_end, Result.revision.desc())
    )
    if since is not None:
        statement = statement.where(Result.window_end > since)
    return sorted(session.scalars(statement), key=lambda result: (result.window_end, result.version_id))


def monitors_of(session: Session, model: Model) -> list[tuple[Monitor, Check]]:
    """The monitors of a model with their checks, in order of id."""
    statement = select(Monitor, Check).join(Check, Check.id == Monitor.check_id).where(Check.model_id == model.id)
    return [(monitor, check) for monitor, check in session.execute(statement.order_by(Monitor.id))]


def moved_features(session: Session, version_id: int, start: datetime, end: datetime) -> dict[str, float]:
    """Drift by feature, times its importance where that is known, in the shortest window that covers [start, end).

    Taken from what a Feature Drift monitor found; empty where none did.
    """
    covering = (
        select(Result.entries, Version.feature_importance)
        .join(Monitor, Monitor.id == Result.monitor_id)
        .join(Check, Check.id == Monitor.check_id)
        .join(Version, Version.id == Result.version_id)
        .where(
            Result.version_id == version_id,
            Result.window_start <= start,
            Result.window_end >= end,
            Result.state == "OK",
            Check.class_name.in_(FEATURE_DRIFT),
        )
        .order_by(Result.window_end - Result.window_start, Result.revision.desc())
    )
    found = session.execute(covering.limit(1)).one_or_none()
    if found is None:
        return {}
    importance = found.feature_importance or dict.fromkeys(found.entries, 1.0)
    moved = {name: drift * importance.get(name, 0.0) for name, drift in found.entries.items()}
    return {name: share for name, share in moved.items() if share > 0}


def headline(metrics: dict[str, Any]) -> tuple[str, float] | None:
    """The metric to show when there is room for one: the largest in magnitude."""
    return max(metrics.items(), key=lambda item: abs(item[1]), default=None)
