"""A consumer that starts at offsets from the database, and notices a log that lost messages it had read."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import confluent_kafka as ck

from dcmon import errors
from dcmon.ingestion.kafka.client import KINDS, METADATA_SECONDS, open_client, sent_at, topic_name
from dcmon.settings import Kafka

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordPosition:
    """The position of a message in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class ConsumerRecord:
    """A message with its position and Kafka's time of it.

    `previous_end` is the offset after the message that was read before it. Between the two there are no messages. None
    for the first message of a log that was never read.
    """

    position: RecordPosition
    value: bytes | None
    previous_end: int | None
    sent_at: datetime


class Consumer:
    """A member of the ingest group. `start_at` returns where a partition starts (None: at its beginning)."""

    def __init__(self, settings: Kafka, start_at: Callable[[str, int], int | None]) -> None:
        self.settings, self._start_at = settings, start_at
        self._logged_errors = set[int]()
        self._buffered = list[ConsumerRecord]()
        self._next_offsets = dict[tuple[str, int], int]()
        self._end_at_assignment = dict[tuple[str, int], int | None]()
        options = {
            "group.id": settings.group_id,
            "enable.auto.commit": False,
            # When an offset does not exist any more, an operator has to decide: to go on elsewhere would lose messages
            # or read them twice.
            "auto.offset.reset": "error",
            "session.timeout.ms": 10_000,
            "max.poll.interval.ms": 300_000,
            "topic.metadata.refresh.interval.ms": 15_000,  # how soon a new partition is read
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 5,  # the default lets a full queue run dry for a second
            "error_cb": self._log_once,
        }
        self._consumer = open_client(ck.Consumer, settings, options)
        self._consumer.subscribe([topic_name(settings, kind) for kind in KINDS], on_assign=self._on_assign)

    def read(self, messages: int, seconds: float) -> list[ConsumerRecord]:
        """Read at most so many messages, waiting at most so many seconds. Raises LogTruncated or LogExpired."""
        buffered, self._buffered = self._buffered, []
        return buffered + self._records(self._consumer.consume(messages, 0 if buffered else seconds))

    def idle(self, seconds: float) -> None:
        """Stay a member of the group while no message can be stored.

        A partition that is assigned meanwhile is not paused: its messages are buffered for `read`.
        """
        self._consumer.pause(self._consumer.assignment())
        message = self._consumer.poll(seconds)
        self._buffered += self._records([message] if message is not None else [])
        self._consumer.resume(self._consumer.assignment())

    def commit(self, next_offsets: dict[tuple[str, int], int]) -> None:
        """Commit offsets to Kafka, for tools that show the group's lag. A failure does not matter."""
        offsets = [ck.TopicPartition(name, partition, offset) for (name, partition), offset in next_offsets.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except ck.KafkaException as error:
            log.debug("offsets were not committed to Kafka: %s", error)

    def close(self) -> None:
        self._consumer.close()

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        """Start each partition at the database's offset; the offsets that the group committed to Kafka do not count."""
        for partition in partitions:
            key = partition.topic, partition.partition
            start = self._start_at(*key)
            self._next_offsets.pop(key, None)
            self._end_at_assignment[key] = self._end(*key)
            if start is not None:
                self._next_offsets[key] = start
            partition.offset = ck.OFFSET_BEGINNING if start is None else start
            where = "its beginning" if start is None else start
            log.info("consuming %s/%d from %s", partition.topic, partition.partition, where)
        consumer.assign(partitions)

    def _records(self, messages: Iterable[Any]) -> list[ConsumerRecord]:
        records = []
        for message in messages:
            if (error := message.error()) is not None:
                self._require_in_range(error, str(message.topic()), int(message.partition() or 0))
                self._log_once(error)
                continue
            position = RecordPosition(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
            records.append(ConsumerRecord(position, message.value(), self._advance(position), sent_at(message)))
        if records:
            self._logged_errors.clear()
        return records

    def _advance(self, position: RecordPosition) -> int | None:
        """Return the offset after the message before this one. Raises LogTruncated when offsets go back.

        Messages at offsets that were read before would be taken for those, and dropped.
        """
        key = position.topic, position.partition
        expected = self._next_offsets.get(key)
        if expected is not None and position.offset < expected:
            raise errors.LogTruncated(
                topic=position.topic, partition=position.partition, found=position.offset, expected=expected
            )
        self._next_offsets[key] = position.offset + 1
        return expected

    def _require_in_range(self, error: ck.KafkaError, name: str, partition: int) -> None:
        if error.code() != ck.KafkaError._AUTO_OFFSET_RESET:
            return
        expected = self._next_offsets.get((name, partition), 0)
        low, high = self._consumer.get_watermark_offsets(ck.TopicPartition(name, partition), timeout=METADATA_SECONDS)
        if expected < low:
            raise errors.LogExpired(topic=name, partition=partition, found=low, expected=expected)
        raise errors.LogTruncated(topic=name, partition=partition, found=high, expected=expected)

    def require_not_truncated(self) -> None:
        """Raise LogTruncated when a log ended, at its last fetch, before what was read of it.

        Most brokers, but not all, return an error themselves when they are asked for such an offset.
        """
        for (name, partition), expected in self._next_offsets.items():
            end = self._end(name, partition)
            if end == self._end_at_assignment.get((name, partition)):
                # Not fetched since it was assigned: other members may have read more since the end was known.
                continue
            self._end_at_assignment.pop((name, partition), None)
            if end is not None and end < expected:
                raise errors.LogTruncated(topic=name, partition=partition, found=end, expected=expected)

    def _end(self, name: str, partition: int) -> int | None:
        """Return where a log ended at its last fetch; None when it was never fetched, or another member has it."""
        try:
            watermarks = self._consumer.get_watermark_offsets(ck.TopicPartition(name, partition), cached=True)
        except ck.KafkaException:
            return None
        return None if watermarks is None or watermarks[1] < 0 else int(watermarks[1])

    def _log_once(self, error: Any) -> None:
        """Log an error once, until messages come again. librdkafka goes on trying by itself."""
        if error.code() not in self._logged_errors:
            log.warning("kafka: %s", error.str())
            self._logged_errors.add(error.code())
