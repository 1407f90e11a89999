"""Seek: set the offset at which ingestion from Kafka continues. An operator does this if a log has changed."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from dcmon import db, errors, times
from dcmon.ingestion import kafka, offsets, topic_registry
from dcmon.ingestion.kafka import Watermarks
from dcmon.nearest import meant
from dcmon.settings import Kafka
from dcmon.storage.ledger import TopicPartition

ENDS = ("beginning", "end")  # of a topic


@dataclass(frozen=True)
class PlannedSeek:
    """A seek of one partition. `committed` is None if the partition was never read."""

    topic: str
    topic_id: uuid.UUID
    watermarks: Watermarks
    committed: int | None
    to: int

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.topic_id, self.watermarks.partition)

    @property
    def output_row(self) -> dict[str, Any]:
        """The seek as a row of the command's output."""
        low, high = self.watermarks.low, self.watermarks.high
        return {
            "topic": self.topic, "partition": self.watermarks.partition, "begin": low, "end": high,
            "stands": self.committed, "goes_to": self.to, "read_again": self.read_again, "left_out": self.left_out,
        }  # fmt: skip

    @property
    def read_again(self) -> int:
        """How many messages will be read again. Rows that are stored are recognized as duplicates."""
        return max(0, min(self.committed or 0, self.watermarks.high) - max(self.to, self.watermarks.low))

    @property
    def left_out(self) -> int:
        """How many messages will never be read."""
        return max(0, self.to - max(self.committed or 0, self.watermarks.low))


def plan(engine: Engine, settings: Kafka, row_kinds: Iterable[str], to: str | datetime) -> list[PlannedSeek]:
    """Plan a seek of each partition of the topics of these kinds.

    A time stands for the first message that was sent at this time or later. Raises Unreachable.
    """
    ids, planned = kafka.ensure_topics(settings), list[PlannedSeek]()
    for row_kind in row_kinds:
        name = kafka.topic_name(settings, row_kind)
        for watermarks in kafka.read_watermarks(settings, name):
            partition = TopicPartition(ids[name], watermarks.partition)
            with db.public_session(engine) as session:
                committed = offsets.committed_offset(session, partition).next_offset
            planned.append(PlannedSeek(name, ids[name], watermarks, committed, _offset(settings, name, watermarks, to)))
    return planned


def parse_target(to: str) -> str | datetime:
    """Parse "beginning", "end" or a time (dcmon.times). Raises InvalidInput."""
    if to.lower() in ENDS:
        return to.lower()
    try:
        return times.parse(to)
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"{error} Or give beginning or end.{meant(to, ENDS)}") from None


def _offset(settings: Kafka, topic: str, watermarks: Watermarks, to: str | datetime) -> int:
    if isinstance(to, datetime):
        return kafka.offset_at(settings, topic, watermarks, to)
    return watermarks.low if to == "beginning" else watermarks.high


def apply(engine: Engine, planned: Sequence[PlannedSeek], by: str) -> None:
    """Set the committed offsets: all, or none. Workers notice it before they store or commit more messages."""
    ids: Mapping[str, uuid.UUID] = {seek.topic: seek.topic_id for seek in planned}
    with db.public_session(engine) as session:
        topic_registry.replace_ids(session, ids)
        # In order of partition, as workers lock them: otherwise a seek and a worker could deadlock.
        for seek in sorted(planned, key=lambda seek: seek.partition):
            offsets.seek(session, seek.partition, seek.to, by)
