"""Delete the samples of a time range, so that they can be logged again.

Each deletion works in transactions of limited size. Tables and ledger agree after each transaction. So the same call
can be repeated after an interruption, and deletes the remaining samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, sql, work_queue
from dcmon.db.tables.org import Model
from dcmon.states import RowKind
from dcmon.storage import ledger, sample_tables, version_statistics, versions
from dcmon.storage.columns import HASH, KEY, LEVEL, LOGGED_AT, TIME
from dcmon.storage.ledger import Correction, LedgerAction
from dcmon.windows import quarter_hour_start

SQL = sql.read(__name__)
COLUMNS = {"level": LEVEL, "time": TIME, "hash": HASH, "key": KEY}
ROWS_AT_ONCE = 10_000  # deleted in one transaction: about 0.2 s, in which no row of the model can be stored
ALL_LEVELS = list(range(32))


@dataclass(frozen=True)
class SampleRange:
    """Samples of a version with a time in [first, after). Rows logged after `started_at` are excluded."""

    version_id: int
    first: datetime
    after: datetime
    started_at: datetime


@dataclass(frozen=True)
class DeletedCounts:
    """How many samples were (or would be) deleted, and how many labels they had.

    The labels were deleted too, or wait for the samples.
    """

    samples: int = 0
    labels: int = 0

    def __add__(self, other: "DeletedCounts") -> "DeletedCounts":
        return DeletedCounts(self.samples + other.samples, self.labels + other.labels)


def sample_ranges(
    session: Session, model: Model, version: str | None, first: datetime, after: datetime
) -> dict[str, SampleRange]:
    """Return the range in a version (None: in each version), by the version's name.

    Raises NotFound, or InvalidInput if the range is empty.
    """
    if first >= after:
        raise errors.InvalidInput(
            f"The end of the time range is not after its start: {first.isoformat()} to {after.isoformat()}."
        )
    chosen = versions.entries(session, model) if version is None else [versions.find(session, model, version)]
    now = datetime.now(UTC)
    by_id = sorted(chosen, key=lambda version: version.id)
    return {version.name: SampleRange(version.id, first, after, now) for version in by_id}


def count_samples(session: Session, samples: SampleRange) -> DeletedCounts:
    """Count the samples and labels of a range."""
    _, version = versions.get(session, samples.version_id)
    statement = SQL.statement("count", version=version.relation, in_range=_in_range("s."), **COLUMNS)
    counts = session.execute(text(statement), _values(samples)).one()
    return DeletedCounts(int(counts[0]), int(counts[1]))


def delete_samples(
    engine: Engine, org: Organization, samples: SampleRange, by: str, *, with_labels: bool = False
) -> DeletedCounts:
    """Delete the samples of a range, so that they can be logged again. Their windows become due.

    The labels are kept: they wait for the samples, like labels that were logged before their samples. `with_labels`
    deletes the labels too. Rows that are logged during the call stay. After an interruption, repeat the call.
    Raises NotFound.
    """
    with db.org_session(engine, org) as session:
        slices = list(_slices(session, samples))
    total = DeletedCounts()
    for part in slices:
        with db.org_session(engine, org) as session:
            total += _delete_slice(session, part, by, with_labels)
    work_queue.enqueue_now(engine, org.id, work_queue.Work.evaluate)
    return total


def _slices(session: Session, samples: SampleRange) -> Iterator[SampleRange]:
    """Split a range at quarters of an hour, into parts of about ROWS_AT_ONCE rows."""
    quarters = session.execute(
        text(
            "select at + interval '15 minutes', n from quarter_hours"
            " where version_id = :version and at >= :from and at < :after and n > 0 order by at"
        ),
        {"version": samples.version_id, "from": quarter_hour_start(samples.first), "after": samples.after},
    )
    first, rows, end = samples.first, 0, samples.first
    for end, n in quarters:
        rows += n
        if rows >= ROWS_AT_ONCE:
            yield replace(samples, first=first, after=min(end, samples.after))
            first, rows = end, 0
    if rows:
        yield replace(samples, first=first, after=min(end, samples.after))


def _delete_slice(session: Session, samples: SampleRange, by: str, with_labels: bool) -> DeletedCounts:
    model, version = versions.get(session, samples.version_id)
    # An exclusive lock: this transaction would not see samples or labels that another one stores at the same time.
    sample_tables.lock_model(session, model)
    relations = {"model": model.relation, "version": version.relation}
    waiting = SQL.statement("forget_labels" if with_labels else "keep_labels", **relations)
    statement = SQL.statement("delete", waiting=waiting, in_range=_in_range(), **relations, **COLUMNS)
    deleted = DeletedCounts(*session.execute(text(statement), _values(samples)).one())
    if not deleted.samples:
        return deleted
    note = f"times from {samples.first.isoformat()} to {samples.after.isoformat()}"
    counts = {RowKind.SAMPLES: deleted.samples, RowKind.LABELS: deleted.labels if with_labels else 0}
    for kind, rows in counts.items():
        if rows:
            correction = Correction(
                LedgerAction.DELETE, kind, by, note, model.id, version.id, stored=-rows, removed=rows
            )
            ledger.record_correction(session, correction)
    versions.refresh_time_range(session, version)
    version_statistics.forget(session, version)
    return deleted


def _in_range(prefix: str = "") -> str:
    # The condition lists all levels, so that PostgreSQL can use the index on (level, time, hash).
    return (
        f"{prefix}{LEVEL} = any(:levels) and {prefix}{TIME} >= :first and {prefix}{TIME} < :after"
        f" and {prefix}{LOGGED_AT} <= :started_at"
    )


def _values(samples: SampleRange) -> dict[str, object]:
    return {
        "version": samples.version_id, "first": samples.first, "after": samples.after,
        "started_at": samples.started_at, "levels": ALL_LEVELS,
    }  # fmt: skip
