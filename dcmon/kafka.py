"""The door to Kafka: a producer that waits for acknowledgements, a consumer that starts where it is told."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from dcmon import errors
from dcmon.settings import Kafka

log = logging.getLogger(__name__)

ACK_SECONDS = 30.0
KINDS = ("samples", "labels")


@dataclass(frozen=True)
class Place:
    """Where a message stands."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Received:
    """A message with its place."""

    place: Place
    value: bytes | None


def topic(settings: Kafka, kind: str) -> str:
    """The topic of samples or labels."""
    return f"{settings.topic_prefix}.{kind}"


def ensure_topics(settings: Kafka) -> dict[str, uuid.UUID]:
    """Create the topics that are missing; returns the id of each. Raises Unreachable."""
    admin = AdminClient(_connection(settings))
    names = [topic(settings, kind) for kind in KINDS]
    try:
        there = admin.list_topics(timeout=10).topics
        missing = [name for name in names if name not in there]
        wanted = [NewTopic(name, settings.partitions, settings.replication_factor) for name in missing]
        for made in admin.create_topics(wanted).values() if wanted else ():
            _ignoring(made.result, ck.KafkaError.TOPIC_ALREADY_EXISTS)
        return {name: _topic_id(admin, name) for name in names}
    except ck.KafkaException as error:
        raise _unreachable(settings, error.args[0]) from error


def _topic_id(admin: AdminClient, name: str) -> uuid.UUID:
    """The id that a topic gets anew when it is deleted and made again; brokers without ids get one of the name."""
    try:
        described = admin.describe_topics(ck.TopicCollection([name]), request_timeout=10)[name].result()
        number = uuid.UUID(bytes=_bytes(described.topic_id))
    except (ck.KafkaException, AttributeError, TypeError, ValueError):
        number = uuid.UUID(int=0)
    return number if number.int else uuid.uuid5(uuid.NAMESPACE_URL, f"kafka:{name}")


def _bytes(number: Any) -> bytes:
    most, least = number.get_most_significant_bits(), number.get_least_significant_bits()
    both = int((most << 64 | least & (2**64 - 1)) & (2**128 - 1))
    return both.to_bytes(16)


class Producer:
    """Sends messages; safe for several threads. Acknowledged means: by all replicas that are in sync."""

    def __init__(self, settings: Kafka) -> None:
        self.settings = settings
        self._producer = ck.Producer(
            {
                **_connection(settings),
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "delivery.timeout.ms": int(ACK_SECONDS * 1000),
                "queue.buffering.max.messages": 100_000,
            }
        )
        self._ends = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka acknowledgements", daemon=True)
        self._poller.start()

    def send(self, topic: str, values: Sequence[bytes]) -> None:
        """Returns when every message is acknowledged. Raises TooLarge or Unreachable; some may be there anyway."""
        waiting = _Waiting(len(values))
        for value in values:
            self._produce(topic, value, waiting)
        if not waiting.done.wait(ACK_SECONDS + 5):
            raise _unreachable(self.settings, "no acknowledgement in time")
        if waiting.error is not None:
            raise _unreachable(self.settings, waiting.error)

    def _produce(self, topic: str, value: bytes, waiting: "_Waiting") -> None:
        ends = time.monotonic() + ACK_SECONDS
        while True:
            try:
                return self._producer.produce(topic, value, on_delivery=waiting.delivered)
            except BufferError:
                if time.monotonic() > ends:
                    raise _unreachable(self.settings, "too many messages wait for it") from None
                self._ends.wait(0.05)
            except ck.KafkaException as error:
                if error.args[0].code() == ck.KafkaError.MSG_SIZE_TOO_LARGE:
                    raise errors.TooLarge("A row is larger than Kafka takes (1 MB). Nothing of it was sent.") from error
                raise _unreachable(self.settings, error.args[0]) from error

    def close(self) -> None:
        self._producer.flush(5)
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
        self._said: str | None = None
        self._consumer = ck.Consumer(
            {
                **_connection(settings),
                "group.id": settings.group_id,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 10_000,
                "max.poll.interval.ms": 300_000,
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 32_768,
                "error_cb": self._error,
            }
        )
        self._consumer.subscribe([topic(settings, kind) for kind in KINDS], on_assign=self._assigned)

    def read(self, messages: int, seconds: float) -> list[Received]:
        """Up to so many messages, waiting at most so long for them."""
        received = []
        for message in self._consumer.consume(messages, seconds):
            if message.error() is not None:
                self._error(message.error())
                continue
            place = Place(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
            received.append(Received(place, message.value()))
        return received

    def idle(self, seconds: float) -> None:
        """Stay a member while nothing can be taken."""
        assigned = self._consumer.assignment()
        self._consumer.pause(assigned)
        self._consumer.poll(seconds)
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
        for each in partitions:
            start = self._start_at(each.topic, each.partition)
            each.offset = ck.OFFSET_BEGINNING if start is None else start
            log.info("consuming %s/%d from %s", each.topic, each.partition, "its beginning" if start is None else start)
        consumer.assign(partitions)

    def _error(self, error: Any) -> None:
        """Say once what is wrong; librdkafka goes on trying by itself."""
        if (said := error.str()) != self._said:
            log.warning("kafka: %s", said)
            self._said = said


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


def _unreachable(settings: Kafka, why: Any) -> errors.Unreachable:
    said = why.str() if isinstance(why, ck.KafkaError) else str(why)
    return errors.Unreachable(what="Kafka", where=settings.bootstrap_servers, why=said)
