"""What a topic holds, looked at from outside the group that consumes it."""

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import confluent_kafka as ck

from dcmon.ingestion.kafka.client import METADATA_SECONDS, opened, sent_at, unreachable
from dcmon.settings import Kafka


@dataclass(frozen=True)
class Extent:
    """What a partition holds: the messages of [begin, end)."""

    partition: int
    begin: int
    end: int


def extents(settings: Kafka, name: str) -> list[Extent]:
    """The partitions of a topic, with what each holds. Raises Unreachable."""
    with closing(opened(ck.Consumer, settings, {"group.id": f"{settings.group_id}-look"})) as consumer:
        try:
            partitions = sorted(consumer.list_topics(name, timeout=METADATA_SECONDS).topics[name].partitions)
            return [
                Extent(each, *consumer.get_watermark_offsets(ck.TopicPartition(name, each), timeout=METADATA_SECONDS))
                for each in partitions
            ]
        except ck.KafkaException as error:
            raise unreachable(settings, error.args[0]) from error


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
    with closing(opened(ck.Consumer, settings, options)) as consumer:
        consumer.assign([ck.TopicPartition(name, extent.partition, extent.begin)])
        while len(found) < most and (left := ends - time.monotonic()) > 0:
            for message in consumer.consume(1, left):
                if (error := message.error()) is None:
                    found.append(Sent(message.value() or b"", sent_at(message)))
                elif error.code() == ck.KafkaError._PARTITION_EOF:
                    return found, True
    return found, False


def offset_at(settings: Kafka, name: str, extent: Extent, time: datetime) -> int:
    """The offset of the first message of this time or later; the end when there is none. Raises Unreachable."""
    wanted = ck.TopicPartition(name, extent.partition, int(time.timestamp() * 1000))
    with closing(opened(ck.Consumer, settings, {"group.id": f"{settings.group_id}-look"})) as consumer:
        try:
            (found,) = consumer.offsets_for_times([wanted], timeout=METADATA_SECONDS)
        except ck.KafkaException as error:
            raise unreachable(settings, error.args[0]) from error
    return extent.end if found.offset < 0 else int(found.offset)
