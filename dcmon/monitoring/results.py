"""The results of monitors: one for each version and window, with its revisions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, DateTime, Integer, Select, any_, bindparam, delete, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.orm import Session, defer

from dcmon.checks.dataset_schema import CheckValue
from dcmon.db import bulk, locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Check, Monitor, Result, Version
from dcmon.states import ResultState
from dcmon.storage.sampling import WindowStatistics
from dcmon.windows import Window


@dataclass(frozen=True)
class ResultKey:
    """What a result is about: a monitor and a window of a version."""

    monitor: Monitor
    version_id: int
    window: Window


@dataclass(frozen=True)
class ComparedRows:
    """The earlier window that a result was compared with in place of the reference.

    `n`: the number of its rows that the check read, or of its labelled rows.
    """

    window: Window
    statistics: WindowStatistics
    n: int


@dataclass(frozen=True)
class ResultInputs:
    """What a result was computed from.

    `compared`: None if the result was compared with the reference, or with no other rows.
    """

    statistics: WindowStatistics
    reference_revision: int
    compared: ComparedRows | None = None


@dataclass(frozen=True)
class CheckRun:
    """How a result was computed.

    `n`: from how many rows. `how`: other details, for the column of this name.
    """

    n: int
    duration: timedelta = timedelta()
    how: Mapping[str, Any] = field(default_factory=dict)


def newest_by_monitor(
    session: Session, version_id: int, window: Window, monitor_ids: Sequence[int]
) -> dict[int, Result]:
    """Return the newest result of each monitor for a version's window."""
    values = {
        "monitor_ids": list(monitor_ids), "version": version_id, "window_start": window.start, "window_end": window.end
    }  # fmt: skip
    return {result.monitor_id: result for result in session.scalars(_newest_statement(), values)}


@cache
def _newest_statement() -> Select[Result]:
    """Return the statement of `newest_by_monitor`; it is built once, because that costs more than to run it."""
    return (
        select(Result)
        .where(
            Result.monitor_id == any_(bindparam("monitor_ids", type_=ARRAY(Integer))),
            Result.version_id == bindparam("version"), Result.window_end == bindparam("window_end"),
            Result.window_start == bindparam("window_start"),
        )
        .order_by(Result.monitor_id, Result.revision)
    )  # fmt: skip


class Span(NamedTuple):
    """A part of a monitor's series: the windows that end after `since`, and at `until` or before.

    `revision`: of the monitor; None: the current one.
    """

    since: datetime | None = None
    until: datetime | None = None
    revision: int | None = None


ALL = Span()


def lock_names(version_id: int, window: Window, monitor_ids: Iterable[int]) -> list[str]:
    """Return the names of the locks of monitors' results on a window, in the order in which they must be taken.

    With these locks revisions are numbered without a gap, and a result that was computed long ago never replaces a
    newer one. The locks are taken in order of monitor id, so that two workers can't deadlock.
    """
    return [f"{monitor_id}/{version_id}/{window.end.isoformat()}" for monitor_id in sorted(monitor_ids)]


def lock_newest(session: Session, version_id: int, window: Window, monitor_ids: Sequence[int]) -> dict[int, Result]:
    """Lock the results of monitors on a window until the commit, as `lock_names` says; return the newest."""
    locks.acquire_named(session, LockSpace.RESULTS, lock_names(version_id, window, monitor_ids))
    return newest_by_monitor(session, version_id, window, monitor_ids)


class NewResult(NamedTuple):
    """A value to store. `last`: the newest stored result of the same key, as `lock_newest` returns it."""

    key: ResultKey
    value: CheckValue
    inputs: ResultInputs
    run: CheckRun
    last: Result | None


def store(
    session: Session, key: ResultKey, value: CheckValue, inputs: ResultInputs, run: CheckRun, *, last: Result | None
) -> Result | None:
    """Store a value as the next revision.

    Returns None if a result of these inputs, or of newer inputs, is stored already. `last`: as in NewResult.
    """
    stored = store_all(session, [NewResult(key, value, inputs, run, last)])
    return stored[0] if stored else None


def store_all(session: Session, values: Sequence[NewResult]) -> list[Result]:
    """Store values as the next revisions, as `store` does, in one statement; return the stored ones."""
    stored, repaired_ids = list[Result](), list[int]()
    for new in values:
        result, last = _next_revision(new), new.last
        if last is not None and not _has_newer_inputs(result, last):
            if not _repairs_error(result, last):
                continue
            repaired_ids.append(last.id)
        stored.append(result)
    if repaired_ids:  # the new results take the revisions of ERRORs of the same inputs
        session.execute(delete(Result).where(Result.id.in_(repaired_ids)))
    bulk.insert_objects(session, stored)
    return stored


