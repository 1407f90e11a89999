"""What the endpoint does with rows: straight into PostgreSQL, or to Kafka. The same function stores them either way."""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion import labels, message_format, offsets, samples
from dcmon.ingestion.offsets import Sought, Stretch
from dcmon.ingestion.parked_messages import Letter
from dcmon.ingestion.raw_rows import RowArray, carried
from dcmon.ingestion.row_batch import Delivery
from dcmon.ingestion.target_cache import Address, Targets
from dcmon.settings import Kafka
from dcmon.storage import ledger, models, sample_tables, versions
from dcmon.storage.ledger import Outcome, Partition, Span

if TYPE_CHECKING:
    from dcmon.ingestion.kafka import Producer

log = logging.getLogger(__name__)

Rows = Sequence[msgspec.Raw]
T = TypeVar("T")
TRIES = 10  # each that is lost was won by another who stored the same ids
# Deadlock, serialization failure, lock not available; a table or a row that others refer to was just deleted.
# A unique key that is there: another one added the same id or label just now.
RETRIED = {"40P01", "40001", "55P03", "42P01", "23503", "23505"}
CONTENT = {"22", "23", "54"}  # PostgreSQL's classes: a value, a constraint, a limit such as the size of a row
LONGEST_WHY = 500


def insist(work: Callable[[], T]) -> T:
    """What `work` returns, a transaction that is repeated where another one was in its way."""
    tried = 0
    while True:
        try:
            return work()
        except DBAPIError as error:
            tried += 1
            if db.sqlstate(error) not in RETRIED or tried == TRIES:
                raise


class Ingestion(Protocol):
    """Takes rows in; what it returns without raising is not lost."""

    def take_samples(self, org: Organization, version_id: int, rows: Rows) -> None: ...
    def take_labels(self, org: Organization, model_id: int, rows: Rows) -> None: ...


