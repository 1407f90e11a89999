"""Offsets of Kafka's partitions: one in each organization, and the committed offset for all organizations.

The organization's offset (table `ingest_offsets`) is advanced in the transaction that stores the rows. So all messages
below it are stored in the organization. Messages below the committed offset (table `public.committed_offsets`) are
stored in all organizations, or parked. A worker starts to read at the committed offset. Table `public.ingest_spans` is
its history.

An operator may seek: set the committed offset to another value. Seeks are numbered, so that each organization follows a
seek once. A worker that has not noticed a seek (for example, because it was suspended) can neither store nor commit the
messages that it read before.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.storage.ledger import LedgerAction, TopicPartition

CREATE = text("""
    insert into ingest_offsets (topic_id, partition, next_offset, seek) values (:topic, :partition, 0, :seek)
    on conflict do nothing
""")
# The lock excludes another worker that has messages of the same partition, for example after the partition was assigned
# to that worker. It waits, then reads the new offset and drops the messages that are stored. The committed offset is
# not locked, because all organizations would wait for each other.
LOCK = text("""
    select o.next_offset, o.seek, (select f.next_offset from public.committed_offsets f
                                    where (f.topic_id, f.partition) = (o.topic_id, o.partition)) as committed
      from ingest_offsets o where o.topic_id = :topic and o.partition = :partition for update of o
""")
FOLLOW_SEEK = text("""
    update ingest_offsets set next_offset = least(next_offset, :offset), seek = :seek
     where topic_id = :topic and partition = :partition
""")
ADVANCE = text("""
    update ingest_offsets set next_offset = greatest(next_offset, :next)
     where topic_id = :topic and partition = :partition
""")
COMMITTED = text("select next_offset from committed_offsets where topic_id = :topic and partition = :partition")
CREATE_COMMITTED = text("""
    insert into committed_offsets (topic_id, partition, next_offset) values (:topic, :partition, :first)
    on conflict do nothing
""")
# A worker's commit and an operator's seek exclude each other: whichever comes second sees what the first one wrote.
LOCK_COMMITTED = text("""
    select next_offset from committed_offsets where topic_id = :topic and partition = :partition for update
""")
SET_COMMITTED = text("""
    update committed_offsets set next_offset = :next where topic_id = :topic and partition = :partition
""")
LAST_SEEK = text("""
    select id, next_offset from ingest_spans where topic_id = :topic and partition = :partition and action = 'seek'
     order by id desc limit 1
""")
ADD_HISTORY = text("""
    insert into ingest_spans (action, topic_id, partition, first_offset, next_offset, messages, dead, "by")
    values (:action, :topic, :partition, :first, :next, cast(:messages as json), :dead, :by)
""")
# Entries before a partition's last seek are not merged: they show from where to where the operator moved the offset.
OLD_HISTORY = text("""
    select s.id, s.topic_id, s.partition, s.first_offset, s.messages, s.dead from ingest_spans s
     where s.action = 'ingest' and s.created_at < :before and not exists (
           select 1 from ingest_spans k
            where k.topic_id = s.topic_id and k.partition = s.partition and k.action = 'seek' and k.id > s.id)
     order by s.topic_id, s.partition, s.id limit :limit
""")


class OffsetReset(Exception):
    """The committed offset has changed. Discard the messages that were read, and read again from the new offset."""


@dataclass(frozen=True)
class LastSeek:
    """The last seek of a partition: its number (0: no seek yet), and its offset."""

    number: int = 0
    offset: int = 0


@dataclass(frozen=True)
class ReadRange:
    """How messages of a partition were read: after which seek, and from which offset on.

    From the first offset on, messages were read without a gap. `first_offset` is None for messages that were parked:
    they may be stored after any seek, with any committed offset.
    `is_beginning`: the messages are the first of their log, so there may be no committed offset yet.
    """

    seek: LastSeek
    first_offset: int | None = None
    is_beginning: bool = False


@dataclass(frozen=True)
class CommittedOffset:
    """The committed offset of a partition (None: never read), and its last seek."""

    next_offset: int | None
    seek: LastSeek


@dataclass(frozen=True)
class OffsetCommit:
    """The messages that were read of a partition: all in [first_offset, next_offset).

    `messages` has the offsets of messages by organization's id, `dead_letters` the offsets of dead letters.
    """

    first_offset: int
    next_offset: int
    seek: LastSeek
    is_beginning: bool
    messages: Mapping[int, list[int]]
    dead_letters: list[int]


class LockedOffset(NamedTuple):
    """An organization's offset before and after the organization followed the last seek."""

    before_seek: int
    current: int


def lock_organization(session: Session, partition: TopicPartition, read: ReadRange) -> LockedOffset | None:
    """Lock the organization's offset of a partition until the transaction ends, and follow a seek.

    Return None for messages that were parked before the last seek that the organization followed: the offset from
    before that seek no longer exists, so they can't be compared with it. Raises OffsetReset if earlier messages are not
    committed: after a seek, or if PostgreSQL was replaced by an older state (a standby, a backup). The committed offset
    is read in this transaction, so that both offsets come from the same server.
    """
    values = {**_key(partition), "seek": read.seek.number}
    session.execute(CREATE, values)
    next_offset, seek_number, committed = session.execute(LOCK, values).one()
    if read.first_offset is not None and (seek_number > read.seek.number or _leaves_gap(committed, read)):
        raise OffsetReset
    if seek_number > read.seek.number:
        return None
    if seek_number == read.seek.number:
        return LockedOffset(next_offset, next_offset)
    session.execute(FOLLOW_SEEK, {**values, "offset": read.seek.offset})
    return LockedOffset(next_offset, min(next_offset, read.seek.offset))


