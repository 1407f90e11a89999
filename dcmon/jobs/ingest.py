"""Ingest: from Kafka into PostgreSQL, exactly once.

In this order: (1) read a batch; (2) for each organization, in one transaction: lock its offsets, drop what it has,
store rows, move its offsets; (3) in "public": keep dead letters and parked messages, raise the floor, ring; (4) tell
Kafka. A crash anywhere repeats from the floor, and (2) drops what is there.
"""

import logging
import struct
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from threading import Event
from typing import TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from dcmon import db, errors, ingestion, kafka, letters, messages, offsets, organizations, wake
from dcmon.app import App
from dcmon.db import Organization
from dcmon.letters import Letter
from dcmon.messages import Unreadable
from dcmon.offsets import Partition
from dcmon.settings import Kafka

log = logging.getLogger(__name__)
T = TypeVar("T")
Topics = dict[str, uuid.UUID]

AWAY = (errors.Unreachable, errors.DiskFull)
BLOCKED = (errors.SchemaOutOfDate, errors.SchemaTooNew, errors.Locked)
CONTENT = (DataError, IntegrityError, errors.InvalidInput, ValueError, OverflowError, struct.error)
RETRIED = {"40P01", "40001", "55P03", "42P01"}  # deadlock, serialization failure, lock not available, table just gone
TRIES = 5
LOCK_WAIT = timedelta(seconds=3)
PARKED_LOCK_WAIT = timedelta(milliseconds=200)  # others have waited for this organization already
MESSAGES_AT_ONCE = 250  # one of its own time of receipt costs some 6 ms: keeps a transaction below about 2 s
PARKED_AT_ONCE = 100
PARKED_EVERY, PARKED_FOR = 5.0, 10.0  # seconds between tries, and for one: nobody else waits longer
TOPICS_EVERY = 30.0  # seconds


@dataclass
class Sorted:
    """A batch by what is to be done with it."""

    letters: dict[int, list[Letter]] = field(default_factory=lambda: defaultdict(list))
    rows: int = 0
    dead: list[tuple[Partition, int, bytes | None, str]] = field(default_factory=list)
    parked: list[tuple[Letter, str]] = field(default_factory=list)
    reached: dict[Partition, int] = field(default_factory=dict)
    places: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass
class Turns:
    """True at once, and then every so many seconds."""

    every: float
    last: float = float("-inf")

    def __call__(self) -> bool:
        if (now := time.monotonic()) - self.last < self.every:
            return False
        self.last = now
        return True


def run(app: App, stop: Event) -> None:
    """Consume until stop is set. Kafka and PostgreSQL are waited for when they are away. Raises LogTruncated."""
    while (topics := _topics(app, stop)) is not None:
        with closing(kafka.Consumer(app.settings.kafka, _start(app, stop, topics))) as consumer:
            try:
                _consume(app, stop, consumer, topics)
            except errors.LogTruncated:
                if not _are_remade(app, topics):
                    raise


def _start(app: App, stop: Event, topics: Topics) -> Callable[[str, int], int | None]:
    def start_at(topic: str, partition: int) -> int | None:
        return _patiently(stop, lambda: _floor(app, (topics[topic], partition)), lambda: stop.wait(1))

    return start_at


def _consume(app: App, stop: Event, consumer: kafka.Consumer, topics: Topics) -> None:
    """Until stop is set, or until the topics are others."""
    parked_are_due, topics_are_due = Turns(PARKED_EVERY), Turns(TOPICS_EVERY, time.monotonic())
    while not stop.is_set():
        if parked_are_due():
            _patiently(stop, lambda: retry_parked(app), lambda: consumer.idle(1))
        if topics_are_due() and _are_remade(app, topics):
            return
        batch = _fill(consumer, topics, app.settings.kafka)
        if not batch.places:
            continue
        if _patiently(stop, partial(take, app, batch), lambda: consumer.idle(1)):
            consumer.commit(batch.places)


