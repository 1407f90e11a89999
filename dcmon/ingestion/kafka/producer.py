"""A producer that waits until brokers have what it sends."""

import threading
import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import confluent_kafka as ck

from dcmon import errors
from dcmon.ingestion.kafka.client import delivery_error, open_client, unreachable_error
from dcmon.ingestion.kafka.lazy_setup import LazySetup
from dcmon.ingestion.kafka.topics import ensure_topics
from dcmon.settings import Kafka

_NO_TOPIC = (ck.KafkaError.UNKNOWN_TOPIC_OR_PART, ck.KafkaError._UNKNOWN_TOPIC)
MAX_MESSAGE_BYTES = (
    1_000_000  # bytes of a message: what librdkafka sends, and a little less than what brokers take by default
)


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
        self._producer = open_client(ck.Producer, settings, options)
        self._topics = LazySetup(lambda: ensure_topics(settings), "kafka topics")
        self._ends = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka acknowledgements", daemon=True)
        self._poller.start()

    def send(self, topic: str, values: Sequence[bytes], headers: Sequence[Mapping[str, bytes]] = ()) -> None:
        """Returns when every message is acknowledged. Headers, if any, are as many as the values.

        Raises TooLarge, before anything is sent; Unreachable, after which some may be there all the same.
        """
        if max(map(len, values), default=0) > MAX_MESSAGE_BYTES:
            raise errors.TooLarge("A row is larger than Kafka takes (1 MB). Nothing was sent.")
        ends = time.monotonic() + self.settings.ack_wait.total_seconds()
        if why_not := self._topics.why_not(ends):
            raise unreachable_error(self.settings, why_not)
        waiting = _Waiting(len(values))
        for value, said in zip_longest(values, headers):
            self._produce(topic, value, waiting, said, ends)
        if not waiting.done.wait(ends - time.monotonic() + 1):
            raise unreachable_error(self.settings, "no acknowledgement in time")
        if waiting.error is not None:
            if waiting.error.code() in _NO_TOPIC:
                self._topics.repeat()
            raise delivery_error(self.settings, waiting.error)

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
                    raise unreachable_error(self.settings, "too many messages wait for it") from None
                self._ends.wait(0.05)
            except ck.KafkaException as error:
                raise delivery_error(self.settings, error.args[0]) from error

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