class Direct:
    """Into PostgreSQL, in one transaction: acknowledged means committed."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.targets = engine, Targets(engine)

    def take_samples(self, org: Organization, version_id: int, rows: Rows) -> None:
        """Raises NotFound when the version is gone."""
        self._store(Address(org, "samples", version_id), rows)

    def take_labels(self, org: Organization, model_id: int, rows: Rows) -> None:
        """Raises NotFound when the model is gone."""
        self._store(Address(org, "labels", model_id), rows)

    def _store(self, address: Address, rows: Rows) -> None:
        delivery = Delivery(rows, datetime.now(UTC), f"request/{uuid.uuid4()}")
        try:
            self._store_once(address, delivery)
        except Exception as error:
            if not is_content(error) or (isinstance(rows, RowArray) and not rows.is_sound):
                raise
            found = refused(self.engine, self.targets, address, delivery)
            self._store_once(address, delivery._replace(refused=found))
        try:
            work_queue.ring_now(self.engine, address.org.id, work_queue.Work.evaluate)
        except (errors.DcmonError, DBAPIError) as error:
            log.warning("the bell was not rung, the scheduler will find the work: %s", error)

    def _store_once(self, address: Address, delivery: Delivery) -> None:
        for tried in range(TRIES):
            prepared = prepare(self.targets, address, [delivery])  # before the transaction, which holds locks
            try:
                store_alone(self.engine, address.org, prepared)
                return
            except DBAPIError as error:
                if db.sqlstate(error) not in RETRIED:
                    raise
                last = error
                time.sleep(0.05 * tried)
                self.targets.forget(address.org)
        raise unwritable(address.org, last) from last


def unwritable(org: Organization, last: DBAPIError) -> errors.Locked:
    """What is said when each of several tries failed."""
    return errors.Locked(f"Organization {org.name!r} could not be written in {TRIES} tries: {last.orig}")


class Buffered:
    """Into Kafka: acknowledged means that all replicas in sync have it. `dcmon worker start ingest` stores it."""

    def __init__(self, producer: "Producer", settings: Kafka) -> None:
        self.producer, self.settings = producer, settings

    def take_samples(self, org: Organization, version_id: int, rows: Rows) -> None:
        """Raises Unreachable or TooLarge."""
        self._send(org, "samples", version_id, rows)

    def take_labels(self, org: Organization, model_id: int, rows: Rows) -> None:
        """Raises Unreachable or TooLarge."""
        self._send(org, "labels", model_id, rows)

    def _send(self, org: Organization, kind: message_format.Kind, target: int, rows: Rows) -> None:
        given = carried(rows)
        packed = message_format.pack(org.id, kind, target, datetime.now(UTC), given, self.settings.rows_per_message)
        self.producer.send(f"{self.settings.topic_prefix}.{kind}", packed)


@dataclass(frozen=True)
class Prepared:
    """Rows for one version, or labels for one model, decoded and sorted, before any transaction."""

    kind: message_format.Kind
    model: Model
    version: Version | None
    rows: samples.Sorted | labels.Sorted
    source: str


def prepare(targets: Targets, address: Address, deliveries: Sequence[Delivery]) -> Prepared:
    """Decode and sort rows for a version or, labels, for a model. Raises NotFound."""
    model, version = targets.find(address)
    return _labels(model, deliveries) if version is None else _samples(address.org, model, version, deliveries)


def _samples(org: Organization, model: Model, version: Version, deliveries: Sequence[Delivery]) -> Prepared:
    sorted_ = samples.sort(sample_tables.columns(model, version), deliveries, model.retention or org.retention)
    return Prepared("samples", model, version, sorted_, deliveries[0].source)


def _labels(model: Model, deliveries: Sequence[Delivery]) -> Prepared:
    sorted_ = labels.sort(model.task_type == "regression", deliveries)
    return Prepared("labels", model, None, sorted_, deliveries[0].source)


def is_content(error: Exception) -> bool:
    """Whether what is in the rows is the reason: of PostgreSQL's classes of errors 22, 23 and 54, or Python's own."""
    if isinstance(error, DBAPIError):
        return (db.sqlstate(error) or "")[:2] in CONTENT and db.sqlstate(error) not in RETRIED
    if isinstance(error, errors.DcmonError | OSError | MemoryError | SQLAlchemyError | Sought):
        return type(error) is errors.InvalidInput
    return True


def refused(
    engine: Engine, targets: Targets, address: Address, delivery: Delivery, wait: timedelta | None = None
) -> dict[int, str]:
    """The rows of a delivery that PostgreSQL does not take, by their places, and why. `wait`: for locks.

    They are found by halving, in transactions that are rolled back. Raises what a try raises for another reason.
    """
    why = _refusal(engine, targets, address, delivery, wait)
    if why is None:
        return {}
    if len(delivery.rows) <= 1:
        return {0: why} if delivery.rows else {}
    half, found = len(delivery.rows) // 2, dict[int, str]()
    for first, rows in ((0, delivery.rows[:half]), (half, delivery.rows[half:])):
        part = delivery._replace(rows=rows, first_position=delivery.first_position + first)
        found |= {first + at: said for at, said in refused(engine, targets, address, part, wait).items()}
    return found


def _refusal(
    engine: Engine, targets: Targets, address: Address, delivery: Delivery, wait: timedelta | None
) -> str | None:
    """Why a delivery can't be stored as a whole; None when it can. Nothing is kept of the try."""
    try:
        prepared = prepare(targets, address, [delivery])
        with suppress(_TriedOnly):
            insist(lambda: store_alone(engine, address.org, prepared, wait, is_try=True))
    except Exception as error:
        if not is_content(error):
            raise
        return str(getattr(error, "orig", error)).strip()[:LONGEST_WHY]
    return None


class _TriedOnly(Exception):
    """Ends a transaction that was only a try."""


