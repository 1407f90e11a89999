"""Retry or drop quarantined rows.

Each correction works in transactions of limited size. Tables and ledger agree after each transaction. So the same call
can be repeated after an interruption, and corrects the remaining rows.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Raw
from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import Model, Quarantined, Version
from dcmon.ingestion import quarantine, receipts, refused_rows, store
from dcmon.ingestion.quarantine import QuarantineFilter, QuarantineTarget
from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.ingestion.row_batch import RowBatch
from dcmon.states import RowKind
from dcmon.storage import ledger, models, sample_tables
from dcmon.storage.ledger import Correction, LedgerAction, Outcome
from dcmon.tenancy import retention

RETRIED_AT_ONCE, DROPPED_AT_ONCE = 1_000, 5_000  # rows in one transaction
BAD_PREFIX = "bad: "  # this prefix and a reason name the count of rows that stay in quarantine


@dataclass(frozen=True)
class RetryResult:
    """The counts of quarantined rows that were retried. `refused_again` counts rows that stay, by their new reason."""

    tried: int
    stored: int
    duplicates: int
    refused_again: dict[str, int]


class Chunk(NamedTuple):
    """Quarantined rows of one target that are corrected in one transaction."""

    target: QuarantineTarget
    row_ids: Sequence[int]


@dataclass(frozen=True)
class Retry:
    """A retry of quarantined rows of an organization. A dry run rolls each transaction back."""

    engine: Engine
    org: Organization
    by: str
    dry_run: bool = False

    def in_one_transaction(self, chunks: Sequence[Chunk]) -> Counter[str]:
        """Retry all chunks in one transaction that is rolled back, and return counts.

        If PostgreSQL refuses a row, retry chunk by chunk.
        """

        def transaction() -> Counter[str]:
            with db.org_session(self.engine, self.org) as session:
                # Lock models in order of id, as all transactions do: otherwise this one and a worker could deadlock.
                for model_id in sorted({chunk.target.model_id for chunk in chunks}):
                    sample_tables.lock_model(session, models.get(session, model_id))
                counts = sum((self._retry(session, chunk) for chunk in chunks), Counter[str]())
                session.rollback()
                return counts

        counts = self._run(transaction)
        return sum((self.by_chunk(chunk) for chunk in chunks), Counter[str]()) if counts is None else counts

    def by_chunk(self, chunk: Chunk) -> Counter[str]:
        """Retry a chunk in one transaction.

        If PostgreSQL refuses a row, find that row by halving the chunk. The row stays in quarantine.
        """

        total = Counter[str]()

        def refusal(row_ids: Sequence[int]) -> str | None:
            def transaction() -> Counter[str]:
                with db.org_session(self.engine, self.org) as session:
                    counts = self._retry(session, Chunk(chunk.target, row_ids))
                    if self.dry_run:
                        session.rollback()
                    return counts

            if (counts := self._run(transaction)) is None:
                return RejectionReason.REFUSED
            total.update(counts)
            return None

        refused = len(refused_rows.find_by_halving(chunk.row_ids, refusal))
        return total + Counter({"tried": refused, f"{BAD_PREFIX}{RejectionReason.REFUSED}": refused})

    def _run(self, transaction: Callable[[], Counter[str]]) -> Counter[str] | None:
        """Run a transaction, and repeat it after conflicts. None if PostgreSQL refuses the content of a row."""
        try:
            return store.retry_transaction(
                self.org, lambda: sample_tables.with_partitions(self.engine, self.org, transaction)
            )
        except DBAPIError as error:
            if not refused_rows.is_content_error(error):
                raise
            return None

    def _retry(self, session: Session, chunk: Chunk) -> Counter[str]:
        kind, model_id, version_id = chunk.target
        try:
            model = models.get(session, model_id)
        except errors.NotFound:  # the model was deleted meanwhile together with its rows
            return Counter()
        # An exclusive lock: a worker that stores rows of the model locks ids first and then the quarantine. This
        # transaction locks them in the opposite order, so with a shared lock the two could deadlock.
        sample_tables.lock_model(session, model)
        rows = _lock_rows(session, chunk.row_ids)
        if not rows:
            return Counter()
        session.execute(delete(Quarantined).where(Quarantined.id.in_([row.id for row in rows])))
        outcome = self._store(session, model, chunk.target, rows)
        refused_again = quarantine.restore_ids(session, rows)
        receipts.mark_windows_due(session, rows)
        correction = Correction(
            LedgerAction.RETRY, kind, self.by, f"{len(rows)} rows were tried again", model_id, version_id,
            stored=outcome.stored, duplicates=outcome.duplicates, quarantined=outcome.quarantined - len(rows),
        )  # fmt: skip
        ledger.record_correction(session, correction)
        reasons = Counter({f"{BAD_PREFIX}{reason}": number for reason, number in refused_again.items()})
        return Counter(tried=len(rows), stored=outcome.stored, duplicates=outcome.duplicates) + reasons

    def _store(self, session: Session, model: Model, target: QuarantineTarget, rows: Sequence[Quarantined]) -> Outcome:
        batches = [RowBatch([Raw(row.row)], row.logged_at, row.source, row.position) for row in rows]
        if target.kind == RowKind.LABELS:
            return store.restore_labels(session, model, batches)
        term = retention.effective_term(model.retention, self.org.retention)
        version = session.get_one(Version, target.version_id)
        return store.restore_samples(session, model, version, batches, retention=term)


def retry_quarantined(
    engine: Engine, org: Organization, rows: QuarantineFilter, by: str, *, dry_run: bool = False
) -> RetryResult:
    """Retry quarantined rows with their original time of logging. Rows that are valid now leave the quarantine.

    A dry run retries all rows in one transaction, which it rolls back.
    """
    with db.org_session(engine, org) as session:
        chunks = list(_chunks(session, rows, RETRIED_AT_ONCE))
    retry = Retry(engine, org, by, dry_run)
    if dry_run:
        counts = retry.in_one_transaction(chunks)
    else:
        counts = sum((retry.by_chunk(chunk) for chunk in chunks), Counter[str]())
        work_queue.enqueue_now(engine, org.id, work_queue.Work.evaluate)
    bad = {name.removeprefix(BAD_PREFIX): count for name, count in counts.items() if name.startswith(BAD_PREFIX)}
    return RetryResult(counts["tried"], counts["stored"], counts["duplicates"], bad)


def _chunks(session: Session, rows: QuarantineFilter, size: int) -> Iterator[Chunk]:
    """Yield the rows of each target, oldest first. Samples come before labels."""
    row_ids: dict[QuarantineTarget, list[int]] = defaultdict(list)
    columns = (Quarantined.kind, Quarantined.model_id, Quarantined.version_id, Quarantined.id)
    matching = session.execute(quarantine.select_rows(rows).with_only_columns(*columns).order_by(Quarantined.id))
    for kind, model_id, version_id, row_id in matching:
        row_ids[QuarantineTarget(kind, model_id, version_id)].append(row_id)
    for target in sorted(
        row_ids, key=lambda target: (target.kind == RowKind.LABELS, target.model_id, target.version_id or 0)
    ):
        ids = row_ids[target]
        yield from (Chunk(target, ids[first : first + size]) for first in range(0, len(ids), size))


def _lock_rows(session: Session, row_ids: Sequence[int]) -> Sequence[Quarantined]:
    """Lock these rows, except those that another transaction is correcting or has corrected."""
    statement = select(Quarantined).where(Quarantined.id.in_(row_ids)).order_by(Quarantined.id)
    return session.scalars(statement.with_for_update(skip_locked=True)).all()


def drop_quarantined(engine: Engine, org: Organization, rows: QuarantineFilter, by: str) -> int:
    """Delete quarantined rows permanently, and return how many."""
    with db.org_session(engine, org) as session:
        chunks = list(_chunks(session, rows, DROPPED_AT_ONCE))
    dropped = 0
    for chunk in chunks:
        with db.org_session(engine, org) as session:
            dropped += _drop(session, chunk, by)
    work_queue.enqueue_now(engine, org.id, work_queue.Work.evaluate)
    return dropped


def _drop(session: Session, chunk: Chunk, by: str) -> int:
    kind, model_id, version_id = chunk.target
    rows = _lock_rows(session, chunk.row_ids)
    row_ids = [row.id for row in rows]
    receipts.mark_windows_due(session, rows)
    session.execute(delete(Quarantined).where(Quarantined.id.in_(row_ids)))
    if row_ids:
        correction = Correction(
            LedgerAction.DROP, kind, by, f"{len(row_ids)} rows were dropped", model_id, version_id,
            quarantined=-len(row_ids), removed=len(row_ids),
        )  # fmt: skip
        ledger.record_correction(session, correction)
    return len(row_ids)
