"""Loading a file of samples or labels: piece by piece, each in one transaction with the mark of how far the file is.

Whoever is stopped anywhere goes on from the mark; two that load the same file at once share its rows.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from itertools import groupby

import msgspec
from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import IngestedFile, Quarantined
from dcmon.ingestion import message_format, quarantine, refused_rows, store
from dcmon.ingestion.files import column_mapping
from dcmon.ingestion.files.column_mapping import Layout
from dcmon.ingestion.files.csv_records import Malformed
from dcmon.ingestion.files.reader import Chunk, File
from dcmon.ingestion.quarantine import BadRow
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.store import PreparedRows
from dcmon.ingestion.target_cache import RowTarget, TargetCache
from dcmon.storage import ledger, models, sample_tables, versions
from dcmon.storage.ledger import Outcome


@dataclass(frozen=True)
class Target:
    """What a file is for: samples of a version, or labels of a model; and how its columns are read."""

    layout: Layout
    model_id: int
    version_id: int | None

    @property
    def kind(self) -> str:
        return self.layout.kind


Outcomes = dict[str, Outcome]  # of samples and of labels


@dataclass
class Loaded:
    """What became of the rows of a file in this run, those from `first_row` on, with the reasons of those quarantined.

    `in_since`: when all of them were in before.
    """

    path: str
    first_row: int = 0
    in_since: datetime | None = None
    rows: int = 0
    outcome: Outcome = field(default_factory=Outcome)
    labels: Outcome = field(default_factory=Outcome)
    reasons: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def target(
    session: Session, model_name: str, version_name: str | None, kind: str, mapping: Mapping[str, str]
) -> Target:
    """The target of files. A version need not be named when the model has one. Raises NotFound or InvalidInput."""
    model = models.find(session, model_name)
    found = versions.entries(session, model)
    if version_name is None and kind == "samples" and len(found) != 1:
        said = f"versions ({', '.join(each.name for each in found[:5])})" if found else "no version yet"
        raise errors.InvalidInput(f"Model {model_name!r} has {said}: say which with --version.")
    if version_name is not None:
        found = [versions.find(session, model, version_name)]
    if not found:
        raise errors.InvalidInput(f"Model {model_name!r} has no version yet: create one first.")
    layout = column_mapping.layout(sample_tables.columns(model, found[0]), kind, mapping)
    return Target(layout, model.id, found[0].id if kind == "samples" else None)


def digest(file: File, target: Target, watched: str = "") -> str:
    """What a file is known by: its content, what it is for, how it is read, and where it is watched, if it is."""
    said = [file.content, file.format, target.kind, target.model_id, target.version_id, target.layout.mapping, watched]
    return blake2b(msgspec.json.encode(said, order="deterministic"), digest_size=16).hexdigest()


def source(mark: str, *, is_beside: bool = False) -> str:
    """What rows of a file are known by, with their number; labels beside samples are told apart from those."""
    return quarantine.FILE_SOURCE_PREFIX + mark + (quarantine.LABELS_SOURCE_SUFFIX if is_beside else "")


class Loader:
    """Loads files into an organization. `advance` is told, after each piece, how many bytes of the file are read."""

    def __init__(self, engine: Engine, org: Organization, advance: Callable[[int, int], None] | None = None) -> None:
        self.engine, self.org, self._targets = engine, org, TargetCache(engine)
        self._advance = advance or (lambda done, size: None)

    def load(self, file: File, target: Target, mark: str, next_row: int) -> Loaded:
        """Store the rows of a file from `next_row` on, under the mark that was begun. Raises what reading does."""
        began, logged_at, loaded = time.monotonic(), datetime.now(UTC), Loaded(file.path, next_row)
        try:
            for chunk in file.chunks(target.layout, next_row):
                outcomes = self._store(target, mark, chunk, logged_at)
                loaded.outcome += outcomes[target.kind]
                loaded.labels += outcomes["labels"]
                loaded.rows += chunk.next_row - chunk.first_row
                self._advance(file.position(chunk.next_row), file.size)
            loaded.seconds = time.monotonic() - began
            return self._finish(mark, loaded)
        finally:
            if loaded.rows:
                work_queue.ring_now(self.engine, self.org.id, work_queue.Work.evaluate)

    def begin(self, mark: str, path: str, target: Target) -> tuple[int, bool]:
        """See `begin`, in a transaction of its own."""
        with db.org_session(self.engine, self.org) as session:
            return begin(session, mark, path, target)

    def progress(self, mark: str) -> tuple[int, bool]:
        """The first row of a file that is not in, and whether all are: (0, False) for one that never began."""
        with db.org_session(self.engine, self.org) as session:
            entry = session.scalar(select(IngestedFile).where(IngestedFile.digest == mark))
            return (0, False) if entry is None else (entry.next_row, entry.finished_at is not None)

    def anew(self, mark: str) -> str:
        """The mark by which a file that is in is loaded again: the first one that is not finished."""
        with db.org_session(self.engine, self.org) as session:
            known = select(func.count()).where(
                IngestedFile.digest.startswith(mark), IngestedFile.finished_at.is_not(None)
            )
            times = session.scalar(known)
        return f"{mark}/{times + 1}" if times else mark

    def known(self, mark: str, path: str) -> Loaded:
        """A file that is in already: nothing of it was stored in this run."""
        with db.org_session(self.engine, self.org) as session:
            entry = _entry(session, mark)
            return Loaded(path, entry.next_row, entry.finished_at)

    def _store(self, target: Target, mark: str, chunk: Chunk, logged_at: datetime) -> Outcomes:
        """Store what of a piece no other loader has stored; again where another transaction was in the way."""
        tries_left, closely = store.MAX_TRIES, False
        while chunk.first_row < chunk.next_row:
            try:
                # Before the transaction, which holds locks.
                prepared = self._prepare(target, mark, chunk, logged_at, closely)
                done, next_row = sample_tables.with_months(
                    self.engine, self.org, partial(self._store_once, target, mark, chunk, prepared, logged_at)
                )
                if done is not None:
                    return done
                chunk = chunk.since(next_row)
            except DBAPIError as error:
                tries_left -= 1
                if refused_rows.is_content_error(error) and not closely:
                    closely = True  # one row that PostgreSQL does not take must not hold up the file
                elif db.sqlstate(error) not in store.RETRYABLE_SQLSTATES:
                    raise
                elif not tries_left:
                    raise store.gave_up_error(self.org, error) from error
                self._targets.forget(self.org)
        return _nothing()

    def _store_once(
        self, target: Target, mark: str, chunk: Chunk, prepared: list[PreparedRows], logged_at: datetime
    ) -> tuple[Outcomes | None, int]:
        """What became of a piece; None where another loader has some of it, and the first row that it has not."""
        with db.org_session(self.engine, self.org) as session:
            entry = _lock(session, target, mark, labels=bool(chunk.labels))
            if entry.next_row > chunk.first_row:
                return None, entry.next_row
            return store_chunk(session, entry, target, chunk, prepared, logged_at), chunk.next_row

    def _prepare(
        self, target: Target, mark: str, chunk: Chunk, logged_at: datetime, closely: bool
    ) -> list[PreparedRows]:
        """Samples and labels of a piece, decoded; closely: without the rows that PostgreSQL does not take."""
        given: list[tuple[message_format.Kind, int, Mapping[int, msgspec.Raw], str]] = []
        if chunk.samples and target.version_id is not None:
            given.append(("samples", target.version_id, chunk.samples, source(mark)))
        if chunk.labels:
            beside = source(mark, is_beside=target.kind == "samples")
            given.append(("labels", target.model_id, chunk.labels, beside))
        found = list[PreparedRows]()
        for kind, number, rows, name in given:
            address = RowTarget(self.org, kind, number)
            came = list(deliveries(rows, logged_at, name))
            if closely:
                came = [each._replace(refused=self._refused(address, each)) for each in came]
            found.append(store.prepare(self._targets, address, came))
        return found

    def _refused(self, address: RowTarget, delivery: RowBatch) -> Mapping[int, str]:
        return refused_rows.find(self.engine, self._targets, address, delivery)

    def _finish(self, mark: str, loaded: Loaded) -> Loaded:
        with db.org_session(self.engine, self.org) as session:
            entry = _entry(session, mark, lock=True)
            entry.finished_at, entry.error = func.now(), None
            session.flush()
            loaded.reasons = _reasons(session, mark, loaded.first_row)
        return loaded


def begin(session: Session, mark: str, path: str, target: Target) -> tuple[int, bool]:
    """Enter a file under its mark, unless it is there; the first row that is not in, and whether all are."""
    values = {"kind": target.kind, "model_id": target.model_id, "version_id": target.version_id}
    session.execute(insert(IngestedFile).values(digest=mark, path=path, **values).on_conflict_do_nothing())
    entry = _entry(session, mark)
    return entry.next_row, entry.finished_at is not None


def _entry(session: Session, mark: str, *, lock: bool = False) -> IngestedFile:
    statement = select(IngestedFile).where(IngestedFile.digest == mark)
    entry = session.scalar(statement.with_for_update() if lock else statement)
    if entry is None:
        raise errors.NotFound("The file's model or version was deleted meanwhile.")
    return entry


def _lock(session: Session, target: Target, mark: str, *, labels: bool) -> IngestedFile:
    """Lock the model, then the mark, which goes with the model when that is deleted. Raises NotFound."""
    version_ids = [] if target.version_id is None else [target.version_id]
    store.lock_models(session, version_ids, [target.model_id] if labels else [])
    return _entry(session, mark, lock=True)


def store_chunk(
    session: Session, entry: IngestedFile, target: Target, chunk: Chunk, prepared: Sequence[PreparedRows], now: datetime
) -> Outcomes:
    """Store a piece of a file behind its mark, and move that, in the session's transaction."""
    outcomes = _nothing()
    for rows in prepared:
        outcomes[rows.kind] += store.store_rows(session, rows)
    outcomes[target.kind] += _store_malformed(session, target, source(entry.digest), chunk.malformed, now)
    counted = outcomes[target.kind]
    entry.next_row = chunk.next_row
    entry.taken += counted.taken
    entry.stored += counted.stored
    entry.duplicates += counted.duplicates
    entry.quarantined += counted.quarantined
    session.flush()
    return outcomes