def _fill(consumer: kafka.Consumer, topics: Topics, settings: Kafka) -> Sorted:
    """A batch: until it has enough rows or messages, or its time is over."""
    batch, ends = Sorted(), time.monotonic() + settings.batch_wait.total_seconds()
    per_read = min(MESSAGES_AT_ONCE, max(1, settings.batch_rows // settings.rows_per_message))
    messages_left = MESSAGES_AT_ONCE
    while messages_left > 0 and batch.rows < settings.batch_rows and (left := ends - time.monotonic()) > 0:
        received = consumer.read(min(per_read, messages_left), left)
        messages_left -= len(received)
        sort(received, topics, batch)
    return batch


def _topics(app: App, stop: Event) -> Topics | None:
    """The ids of the topics, when Kafka answers; None when it is time to stop."""
    return _patiently(stop, lambda: kafka.ensure_topics(app.settings.kafka), lambda: stop.wait(1))


def _are_remade(app: App, topics: Topics) -> bool:
    """Whether a topic was deleted and made again: then its offsets say nothing, and it is read from its beginning."""
    try:
        found = kafka.ensure_topics(app.settings.kafka)
    except errors.Unreachable as error:
        log.debug("the topics could not be looked at: %s", error)
        return False
    for name in (name for name in topics if topics[name] != found[name]):
        log.warning("topic %s was deleted and made again: consuming it from its beginning", name)
    return found != topics


def _patiently(stop: Event, work: Callable[[], T], rest: Callable[[], object]) -> T | None:
    """Do the same work again until what it needs is back; None when it is time to stop."""
    said = False
    while not stop.is_set():
        try:
            done = work()
        except AWAY as error:
            if not said:
                log.warning("waiting: %s", error)
            said = True
            rest()
            continue
        if said:
            log.warning("going on: what was waited for is back")
        return done
    return None


def _floor(app: App, partition: Partition) -> int | None:
    with app.public() as session:
        return offsets.floor(session, partition)


def sort(received: Sequence[kafka.Received], topics: Topics, batch: Sorted | None = None) -> Sorted:
    """Messages by organization; those that can't be read set apart."""
    batch = batch or Sorted()
    for each in received:
        place = each.place
        partition, key = (topics[place.topic], place.partition), (place.topic, place.partition)
        # A partition that was taken away and given back may be read once more: never go back.
        batch.reached[partition] = batch.places[key] = max(batch.places.get(key, 0), place.offset + 1)
        try:
            message = messages.unpack(each.value)
        except Unreadable as why:
            batch.dead.append((partition, place.offset, each.value, str(why)))
            continue
        batch.rows += len(message.rows)
        batch.letters[message.org].append(Letter(partition, place.offset, each.value or b"", message))
    return batch


def take(app: App, batch: Sorted) -> bool:
    """Steps 2 and 3 for a batch. Safe to repeat."""
    with app.public() as session:
        orgs = {org_id: organizations.by_id(session, org_id) for org_id in batch.letters}
        behind = letters.waiting(session, batch.letters)
    batch.parked.clear()
    touched = []
    for org_id, mine in sorted(batch.letters.items()):
        org = orgs[org_id]
        if org is None:
            log.warning("dropped %d messages of organization %d, which is gone", len(mine), org_id)
        elif org_id in behind:
            batch.parked += [(letter, "earlier messages wait") for letter in mine]
        elif (why := _store(app, org, mine, LOCK_WAIT)) is not None:
            log.warning("organization %s: %d messages wait: %s", org.name, len(mine), why)
            batch.parked += [(letter, why) for letter in mine]
        else:
            touched.append(org_id)
    _settle(app, batch)
    _ring(app, touched)
    return True


def _store(app: App, org: Organization, mine: Sequence[Letter], wait: timedelta) -> str | None:
    """Store an organization's messages; why not, when it can't be entered now."""
    try:
        _store_all(app, org, sorted(mine, key=lambda letter: (letter.partition, letter.offset)), wait)
    except errors.OrganizationNotFound:
        log.warning("dropped %d messages of organization %s, which is gone", len(mine), org.name)
    except BLOCKED as error:
        return str(error)
    return None


def _store_all(app: App, org: Organization, mine: Sequence[Letter], wait: timedelta) -> None:
    """A message whose content PostgreSQL refuses is found by halving, and costs itself alone.

    It is a dead letter before a later message moves the offset past it: a crash in between repeats, and loses nothing.
    """
    try:
        _store_once(app, org, mine, wait)
    except CONTENT as error:
        if len(mine) == 1:
            reason = str(getattr(error, "orig", error)).strip()
            log.warning("organization %s: dead letter at %s: %s", org.name, mine[0].place, reason)
            with app.public() as session:
                letters.bury(session, mine[0].partition, mine[0].offset, mine[0].value, reason)
            return
        half = len(mine) // 2
        _store_all(app, org, mine[:half], wait)
        _store_all(app, org, mine[half:], wait)


def _store_once(app: App, org: Organization, mine: Sequence[Letter], wait: timedelta) -> None:
    """All or nothing. Raises Locked when locks could not be had in several tries."""
    for tried in range(TRIES):
        try:
            with db.org_session(app.engine, org, wait=wait) as session:
                gone = ingestion.store_letters(session, org, mine)
            for why in sorted(gone):
                log.warning("organization %s: dropped messages: %s", org.name, why)
            return
        except DBAPIError as error:
            if db.sqlstate(error) not in RETRIED:
                raise
            last = error
            time.sleep(0.05 * tried)
    raise errors.Locked(f"Organization {org.name!r} could not be written in {TRIES} tries: {last.orig}") from last


def _settle(app: App, batch: Sorted) -> None:
    """Dead letters, parked messages and the floor, in one transaction."""
    with app.public() as session:
        for (topic_id, partition), offset, body, reason in batch.dead:
            letters.bury(session, (topic_id, partition), offset, body, reason)
            log.warning("dead letter at %s/%d/%d: %s", topic_id, partition, offset, reason)
        for letter, reason in batch.parked:
            letters.park(session, letter, reason)
        offsets.raise_floors(session, batch.reached)


def retry_parked(app: App) -> int:
    """Store parked messages of organizations that can be entered again, oldest first; returns how many."""
    done, ends = 0, time.monotonic() + PARKED_FOR
    with app.public() as session:
        orgs = {org_id: organizations.by_id(session, org_id) for org_id in letters.waiting(session)}
    for org_id, org in orgs.items():
        while time.monotonic() < ends and (mine := _parked(app, org_id)):
            if org is not None and _store(app, org, mine, PARKED_LOCK_WAIT) is not None:
                break
            with app.public() as session:
                letters.release(session, mine)
            _ring(app, [org_id])
            done += len(mine)
    if done:
        log.info("stored %d messages that were parked", done)
    return done


def _parked(app: App, org_id: int) -> list[Letter]:
    with app.public() as session:
        return letters.parked(session, org_id, PARKED_AT_ONCE)


def _ring(app: App, org_ids: Iterable[int]) -> None:
    with app.public() as session:
        for org_id in org_ids:
            wake.ring(session, org_id, wake.Work.evaluate)
