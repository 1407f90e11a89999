"""Ingest: from Kafka into PostgreSQL, exactly once (dcmon.ingestion.message_batches has the order of things).

Two threads: one reads and decodes the next batch while the other stores the one before.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Thread
from typing import TypeVar

from dcmon import errors
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.ingestion import dead_letters, kafka, message_batches, offsets, topics
from dcmon.ingestion.message_batches import MessageBatch
from dcmon.ingestion.offsets import LastSeek, OffsetReset
from dcmon.ingestion.target_cache import TargetCache
from dcmon.storage.ledger import TopicPartition

log = logging.getLogger(__name__)
T = TypeVar("T")

AWAY = (errors.Unreachable, errors.DiskFull)
PARKED_EVERY = 5.0  # seconds between tries to store what is parked
TOPICS_EVERY = 10.0  # seconds between looks whether the topics are the same
LOOK_WAIT = timedelta(milliseconds=200)  # who reads for all does not wait for one organization
DRAIN = 25.0  # seconds for the batch at hand when it is time to stop
MESSAGES_PER_READ = 250


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


@dataclass
class Reading:
    """What one subscription works with: the topics' ids, and the seeks after which its partitions are read."""

    app: App
    stop: Event
    targets: TargetCache
    topics: dict[str, uuid.UUID]
    seeks: dict[tuple[str, int], LastSeek] = field(default_factory=dict)

    def start_at(self, topic: str, partition: int) -> int | None:
        """Where a partition that was just assigned starts."""
        found = _patiently(self.stop, lambda: self._floor(topic, partition), lambda: self.stop.wait(1))
        self.seeks[topic, partition] = found.seek if found else LastSeek()
        return found.next_offset if found else None

    def _floor(self, topic: str, partition: int) -> offsets.CommittedOffset:
        with self.app.public() as session:
            return offsets.committed(session, TopicPartition(self.topics[topic], partition))


def run(app: App, stop: Event) -> None:
    """Consume until stop is set. Kafka and PostgreSQL are waited for when they are away.

    Raises LogTruncated, LogExpired or TopicRemade, each with the command that decides.
    """
    targets = TargetCache(app.engine, LOOK_WAIT)
    while not stop.is_set():
        found = _patiently(stop, lambda: topics.resolve_ids(app.engine, app.settings.kafka), lambda: stop.wait(1))
        if found is None:
            return
        reading = Reading(app, stop, targets, found)
        with closing(kafka.Consumer(app.settings.kafka, reading.start_at)) as consumer:
            try:
                _consume(reading, consumer)
            except OffsetReset:
                log.warning("the offsets were set anew: reading from there")
            except errors.LogTruncated:
                topics.resolve_ids(app.engine, app.settings.kafka)  # raises TopicRemade when that is why
                raise


def _consume(reading: Reading, consumer: kafka.Consumer) -> None:
    """Until stop is set. While one batch is stored, the next one is read and decoded."""
    app, stop = reading.app, reading.stop
    parked_are_due, topics_are_due = Turns(PARKED_EVERY), Turns(TOPICS_EVERY, time.monotonic())
    storing: Storing | None = None
    while not stop.is_set():
        if topics_are_due():
            _look_at_topics(app, consumer)
        batch = _fill(reading, consumer)
        if batch.partitions:
            message_batches.decode(reading.targets, batch)
        if storing is not None:
            _finish(reading, consumer, storing)
        if stop.is_set():
            break
        if parked_are_due():
            _patiently(stop, lambda: _retry_parked(reading), lambda: consumer.idle(1))
        storing = Storing(reading, batch) if batch.partitions else None
    if storing is not None:
        _drain(consumer, storing)


def _look_at_topics(app: App, consumer: kafka.Consumer) -> None:
    """Raises TopicRemade or LogTruncated."""
    try:
        topics.resolve_ids(app.engine, app.settings.kafka)
    except AWAY as error:
        log.debug("the topics could not be looked at: %s", error)
    consumer.require_not_truncated()


