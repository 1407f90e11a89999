"""How far ingestion is: the truth in each organization beside its rows, the floor for everyone in "public".

An operator may seek: set the floor to another offset. Seeks are numbered, so that each organization follows once, and
a worker that has not noticed (it was stopped meanwhile, say) can neither store nor settle what it read before.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.storage.ledger import Partition

BEGIN = text("""
    insert into ingest_offsets (topic_id, partition, next_offset, seek) values (:topic, :partition, 0, :seek)
    on conflict do nothing
""")
LOCK = text("""
    select o.next_offset, o.seek, (select f.next_offset from public.ingest_floor f
                                    where (f.topic_id, f.partition) = (o.topic_id, o.partition))
      from ingest_offsets o where o.topic_id = :topic and o.partition = :partition for update of o
""")
FOLLOW = text("""
    update ingest_offsets set next_offset = least(next_offset, :to), seek = :seek
     where topic_id = :topic and partition = :partition
""")


class Sought(Exception):
    """A seek came in between: what was read before it is to be forgotten, and read again from the floor."""


@dataclass(frozen=True)
class Seek:
    """The last seek of a partition: its number (0: there was none) and the offset it went to."""

    number: int = 0
    to: int = 0


@dataclass(frozen=True)
class Stretch:
    """How messages of a partition were read: after which seek, and as what comes next after which offset.

    `first_offset` is None for messages that were parked: they are welcome after any seek, and wherever the floor is.
    `is_beginning`: they are the first of their log, and there may be no floor yet.
    """

    seek: Seek
    first_offset: int | None = None
    is_beginning: bool = False


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
    is_beginning: bool
    messages: Mapping[int, list[int]]
    dead: list[int]


def lock(session: Session, partition: Partition, read: Stretch) -> tuple[int, int] | None:
    """The first offset that the organization does not have of a partition; nobody else moves it until the end.

    Returns where it stood, and where it stands now that it has followed the seek; None for messages that were parked
    before the last seek that it followed: what they are to be compared with is gone. Raises Sought when what was read
    is not what comes next: after a seek, or where PostgreSQL is an older one (a standby, a backup), which has less than
    was read. The floor is looked at in this transaction, so that both are of the same server.
    """
    named = {"topic": partition[0], "partition": partition[1], "seek": read.seek.number}
    session.execute(BEGIN, named)
    next_offset, number, floor = session.execute(LOCK, named).one()
    if read.first_offset is not None and (number > read.seek.number or _is_behind(floor, read)):
        raise Sought
    if number > read.seek.number:
        return None
    if number == read.seek.number:
        return next_offset, next_offset
    session.execute(FOLLOW, {**named, "to": read.seek.to})
    return next_offset, min(next_offset, read.seek.to)


def _is_behind(floor: int | None, read: Stretch) -> bool:
    """Whether messages before what was read are not settled, and would be passed over."""
    return not read.is_beginning if floor is None else floor < (read.first_offset or 0)


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


def seek_of(session: Session, number: int) -> Seek:
    """The seek of that number. In "public"."""
    to = session.scalar(text("select next_offset from ingest_spans where id = :id and action = 'seek'"), {"id": number})
    return Seek() if to is None else Seek(number, to)


def settle(session: Session, partition: Partition, read: Settled) -> None:
    """Raise a floor over what was read, and write its span with the messages in it. In "public". Raises Sought."""
    there = floor(session, partition)
    if there.seek.number != read.seek.number or (there.next_offset is None and not read.is_beginning):
        raise Sought
    stood = lock_floor(session, partition, read.first_offset)
    if stood < read.first_offset or last_seek(session, partition).number != read.seek.number:
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


def fold(session: Session, before: datetime, most: int = 20_000) -> int:
    """Make one span of all that are older and come one after the other, so that they do not grow for ever. In "public".

    Those before a partition's last seek stay: they tell what was decided. Returns how many went.
    """
    found = session.execute(
        text(
            "select s.id, s.topic_id, s.partition, s.first_offset, s.messages, s.dead from ingest_spans s"
            " where s.action = 'ingest' and s.created_at < :before and not exists (select 1 from ingest_spans k"
            " where k.topic_id = s.topic_id and k.partition = s.partition and k.action = 'seek' and k.id > s.id)"
            " order by s.topic_id, s.partition, s.id limit :most"
        ),
        {"before": before, "most": most},
    ).all()
    gone = 0
    for _, spans in groupby(found, key=lambda span: (span.topic_id, span.partition)):
        *others, last = spans
        if others:
            messages = sum((Counter(span.messages) for span in (*others, last)), Counter[str]())
            kept = {"id": last.id, "first": others[0].first_offset, "messages": json.dumps(messages)}
            dead = sum(span.dead for span in others) + last.dead
            into = "update ingest_spans set first_offset = :first, messages = cast(:messages as json), dead = :dead"
            session.execute(text(f"{into} where id = :id"), {**kept, "dead": dead})
            ids = [each.id for each in others]
            session.execute(text("delete from ingest_spans where id = any(:ids)"), {"ids": ids})
            gone += len(others)
    return gone


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
