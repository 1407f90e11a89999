"""Ingest: from Kafka into PostgreSQL, exactly once.

In this order: (1) read a batch; (2) for each organization, in one transaction: lock its offsets, drop what it has,
store rows, move its offsets; (3) in "public": keep dead letters and parked messages, raise the floor, ring; (4) tell
Kafka. A crash anywhere repeats from the floor, and (2) drops what is there.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db, errors, ingestion, kafka, messages, offsets, organizations, wake
from dcmon.app import App
from dcmon.db import Organization
from dcmon.ingestion import Source
from dcmon.messages import Message, Unreadable
from dcmon.offsets import Partition
from dcmon.tables.public import DeadLetter, ParkedMessage

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRIED = {"40P01", "40001", "55P03"}  # deadlock, serialization failure, lock not available
BLOCKED = (errors.SchemaOutOfDate, errors.SchemaTooNew, errors.Locked)
PARKED_AT_ONCE = 100
PARKED_EVERY = 5.0  # seconds


@dataclass(frozen=True)
class Letter:
    """A message with the partition and offset that it came from."""

    partition: Partition
    offset: int
    value: bytes
    message: Message


@dataclass
class Sorted:
    """A batch by what is to be done with it."""

    letters: dict[int, list[Letter]] = field(default_factory=lambda: defaultdict(list))
    dead: list[tuple[Partition, int, bytes | None, str]] = field(default_factory=list)
    parked: list[tuple[Letter, str]] = field(default_factory=list)
    reached: dict[Partition, int] = field(default_factory=dict)
    places: dict[tuple[str, int], int] = field(default_factory=dict)


def run(app: App, stop: Event) -> None:
    """Consume until stop is set. Kafka and PostgreSQL are waited for when they are away."""
    topics = _topics(app, stop)
    if topics is None:
        return
    settings = app.settings.kafka

    def start_at(topic: str, partition: int) -> int | None:
        return _patiently(stop, lambda: _floor(app, (topics[topic], partition)), lambda: stop.wait(1))

    consumer = kafka.Consumer(settings, start_at)
    per_read = max(1, settings.batch_rows // settings.rows_per_message)
    idle_for = PARKED_EVERY
    try:
        while not stop.is_set():
            received = consumer.read(per_read, settings.batch_wait.total_seconds())
            idle_for += settings.batch_wait.total_seconds()
            if idle_for >= PARKED_EVERY:
                _patiently(stop, lambda: retry_parked(app), lambda: consumer.idle(1))
                idle_for = 0.0
            if received:
                batch = sort(received, topics)
                if _patiently(stop, lambda batch=batch: take(app, batch), lambda: consumer.idle(1)):  # type: ignore[misc]
                    consumer.commit(batch.places)
    finally:
        consumer.close()


def _topics(app: App, stop: Event) -> dict[str, uuid.UUID] | None:
    """The ids of the topics, when Kafka answers; None when it is time to stop."""
    said = False
    while not stop.is_set():
        try:
            return kafka.ensure_topics(app.settings.kafka)
        except errors.Unreachable as error:
            if not said:
                log.warning("waiting: %s", error)
            said = True
            stop.wait(1)
    return None


def _patiently(stop: Event, work: Callable[[], T], rest: Callable[[], object]) -> T | None:
    """Do the same work again until PostgreSQL lets it succeed; None when it is time to stop."""
    said = False
    while not stop.is_set():
        try:
            done = work()
        except errors.Unreachable as error:
            if not said:
                log.warning("waiting: %s", error)
            said = True
            rest()
            continue
        if said:
            log.warning("PostgreSQL is back: ingesting again")
        return done
    return None


def _floor(app: App, partition: Partition) -> int | None:
    with app.public() as session:
        return offsets.floor(session, partition)


def sort(received: Sequence[kafka.Received], topics: dict[str, uuid.UUID]) -> Sorted:
    """Messages by organization; those that can't be read set apart."""
    batch = Sorted()
    for each in received:
        place = each.place
        partition = (topics[place.topic], place.partition)
        batch.reached[partition] = batch.places[place.topic, place.partition] = place.offset + 1
        try:
            message = messages.unpack(each.value)
        except Unreadable as why:
            batch.dead.append((partition, place.offset, each.value, str(why)))
            continue
        batch.letters[message.org].append(Letter(partition, place.offset, each.value or b"", message))
    return batch


def take(app: App, batch: Sorted) -> bool:
    """Steps 2 and 3 for a batch. Safe to repeat."""
    with app.public() as session:
        orgs = {org_id: organizations.by_id(session, org_id) for org_id in batch.letters}
        behind = set(session.scalars(select(ParkedMessage.org_id).where(ParkedMessage.org_id.in_(list(orgs)))))
    batch.parked.clear()
    touched = []
    for org_id, letters in sorted(batch.letters.items()):
        org = orgs[org_id]
        if org is None:
            log.warning("dropped %d messages of organization %d, which is gone", len(letters), org_id)
        elif org_id in behind:
            batch.parked += [(letter, "earlier messages wait") for letter in letters]
        elif (why := _store(app, org, letters)) is not None:
            batch.parked += [(letter, why) for letter in letters]
        else:
            touched.append(org_id)
    _settle(app, batch)
    _ring(app, touched)
    return True