def store_alone(
    engine: Engine, org: Organization, prepared: Prepared, wait: timedelta | None = None, *, is_try: bool = False
) -> None:
    """Store prepared rows in a transaction of their own; a try is rolled back, and raises _TriedOnly."""

    def work() -> None:
        with db.org_session(engine, org, wait=wait) as session:
            store(session, prepared)
            if is_try:
                raise _TriedOnly

    sample_tables.with_months(engine, org, work, wait)


def store(session: Session, prepared: Prepared, spans: Sequence[Span] = ()) -> Outcome:
    """Store prepared rows and write the ledger's line, in the session's transaction."""
    model, version = prepared.model, prepared.version
    if isinstance(prepared.rows, labels.Sorted):
        outcome = labels.store(session, model, prepared.rows)
    else:
        assert version is not None
        outcome = samples.store(session, model, version, prepared.rows)
    ledger.enter(
        session, prepared.kind, prepared.source, outcome, model_id=model.id, version_id=version.id if version else None,
        spans=spans,
    )  # fmt: skip
    return outcome


def store_samples(
    session: Session, org: Organization, version_id: int, deliveries: Sequence[Delivery], spans: Sequence[Span] = ()
) -> Outcome:
    """Store rows of a version and write the ledger's line, in the session's transaction. Raises NotFound."""
    return store(session, _samples(org, *versions.get(session, version_id), deliveries), spans)


def store_labels(
    session: Session, model_id: int, deliveries: Sequence[Delivery], spans: Sequence[Span] = ()
) -> Outcome:
    """Store labels of a model and write the ledger's line, in the session's transaction. Raises NotFound."""
    return store(session, _labels(models.get(session, model_id), deliveries), spans)


@dataclass
class Group:
    """Messages of one target: they are stored together. `prepared`: their rows, when all are wanted.

    `refused`: of a single message, the rows that PostgreSQL does not take.
    """

    kind: message_format.Kind
    target: int
    letters: list[Letter]
    prepared: Prepared | None = None
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def deliveries(self) -> list[Delivery]:
        """A delivery for each message, with the rows of it that PostgreSQL refused."""
        found = [Delivery(each.message.rows, each.message.received_at, each.place) for each in self.letters]
        return [each._replace(refused=self.refused) for each in found] if self.refused else found


def group(letters: Iterable[Letter]) -> list[Group]:
    """Messages by target, in order of partition and offset; samples before labels, which then find them at once.

    Of all partitions together: two workers that store ids of a version, some of one partition and then some of
    another, would wait for each other.
    """
    groups: dict[tuple[bool, int], Group] = {}
    for letter in sorted(letters, key=lambda letter: (letter.partition, letter.offset)):
        kind, target = letter.message.kind, letter.message.target
        groups.setdefault((kind == "labels", target), Group(kind, target, [])).letters.append(letter)
    return [groups[key] for key in sorted(groups)]


def prepare_groups(targets: Targets, org: Organization, groups: Iterable[Group]) -> None:
    """Decode what groups have, before the transaction. One whose target is gone stays as it is."""
    for each in groups:
        with suppress(errors.NotFound):
            each.prepared = prepare(targets, Address(org, each.kind, each.target), each.deliveries)


def store_groups(
    session: Session, org: Organization, groups: Sequence[Group], read: Mapping[Partition, Stretch]
) -> set[str]:
    """Store the messages that the organization does not have yet; returns what is gone, whose messages are dropped.

    `read`: how the messages of each partition were read. Raises Sought. Locks in one order everywhere: offsets, models,
    rows, versions.
    """
    reached = dict[Partition, int]()
    for letter in (letter for each in groups for letter in each.letters):
        reached[letter.partition] = max(letter.offset + 1, reached.get(letter.partition, 0))
    spans = {where: _advance(session, where, after, read[where]) for where, after in sorted(reached.items())}
    fresh = [left for each in groups if (left := _unknown(each, spans)) is not None]
    lock_models(
        session,
        (each.target for each in fresh if each.kind == "samples"),
        (each.target for each in fresh if each.kind == "labels"),
    )
    return {why for each in fresh if (why := _store_group(session, org, each, spans))}


