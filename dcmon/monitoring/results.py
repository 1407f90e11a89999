"""Results: what a monitor found in a window, in revisions; and when it is worth looking again."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, true
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.checks.dataset_schema import Value
from dcmon.db import locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Check, Model, Monitor, Result, Version
from dcmon.states import ResultState
from dcmon.storage.sampling import Extent
from dcmon.windows import Window


def newest_by_monitor(
    session: Session, version_id: int, window: Window, monitor_ids: Sequence[int]
) -> dict[int, Result]:
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


def lock_newest(session: Session, version_id: int, window: Window, monitor_ids: Sequence[int]) -> dict[int, Result]:
    """Wait for whoever stores results of these monitors on the window; the newest result of each.

    So revisions are numbered without a gap, and one that was computed long ago never stands above a newer one.
    """
    names = [f"{monitor_id}/{version_id}/{window.end.isoformat()}" for monitor_id in sorted(monitor_ids)]
    locks.acquire_named(session, LockSpace.RESULTS, names)
    return newest_by_monitor(session, version_id, window, monitor_ids)


def store(
    session: Session,
    monitor: Monitor,
    version_id: int,
    window: Window,
    value: Value,
    there: Extent,
    n: int,
    reference_revision: int,
    duration: timedelta,
    how: Mapping[str, Any] | None = None,
    earlier: tuple[Window, Extent, int] | None = None,
    *,
    last: Result | None,
) -> Result | None:
    """Store a value as the next revision, at the next flush; None when these inputs, or newer ones, gave one already.

    `earlier`: the window that it was compared with, what was in it, and how many of these rows count. `last`: the
    newest result, as `lock` gives it.
    """
    made = Result(
        monitor_id=monitor.id,
        version_id=version_id,
        window_start=window.start,
        window_end=window.end,
        revision=last.revision + 1 if last else 1,
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
        how=dict(how or {}),
        **_compared(earlier),
    )
    if last is not None and not _is_newer(made, last):
        if not _makes_good(made, last):
            return None
        session.delete(last)  # its revision goes
        session.flush()
    session.add(made)
    return made


def _is_newer(made: Result, last: Result) -> bool:
    """Whether something that it was computed from has moved on since."""
    return any(new > old for new, old in zip(_inputs(made), _inputs(last), strict=True))


def _makes_good(made: Result, last: Result) -> bool:
    """Whether what could not be computed from these inputs could be after all."""
    return last.state == ResultState.ERROR and made.state != ResultState.ERROR and _inputs(made) == _inputs(last)


def _compared(earlier: tuple[Window, Extent, int] | None) -> dict[str, Any]:
    if earlier is None:
        return {"compared_rows_revision": 0, "compared_labels_revision": 0, "compared_n": 0}
    window, there, n = earlier
    return {
        "compared_start": window.start,
        "compared_end": window.end,
        "compared_n": n,
        "compared_rows_revision": there.rows_revision,
        "compared_labels_revision": there.labels_revision,
    }


def _inputs(result: Result) -> tuple[int, ...]:
    return (
        result.rows_revision,
        result.labels_revision,
        result.reference_revision,
        result.monitor_revision,
        result.compared_rows_revision,
        result.compared_labels_revision,
    )


def series(session: Session, monitor_id: int, since: datetime | None = None) -> list[Result]:
    """A monitor's newest result for each version and window, in order of windows: those of the monitor as it is now."""
    statement = (
        select(Result)
        .join(Monitor, Monitor.id == Result.monitor_id)
        .where(Result.monitor_id == monitor_id, Result.monitor_revision == Monitor.revision)
        .ext(distinct_on(Result.version_id, Result.window_end))
        .order_by(Result.version_id, Result.window_end, Result.revision.desc())
    )
    if since is not None:
        statement = statement.where(Result.window_end > since)
    return sorted(session.scalars(statement), key=lambda result: (result.window_end, result.version_id))


def newest_windows(session: Session, monitor_id: int, many: int) -> list[Result]:
    """The same for the last `many` windows of each version, found by the index however long the past is."""
    on = select(Monitor.revision, Check.model_id).join(Check, Check.id == Monitor.check_id)
    revision, model_id = session.execute(on.where(Monitor.id == monitor_id)).one()
    last = (
        select(Result.id)
        .where(Result.monitor_id == monitor_id, Result.version_id == Version.id, Result.monitor_revision == revision)
        .ext(distinct_on(Result.window_end))
        .order_by(Result.window_end.desc(), Result.revision.desc())
        .limit(many)
        .correlate(Version)
        .lateral()
    )
    statement = select(Result).select_from(Version).join(last, true()).join(Result, Result.id == last.c.id)
    found = session.scalars(statement.where(Version.model_id == model_id))
    return sorted(found, key=lambda result: (result.window_end, result.version_id))


def all_revisions(session: Session, monitor_id: int, since: datetime | None = None) -> list[Result]:
    """Every result of a monitor, those that were revised too, in order of windows and revisions."""
    statement = select(Result).where(Result.monitor_id == monitor_id)
    if since is not None:
        statement = statement.where(Result.window_end > since)
    return list(
        session.scalars(statement.order_by(Result.window_end, Result.version_id, Result.window_start, Result.revision))
    )


def monitors_of_model(session: Session, model: Model) -> list[tuple[Monitor, Check]]:
    """The monitors of a model with their checks, in order of id."""
    statement = select(Monitor, Check).join(Check, Check.id == Monitor.check_id).where(Check.model_id == model.id)
    return [(monitor, check) for monitor, check in session.execute(statement.order_by(Monitor.id))]


def recent_series(session: Session, monitor_id: int, reach: timedelta) -> list[Result]:
    """A monitor's results as far back from its newest window."""
    newest = session.scalar(select(func.max(Result.window_end)).where(Result.monitor_id == monitor_id))
    return series(session, monitor_id, None if newest is None else newest - reach)
