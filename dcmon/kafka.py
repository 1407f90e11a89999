"""The door to Kafka: a producer that waits for acknowledgements, a consumer that starts where it is told."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, TypeVar

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from dcmon import errors
from dcmon.preparation import Preparation
from dcmon.settings import Kafka

log = logging.getLogger(__name__)
T = TypeVar("T")

KINDS = ("samples", "labels")
DEAD = "dead"  # the topic of messages that nobody can store
METADATA_SECONDS = 5.0  # a stop must not wait longer for a broker that is away
NEW_TOPIC_SECONDS = 5.0  # until each broker knows a new topic
_NO_TOPIC = (ck.KafkaError.UNKNOWN_TOPIC_OR_PART, ck.KafkaError._UNKNOWN_TOPIC)
LARGEST = 1_000_000  # bytes of a message: what librdkafka sends, and a little less than what brokers take by default


@dataclass(frozen=True)
class Place:
    """Where a message stands."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Received:
    """A message with its place and Kafka's time of it.

    `after` is the offset from which on it was the next one; None when it is the first of a log that was never read.
    """

    place: Place
    value: bytes | None
    after: int | None
    sent_at: datetime


def topic(settings: Kafka, kind: str) -> str:
    """The topic of samples or labels."""
    return f"{settings.topic_prefix}.{kind}"


def ensure_topics(settings: Kafka) -> dict[str, uuid.UUID]:
    """Create topics that are missing; returns the ids of those of `KINDS`. Raises Unreachable or KafkaMisconfigured."""
    admin = _opened(AdminClient, settings)
    names = [topic(settings, kind) for kind in (*KINDS, DEAD)]
    try:
        there = admin.list_topics(timeout=METADATA_SECONDS).topics
        missing = [name for name in names if name not in there]
        wanted = [NewTopic(name, settings.partitions, settings.replication_factor) for name in missing]
        for made in admin.create_topics(wanted).values() if wanted else ():
            _ignoring(made.result, ck.KafkaError.TOPIC_ALREADY_EXISTS)
        return {name: _topic_id(admin, name) for name in names[: len(KINDS)]}
    except ck.KafkaException as error:
        raise _unreachable(settings, error.args[0]) from error


def _topic_id(admin: AdminClient, name: str) -> uuid.UUID:
    """The id that a topic gets anew when it is deleted and made again; brokers without ids get one of the name.

    Only the broker's own answer says that it has none: after any failure another id would begin at offset 0 again.
    """
    ends = time.monotonic() + NEW_TOPIC_SECONDS
    while True:
        try:
            described = admin.describe_topics(ck.TopicCollection([name]), request_timeout=10)[name].result()
            break
        except ck.KafkaException as error:
            if error.args[0].code() != ck.KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > ends:
                raise
            time.sleep(0.1)
    number = uuid.UUID(bytes=_bytes(described.topic_id)) if described.topic_id is not None else uuid.UUID(int=0)
    return number if number.int else uuid.uuid5(uuid.NAMESPACE_URL, f"kafka:{name}")


def _bytes(number: Any) -> bytes:
    most, least = number.get_most_significant_bits(), number.get_least_significant_bits()
    both = int((most << 64 | least & (2**64 - 1)) & (2**128 - 1))
    return both.to_bytes(16)


@dataclass(frozen=True)
class Extent:
    """What a partition holds: the messages of [begin, end)."""

    partition: int
    begin: int
    end: int


def extents(settings: Kafka, name: str) -> list[Extent]:
    """The partitions of a topic, with what each holds. Raises Unreachable."""
    with closing(_opened(ck.Consumer, settings, {"group.id": f"{settings.group_id}-look"})) as consumer:
        try:
            partitions = sorted(consumer.list_topics(name, timeout=METADATA_SECONDS).topics[name].partitions)
            return [
                Extent(each, *consumer.get_watermark_offsets(ck.TopicPartition(name, each), timeout=METADATA_SECONDS))
                for each in partitions
            ]
        except ck.KafkaException as error:
            raise _unreachable(settings, error.args[0]) from error