def _fill(reading: Reading, consumer: kafka.Consumer) -> MessageBatch:
    """A batch: until it has enough rows or bytes, or its time is over."""
    settings, batch = reading.app.settings.kafka, MessageBatch()
    ends = time.monotonic() + settings.batch_wait.total_seconds()
    per_read = min(MESSAGES_PER_READ, max(1, settings.batch_rows // settings.rows_per_message))
    while batch.row_count < settings.batch_rows and batch.byte_count < settings.batch_bytes:
        left = ends - time.monotonic()
        if left < 0.001 or reading.stop.is_set():
            break
        for received in consumer.read(per_read, left):
            position = received.position
            partition = TopicPartition(reading.topics[position.topic], position.partition)
            batch.add(partition, received, reading.seeks[position.topic, position.partition])
    return batch


class Storing:
    """A batch that is being stored, on a thread that ends with the process: what it has not committed is read again."""

    def __init__(self, reading: Reading, batch: MessageBatch) -> None:
        self.reading, self.batch = reading, batch
        self.begin()

    def begin(self) -> None:
        """Store it, once more if need be."""
        self.done = Future[bool]()
        Thread(target=self._work, args=(self.done,), name="storing", daemon=True).start()

    def _work(self, done: "Future[bool]") -> None:
        try:
            done.set_result(_take(self.reading, self.batch))
        except BaseException as error:
            done.set_exception(error)

    def result(self, rest: Callable[[], object]) -> bool:
        """Whether it is stored; False when it is time to stop. Raises what storing raised."""
        while not self.reading.stop.is_set():
            try:
                return self.done.result(timeout=1)
            except FutureTimeout:
                if not self.done.done():
                    rest()
        return False


def _take(reading: Reading, batch: MessageBatch) -> bool:
    touched = message_batches.store(reading.app.engine, reading.targets, batch)
    _ring(reading.app, touched)
    if any(part.dead_letters for part in batch.partitions.values()):
        send_dead_letters(reading.app)
    return True


def _finish(reading: Reading, consumer: kafka.Consumer, storing: Storing) -> None:
    """Wait until a batch is stored, staying a member of the group; again when what it needs was away."""

    def again() -> None:
        consumer.idle(1)
        storing.begin()

    if _patiently(reading.stop, lambda: storing.result(lambda: consumer.idle(0)), again):
        consumer.commit(storing.batch.next_offsets)


def _drain(consumer: kafka.Consumer, storing: Storing) -> None:
    """Let the batch at hand end, within a bound: what is not committed by then will be read again."""
    try:
        storing.done.result(timeout=DRAIN)
    except FutureTimeout:
        log.warning("stopped before the batch at hand was stored: it will be read again")
    except (*AWAY, OffsetReset) as error:
        log.warning("stopped before the batch at hand was stored, it will be read again: %s", error)
    else:
        consumer.commit(storing.batch.next_offsets)


def _retry_parked(reading: Reading) -> bool:
    _ring(reading.app, message_batches.retry_parked(reading.app.engine, reading.targets))
    send_dead_letters(reading.app)
    return True


def send_dead_letters(app: App) -> int:
    """Copy dead letters to their topic, with where they stood and why in the headers; at least once. How many."""
    with app.public() as session:
        dead = dead_letters.lock_unsent(session, 100)
        if not dead:
            return 0
        name = kafka.topic_name(app.settings.kafka, kafka.DEAD_LETTERS)
        bodies = [(each.body or b"")[: kafka.MAX_MESSAGE_BYTES // 2] for each in dead]
        headers = [each.headers for each in dead]
        try:
            try:
                app.producer.send(name, bodies, headers)
            except errors.TooLarge:  # of the topic's own bound: without them there is still where they stood, and why
                app.producer.send(name, [b""] * len(dead), headers)
        except errors.Unreachable as error:
            log.debug("dead letters wait for Kafka: %s", error)
            return 0
        dead_letters.mark_sent(session, dead)
    return len(dead)


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


def _ring(app: App, org_ids: Iterable[int]) -> None:
    for org_id in org_ids:
        work_queue.enqueue_now(app.engine, org_id, work_queue.Work.evaluate)
