"""Correcting what was taken in: deleting a span of samples, trying quarantined rows again, dropping them.

Each works in bounded transactions; after each of them tables and ledger agree, and what an interruption left is done
when the same is asked again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import Raw
from sqlalchemy import Engine, delete, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import Model, Quarantined, Version
from dcmon.ingestion import quarantine, receipts, refused_rows, store
from dcmon.ingestion.quarantine import QuarantineFilter
from dcmon.ingestion.row_batch import RowBatch
from dcmon.storage import ledger, models, sample_tables, versions
from dcmon.storage.columns import HASH, KEY, LEVEL, LOGGED_AT, TIME
from dcmon.storage.ledger import Outcome
from dcmon.tenancy import retention
from dcmon.windows import quarter_hour_start

ROWS_AT_ONCE = 10_000  # of a deletion: some 0.2 s, in which nothing of the model is stored
RETRIED_AT_ONCE, DROPPED_AT_ONCE = 1_000, 5_000
Target = tuple[str, int, int | None]  # kind, model, version


@dataclass(frozen=True)
class SampleRange:
    """Samples of a version with a time in [first, after) that were logged before `began`."""

    version_id: int
    first: datetime
    after: datetime
    began: datetime


@dataclass(frozen=True)
class DeletedCounts:
    """What went with a span of samples, or would go. Labels were deleted too, or wait for the samples to come again."""

    samples: int = 0
    labels: int = 0

    def __add__(self, other: "DeletedCounts") -> "DeletedCounts":
        return DeletedCounts(self.samples + other.samples, self.labels + other.labels)


def sample_ranges(
    session: Session, model: Model, version: str | None, first: datetime, after: datetime
) -> dict[str, SampleRange]:
    """The span in each version of a model, or in one. Raises NotFound, or InvalidInput when it is empty."""
    if first >= after:
        raise errors.InvalidInput(f"The span ends before it begins: {first.isoformat()} to {after.isoformat()}.")
    chosen = versions.entries(session, model) if version is None else [versions.find(session, model, version)]
    now = datetime.now(UTC)
    return {each.name: SampleRange(each.id, first, after, now) for each in sorted(chosen, key=lambda each: each.id)}


def count_samples(session: Session, span: SampleRange) -> DeletedCounts:
    """How many samples and labels a span has."""
    _, version = versions.get(session, span.version_id)
    found = session.execute(
        text(
            f"select count(*), count(l.k) from samples_{version.relation} s left join labels_{version.relation} l"
            f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY})"
            f" and l.ts >= :first and l.ts < :after where {_of_span('s.')}"
        ),
        _values(span),
    ).one()
    return DeletedCounts(int(found[0]), int(found[1]))


def delete_samples(
    engine: Engine, org: Organization, span: SampleRange, by: str, *, with_labels: bool = False
) -> DeletedCounts:
    """Take a span of samples out, so that they can be logged again; their windows become due.

    Labels wait for the samples as if they had come first, unless they are to go too. Interrupted, it goes on when it is
    called again; rows that are logged meanwhile stay. Raises NotFound.
    """
    with db.org_session(engine, org) as session:
        slices = list(_slices(session, span))
    total = DeletedCounts()
    for each in slices:
        with db.org_session(engine, org) as session:
            total += _delete_slice(session, each, by, with_labels)
    _ring(engine, org)
    return total


def _slices(session: Session, span: SampleRange) -> Iterator[SampleRange]:
    """Whole quarters of an hour with together about as many rows as go at once."""
    found = session.execute(
        text(
            "select at + interval '15 minutes', n from quarter_hours"
            " where version_id = :version and at >= :from and at < :after and n > 0 order by at"
        ),
        {"version": span.version_id, "from": quarter_hour_start(span.first), "after": span.after},
    )
    first, rows, ends = span.first, 0, span.first
    for ends, n in found:
        rows += n
        if rows >= ROWS_AT_ONCE:
            yield SampleRange(span.version_id, first, min(ends, span.after), span.began)
            first, rows = ends, 0
    if rows:
        yield SampleRange(span.version_id, first, min(ends, span.after), span.began)


def _delete_slice(session: Session, span: SampleRange, by: str, with_labels: bool) -> DeletedCounts:
    model, version = versions.get(session, span.version_id)
    sample_tables.lock_model(session, model)
    found = session.execute(text(_deletion(model, version, with_labels)), _values(span)).one()
    deleted = DeletedCounts(*found)
    if not deleted.samples:
        return deleted
    note = f"times from {span.first.isoformat()} to {span.after.isoformat()}"
    line = {"by": by, "note": note, "model_id": model.id, "version_id": version.id}
    ledger.correct(session, "delete", "samples", stored=-deleted.samples, removed=deleted.samples, **line)  # type: ignore[arg-type]
    if with_labels and deleted.labels:
        ledger.correct(session, "delete", "labels", stored=-deleted.labels, removed=deleted.labels, **line)  # type: ignore[arg-type]
    versions.remeasure(session, version)
    return deleted


def _of_span(prefix: str = "") -> str:
    # With all levels named, the index on (level, time, hash) finds the rows.
    return (
        f"{prefix}{LEVEL} = any(:levels) and {prefix}{TIME} >= :first and {prefix}{TIME} < :after"
        f" and {prefix}{LOGGED_AT} <= :began"
    )


def _values(span: SampleRange) -> dict[str, object]:
    return {
        "version": span.version_id, "first": span.first, "after": span.after, "began": span.began,
        "levels": list(range(32)),
    }  # fmt: skip


def _deletion(model: Model, version: Version, with_labels: bool) -> str:
    """Samples, ids and labels go, quarter hours count them no more; returns how many samples and labels went."""
    return f"""
        with gone as (
            delete from samples_{version.relation} where {_of_span()}
            returning {LEVEL} as lvl, {TIME} as ts, {HASH} as h, {KEY} as k
        ), freed as (
            delete from ids_{model.relation} i using gone where i.k = gone.k and i.version_id = :version
        ), unlabelled as (
            delete from labels_{version.relation} l using gone
             where (l.lvl, l.ts, l.h, l.k) = (gone.lvl, gone.ts, gone.h, gone.k) and l.ts >= :first and l.ts < :after
            returning l.k, l.label, l.logged_at
        ), {_forget(model) if with_labels else _wait(model)}, quarters as (
            select date_bin('15 minutes', gone.ts, timestamptz '2000-01-01 00:00+00') as at, count(*) as n,
                   count(u.k) as labels, count(u.label) as labelled
              from gone left join unlabelled u using (k) group by 1
        ), touched as (
            update quarter_hours q
               set n = q.n - quarters.n, n_labelled = q.n_labelled - labelled, is_touched = true,
                   rows_revision = q.rows_revision + quarters.n, labels_revision = q.labels_revision + labels
              from quarters where q.version_id = :version and q.at = quarters.at
        )
        select (select count(*) from gone), (select count(*) from unlabelled)
    """


def _wait(model: Model) -> str:
    """Let labels wait for their samples, unless another version has the sample, and with it the label."""
    return f"""
        waiting as (
            insert into orphan_labels_{model.relation} as o (k, label, logged_at)
            select u.k, u.label, u.logged_at from unlabelled u where not exists (
                select 1 from ids_{model.relation} i where i.k = u.k and i.version_id <> :version)
            on conflict (k) do update set label = excluded.label, logged_at = excluded.logged_at
             where o.logged_at <= excluded.logged_at
        )
    """


def _forget(model: Model) -> str:
    """Let labels that waited for these samples once not come back with them."""
    return f"waiting as (delete from orphan_labels_{model.relation} o using gone where o.k = gone.k)"


@dataclass(frozen=True)
class RetryResult:
    """What became of quarantined rows that were tried again."""

    tried: int
    stored: int
    duplicates: int
    still_bad: dict[str, int]


def retry_quarantined(
    engine: Engine, org: Organization, what: QuarantineFilter, by: str, *, dry_run: bool = False
) -> RetryResult:
    """Try quarantined rows again, as of the time at which they were logged: what is fine now is stored and leaves.

    A dry run does it all in one transaction, and takes it back.
    """
    with db.org_session(engine, org) as session:
        chunks = list(_chunks(session, what, RETRIED_AT_ONCE))
    totals: Counter[str] = Counter()
    if dry_run:
        totals = _try(engine, org, chunks, by)
    else:
        for target, ids in chunks:
            totals += _retry_alone(engine, org, target, ids, by)
        _ring(engine, org)
    still_bad = {reason.removeprefix("bad: "): rows for reason, rows in totals.items() if reason.startswith("bad: ")}
    return RetryResult(totals["tried"], totals["stored"], totals["duplicates"], still_bad)


def _try(engine: Engine, org: Organization, chunks: Sequence[tuple[Target, list[int]]], by: str) -> Counter[str]:
    """In one transaction; by chunks where there is a row that PostgreSQL does not take."""

    def work() -> Counter[str]:
        with db.org_session(engine, org) as session:
            for model_id in sorted({target[1] for target, _ in chunks}):  # in one order, as everywhere
                sample_tables.lock_model(session, models.get(session, model_id))
            totals = sum((_retry(session, org, target, ids, by) for target, ids in chunks), Counter[str]())
            session.rollback()
            return totals

    try:
        return store.retry_transaction(lambda: sample_tables.with_months(engine, org, work))
    except DBAPIError as error:
        if not refused_rows.is_content_error(error):
            raise
    tries = (_retry_alone(engine, org, target, ids, by, is_try=True) for target, ids in chunks)
    return sum(tries, Counter[str]())


def _retry_alone(
    engine: Engine, org: Organization, target: Target, ids: Sequence[int], by: str, *, is_try: bool = False
) -> Counter[str]:
    """In transactions of their own: a row that PostgreSQL does not take is found by halving, and stays."""

    def work() -> Counter[str]:
        with db.org_session(engine, org) as session:
            found = _retry(session, org, target, ids, by)
            if is_try:
                session.rollback()
            return found

    try:
        return store.retry_transaction(lambda: sample_tables.with_months(engine, org, work))
    except DBAPIError as error:
        if not refused_rows.is_content_error(error):
            raise
    if len(ids) == 1:
        return Counter({"tried": 1, "bad: refused": 1})
    half = len(ids) // 2
    parts = (_retry_alone(engine, org, target, part, by, is_try=is_try) for part in (ids[:half], ids[half:]))
    return sum(parts, Counter[str]())


def _chunks(session: Session, what: QuarantineFilter, size: int) -> Iterator[tuple[Target, list[int]]]:
    """Ids of rows that are worked on together: of one kind, model and version; samples before labels, as they came."""
    of: dict[Target, list[int]] = defaultdict(list)
    named = (Quarantined.kind, Quarantined.model_id, Quarantined.version_id, Quarantined.id)
    found = session.execute(quarantine.select_rows(what).with_only_columns(*named).order_by(Quarantined.id))
    for kind, model_id, version_id, row_id in found:
        of[kind, model_id, version_id].append(row_id)
    for target in sorted(of, key=lambda target: (target[0] == "labels", target[1], target[2] or 0)):
        ids = of[target]
        yield from ((target, ids[at : at + size]) for at in range(0, len(ids), size))


def _retry(session: Session, org: Organization, target: Target, ids: Sequence[int], by: str) -> Counter[str]:
    kind, model_id, version_id = target
    try:
        model = models.get(session, model_id)
    except errors.NotFound:  # deleted meanwhile, and its rows with it
        return Counter()
    # Not shared: who stores rows of the model has ids, and then wants to quarantine; here it is the other way about.
    sample_tables.lock_model(session, model)
    rows = _held(session, ids)
    if not rows:
        return Counter()
    session.execute(delete(Quarantined).where(Quarantined.id.in_([row.id for row in rows])))
    deliveries = [RowBatch([Raw(row.row)], row.logged_at, row.source, row.position) for row in rows]
    outcome = (
        _take(session, org, model, version_id, deliveries)
        if kind == "samples"
        else store.restore_labels(session, model, deliveries)
    )
    still_bad = quarantine.restore_ids(session, rows)
    receipts.mark_windows_due(session, rows)
    ledger.correct(
        session, "retry", kind, by, f"{len(rows)} rows were tried again", model_id=model_id, version_id=version_id,
        stored=outcome.stored, duplicates=outcome.duplicates, quarantined=outcome.quarantined - len(rows),
    )  # fmt: skip
    reasons = Counter({f"bad: {reason}": number for reason, number in still_bad.items()})
    return Counter(tried=len(rows), stored=outcome.stored, duplicates=outcome.duplicates) + reasons


def _held(session: Session, ids: Sequence[int]) -> Sequence[Quarantined]:
    """These rows, less those that somebody else works on or is done with."""
    statement = select(Quarantined).where(Quarantined.id.in_(ids)).order_by(Quarantined.id)
    return session.scalars(statement.with_for_update(skip_locked=True)).all()


def _take(
    session: Session, org: Organization, model: Model, version_id: int | None, deliveries: Sequence[RowBatch]
) -> Outcome:
    term = retention.effective(model.retention, org.retention)
    return store.restore_samples(session, model, session.get_one(Version, version_id), deliveries, retention=term)


def drop_quarantined(engine: Engine, org: Organization, what: QuarantineFilter, by: str) -> int:
    """Drop quarantined rows for ever; returns how many."""
    with db.org_session(engine, org) as session:
        chunks = list(_chunks(session, what, DROPPED_AT_ONCE))
    dropped = 0
    for target, ids in chunks:
        with db.org_session(engine, org) as session:
            dropped += _drop(session, target, ids, by)
    _ring(engine, org)
    return dropped


def _drop(session: Session, target: Target, ids: Sequence[int], by: str) -> int:
    kind, model_id, version_id = target
    rows = _held(session, ids)
    held = [row.id for row in rows]
    receipts.mark_windows_due(session, rows)
    session.execute(delete(Quarantined).where(Quarantined.id.in_(held)))
    if held:
        ledger.correct(
            session, "drop", kind, by, f"{len(held)} rows were dropped", model_id=model_id, version_id=version_id,
            quarantined=-len(held), removed=len(held),
        )  # fmt: skip
    return len(held)


def _ring(engine: Engine, org: Organization) -> None:
    with db.public_session(engine) as session:
        work_queue.ring(session, org.id, work_queue.Work.evaluate)