def _next_revision(new: NewResult) -> Result:
    key, inputs, run = new.key, new.inputs, new.run
    return Result(
        monitor_id=key.monitor.id,
        version_id=key.version_id,
        window_start=key.window.start,
        window_end=key.window.end,
        revision=new.last.revision + 1 if new.last else 1,
        state=new.value.state,
        metrics=new.value.metrics,
        entries=new.value.entries,
        intervals=new.value.intervals,
        noise=new.value.noise,
        reason=new.value.reason,
        n=run.n,
        n_rows=inputs.statistics.n,
        n_labelled=inputs.statistics.n_labelled,
        rows_revision=inputs.statistics.rows_revision,
        labels_revision=inputs.statistics.labels_revision,
        reference_revision=inputs.reference_revision,
        monitor_revision=key.monitor.revision,
        duration=run.duration,
        how=dict(run.how),
        **_compared_columns(inputs.compared),
    )


def _has_newer_inputs(result: Result, last: Result) -> bool:
    return any(new > old for new, old in zip(_input_revisions(result), _input_revisions(last), strict=True))


def _repairs_error(result: Result, last: Result) -> bool:
    """Return True if `result` replaces an ERROR that was computed from the same inputs."""
    is_repaired = last.state == ResultState.ERROR and result.state != ResultState.ERROR
    return is_repaired and _input_revisions(result) == _input_revisions(last)


def _compared_columns(compared: ComparedRows | None) -> dict[str, Any]:
    statistics = WindowStatistics() if compared is None else compared.statistics
    return {
        "compared_start": None if compared is None else compared.window.start,
        "compared_end": None if compared is None else compared.window.end,
        "compared_n": 0 if compared is None else compared.n,
        "compared_rows_revision": statistics.rows_revision,
        "compared_labels_revision": statistics.labels_revision,
    }


def _input_revisions(result: Result) -> tuple[int, ...]:
    return (
        result.rows_revision,
        result.labels_revision,
        result.reference_revision,
        result.monitor_revision,
        result.compared_rows_revision,
        result.compared_labels_revision,
    )


def series(session: Session, monitor_id: int, span: Span = ALL) -> list[Result]:
    """Return the newest result of each version and window of a span, in order of windows."""
    statement = (
        select(Result)
        .join(Monitor, Monitor.id == Result.monitor_id)
        .where(Result.monitor_id == monitor_id, *_in_span(span))
        .ext(distinct_on(Result.version_id, Result.window_end))
        .order_by(Result.version_id, Result.window_end, Result.revision.desc())
    )
    return sorted(session.scalars(statement), key=lambda result: (result.window_end, result.version_id))


def _in_span(span: Span) -> list[ColumnElement[bool]]:
    return [Result.monitor_revision == (Monitor.revision if span.revision is None else span.revision), *_ends_in(span)]


def _ends_in(span: Span) -> list[ColumnElement[bool]]:
    return [
        *([] if span.since is None else [Result.window_end > span.since]),
        *([] if span.until is None else [Result.window_end <= span.until]),
    ]


def newest_windows(session: Session, monitor_id: int, count: int) -> list[Result]:
    """Return the series of the last `count` windows of each version.

    It is read by the index, so that its cost does not depend on how many windows there are.
    """
    monitor = select(Monitor.revision, Check.model_id).join(Check, Check.id == Monitor.check_id)
    revision, model_id = session.execute(monitor.where(Monitor.id == monitor_id)).one()
    last = (
        select(Result.id)
        .where(Result.monitor_id == monitor_id, Result.version_id == Version.id, Result.monitor_revision == revision)
        .ext(distinct_on(Result.window_end))
        .order_by(Result.window_end.desc(), Result.revision.desc())
        .limit(count)
        .correlate(Version)
        .lateral()
    )
    statement = select(Result).select_from(Version).join(last, true()).join(Result, Result.id == last.c.id)
    results = session.scalars(statement.where(Version.model_id == model_id))
    return sorted(results, key=lambda result: (result.window_end, result.version_id))


