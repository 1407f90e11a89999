"""Setting ingestion to another offset: what an operator decides when a log is not what it was."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from dcmon import db, errors
from dcmon.ingestion import kafka, offsets, topics
from dcmon.ingestion.kafka import Extent
from dcmon.settings import Kafka


@dataclass(frozen=True)
class Move:
    """Of one partition: where its log begins and ends, where ingestion stands, and where it is to go."""

    topic: str
    topic_id: uuid.UUID
    extent: Extent
    stands: int | None
    to: int

    @property
    def described(self) -> dict[str, Any]:
        """The move as a row for an output."""
        return {
            "topic": self.topic, "partition": self.extent.partition, "begin": self.extent.begin, "end": self.extent.end,
            "stands": self.stands, "goes_to": self.to, "read_again": self.again, "left_out": self.left_out,
        }  # fmt: skip

    @property
    def again(self) -> int:
        """Messages that will be read once more; what is stored of them is recognised."""
        return max(0, min(self.stands or 0, self.extent.end) - max(self.to, self.extent.begin))

    @property
    def left_out(self) -> int:
        """Messages that will never be read."""
        return max(0, self.to - max(self.stands or 0, self.extent.begin))


def plan(engine: Engine, settings: Kafka, kinds: Iterable[str], to: str | datetime) -> list[Move]:
    """Where each partition would go: to "beginning" or "end", or to the first message of a time or later.

    Raises Unreachable.
    """
    ids, moves = kafka.ensure_topics(settings), list[Move]()
    for kind in kinds:
        name = kafka.topic(settings, kind)
        for extent in kafka.extents(settings, name):
            with db.public_session(engine) as session:
                stands = offsets.floor(session, (ids[name], extent.partition)).next_offset
            moves.append(Move(name, ids[name], extent, stands, _offset(settings, name, extent, to)))
    return moves


def parse(to: str) -> str | datetime:
    """ "beginning", "end" or a time, which is UTC unless it says otherwise. Raises InvalidInput."""
    if to in ("beginning", "end"):
        return to
    try:
        found = datetime.fromisoformat(to)
    except ValueError as error:
        message = f'{to!r} is neither "beginning" nor "end" nor a time like 2026-11-24T10:00.'
        raise errors.InvalidInput(message) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _offset(settings: Kafka, name: str, extent: Extent, to: str | datetime) -> int:
    if isinstance(to, datetime):
        return kafka.offset_at(settings, name, extent, to)
    return extent.begin if to == "beginning" else extent.end


def carry_out(engine: Engine, moves: Sequence[Move], by: str) -> None:
    """Set the floors, all or none; workers notice before they store or settle anything more."""
    ids: Mapping[str, uuid.UUID] = {move.topic: move.topic_id for move in moves}
    with db.public_session(engine) as session:
        topics.accept(session, ids)
        for move in sorted(moves, key=lambda move: (move.topic_id, move.extent.partition)):
            offsets.seek(session, (move.topic_id, move.extent.partition), move.to, by)