def _nothing() -> Outcomes:
    return {"samples": Outcome(), "labels": Outcome()}


def deliveries(rows: Mapping[int, msgspec.Raw], logged_at: datetime, source: str) -> Iterator[RowBatch]:
    """Rows by their number as deliveries, each of rows that follow one another."""
    for _, group in groupby(enumerate(sorted(rows)), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        yield RowBatch([rows[number] for number in numbers], logged_at, source, numbers[0])


def _store_malformed(
    session: Session, target: Target, source: str, malformed: Mapping[int, Malformed], logged_at: datetime
) -> Outcome:
    """Quarantine lines that are no rows, with a line of their own in the ledger."""
    if not malformed:
        return Outcome()
    model = models.get(session, target.model_id)
    version = None if target.version_id is None else versions.get(session, target.version_id)[1]
    bad = unreadable(malformed, source, logged_at)
    kept = quarantine.add(session, model, version, target.kind, bad)
    outcome = Outcome(taken=len(bad), duplicates=len(bad) - kept, quarantined=kept)
    ledger.enter(session, target.kind, source, outcome, model_id=target.model_id, version_id=target.version_id)
    return outcome


def unreadable(malformed: Mapping[int, Malformed], source: str, logged_at: datetime) -> list[BadRow]:
    """Lines that are no rows, by their number, as they are quarantined."""
    return [
        BadRow(source, at, logged_at, each.row, "malformed", each.field, each.why, each.sample_id)
        for at, each in malformed.items()
    ]


def _reasons(session: Session, mark: str, first_row: int) -> dict[str, int]:
    """How many rows of a file, from this one on, are in quarantine now, by reason."""
    found = select(Quarantined.reason, func.count()).where(
        Quarantined.source.in_([source(mark), source(mark, is_beside=True)]), Quarantined.position >= first_row
    )
    rows = session.execute(found.group_by(Quarantined.reason).order_by(Quarantined.reason))
    return {row[0]: row[1] for row in rows}
