"""How far ingestion is: the truth in each organization beside its rows, the floor for everyone in "public".

An operator may seek: set the floor to another offset. Seeks are numbered, so that each organization follows once, and
a worker that has not noticed (it was stopped meanwhile, say) can neither store nor settle what it read before.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

Partition = tuple[uuid.UUID, int]


class Sought(Exception):
    """A seek came in between: what was read before it is to be forgotten, and read again from the floor."""


@dataclass(frozen=True)
class Seek:
    """The last seek of a partition: its number (0: there was none) and the offset it went to."""

    number: int = 0
    to: int = 0


@dataclass(frozen=True)
class Floor:
    """Up to where a partition is settled for every organization (None: it was never read), and its last seek."""

    next_offset: int | None
    seek: Seek


@dataclass(frozen=True)
class Settled:
    """What was read of a partition: all of [first_offset, next_offset); the offsets of messages by organization."""

    first_offset: int
    next_offset: int
    seek: Seek
    messages: Mapping[int, list[int]]
    dead: list[int]


def lock(session: Session, partition: Partition, seek: Seek | None) -> tuple[int, int]:
    """The first offset that the organization does not have of a partition; nobody else moves it until the end.

    Returns where it stood, and where it stands now that it has followed the seek. `seek` is the one after which was
    read; None: messages from before the last seek are welcome too. Raises Sought.
    """
    named = {"topic": partition[0], "partition": partition[1], "seek": seek.number if seek else 0}
    session.execute(
        text(
            "insert into ingest_offsets (topic_id, partition, next_offset, seek)"
            " values (:topic, :partition, 0, :seek) on conflict do nothing"
        ),
        named,
    )
    next_offset, number = session.execute(
        text(
            "select next_offset, seek from ingest_offsets where topic_id = :topic and partition = :partition for update"
        ),
        named,
    ).one()
    if seek is None or number == seek.number:
        return next_offset, next_offset
    if number > seek.number:
        raise Sought
    session.execute(
        text(
            "update ingest_offsets set next_offset = least(next_offset, :to), seek = :seek"
            " where topic_id = :topic and partition = :partition"
        ),
        {**named, "to": seek.to},
    )
    return next_offset, min(next_offset, seek.to)


def move(session: Session, partition: Partition, next_offset: int) -> None:
    """The organization has everything below `next_offset`."""
    session.execute(
        text(
            "update ingest_offsets set next_offset = greatest(next_offset, :next)"
            " where topic_id = :topic and partition = :partition"
        ),
        {"topic": partition[0], "partition": partition[1], "next": next_offset},
    )


def floor(session: Session, partition: Partition) -> Floor:
    """The floor of a partition. In "public"."""
    found = session.scalar(
        text("select next_offset from ingest_floor where topic_id = :topic and partition = :partition"),
        {"topic": partition[0], "partition": partition[1]},
    )
    return Floor(found, last_seek(session, partition))


def last_seek(session: Session, partition: Partition) -> Seek:
    """The last seek of a partition. In "public"."""
    found = session.execute(
        text(
            "select id, next_offset from ingest_spans where topic_id = :topic and partition = :partition"
            " and action = 'seek' order by id desc limit 1"
        ),
        {"topic": partition[0], "partition": partition[1]},
    ).one_or_none()
    return Seek() if found is None else Seek(found.id, found.next_offset)


def settle(session: Session, partition: Partition, read: Settled) -> None:
    """Raise a floor over what was read, and write its span with the messages in it. In "public". Raises Sought."""
    stood = lock_floor(session, partition, read.first_offset)
    if last_seek(session, partition).number != read.seek.number or stood < read.first_offset:
        raise Sought
    if stood >= read.next_offset:
        return  # somebody else has settled all of it
    counts = {str(org): sum(at >= stood for at in offsets) for org, offsets in sorted(read.messages.items())}
    _span(
        session, partition, "ingest", stood, read.next_offset,
        {org: count for org, count in counts.items() if count}, sum(at >= stood for at in read.dead),
    )  # fmt: skip


def seek(session: Session, partition: Partition, to: int, by: str) -> None:
    """Set a floor to another offset. In "public"."""
    stood = lock_floor(session, partition, to)
    _span(session, partition, "seek", stood, to, {}, 0, by)


def lock_floor(session: Session, partition: Partition, first_offset: int) -> int:
    """Where a floor stands, at `first_offset` when it is new; nobody else moves it until the end. In "public"."""
    named = {"topic": partition[0], "partition": partition[1], "first": first_offset}
    session.execute(
        text(
            "insert into ingest_floor (topic_id, partition, next_offset) values (:topic, :partition, :first)"
            " on conflict do nothing"
        ),
        named,
    )
    found: int = session.execute(
        text("select next_offset from ingest_floor where topic_id = :topic and partition = :partition for update"),
        named,
    ).scalar_one()
    return found


def _span(
    session: Session,
    partition: Partition,
    action: str,
    first_offset: int,
    next_offset: int,
    messages: Mapping[str, int],
    dead: int,
    by: str | None = None,
) -> None:
    named = {"topic": partition[0], "partition": partition[1], "first": first_offset, "next": next_offset}
    session.execute(
        text(
            'insert into ingest_spans (action, topic_id, partition, first_offset, next_offset, messages, dead, "by")'
            " values (:action, :topic, :partition, :first, :next, cast(:messages as json), :dead, :by)"
        ),
        {**named, "action": action, "messages": json.dumps(messages), "dead": dead, "by": by},
    )
    session.execute(
        text("update ingest_floor set next_offset = :next where topic_id = :topic and partition = :partition"), named
    )
