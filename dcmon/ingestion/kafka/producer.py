"""A producer that waits until the brokers have acknowledged its messages."""

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
MAX_MESSAGE_BYTES = 1_000_000  # the limit of librdkafka, a little below the default limit of brokers


class Producer:
    """Sends messages, and waits until all in-sync replicas have acknowledged them. Safe for several threads.

    It can be created while the brokers do not respond: it creates missing topics as soon as they do.
    """

    def __init__(self, settings: Kafka) -> None:
        self.settings = settings
        options = {
            "acks": "all",
            # Not needed: rows of a repeated message are recognized by their ids. And an idempotent producer fails
            # permanently if a broker that was down has lost the producer's id.
            "enable.idempotence": False,
            "compression.type": "lz4",
            "linger.ms": 5,
            "delivery.timeout.ms": int(settings.ack_wait.total_seconds() * 1000),
            "queue.buffering.max.messages": 100_000,
        }
        self._producer = open_client(ck.Producer, settings, options)
        self._topics = LazySetup(lambda: ensure_topics(settings), "kafka topics")
        self._is_closed = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka acknowledgements", daemon=True)
        self._poller.start()

    def send(self, topic: str, values: Sequence[bytes], headers: Sequence[Mapping[str, bytes]] = ()) -> None:
        """Send messages, and return when every message is acknowledged. Pass no headers, or one for each value.

        Raises TooLarge, before any message is sent. Raises Unreachable; some messages may then be in Kafka.
        """
        if max(map(len, values), default=0) > MAX_MESSAGE_BYTES:
            raise errors.TooLarge("A row is larger than a message in Kafka may be (1 MB). Nothing was sent.")
        deadline = time.monotonic() + self.settings.ack_wait.total_seconds()
        if failure := self._topics.failure(deadline):
            raise unreachable_error(self.settings, failure)
        pending = _Acknowledgements(len(values))
        for value, header in zip_longest(values, headers):
            self._produce(topic, value, pending, header, deadline)
        if not pending.done.wait(deadline - time.monotonic() + 1):
            raise unreachable_error(self.settings, "no acknowledgement in time")
        if pending.error is not None:
            if pending.error.code() in _NO_TOPIC:
                self._topics.repeat()
            raise delivery_error(self.settings, pending.error)

    def _produce(
        self,
        topic: str,
        value: bytes,
        pending: "_Acknowledgements",
        headers: Mapping[str, bytes] | None,
        deadline: float,
    ) -> None:
        while True:
            try:
                return self._producer.produce(
                    topic, value, headers=dict(headers) if headers else None, on_delivery=pending.delivered
                )
            except BufferError:
                if time.monotonic() > deadline:
                    raise unreachable_error(self.settings, "too many messages wait to be sent") from None
                self._is_closed.wait(0.05)
            except ck.KafkaException as error:
                raise delivery_error(self.settings, error.args[0]) from error

    def close(self) -> None:
        """Send queued messages, for at most five seconds, and stop the threads."""
        self._producer.flush(5)
        self._topics.close()
        self._is_closed.set()
        self._poller.join(1)

    def _poll(self) -> None:
        while not self._is_closed.is_set():
            self._producer.poll(0.1)


class _Acknowledgements:
    """The outstanding acknowledgements of one call of `send`."""

    def __init__(self, count: int) -> None:
        self.outstanding, self.error, self.done = count, None, threading.Event()
        self._lock = threading.Lock()
        if not count:
            self.done.set()

    def delivered(self, error: Any, _message: Any) -> None:
        with self._lock:
            self.error = self.error or error
            self.outstanding -= 1
            if not self.outstanding:
                self.done.set()
