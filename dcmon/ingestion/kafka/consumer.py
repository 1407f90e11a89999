"""A consumer that starts where the database says, and notices a log that lost what was read of it."""

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
    """Where a message stands."""

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
    """A member of the ingest group. `start_at` says where a partition starts (None: at its beginning)."""

    def __init__(self, settings: Kafka, start_at: Callable[[str, int], int | None]) -> None:
        self.settings, self._start_at = settings, start_at
        self._said = set[int]()
        self._kept = list[ConsumerRecord]()
        self._next = dict[tuple[str, int], int]()
        self._ended = dict[tuple[str, int], int | None]()
        options = {
            "group.id": settings.group_id,
            "enable.auto.commit": False,
            # Where an offset is not there any more, somebody has to decide: going on elsewhere would lose or double.
            "auto.offset.reset": "error",
            "session.timeout.ms": 10_000,
            "max.poll.interval.ms": 300_000,
            "topic.metadata.refresh.interval.ms": 15_000,  # until a partition that was added is read
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 5,  # by default the queue, when it was full, is left to run dry for a second
            "error_cb": self._error,
        }
        self._consumer = open_client(ck.Consumer, settings, options)
        self._consumer.subscribe([topic_name(settings, kind) for kind in KINDS], on_assign=self._assigned)

    def read(self, messages: int, seconds: float) -> list[ConsumerRecord]:
        """Up to so many messages, waiting at most so long for them. Raises LogTruncated."""
        kept, self._kept = self._kept, []
        return kept + self._received(self._consumer.consume(messages, 0 if kept else seconds))

    def idle(self, seconds: float) -> None:
        """Stay a member while nothing can be taken. A partition that comes meanwhile is not paused: `read` gives it."""
        self._consumer.pause(self._consumer.assignment())
        message = self._consumer.poll(seconds)
        self._kept += self._received([message] if message is not None else [])
        self._consumer.resume(self._consumer.assignment())

    def commit(self, reached: dict[tuple[str, int], int]) -> None:
        """Tell Kafka how far this group is: a hint for those who look at its lag, so a failure does not matter."""
        offsets = [ck.TopicPartition(name, partition, offset) for (name, partition), offset in reached.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except ck.KafkaException as error:
            log.debug("the offsets were not committed to Kafka: %s", error)

    def close(self) -> None:
        self._consumer.close()

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        """What the group committed to Kafka is a hint for those who look at its lag; the database's offset counts."""
        for each in partitions:
            start = self._start_at(each.topic, each.partition)
            self._next.pop((each.topic, each.partition), None)
            self._ended[each.topic, each.partition] = self._end(each.topic, each.partition)
            if start is not None:
                self._next[each.topic, each.partition] = start
            each.offset = ck.OFFSET_BEGINNING if start is None else start
            log.info("consuming %s/%d from %s", each.topic, each.partition, "its beginning" if start is None else start)
        consumer.assign(partitions)

    def _received(self, messages: Iterable[Any]) -> list[ConsumerRecord]:
        received = []
        for message in messages:
            if (error := message.error()) is not None:
                self._require_in_range(error, str(message.topic()), int(message.partition() or 0))
                self._error(error)
                continue
            place = RecordPosition(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
            received.append(ConsumerRecord(place, message.value(), self._follow(place), sent_at(message)))
        if received:
            self._said.clear()
        return received

    def _follow(self, place: RecordPosition) -> int | None:
        """Offsets only grow. New messages below what was read would be taken for old ones, and dropped."""
        expected = self._next.get((place.topic, place.partition))
        if expected is not None and place.offset < expected:
            raise errors.LogTruncated(
                topic=place.topic, partition=place.partition, found=place.offset, expected=expected
            )
        self._next[place.topic, place.partition] = place.offset + 1
        return expected

    def _require_in_range(self, error: ck.KafkaError, name: str, partition: int) -> None:
        if error.code() != ck.KafkaError._AUTO_OFFSET_RESET:
            return
        expected = self._next.get((name, partition), 0)
        low, high = self._consumer.get_watermark_offsets(ck.TopicPartition(name, partition), timeout=METADATA_SECONDS)
        if expected < low:
            raise errors.LogExpired(topic=name, partition=partition, found=low, expected=expected)
        raise errors.LogTruncated(topic=name, partition=partition, found=high, expected=expected)

    def require_reached(self) -> None:
        """Raises LogTruncated when a log, as far as its last fetch said, ends before what was read of it.

        A broker says so itself when it is asked for such an offset; not every one does.
        """
        for (name, partition), expected in self._next.items():
            found = self._end(name, partition)
            if found == self._ended.get((name, partition)):
                continue  # not fetched since it was assigned: what was known may be older than what others read since
            self._ended.pop((name, partition), None)
            if found is not None and found < expected:
                raise errors.LogTruncated(topic=name, partition=partition, found=found, expected=expected)

    def _end(self, name: str, partition: int) -> int | None:
        """Where a log ends as far as its last fetch said; None when it was never fetched, or is another member's."""
        try:
            found = self._consumer.get_watermark_offsets(ck.TopicPartition(name, partition), cached=True)
        except ck.KafkaException:
            return None
        return None if found is None or found[1] < 0 else int(found[1])

    def _error(self, error: Any) -> None:
        """Say once what is wrong, until messages come again; librdkafka goes on trying by itself."""
        if error.code() not in self._said:
            log.warning("kafka: %s", error.str())
            self._said.add(error.code())