Spans = Mapping[Partition, Span | None]


def _advance(session: Session, partition: Partition, next_offset: int, read: Stretch) -> Span | None:
    """Move the organization's offset, following a seek first. None when it stays where it is (offsets.lock)."""
    if (found := offsets.lock(session, partition, read)) is None:
        return None
    stood, stands = found
    if stands != stood:
        ledger.seek(session, Span(partition, stood, stands, 0))
    if next_offset > stands:
        offsets.move(session, partition, next_offset)
    return Span(partition, stands, max(stands, next_offset), 0)


def _unknown(group: Group, spans: Spans) -> Group | None:
    """What the organization may not have yet of a group; it is decoded again when that is only a part."""
    begins = {where: span.first_offset if span else 0 for where, span in spans.items()}
    left = [letter for letter in group.letters if letter.offset >= begins[letter.partition]]
    if len(left) == len(group.letters):
        return group
    return replace(group, letters=left, prepared=None) if left else None


def _store_group(session: Session, org: Organization, group: Group, spans: Spans) -> str:
    """Store messages of one target; says what is gone, when it is."""
    try:
        if group.prepared is not None:
            store(session, group.prepared, _moves(group, spans))
        elif group.kind == "samples":
            store_samples(session, org, group.target, group.deliveries, _moves(group, spans))
        else:
            store_labels(session, group.target, group.deliveries, _moves(group, spans))
    except errors.NotFound as gone:
        _require_gone(session, group)
        drop(session, group, spans, str(gone))
        return str(gone)
    return ""


def _moves(group: Group, spans: Spans) -> list[Span]:
    """How the offset moved in each partition of a group, with how many messages of the group."""
    counts = Counter(letter.partition for letter in group.letters)
    return [replace(span, messages=count) for where, count in counts.items() if (span := spans[where]) is not None]


def _require_gone(session: Session, group: Group) -> None:
    """Raises InvalidInput for what was never there: such a message is a mistake, which somebody should see."""
    sequence, what = ("versions_id_seq", "version") if group.kind == "samples" else ("models_id_seq", "model")
    if group.target > (session.scalar(text(f"select last_value from {sequence}")) or 0):
        raise errors.InvalidInput(f"there has never been a {what} {group.target} in this organization")


def drop(session: Session, group: Group, spans: Spans, why: str) -> None:
    """Write the ledger's line of rows that nobody can store any more."""
    rows = sum(len(delivery.rows) for delivery in group.deliveries)
    source, outcome = group.letters[0].place, Outcome(taken=rows)
    moves = _moves(group, spans)
    ledger.enter(session, group.kind, source, outcome, model_id=None, spans=moves, dropped=rows, note=why)


def drop_dead(session: Session, letter: Letter, read: Stretch, why: str) -> None:
    """Pass over a message that is a dead letter, where the organization does not have it yet. Raises Sought."""
    spans = {letter.partition: _advance(session, letter.partition, letter.offset + 1, read)}
    if (left := _unknown(group([letter])[0], spans)) is not None:
        drop(session, left, spans, f"dead letter: {why}"[:500])


def lock_models(session: Session, version_ids: Iterable[int], model_ids: Iterable[int]) -> None:
    """Lock the models of these versions for samples, these models for labels; in order of id, and none twice.

    A worker that held a model for samples and then wanted it for labels would wait for another one that does the same.
    """
    labelled = set(model_ids)
    sampled = select(Version.model_id).where(Version.id.in_(set(version_ids)))
    chosen = select(Model).where(Model.id.in_(labelled) | Model.id.in_(sampled)).order_by(Model.id)
    for model in session.scalars(chosen).all():
        sample_tables.lock_model(session, model, shared=model.id not in labelled)
