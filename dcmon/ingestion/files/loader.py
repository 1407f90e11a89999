"""Load a file of samples or labels in chunks. One transaction stores a chunk together with the file's progress.

An interrupted load continues at the first row that is not stored. Two loads of the same file at the same time store
each row once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import groupby
from typing import NamedTuple

import msgspec
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import IngestedFile, Quarantined
from dcmon.ingestion import quarantine, receipts, refused_rows, store
from dcmon.ingestion.files import registry
from dcmon.ingestion.files.csv_records import MalformedRow
from dcmon.ingestion.files.file_target import FileTarget, row_source
from dcmon.ingestion.files.reader import Chunk, File
from dcmon.ingestion.files.registry import FileProgress
from dcmon.ingestion.files.rejections import Rejections
from dcmon.ingestion.quarantine import BadRow, QuarantineTarget
from dcmon.ingestion.receipts import ReceivedRows
from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.sample_decoder import DecodedSamples
from dcmon.ingestion.store import PreparedRows
from dcmon.ingestion.target_cache import RowTarget, TargetCache
from dcmon.states import RowKind
from dcmon.storage import ledger, sample_tables, versions
from dcmon.storage.ledger import LedgerEntry, Outcome

ReportProgress = Callable[[int, int], None]  # called with the number of bytes that are read, and the file's size
OutcomesByKind = dict[RowKind, Outcome]
BadRowsByKind = dict[RowKind, list[BadRow]]
JudgeFile = Callable[[FileProgress], str | None]


class TimeSpan(NamedTuple):
    """The first and the last time of samples, in microseconds since 2000."""

    first: int
    last: int

    def including(self, other: "TimeSpan | None") -> "TimeSpan":
        """Return the time span of both."""
        return self if other is None else TimeSpan(min(self.first, other.first), max(self.last, other.last))


@lru_cache(maxsize=1)
def _target_cache(engine: Engine) -> TargetCache:
    """Return the cache that all loads share: a command may load thousands of small files into one version."""
    return TargetCache(engine)


@dataclass
class LoadResult:
    """The counts of the rows that one run loaded, from `first_row` on. `reasons` counts quarantined rows by reason.

    `remark` says what the file shows about how it is written, and which rows without content were skipped.
    `rejections` has all rows that were not stored, also those that were in the quarantine before. `time_span` has the
    times of the samples that could be decoded.

    `loaded_at` is the time at which an earlier run finished the file; None if this run loaded rows of it.
    """

    path: str
    first_row: int = 0
    loaded_at: datetime | None = None
    rows: int = 0
    outcome: Outcome = field(default_factory=Outcome)
    labels: Outcome = field(default_factory=Outcome)
    reasons: Mapping[str, int] = field(default_factory=dict)
    rejections: Rejections = field(default_factory=Rejections)
    time_span: TimeSpan | None = None
    seconds: float = 0.0
    remark: str | None = None

    def add(self, kind: RowKind, chunk: Chunk, counted: "ChunkResult") -> None:
        """Add the counts of a chunk of a file with rows of a kind."""
        self.outcome += counted.outcomes[kind]
        self.labels += counted.outcomes[RowKind.LABELS]
        self.rows += chunk.next_row - chunk.first_row
        for bad_kind, bad in counted.bad.items():
            self.rejections.add(bad_kind, bad)
        if counted.time_span is not None:
            self.time_span = counted.time_span.including(self.time_span)


@dataclass
class ChunkResult:
    """The counts of a chunk by kind, its rejected rows by kind, and the times of its samples."""

    outcomes: OutcomesByKind
    bad: BadRowsByKind
    time_span: TimeSpan | None = None


class _StoredChunk(NamedTuple):
    """The result of storing a chunk, None if another loader has stored rows of it.

    `next_row` is the first row that is not stored.
    """

    result: ChunkResult | None
    next_row: int


class _Load(NamedTuple):
    """The file that is being loaded."""

    target: FileTarget
    fingerprint: str
    logged_at: datetime
    judge: JudgeFile


class FileLoader:
    """Loads files into an organization. `report` is called after each chunk."""

    def __init__(self, engine: Engine, org: Organization, report: ReportProgress | None = None) -> None:
        self.engine, self.org, self._targets = engine, org, _target_cache(engine)
        self._report = report or (lambda position, size: None)

    def load(
        self, file: File, target: FileTarget, fingerprint: str, first_row: int, judge: JudgeFile = lambda progress: None
    ) -> LoadResult:
        """Store the rows of a registered file from `first_row` on.

        `judge` is called at the end with the counts of the file, also of earlier runs. If it returns a reason, the file
        does not count as loaded.

        Raises InvalidInput, FileChanged, NotFound, and Locked if other transactions keep the rows locked.
        """
        started, result = time.monotonic(), LoadResult(file.path, first_row)
        load, chunk = _Load(target, fingerprint, datetime.now(UTC), judge), None
        try:
            for chunk in file.chunks(target.mapping, first_row):
                result.add(target.kind, chunk, self._store(load, chunk))
                self._report(file.position(chunk.next_row), file.size)
            result.seconds, result.remark = time.monotonic() - started, file.layout_remark
            is_finished = chunk is not None and chunk.is_last and result.outcome.taken > 0
            has_reasons = result.outcome.quarantined > 0 or result.labels.quarantined > 0
            return result if is_finished and not has_reasons else self._finish(load, result)
        finally:
            if result.rows:
                work_queue.enqueue_now(self.engine, self.org.id, work_queue.Work.evaluate)

    def _store(self, load: _Load, chunk: Chunk) -> ChunkResult:
        """Store the rows of a chunk that no other loader has stored."""
        while chunk.first_row < chunk.next_row:
            stored = self._store_accepted_rows(load, chunk)
            if stored.result is not None:
                return stored.result
            chunk = chunk.since(stored.next_row)
        return empty_result()

    def _store_accepted_rows(self, load: _Load, chunk: Chunk) -> _StoredChunk:
        """Store a chunk. If PostgreSQL refuses rows of it, quarantine these and store the others."""
        try:
            return self._store_with_retries(load, chunk, is_checked=False)
        except DBAPIError as error:
            if not refused_rows.is_content_error(error):
                raise
            self._targets.forget(self.org)
            return self._store_with_retries(load, chunk, is_checked=True)

    def _store_with_retries(self, load: _Load, chunk: Chunk, *, is_checked: bool) -> _StoredChunk:
        """Store a chunk in one transaction. Repeat it after conflicts with other transactions."""

        def transaction() -> _StoredChunk:
            # Decode before the transaction begins, because the transaction holds locks.
            prepared = self._prepare(load, chunk, is_checked=is_checked)
            store_once = partial(self._store_once, load, chunk, prepared)
            return sample_tables.with_partitions(self.engine, self.org, store_once)

        # The model or version may have been deleted, so each new try looks it up again.
        return store.retry_transaction(self.org, transaction, lambda: self._targets.forget(self.org))

    def _store_once(self, load: _Load, chunk: Chunk, prepared: Sequence[PreparedRows]) -> _StoredChunk:
        """Store a chunk in one transaction, unless another loader has stored rows of it."""
        with db.org_session(self.engine, self.org) as session:
            entry = _lock(session, load, has_labels=bool(chunk.labels))
            if entry.next_row > chunk.first_row:
                return _StoredChunk(None, entry.next_row)
            result = _store_chunk(session, entry, load, chunk, prepared)
            if chunk.is_last:
                _finish(entry, load)
            return _StoredChunk(result, chunk.next_row)

    def _prepare(self, load: _Load, chunk: Chunk, *, is_checked: bool) -> list[PreparedRows]:
        """Decode samples and labels. `is_checked`: first find the rows that PostgreSQL refuses, to quarantine them."""
        target, prepared = load.target, list[PreparedRows]()
        if chunk.samples and target.version_id is not None:
            row_target = RowTarget(self.org, RowKind.SAMPLES, target.version_id)
            batches = row_batches(chunk.samples, load.logged_at, row_source(load.fingerprint))
            prepared.append(self._decode(row_target, batches, is_checked))
        if chunk.labels:
            row_target = RowTarget(self.org, RowKind.LABELS, target.model_id)
            source = row_source(load.fingerprint, is_beside_samples=target.kind == RowKind.SAMPLES)
            prepared.append(self._decode(row_target, row_batches(chunk.labels, load.logged_at, source), is_checked))
        return prepared

    def _decode(self, row_target: RowTarget, batches: Iterator[RowBatch], is_checked: bool) -> PreparedRows:
        if is_checked:
            batches = (
                batch._replace(refused=refused_rows.find(self.engine, self._targets, row_target, batch))
                for batch in batches
            )
        return store.prepare(self._targets, row_target, list(batches))

    def _finish(self, load: _Load, result: LoadResult) -> LoadResult:
        with db.org_session(self.engine, self.org) as session:
            _finish(registry.get(session, load.fingerprint, is_locked=True), load)
            session.flush()
            result.reasons = _reasons(session, load.fingerprint, result.first_row)
        return result


def result_of_loaded_file(session: Session, fingerprint: str, path: str) -> LoadResult:
    """Return the result for a file that an earlier run has loaded. This run stores no row."""
    entry = registry.get(session, fingerprint)
    return LoadResult(path, entry.next_row, entry.finished_at)


def _lock(session: Session, load: _Load, *, has_labels: bool) -> IngestedFile:
    """Lock the model, then the file's row, which is deleted together with its model. Raises NotFound.

    All transactions that store rows or delete models lock in this order: another order could deadlock.
    """
    version_ids = [] if load.target.version_id is None else [load.target.version_id]
    store.lock_models(session, version_ids, [load.target.model_id] if has_labels else [])
    return registry.get(session, load.fingerprint, is_locked=True)


def _store_chunk(
    session: Session, entry: IngestedFile, load: _Load, chunk: Chunk, prepared: Sequence[PreparedRows]
) -> ChunkResult:
    """Store a chunk and advance the file's progress, in the session's transaction."""
    result, kind = empty_result(), load.target.kind
    for rows in prepared:
        stored = store.store_rows(session, rows)
        result.outcomes[rows.kind] += stored.outcome
        result.bad[rows.kind] += stored.bad
        if isinstance(rows.rows, DecodedSamples) and rows.rows.times:
            result.time_span = TimeSpan(min(rows.rows.times), max(rows.rows.times))
    malformed = malformed_rows(chunk.malformed, row_source(load.fingerprint), load.logged_at)
    result.outcomes[kind] += _store_malformed(session, load, malformed)
    result.bad[kind] += malformed
    counts = result.outcomes[kind]
    entry.next_row = chunk.next_row
    entry.taken += counts.taken
    entry.stored += counts.stored
    entry.duplicates += counts.duplicates
    entry.quarantined += counts.quarantined
    entry.rejected += len(result.bad[kind])
    if kind == RowKind.SAMPLES:
        entry.labels += result.outcomes[RowKind.LABELS].taken
        entry.rejected_labels += len(result.bad[RowKind.LABELS])
    session.flush()
    return result


def _finish(entry: IngestedFile, load: _Load) -> None:
    """Mark a file whose rows were all read as loaded, or as not loaded with the reason."""
    entry.error = load.judge(registry.progress_of(entry))
    entry.finished_at = func.now() if entry.error is None else None


def empty_result() -> ChunkResult:
    """Return the result of a chunk without rows."""
    return ChunkResult({kind: Outcome() for kind in RowKind}, {kind: [] for kind in RowKind})


def row_batches(rows: Mapping[int, msgspec.Raw], logged_at: datetime, source: str) -> Iterator[RowBatch]:
    """Group rows, by their number in the file, into batches of consecutive rows."""
    for _, group in groupby(enumerate(sorted(rows)), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        yield RowBatch([rows[number] for number in numbers], logged_at, source, numbers[0])


def _store_malformed(session: Session, load: _Load, bad: Sequence[BadRow]) -> Outcome:
    """Quarantine lines that can't be read as rows, with a separate line in the ledger. They count as received rows."""
    if not bad:
        return Outcome()
    target, source = load.target, row_source(load.fingerprint)
    quarantined = quarantine.add(session, QuarantineTarget(target.kind, target.model_id, target.version_id), bad)
    if target.version_id is not None:
        _, version = versions.get(session, target.version_id)
        receipts.count_received(session, version, [ReceivedRows(load.logged_at, len(bad))])
    outcome = Outcome(taken=len(bad), duplicates=len(bad) - quarantined, quarantined=quarantined)
    ledger.record(session, LedgerEntry(target.kind, source, outcome, target.model_id, target.version_id))
    return outcome


def malformed_rows(malformed: Mapping[int, MalformedRow], source: str, logged_at: datetime) -> list[BadRow]:
    """Convert lines that can't be read to rows for the quarantine. The keys are the lines' numbers."""
    return [
        BadRow(source, number, logged_at, row.row, RejectionReason.MALFORMED, row.field, row.reason, row.sample_id)
        for number, row in malformed.items()
    ]


def _reasons(session: Session, fingerprint: str, first_row: int) -> dict[str, int]:
    """Count the quarantined rows of a file, from `first_row` on, by reason."""
    sources = [row_source(fingerprint), row_source(fingerprint, is_beside_samples=True)]
    statement = (
        select(Quarantined.reason, func.count())
        .where(Quarantined.source.in_(sources), Quarantined.position >= first_row)
        .group_by(Quarantined.reason)
        .order_by(Quarantined.reason)
    )
    return {row[0]: row[1] for row in session.execute(statement)}