@dataclass(frozen=True)
class Sent:
    """A message that was looked at, with the time at which it was sent."""

    value: bytes
    at: datetime


def peek(settings: Kafka, name: str, extent: Extent, most: int) -> tuple[list[Sent], bool]:
    """The first messages of an extent, without being a member of the group; whether these are all there are to read.

    Offsets may have none: those of marks of transactions, or of what was aborted or compacted away.
    """
    found, ends = list[Sent](), time.monotonic() + METADATA_SECONDS
    if extent.begin >= extent.end:
        return found, True
    options = {"group.id": f"{settings.group_id}-look", "enable.partition.eof": True}
    with closing(_opened(ck.Consumer, settings, options)) as consumer:
        consumer.assign([ck.TopicPartition(name, extent.partition, extent.begin)])
        while len(found) < most and (left := ends - time.monotonic()) > 0:
            for message in consumer.consume(1, left):
                if (error := message.error()) is None:
                    found.append(Sent(message.value() or b"", _sent_at(message)))
                elif error.code() == ck.KafkaError._PARTITION_EOF:
                    return found, True
    return found, False


def _sent_at(message: Any) -> datetime:
    """Kafka's time of a message; now, where the log has none, none that is possible, or one to come.

    Producers set it: one whose clock is ahead would otherwise have the last word on each label.
    """
    (_, milliseconds), now = message.timestamp(), datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if 0 < milliseconds < now.timestamp() * 1000 else now


def offset_at(settings: Kafka, name: str, extent: Extent, time: datetime) -> int:
    """The offset of the first message of this time or later; the end when there is none. Raises Unreachable."""
    wanted = ck.TopicPartition(name, extent.partition, int(time.timestamp() * 1000))
    with closing(_opened(ck.Consumer, settings, {"group.id": f"{settings.group_id}-look"})) as consumer:
        try:
            (found,) = consumer.offsets_for_times([wanted], timeout=METADATA_SECONDS)
        except ck.KafkaException as error:
            raise _unreachable(settings, error.args[0]) from error
    return extent.end if found.offset < 0 else int(found.offset)


def answers(settings: Kafka) -> bool:
    """Whether a broker answers within two seconds."""
    try:
        return bool(AdminClient(_connection(settings)).list_topics(timeout=2).brokers)
    except (ck.KafkaException, errors.DcmonError):
        return False


class Producer:
    """Sends messages; safe for several threads. Acknowledged means: by all replicas that are in sync.

    Made without the brokers: topics that are missing are made as soon as they answer.
    """

    def __init__(self, settings: Kafka) -> None:
        self.settings = settings
        options = {
            "acks": "all",
            # A message that is there twice is dropped by its rows' ids. An idempotent producer would die for good when
            # its number is lost to a broker that was away.
            "enable.idempotence": False,
            "compression.type": "lz4",
            "linger.ms": 5,
            "delivery.timeout.ms": int(settings.ack_wait.total_seconds() * 1000),
            "queue.buffering.max.messages": 100_000,
        }
        self._producer = _opened(ck.Producer, settings, options)
        self._topics = Preparation(lambda: ensure_topics(settings), "kafka topics")
        self._ends = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka acknowledgements", daemon=True)
        self._poller.start()

    def send(self, topic: str, values: Sequence[bytes], headers: Sequence[Mapping[str, bytes]] = ()) -> None:
        """Returns when every message is acknowledged. Headers, if any, are as many as the values.

        Raises TooLarge, before anything is sent; Unreachable, after which some may be there all the same.
        """
        if max(map(len, values), default=0) > LARGEST:
            raise errors.TooLarge("A row is larger than Kafka takes (1 MB). Nothing was sent.")
        ends = time.monotonic() + self.settings.ack_wait.total_seconds()
        if why_not := self._topics.why_not(ends):
            raise _unreachable(self.settings, why_not)
        waiting = _Waiting(len(values))
        for value, said in zip_longest(values, headers):
            self._produce(topic, value, waiting, said, ends)
        if not waiting.done.wait(ends - time.monotonic() + 1):
            raise _unreachable(self.settings, "no acknowledgement in time")
        if waiting.error is not None:
            if waiting.error.code() in _NO_TOPIC:
                self._topics.repeat()
            raise _refused(self.settings, waiting.error)

    def _produce(
        self, topic: str, value: bytes, waiting: "_Waiting", headers: Mapping[str, bytes] | None, ends: float
    ) -> None:
        while True:
            try:
                return self._producer.produce(
                    topic, value, headers=dict(headers) if headers else None, on_delivery=waiting.delivered
                )
            except BufferError:
                if time.monotonic() > ends:
                    raise _unreachable(self.settings, "too many messages wait for it") from None
                self._ends.wait(0.05)
            except ck.KafkaException as error:
                raise _refused(self.settings, error.args[0]) from error

    def close(self) -> None:
        self._producer.flush(5)
        self._topics.close()
        self._ends.set()
        self._poller.join(1)

    def _poll(self) -> None:
        while not self._ends.is_set():
            self._producer.poll(0.1)


