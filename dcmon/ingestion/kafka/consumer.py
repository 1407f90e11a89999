"""A consumer that starts at the offsets in PostgreSQL, and detects lost messages."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import confluent_kafka as ck

from dcmon import errors
from dcmon.ingestion.kafka.client import METADATA_SECONDS, open_client, sent_at, topic_name
from dcmon.settings import Kafka
from dcmon.states import RowKind

log = logging.getLogger(__name__)

SESSION_SECONDS = 10.0  # a member of the group that is silent for so long loses its partitions to the others


class NamedPartition(NamedTuple):
    """A partition of a topic, by the topic's name."""

    topic: str
    partition: int


@dataclass(frozen=True)
class RecordPosition:
    """The position of a message in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class ConsumerRecord:
    """A message with its position and Kafka's time.

    `previous_end` is the offset after the previous message that was read: there are no messages between the two. It is
    None for the first message of a log that was never read.
    """

    position: RecordPosition
    value: bytes | None
    previous_end: int | None
    sent_at: datetime


class Consumer:
    """A member of the ingest group. `start_at` returns the first offset to read (None: the beginning)."""

    def __init__(self, settings: Kafka, start_at: Callable[[NamedPartition], int | None]) -> None:
        self.settings, self._start_at = settings, start_at
        self._logged_errors = set[int]()
        self._buffered = list[ConsumerRecord]()
        self._next_offsets = dict[NamedPartition, int]()
        self._end_at_assignment = dict[NamedPartition, int | None]()
        options = {
            "group.id": settings.group_id,
            "enable.auto.commit": False,
            # If an offset does not exist any more, an operator must decide: to continue at another offset would lose
            # messages or read them twice.
            "auto.offset.reset": "error",
            "session.timeout.ms": int(SESSION_SECONDS * 1000),
            "heartbeat.interval.ms": int(SESSION_SECONDS * 300),
            "max.poll.interval.ms": 300_000,
            "topic.metadata.refresh.interval.ms": 15_000,  # how soon a new partition is read
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 5,  # after the default, one second, a full queue would be empty for some time
            "error_cb": self._log_once,
        }
        self._consumer = open_client(ck.Consumer, settings, options)
        self._consumer.subscribe([topic_name(settings, kind) for kind in RowKind], on_assign=self._on_assign)

    def read(self, messages: int, seconds: float) -> list[ConsumerRecord]:
        """Read at most `messages` messages, waiting at most `seconds`. Raises LogTruncated or LogExpired."""
        buffered, self._buffered = self._buffered, []
        return buffered + self._records(self._consumer.consume(messages, 0 if buffered else seconds))

    def idle(self, seconds: float) -> None:
        """Stay a member of the group for some seconds, while no message can be stored.

        A partition that is assigned meanwhile is not paused: its messages are buffered for `read`. One that is lost
        meanwhile is resumed, too: librdkafka would keep it paused when it comes back.
        """
        paused = self._consumer.assignment()
        self._consumer.pause(paused)
        try:
            message = self._consumer.poll(seconds)
            self._buffered += self._records([message] if message is not None else [])
        finally:
            self._consumer.resume(paused)

    def commit(self, next_offsets: dict[NamedPartition, int]) -> None:
        """Commit offsets to Kafka, only for tools that show the group's lag. So a failure is only logged."""
        offsets = [ck.TopicPartition(*partition, offset) for partition, offset in next_offsets.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except ck.KafkaException as error:
            log.debug("offsets were not committed to Kafka: %s", error)

    def close(self) -> None:
        self._consumer.close()

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        """Start each partition at the offset in PostgreSQL. Offsets that the group committed to Kafka are ignored."""
        for assigned in partitions:
            partition = NamedPartition(assigned.topic, assigned.partition)
            start = self._start_at(partition)
            self._next_offsets.pop(partition, None)
            self._end_at_assignment[partition] = self._end(partition)
            if start is not None:
                self._next_offsets[partition] = start
            assigned.offset = ck.OFFSET_BEGINNING if start is None else start
            log.info("consuming %s/%d from %s", *partition, "its beginning" if start is None else f"offset {start}")
        consumer.assign(partitions)

    def _records(self, messages: Iterable[Any]) -> list[ConsumerRecord]:
        records = []
        for message in messages:
            if (error := message.error()) is not None:
                self._require_in_range(error, NamedPartition(str(message.topic()), int(message.partition() or 0)))
                self._log_once(error)
                continue
            position = RecordPosition(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
            records.append(ConsumerRecord(position, message.value(), self._advance(position), sent_at(message)))
        if records:
            self._logged_errors.clear()
        return records

    def _advance(self, position: RecordPosition) -> int | None:
        """Return the offset after the previous message. Raises LogTruncated if the offset of this one is lower.

        The new messages at offsets that were read before would be mistaken for the earlier ones, and dropped.
        """
        partition = NamedPartition(position.topic, position.partition)
        expected = self._next_offsets.get(partition)
        if expected is not None and position.offset < expected:
            raise errors.LogTruncated(
                topic=position.topic, partition=position.partition, found=position.offset, expected=expected
            )
        self._next_offsets[partition] = position.offset + 1
        return expected

    def _require_in_range(self, error: ck.KafkaError, partition: NamedPartition) -> None:
        """Raise LogExpired or LogTruncated for the error that an offset no longer exists."""
        if error.code() != ck.KafkaError._AUTO_OFFSET_RESET:
            return
        topic, number = partition
        expected = self._next_offsets.get(partition, 0)
        low, high = self._consumer.get_watermark_offsets(ck.TopicPartition(topic, number), timeout=METADATA_SECONDS)
        if expected < low:
            raise errors.LogExpired(topic=topic, partition=number, found=low, expected=expected)
        raise errors.LogTruncated(topic=topic, partition=number, found=high, expected=expected)

    def require_not_truncated(self) -> None:
        """Raise LogTruncated if a log ends before the next offset to read.

        The end is known from the last fetch. Most brokers return an error for such an offset, but not all.
        """
        for partition, expected in self._next_offsets.items():
            end = self._end(partition)
            if end == self._end_at_assignment.get(partition):
                # Not fetched since it was assigned: other members may have read messages after this end.
                continue
            self._end_at_assignment.pop(partition, None)
            if end is not None and end < expected:
                raise errors.LogTruncated(
                    topic=partition.topic, partition=partition.partition, found=end, expected=expected
                )

    def _end(self, partition: NamedPartition) -> int | None:
        """Return the end of a log at its last fetch. None if it was never fetched, or belongs to another member."""
        try:
            watermarks = self._consumer.get_watermark_offsets(ck.TopicPartition(*partition), cached=True)
        except ck.KafkaException:
            return None
        return None if watermarks is None or watermarks[1] < 0 else int(watermarks[1])

    def _log_once(self, error: Any) -> None:
        """Log an error once, until messages can be read again. librdkafka retries by itself."""
        if error.code() not in self._logged_errors:
            log.warning("kafka: %s", error.str())
            self._logged_errors.add(error.code())
