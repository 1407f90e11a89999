"""Read messages and offsets of a topic without joining the group that consumes it."""

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import confluent_kafka as ck

from dcmon.ingestion.kafka.client import METADATA_SECONDS, open_client, sent_at, unreachable_error
from dcmon.settings import Kafka


@dataclass(frozen=True)
class Watermarks:
    """The offsets of the messages in a partition: [low, high)."""

    partition: int
    low: int
    high: int


def read_watermarks(settings: Kafka, topic: str) -> list[Watermarks]:
    """Return the watermarks of each partition of a topic. Raises Unreachable."""
    with closing(open_client(ck.Consumer, settings, _options(settings))) as consumer:
        try:
            partitions = sorted(consumer.list_topics(topic, timeout=METADATA_SECONDS).topics[topic].partitions)
            return [
                Watermarks(
                    number,
                    *consumer.get_watermark_offsets(ck.TopicPartition(topic, number), timeout=METADATA_SECONDS),
                )
                for number in partitions
            ]
        except ck.KafkaException as error:
            raise unreachable_error(settings, error.args[0]) from error


@dataclass(frozen=True)
class PeekedMessage:
    """A message, and the time at which it was sent."""

    value: bytes
    sent_at: datetime


class Peek(NamedTuple):
    """The first messages of a partition. `is_complete`: there are no more messages."""

    messages: list[PeekedMessage]
    is_complete: bool


def peek(settings: Kafka, topic: str, watermarks: Watermarks, limit: int) -> Peek:
    """Return the first messages between the watermarks, as many as arrive within a few seconds.

    There may be fewer messages than offsets: markers of transactions have offsets too, and so have messages that were
    aborted or compacted away.
    """
    messages, deadline = list[PeekedMessage](), time.monotonic() + METADATA_SECONDS
    if watermarks.low >= watermarks.high:
        return Peek(messages, is_complete=True)
    options = {**_options(settings), "enable.partition.eof": True}
    with closing(open_client(ck.Consumer, settings, options)) as consumer:
        consumer.assign([ck.TopicPartition(topic, watermarks.partition, watermarks.low)])
        while len(messages) < limit and (seconds_left := deadline - time.monotonic()) > 0:
            for message in consumer.consume(1, seconds_left):
                if (error := message.error()) is None:
                    messages.append(PeekedMessage(message.value() or b"", sent_at(message)))
                elif error.code() == ck.KafkaError._PARTITION_EOF:
                    return Peek(messages, is_complete=True)
    return Peek(messages, is_complete=False)


def offset_at(settings: Kafka, topic: str, watermarks: Watermarks, time: datetime) -> int:
    """Return the offset of the first message that was sent at or after this time.

    If there is no such message, return the high watermark. Raises Unreachable.
    """
    requested = ck.TopicPartition(topic, watermarks.partition, int(time.timestamp() * 1000))
    with closing(open_client(ck.Consumer, settings, _options(settings))) as consumer:
        try:
            (first,) = consumer.offsets_for_times([requested], timeout=METADATA_SECONDS)
        except ck.KafkaException as error:
            raise unreachable_error(settings, error.args[0]) from error
    return watermarks.high if first.offset < 0 else int(first.offset)


def _options(settings: Kafka) -> dict[str, object]:
    """Return the options of a consumer in a separate group. The ingest group does not rebalance then."""
    return {"group.id": f"{settings.group_id}-look"}