class _Waiting:
    """Counts acknowledgements of one request."""

    def __init__(self, count: int) -> None:
        self.left, self.error, self.done = count, None, threading.Event()
        self._lock = threading.Lock()
        if not count:
            self.done.set()

    def delivered(self, error: Any, _message: Any) -> None:
        with self._lock:
            self.error = self.error or error
            self.left -= 1
            if not self.left:
                self.done.set()


class Consumer:
    """A member of the ingest group. `start_at` says where a partition starts (None: at its beginning)."""

    def __init__(self, settings: Kafka, start_at: Callable[[str, int], int | None]) -> None:
        self.settings, self._start_at = settings, start_at
        self._said = set[int]()
        self._kept = list[Received]()
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
        self._consumer = _opened(ck.Consumer, settings, options)
        self._consumer.subscribe([topic(settings, kind) for kind in KINDS], on_assign=self._assigned)

    def read(self, messages: int, seconds: float) -> list[Received]:
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

    def _received(self, messages: Iterable[Any]) -> list[Received]:
        received = []
        for message in messages:
            if (error := message.error()) is not None:
                self._require_in_range(error, str(message.topic()), int(message.partition() or 0))
                self._error(error)
                continue
            place = Place(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
            received.append(Received(place, message.value(), self._follow(place), _sent_at(message)))
        if received:
            self._said.clear()
        return received

    def _follow(self, place: Place) -> int | None:
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


def _opened(kind: Callable[[dict[str, Any]], T], settings: Kafka, options: dict[str, Any] | None = None) -> T:
    """A client of librdkafka. Raises KafkaMisconfigured: a client checks its settings when it is made."""
    try:
        return kind({**_connection(settings), **(options or {})})
    except ck.KafkaException as error:
        raise errors.KafkaMisconfigured(why=error.args[0].str()) from error


def _connection(settings: Kafka) -> dict[str, Any]:
    given = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.username,
        "sasl.password": settings.password.get_secret_value() if settings.password else None,
        "client.id": "dcmon",
        "log_level": 2,
    }
    return {name: value for name, value in given.items() if value is not None}


def _ignoring(call: Callable[[], object], code: int) -> None:
    try:
        call()
    except ck.KafkaException as error:
        if error.args[0].code() != code:
            raise


def _refused(settings: Kafka, why: ck.KafkaError) -> errors.DcmonError:
    if why.code() == ck.KafkaError.MSG_SIZE_TOO_LARGE:
        return errors.TooLarge(
            "Kafka's topic takes no message of this size. Raise its max.message.bytes, or lower"
            " DCMON_KAFKA__ROWS_PER_MESSAGE."
        )
    return _unreachable(settings, why)


def _unreachable(settings: Kafka, why: Any) -> errors.Unreachable:
    said = why.str() if isinstance(why, ck.KafkaError) else str(why)
    return errors.Unreachable(what="Kafka", where=settings.bootstrap_servers, why=said)