def _store(app: App, org: Organization, letters: Sequence[Letter]) -> str | None:
    """Store an organization's messages; why not, when it can't be entered now."""
    while True:
        try:
            with db.org_session(app.engine, org) as session:
                fresh = list(letters)
                for partition in sorted({letter.partition for letter in letters}):
                    known = offsets.lock(session, partition)
                    fresh = [each for each in fresh if each.partition != partition or each.offset >= known]
                    offsets.move(session, partition, 1 + max(e.offset for e in letters if e.partition == partition))
                for group in _groups(fresh):
                    _store_group(session, org, group)
            return None
        except errors.OrganizationNotFound:
            log.warning("dropped %d messages of organization %s, which is gone", len(letters), org.name)
            return None
        except BLOCKED as error:
            return str(error)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in RETRIED:
                raise


def _groups(letters: Iterable[Letter]) -> list[list[Letter]]:
    """Messages that are stored together: of one target and one time of receipt, targets in order of id."""
    groups: dict[tuple[object, ...], list[Letter]] = defaultdict(list)
    for letter in letters:
        message = letter.message
        groups[message.kind, message.target, message.logged_at, letter.partition].append(letter)
    # Samples before labels: labels then find them at once, and locks are taken in one order everywhere.
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0] == "labels", *key[1:]))]


def _store_group(session: Session, org: Organization, letters: Sequence[Letter]) -> None:
    first, last = letters[0], letters[-1]
    topic_id, partition = first.partition
    source = Source(f"{topic_id}/{partition}/{first.offset}", first.offset, last.offset + 1)
    rows = [row for letter in letters for row in letter.message.rows]
    store = ingestion.store_samples if first.message.kind == "samples" else ingestion.store_labels
    try:
        store(session, first.message.target, rows, first.message.logged_at, source)
    except errors.NotFound as gone:
        log.warning("organization %s: dropped %d rows: %s", org.name, len(rows), gone)


def _settle(app: App, batch: Sorted) -> None:
    """Dead letters, parked messages and the floor, in one transaction."""
    with app.public() as session:
        for (topic_id, partition), offset, body, reason in batch.dead:
            values = {"topic_id": topic_id, "partition": partition, "at_offset": offset, "body": body, "reason": reason}
            session.execute(insert(DeadLetter).values(values).on_conflict_do_nothing())
            log.warning("dead letter at %s/%d/%d: %s", topic_id, partition, offset, reason)
        for letter, reason in batch.parked:
            topic_id, partition = letter.partition
            values = {
                "topic_id": topic_id, "partition": partition, "at_offset": letter.offset,
                "org_id": letter.message.org, "body": letter.value, "reason": reason,
            }  # fmt: skip
            session.execute(insert(ParkedMessage).values(values).on_conflict_do_nothing())
        offsets.raise_floors(session, batch.reached)


def retry_parked(app: App) -> int:
    """Store parked messages of organizations that can be entered again, oldest first; returns how many."""
    done = 0
    with app.public() as session:
        waiting = list(session.scalars(select(ParkedMessage.org_id).distinct()))
        orgs = {org_id: organizations.by_id(session, org_id) for org_id in waiting}
    for org_id, org in orgs.items():
        while letters := _parked(app, org_id):
            if org is not None and _store(app, org, letters) is not None:
                break
            with app.public() as session:
                for letter in letters:
                    session.execute(
                        delete(ParkedMessage).where(
                            ParkedMessage.topic_id == letter.partition[0],
                            ParkedMessage.partition == letter.partition[1],
                            ParkedMessage.at_offset == letter.offset,
                        )
                    )
            _ring(app, [org_id])
            done += len(letters)
    if done:
        log.info("stored %d messages that were parked", done)
    return done


def _parked(app: App, org_id: int) -> list[Letter]:
    statement = select(ParkedMessage).where(ParkedMessage.org_id == org_id)
    ordered = statement.order_by(ParkedMessage.topic_id, ParkedMessage.partition, ParkedMessage.at_offset)
    with app.public() as session:
        return [
            Letter((each.topic_id, each.partition), each.at_offset, each.body, messages.unpack(each.body))
            for each in session.scalars(ordered.limit(PARKED_AT_ONCE))
        ]


def _ring(app: App, org_ids: Iterable[int]) -> None:
    with app.public() as session:
        for org_id in org_ids:
            wake.ring(session, org_id, wake.Work.evaluate)
