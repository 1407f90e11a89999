"""The statistics of a version's columns, kept up to date when they are read.

Storing rows costs nothing for them: a read looks only at the quarter hours whose rows have changed since the last read
(`quarter_hours.summarized_revision`) and merges what it finds. Statistics never shrink, unless samples are deleted by a
person: retention may leave them wider than the stored rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db import locks
from dcmon.db.locks import LockSpace
from dcmon.db.sql import read
from dcmon.db.tables.org import Model, Version, VersionStatistics
from dcmon.storage import column_statistics, rows_statistics, sample_tables, table_layout
from dcmon.storage.column_statistics import Statistics
from dcmon.storage.columns import LEVEL, TIME
from dcmon.storage.rows_statistics import TableRows

SQL = read(__name__)
QUARTER = timedelta(minutes=15)
# A read looks at this many values of samples, which takes about a second, and leaves the others to the next reads.
MAX_VALUES_READ, MAX_SPANS_READ = 8_000_000, 200
ALL_LEVELS = list(range(32))


@dataclass(frozen=True)
class KnownStatistics:
    """The statistics of samples and reference. `pending_rows`: the samples that no read has looked at yet."""

    columns: Statistics
    pending_rows: int


@dataclass(frozen=True)
class _Quarter:
    """A quarter hour with rows that the statistics lack. `number` counts all quarter hours of the version."""

    at: datetime
    rows: int
    revision: int
    number: int


class _Summary(NamedTuple):
    """What is stored, and the quarter hours that remain to be read."""

    stored: VersionStatistics | None
    remaining: Sequence[_Quarter]


class _Spans(NamedTuple):
    """Spans of time to read, [first, after), and how many of the changed quarter hours are in them."""

    spans: Sequence[tuple[datetime, datetime]]
    quarters: int


def refreshed(session: Session, model: Model, version: Version) -> KnownStatistics:
    """Return the statistics of a version, after a look at the rows that were stored since the last call.

    Writes what it found in the session's transaction, which waits for another one that does the same.
    """
    known = _Summary(session.get(VersionStatistics, version.id), _changed_quarters(session, version))
    if known.remaining or _reference_revision(known.stored) != version.reference_revision:
        locks.acquire(session, LockSpace.STATISTICS, version.relation)
        stored = session.get(VersionStatistics, version.id, populate_existing=True)
        known = _summarize(session, model, version, stored, _changed_quarters(session, version))
    return KnownStatistics(_shown(model, version, known.stored), sum(quarter.rows for quarter in known.remaining))


def forget(session: Session, version: Version) -> None:
    """Let the next reads look at all rows again, because samples were deleted."""
    locks.acquire(session, LockSpace.STATISTICS, version.relation)
    session.execute(text(SQL.statement("forget_statistics")), {"version": version.id})
    session.execute(text(SQL.statement("forget_quarters")), {"version": version.id})


def _shown(model: Model, version: Version, stored: VersionStatistics | None) -> Statistics:
    """Return the statistics of all columns, in their order, with those of the sample's time."""
    columns = sample_tables.columns(model, version)
    known = column_statistics.empty({**columns.model_output, **columns.user_columns})
    if stored is not None:
        known = column_statistics.merged(known, column_statistics.merged(stored.samples, stored.reference))
    return {TIME: {"min": _epoch(version.earliest), "max": _epoch(version.watermark)}, **known}


def _reference_revision(stored: VersionStatistics | None) -> int:
    return 0 if stored is None else stored.reference_revision


def _epoch(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _changed_quarters(session: Session, version: Version) -> list[_Quarter]:
    """Return the quarter hours whose rows have changed since they were read, newest first."""
    rows = session.execute(text(SQL.statement("changed_quarters")), {"version": version.id})
    return [_Quarter(*row) for row in rows]


def _summarize(
    session: Session, model: Model, version: Version, stored: VersionStatistics | None, changed: Sequence[_Quarter]
) -> _Summary:
    """Read changed quarter hours and a changed reference. Return what is known now, and what remains to be read."""
    columns = sample_tables.columns(model, version)
    column_types = {**columns.model_output, **columns.user_columns}
    layout = table_layout.of(columns)
    samples: Statistics = {} if stored is None else stored.samples
    spans, count = _spans(changed, len(column_types))
    for first, after in spans:
        source = TableRows(
            f"samples_{version.relation} s",
            f"s.{LEVEL} = any(:levels) and s.{TIME} >= :first and s.{TIME} < :after",
            {"levels": ALL_LEVELS, "first": first, "after": after},
            column_types,
            partial(layout.expression, "s"),
        )
        samples = column_statistics.merged(samples, rows_statistics.of_rows(session, source, samples))
    reference: Statistics = {} if stored is None else stored.reference
    if _reference_revision(stored) != version.reference_revision:
        reference = rows_statistics.of_rows(
            session,
            TableRows(
                f"reference_{version.relation} r", "r.revision = 0", {}, column_types, partial(layout.expression, "r")
            ),
            {},
        )
    values = {"samples": samples, "reference": reference, "reference_revision": version.reference_revision}
    statement = insert(VersionStatistics).values(version_id=version.id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["version_id"], set_=values))
    _mark(session, version, changed[:count])
    return _Summary(VersionStatistics(version_id=version.id, **values), changed[count:])


def _mark(session: Session, version: Version, quarters: Sequence[_Quarter]) -> None:
    """Note what was read of these quarter hours.

    Those that a transaction changes just now are skipped, so that neither waits for the other: they are read again.
    """
    values = {
        "version": version.id,
        "at": [quarter.at for quarter in quarters],
        "revision": [quarter.revision for quarter in quarters],
    }
    if quarters:
        session.execute(text(SQL.statement("mark_quarters")), values)


def _spans(changed: Sequence[_Quarter], columns: int) -> _Spans:
    """Return the spans of time to read now, newest first.

    Quarter hours belong to one span if no other quarter hour with rows is between them.
    """
    spans: list[tuple[datetime, datetime]] = []
    values = 0
    for count, quarter in enumerate(changed):
        values += quarter.rows * columns
        is_next = count > 0 and changed[count - 1].number == quarter.number + 1
        if count > 0 and (values > MAX_VALUES_READ or (not is_next and len(spans) == MAX_SPANS_READ)):
            return _Spans(spans, count)
        if is_next:
            spans[-1] = quarter.at, spans[-1][1]
        else:
            spans.append((quarter.at, quarter.at + QUARTER))
    return _Spans(spans, len(changed))