def _leaves_gap(committed: int | None, read: ReadRange) -> bool:
    """True if messages before these are not committed, and would be skipped."""
    return not read.is_beginning if committed is None else committed < (read.first_offset or 0)


def advance_organization(session: Session, partition: TopicPartition, next_offset: int) -> None:
    """Record that the organization has all messages below `next_offset`."""
    session.execute(ADVANCE, {**_key(partition), "next": next_offset})


def committed_offset(session: Session, partition: TopicPartition) -> CommittedOffset:
    """Return the committed offset of a partition. In the schema "public"."""
    next_offset = session.scalar(COMMITTED, _key(partition))
    return CommittedOffset(next_offset, last_seek(session, partition))


def last_seek(session: Session, partition: TopicPartition) -> LastSeek:
    """Return the last seek of a partition. In the schema "public"."""
    row = session.execute(LAST_SEEK, _key(partition)).one_or_none()
    return LastSeek() if row is None else LastSeek(row.id, row.next_offset)


def seek_by_number(session: Session, number: int) -> LastSeek:
    """Return the seek with this number; number 0 if it does not exist. In the schema "public"."""
    statement = text("select next_offset from ingest_spans where id = :id and action = 'seek'")
    offset = session.scalar(statement, {"id": number})
    return LastSeek() if offset is None else LastSeek(number, offset)


def commit(session: Session, partition: TopicPartition, read: OffsetCommit) -> None:
    """Advance the committed offset past the messages that were read. Add the move to its history.

    In the schema "public". Raises OffsetReset. Nothing changes if another worker has committed all these messages.
    """
    known = committed_offset(session, partition)
    if known.seek.number != read.seek.number or (known.next_offset is None and not read.is_beginning):
        raise OffsetReset
    current = lock_committed(session, partition, read.first_offset)
    # Check again under the lock: an operator may have set the offset since the first check.
    if current < read.first_offset or last_seek(session, partition).number != read.seek.number:
        raise OffsetReset
    if current >= read.next_offset:
        return
    counts = {
        str(org_id): sum(offset >= current for offset in offsets) for org_id, offsets in sorted(read.messages.items())
    }
    messages = {org_id: count for org_id, count in counts.items() if count}
    dead_letters = sum(offset >= current for offset in read.dead_letters)
    move = _Move(LedgerAction.INGEST, current, read.next_offset, messages, dead_letters)
    _set_committed(session, partition, move)


def seek(session: Session, partition: TopicPartition, offset: int, by: str) -> None:
    """Set the committed offset to another value, and add the seek to its history. In the schema "public"."""
    current = lock_committed(session, partition, offset)
    _set_committed(session, partition, _Move(LedgerAction.SEEK, current, offset, {}, 0, by))


def lock_committed(session: Session, partition: TopicPartition, first_offset: int) -> int:
    """Lock the committed offset until the transaction ends, and return it. In the schema "public".

    A partition without a committed offset gets `first_offset`.
    """
    values = {**_key(partition), "first": first_offset}
    session.execute(CREATE_COMMITTED, values)
    current: int = session.execute(LOCK_COMMITTED, values).scalar_one()
    return current


def merge_moves(session: Session, before: datetime, limit: int = 20_000) -> int:
    """Merge consecutive entries of the history that are older than `before`. Return how many rows were removed.

    In the schema "public". Without this, the table would grow with every batch.
    """
    rows = session.execute(OLD_HISTORY, {"before": before, "limit": limit}).all()
    removed = 0
    for _, entries in groupby(rows, key=lambda entry: (entry.topic_id, entry.partition)):
        *merged, last = entries
        if merged:
            messages = sum((Counter(entry.messages) for entry in (*merged, last)), Counter[str]())
            values = {"id": last.id, "first": merged[0].first_offset, "messages": json.dumps(messages)}
            dead_letters = sum(entry.dead for entry in merged) + last.dead
            update = "update ingest_spans set first_offset = :first, messages = cast(:messages as json), dead = :dead"
            session.execute(text(f"{update} where id = :id"), {**values, "dead": dead_letters})
            ids = [entry.id for entry in merged]
            session.execute(text("delete from ingest_spans where id = any(:ids)"), {"ids": ids})
            removed += len(merged)
    return removed


class _Move(NamedTuple):
    """A move of a committed offset, which becomes an entry of its history."""

    action: LedgerAction
    first_offset: int
    next_offset: int
    messages: Mapping[str, int]
    dead_letters: int
    by: str | None = None


def _set_committed(session: Session, partition: TopicPartition, move: _Move) -> None:
    values = {**_key(partition), "first": move.first_offset, "next": move.next_offset}
    entry = {"action": move.action, "messages": json.dumps(move.messages), "dead": move.dead_letters, "by": move.by}
    session.execute(ADD_HISTORY, {**values, **entry})
    session.execute(SET_COMMITTED, values)


def _key(partition: TopicPartition) -> dict[str, object]:
    topic_id, number = partition
    return {"topic": topic_id, "partition": number}
