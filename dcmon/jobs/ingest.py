"""Ingest from Kafka into PostgreSQL, exactly once. `dcmon.ingestion.message_batches` describes the steps.

There are two threads: one reads and decodes the next batch while the other stores the previous one.
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
from dcmon.ingestion import dead_letters, kafka, message_batches, offsets, topic_registry
from dcmon.ingestion.kafka import NamedPartition
from dcmon.ingestion.message_batches import MessageBatch
from dcmon.ingestion.offsets import LastSeek, OffsetReset
from dcmon.ingestion.target_cache import TargetCache
from dcmon.storage.ledger import TopicPartition

log = logging.getLogger(__name__)
T = TypeVar("T")

OUTAGES = (errors.Unreachable, errors.DiskFull)
PARKED_INTERVAL = 5.0  # seconds between attempts to store parked messages
TOPICS_INTERVAL = 10.0  # seconds between checks that no topic was recreated
LOOKUP_WAIT = timedelta(milliseconds=200)  # the longest wait for the locks of one organization, as others wait too
DRAIN_TIMEOUT = 25.0  # seconds for the current batch after the worker was told to stop
MESSAGES_PER_READ = 250


@dataclass
class IntervalTimer:
    """A callable that returns True once, each time that `interval` seconds have passed."""

    interval: float
    last: float = float("-inf")

    def __call__(self) -> bool:
        if (now := time.monotonic()) - self.last < self.interval:
            return False
        self.last = now
        return True


@dataclass
class Subscription:
    """The state of one subscription. `seeks` has the last seek of each assigned partition."""

    app: App
    stop: Event
    targets: TargetCache
    topics: dict[str, uuid.UUID]
    seeks: dict[NamedPartition, LastSeek] = field(default_factory=dict)

    def start_at(self, partition: NamedPartition) -> int | None:
        """Return the first offset to read of a newly assigned partition.

        None if the partition was never read, or if the worker was told to stop.
        """
        committed = _wait_out_outages(self.stop, lambda: self._committed_offset(partition), lambda: self.stop.wait(1))
        self.seeks[partition] = committed.seek if committed else LastSeek()
        return committed.next_offset if committed else None

    def _committed_offset(self, partition: NamedPartition) -> offsets.CommittedOffset:
        with self.app.public() as session:
            return offsets.committed_offset(session, TopicPartition(self.topics[partition.topic], partition.partition))


def run(app: App, stop: Event) -> None:
    """Consume until stop is set. Outages of Kafka and PostgreSQL are waited out.

    Raises LogTruncated, LogExpired or TopicRemade. Their messages name the command with which an operator continues.
    """
    targets = TargetCache(app.engine, LOOKUP_WAIT)
    while not stop.is_set():
        topic_ids = _wait_out_outages(
            stop, lambda: topic_registry.resolve_ids(app.engine, app.settings.kafka), lambda: stop.wait(1)
        )
        if topic_ids is None:
            return
        subscription = Subscription(app, stop, targets, topic_ids)
        with closing(kafka.Consumer(app.settings.kafka, subscription.start_at)) as consumer:
            try:
                _consume(subscription, consumer)
            except OffsetReset:
                log.warning("the committed offsets have changed: reading continues from the new ones")
            except errors.LogTruncated:
                topic_registry.resolve_ids(app.engine, app.settings.kafka)  # raises TopicRemade if that is the cause
                raise


def _consume(subscription: Subscription, consumer: kafka.Consumer) -> None:
    """Consume until stop is set. While one batch is stored, the next one is read and decoded."""
    app, stop = subscription.app, subscription.stop
    parked_are_due, topics_are_due = IntervalTimer(PARKED_INTERVAL), IntervalTimer(TOPICS_INTERVAL, time.monotonic())
    task: StoreTask | None = None
    while not stop.is_set():
        if topics_are_due():
            _check_topics(app, consumer)
        batch = _read_batch(subscription, consumer)
        if batch.partitions:
            message_batches.decode(subscription.targets, batch)
        if task is not None:
            _finish(subscription, consumer, task)
        if stop.is_set():
            break
        if parked_are_due():
            _wait_out_outages(stop, lambda: _retry_parked(subscription), lambda: consumer.idle(1))
        task = StoreTask(subscription, batch) if batch.partitions else None
    if task is not None:
        _drain(consumer, task)


def _check_topics(app: App, consumer: kafka.Consumer) -> None:
    """Check that no topic was recreated and no log truncated. Raises TopicRemade or LogTruncated."""
    try:
        topic_registry.resolve_ids(app.engine, app.settings.kafka)
    except OUTAGES as error:
        log.debug("the topics could not be checked: %s", error)
    consumer.require_not_truncated()


def _read_batch(subscription: Subscription, consumer: kafka.Consumer) -> MessageBatch:
    """Read a batch until it has enough rows or bytes, or DCMON_KAFKA__BATCH_WAIT is over."""
    settings, batch = subscription.app.settings.kafka, MessageBatch()
    deadline = time.monotonic() + settings.batch_wait.total_seconds()
    per_read = min(MESSAGES_PER_READ, max(1, settings.batch_rows // settings.rows_per_message))
    while batch.row_count < settings.batch_rows and batch.byte_count < settings.batch_bytes:
        seconds_left = deadline - time.monotonic()
        if seconds_left < 0.001 or subscription.stop.is_set():
            break
        for received in consumer.read(per_read, seconds_left):
            position = received.position
            seek = subscription.seeks[NamedPartition(position.topic, position.partition)]
            batch.add(TopicPartition(subscription.topics[position.topic], position.partition), received, seek)
    return batch


class StoreTask:
    """The storing of a batch, on a daemon thread. If the process ends before the commit, the batch is read again."""

    def __init__(self, subscription: Subscription, batch: MessageBatch) -> None:
        self.subscription, self.batch = subscription, batch
        self.begin()

    def begin(self) -> None:
        """Start to store the batch: the first time, or again after an outage."""
        self.done = Future[bool]()
        Thread(target=self._work, args=(self.done,), name="storing", daemon=True).start()

    def _work(self, done: "Future[bool]") -> None:
        try:
            done.set_result(_store(self.subscription, self.batch))
        except BaseException as error:
            done.set_exception(error)

    def result(self, idle: Callable[[], object]) -> bool:
        """Wait until the batch is stored, and return True. Return False if the worker was told to stop.

        `idle` is called every second during the wait. Raises the error with which storing failed.
        """
        while not self.subscription.stop.is_set():
            try:
                return self.done.result(timeout=1)
            except FutureTimeout:
                if not self.done.done():
                    idle()
        return False


def _store(subscription: Subscription, batch: MessageBatch) -> bool:
    touched_orgs = message_batches.store(subscription.app.engine, subscription.targets, batch)
    _enqueue(subscription.app, touched_orgs)
    if any(part.dead_letters for part in batch.partitions.values()):
        send_dead_letters(subscription.app)
    return True


def _finish(subscription: Subscription, consumer: kafka.Consumer, task: StoreTask) -> None:
    """Wait until a batch is stored, and commit it to Kafka. Stay a member of the group; retry after an outage."""

    def store_again() -> None:
        consumer.idle(1)
        task.begin()

    if _wait_out_outages(subscription.stop, lambda: task.result(lambda: consumer.idle(0)), store_again):
        consumer.commit(task.batch.next_offsets)


def _drain(consumer: kafka.Consumer, task: StoreTask) -> None:
    """Wait at most DRAIN_TIMEOUT for the current batch. If it is not stored in time, it will be read again."""
    try:
        task.done.result(timeout=DRAIN_TIMEOUT)
    except FutureTimeout:
        log.warning("stopped before the current batch was stored: it will be read again")
    except (*OUTAGES, OffsetReset) as error:
        log.warning("stopped before the current batch was stored, it will be read again: %s", error)
    else:
        consumer.commit(task.batch.next_offsets)


def _retry_parked(subscription: Subscription) -> bool:
    _enqueue(subscription.app, message_batches.retry_parked(subscription.app.engine, subscription.targets))
    send_dead_letters(subscription.app)
    return True


def send_dead_letters(app: App) -> int:
    """Copy dead letters to their topic, at least once. Return how many.

    The headers are the original position and the reason.
    """
    with app.public() as session:
        unsent = dead_letters.lock_unsent(session, 100)
        if not unsent:
            return 0
        name = kafka.topic_name(app.settings.kafka, kafka.DEAD_LETTERS)
        bodies = [(dead_letter.body or b"")[: kafka.MAX_MESSAGE_BYTES // 2] for dead_letter in unsent]
        headers = [dead_letter.headers for dead_letter in unsent]
        try:
            try:
                app.producer.send(name, bodies, headers)
            except errors.TooLarge:  # the topic has a lower limit; the headers alone still name position and reason
                app.producer.send(name, [b""] * len(unsent), headers)
        except errors.Unreachable as error:
            log.debug("dead letters can't be sent to Kafka now: %s", error)
            return 0
        dead_letters.mark_sent(session, unsent)
    return len(unsent)


def _wait_out_outages(stop: Event, work: Callable[[], T], idle: Callable[[], object]) -> T | None:
    """Call `work` until no outage interrupts it; None if the worker was told to stop. `idle` runs before each retry."""
    has_warned = False
    while not stop.is_set():
        try:
            result = work()
        except OUTAGES as error:
            if not has_warned:
                log.warning("waiting: %s", error)
            has_warned = True
            idle()
            continue
        if has_warned:
            log.warning("the outage is over: work continues")
        return result
    return None


def _enqueue(app: App, org_ids: Iterable[int]) -> None:
    for org_id in org_ids:
        work_queue.enqueue_now(app.engine, org_id, work_queue.Work.evaluate)