def newest_windows_of_monitors(
    session: Session, model_id: int, monitor_ids: Sequence[int], count: int, span: Span
) -> dict[int, list[Result]]:
    """Return the series of the last `count` windows of a span of each version by monitor of a model, in one statement.

    The results are without entries, noise and how.
    """
    of_monitor = (
        select(Result.id)
        .where(
            Result.monitor_id == Monitor.id, Result.version_id == Version.id, *_in_span(span)
        )
        .ext(distinct_on(Result.window_end))
        .order_by(Result.window_end.desc(), Result.revision.desc())
        .limit(count)
        .correlate(Version, Monitor)
        .lateral()
    )  # fmt: skip
    statement = (
        select(Result)
        .select_from(Monitor)
        .join(Version, Version.model_id == model_id)
        .join(of_monitor, true())
        .join(Result, Result.id == of_monitor.c.id)
        .where(Monitor.id.in_(monitor_ids))
        .options(defer(Result.entries), defer(Result.noise), defer(Result.how))
        .order_by(Result.monitor_id, Result.window_end, Result.version_id)
    )
    by_monitor: dict[int, list[Result]] = {monitor_id: [] for monitor_id in monitor_ids}
    for result in session.scalars(statement):
        by_monitor[result.monitor_id].append(result)
    return by_monitor


def newest_of_windows(
    session: Session, monitor_ids: Sequence[int], version_ids: Sequence[int], windows: Sequence[Window]
) -> list[Result]:
    """Return the newest result of each monitor, version and window, without entries and noise, in one statement."""
    if not monitor_ids or not windows:
        return []
    ends = [window.end for window in windows]
    values = {"monitor_ids": list(monitor_ids), "version_ids": list(version_ids), "window_ends": ends}
    return list(session.scalars(_newest_of_windows_statement(), values))


@cache
def _newest_of_windows_statement() -> Select[Result]:
    """Return the statement of `newest_of_windows`; it is built once, because that costs more than to run it."""
    window = (Result.monitor_id, Result.version_id, Result.window_end, Result.window_start)
    return (
        select(Result)
        .options(defer(Result.entries), defer(Result.noise), defer(Result.how))
        .where(
            Result.monitor_id == any_(bindparam("monitor_ids", type_=ARRAY(Integer))),
            Result.version_id == any_(bindparam("version_ids", type_=ARRAY(Integer))),
            Result.window_end == any_(bindparam("window_ends", type_=ARRAY(DateTime(timezone=True)))),
        )
        .ext(distinct_on(*window))
        .order_by(*window, Result.revision.desc())
    )  # fmt: skip


def all_revisions(session: Session, monitor_id: int, span: Span = ALL) -> list[Result]:
    """Return all revisions of all results of a span, also those of earlier revisions of the monitor, in order."""
    statement = select(Result).where(Result.monitor_id == monitor_id, *_ends_in(span))
    order = (Result.window_end, Result.version_id, Result.window_start, Result.revision)
    return list(session.scalars(statement.order_by(*order)))


def recent_series(session: Session, monitor_id: int, length: timedelta, until: datetime | None = None) -> list[Result]:
    """Return the series over a span of time that ends with the newest window that ends at `until` or before."""
    ends = select(func.max(Result.window_end)).where(Result.monitor_id == monitor_id)
    newest = session.scalar(ends if until is None else ends.where(Result.window_end <= until))
    return [] if newest is None else series(session, monitor_id, Span(newest - length, newest))


def revision_at(session: Session, monitor_id: int, version_id: int, end: datetime, at: datetime | None) -> int | None:
    """Return the revision of the monitor that gave the result of a window at a time; None if none is stored.

    `end`: of the window. `at`: None stands for now; if no result is so old, the newest one counts.
    """
    of_window = select(Result.monitor_revision).where(
        Result.monitor_id == monitor_id, Result.version_id == version_id, Result.window_end == end
    )
    orders = [Result.revision.desc()] if at is None else [(Result.computed_at <= at).desc(), Result.revision.desc()]
    return session.scalar(of_window.order_by(*orders).limit(1))


def entries_of(
    session: Session, monitor_id: int, version_id: int, since: datetime, revision: int
) -> dict[datetime, dict[str, float]]:
    """Return the entries of a monitor's newest results by the ends of windows that end after `since`.

    `revision`: of the monitor.
    """
    statement = (
        select(Result.window_end, Result.entries)
        .where(
            Result.monitor_id == monitor_id, Result.version_id == version_id, Result.window_end > since,
            Result.monitor_revision == revision,
        )
        .ext(distinct_on(Result.window_end))
        .order_by(Result.window_end, Result.revision.desc())
    )  # fmt: skip
    return {row.window_end: row.entries for row in session.execute(statement)}
