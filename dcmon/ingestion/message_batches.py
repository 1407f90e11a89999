"""Store a batch of messages from Kafka in each organization, then commit the offsets.

1. Read the messages.
2. For each organization, in one transaction: lock its offsets, drop the messages that it has already, store rows,
   advance its offsets.
3. In the schema "public", in one transaction: keep dead letters and parked messages, advance the committed offsets.

After a crash at any point, messages are read again from the committed offset on, and step 2 drops the stored ones.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import Engine

from dcmon import db
from dcmon.ingestion import dead_letters, message_format, message_groups, offsets, parked_messages
from dcmon.ingestion.dead_letters import NewDeadLetter
from dcmon.ingestion.kafka import ConsumerRecord, NamedPartition
from dcmon.ingestion.message_format import UnreadableMessage
from dcmon.ingestion.message_groups import MessageGroup, group_by_target
from dcmon.ingestion.message_store import MessageStore
from dcmon.ingestion.offsets import LastSeek, OffsetCommit, ReadRange
from dcmon.ingestion.parked_messages import InboundMessage
from dcmon.ingestion.target_cache import TargetCache
from dcmon.storage.ledger import TopicPartition
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)

LOCK_WAIT = timedelta(seconds=3)
PARKED_LOCK_WAIT = timedelta(milliseconds=200)  # short, because the first try has waited for LOCK_WAIT already
PARKED_MESSAGES_AT_ONCE, PARKED_BYTES_AT_ONCE = 100, 16_000_000
PARKED_SECONDS = 10.0  # the longest time for parked messages, because new messages wait meanwhile


@dataclass
class PartitionBatch:
    """Messages of one partition with offsets in [first_offset, next_offset): readable messages and dead letters."""

    topic: str
    first_offset: int
    next_offset: int
    seek: LastSeek
    is_beginning: bool = False
    messages: list[InboundMessage] = field(default_factory=list)
    dead_letters: list[NewDeadLetter] = field(default_factory=list)
    row_count: int = 0


class MessageToPark(NamedTuple):
    """A message that can't be stored now, with the reason."""

    message: InboundMessage
    reason: str


@dataclass
class MessageBatch:
    """Messages by partition, with the results of the steps until they are stored.

    `groups` has the messages that were decoded ahead, by organization's id.
    """

    partitions: dict[TopicPartition, PartitionBatch] = field(default_factory=dict)
    byte_count: int = 0
    message_count: int = 0
    groups: dict[int, list[MessageGroup]] = field(default_factory=dict)
    parked: list[MessageToPark] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """How many rows the messages hold."""
        return sum(part.row_count for part in self.partitions.values())

    @property
    def next_offsets(self) -> dict[NamedPartition, int]:
        """The next offset of each partition, to be committed to Kafka's consumer group."""
        return {
            NamedPartition(part.topic, partition.partition): part.next_offset
            for partition, part in self.partitions.items()
        }

    @property
    def read_ranges(self) -> dict[TopicPartition, ReadRange]:
        """How the messages of each partition were read."""
        return {
            partition: ReadRange(part.seek, part.first_offset, part.is_beginning)
            for partition, part in self.partitions.items()
        }

    def by_organization(self) -> dict[int, list[InboundMessage]]:
        """Return the readable messages by the organization's id."""
        by_org = defaultdict[int, list[InboundMessage]](list)
        for part in self.partitions.values():
            for inbound in part.messages:
                by_org[inbound.message.org].append(inbound)
        return dict(by_org)

    def add(self, partition: TopicPartition, record: ConsumerRecord, seek: LastSeek) -> None:
        """Add a message. Its partition starts again if the message does not follow the last one.

        This happens if the consumer was assigned the partition again: it then reads from the committed offset on, so
        the earlier messages are read again.
        """
        position = record.position
        part = self.partitions.get(partition)
        if part is None or part.next_offset != record.previous_end:
            is_beginning = record.previous_end is None
            first = position.offset if record.previous_end is None else record.previous_end
            part = self.partitions[partition] = PartitionBatch(position.topic, first, first, seek, is_beginning)
        part.next_offset = position.offset + 1
        self.byte_count += len(record.value or b"")
        self.message_count += 1
        try:
            message = message_format.unpack(record.value, record.sent_at)
        except UnreadableMessage as error:
            part.dead_letters.append(NewDeadLetter(partition, position.offset, record.value, str(error)))
            return
        part.row_count += message.row_count
        part.messages.append(InboundMessage(partition, position.offset, record.value or b"", message, seek.number))

    def reject_organization(self, org_id: int, reason: str) -> None:
        """Turn the messages of an organization into dead letters."""
        for partition, part in self.partitions.items():
            rejected = [inbound for inbound in part.messages if inbound.message.org == org_id]
            part.dead_letters += [
                NewDeadLetter(partition, inbound.offset, inbound.value, reason) for inbound in rejected
            ]
            part.messages = [inbound for inbound in part.messages if inbound.message.org != org_id]


def decode(targets: TargetCache, batch: MessageBatch) -> None:
    """Decode the rows of a batch before its transactions begin.

    Rows that can't be decoded now are decoded in the transactions.
    """
    for org_id, messages in batch.by_organization().items():
        groups = batch.groups[org_id] = group_by_target(messages)
        org = None
        try:
            org = targets.organization(org_id)
            if org is not None:
                message_groups.decode_groups(targets, org, groups)
        except Exception as error:
            # The same error is raised again when the messages are stored. There it affects only this organization.
            name = f"with id {org_id}" if org is None else org.name
            log.debug("rows of organization %s could not be decoded before their transaction: %s", name, error)


def _validate(part: PartitionBatch) -> bool:
    """Validate messages of which only the head was read. Return True if a message was replaced or rejected."""
    messages, part.messages, has_changed = part.messages, [], False
    for inbound in messages:
        try:
            message = message_format.validate(inbound.message, inbound.value)
        except UnreadableMessage as error:
            part.dead_letters.append(NewDeadLetter(inbound.partition, inbound.offset, inbound.value, str(error)))
            has_changed = True
            continue
        has_changed |= message.rows is not inbound.message.rows
        part.messages.append(inbound if message is inbound.message else replace(inbound, message=message))
    return has_changed


def store(engine: Engine, targets: TargetCache, batch: MessageBatch) -> list[int]:
    """Store a batch and commit its offsets. Return the ids of the organizations in which rows were stored.

    Safe to repeat. Raises OffsetReset.
    """
    has_changed = [_validate(part) for part in batch.partitions.values()]
    if any(has_changed):
        batch.groups.clear()  # the groups have the messages from before the validation
    by_org = batch.by_organization()
    with db.public_session(engine) as session:
        orgs = {org_id: organizations.by_id(session, org_id) for org_id in by_org}
        newest_id = organizations.newest_id(session)
        with_parked = parked_messages.organization_ids(session, by_org)
    batch.parked.clear()
    stored = []
    for org_id, messages in sorted(by_org.items()):
        org = orgs[org_id]
        if org is None and org_id > newest_id:
            batch.reject_organization(org_id, f"there has never been an organization {org_id}")
        elif org is None:
            log.warning("dropped %d messages of the organization with id %d: it was deleted", len(messages), org_id)
        elif org_id in with_parked:
            batch.parked += [MessageToPark(inbound, "earlier messages are parked") for inbound in messages]
        else:
            groups = batch.groups.get(org_id) or group_by_target(messages)
            reason = MessageStore(engine, targets, org, batch.read_ranges, LOCK_WAIT).store(groups)
            if reason is None:
                stored.append(org_id)
            else:
                log.warning("parked %d messages of organization %s: %s", len(messages), org.name, reason)
                batch.parked += [MessageToPark(inbound, reason) for inbound in messages]
    _commit(engine, batch)
    return stored


def _commit(engine: Engine, batch: MessageBatch) -> None:
    """Keep dead letters and parked messages, and advance the committed offsets, in one transaction."""
    with db.public_session(engine) as session:
        # All transactions lock partitions in this order: two workers that commit the same ones must not deadlock.
        for partition, part in sorted(batch.partitions.items()):
            for dead_letter in part.dead_letters:
                dead_letters.add(session, dead_letter)
                position = f"{part.topic}/{partition.partition}/{dead_letter.offset}"
                log.warning("dead letter: message %s: %s", position, dead_letter.reason)
            offsets.commit(session, partition, _offset_commit(part))
        for inbound, reason in batch.parked:
            parked_messages.park(session, inbound, reason)


def _offset_commit(part: PartitionBatch) -> OffsetCommit:
    by_org = defaultdict[int, list[int]](list)
    for inbound in part.messages:
        by_org[inbound.message.org].append(inbound.offset)
    dead_letter_offsets = [dead_letter.offset for dead_letter in part.dead_letters]
    return OffsetCommit(part.first_offset, part.next_offset, part.seek, part.is_beginning, by_org, dead_letter_offsets)


def retry_parked(engine: Engine, targets: TargetCache) -> dict[int, int]:
    """Store parked messages of organizations that can be written again, oldest first.

    Return the number of stored messages by organization's id.
    """
    counts, deadline = dict[int, int](), time.monotonic() + PARKED_SECONDS
    with db.public_session(engine) as session:
        orgs = {org_id: organizations.by_id(session, org_id) for org_id in parked_messages.organization_ids(session)}
    for org_id, org in orgs.items():
        while time.monotonic() < deadline:
            batch = _oldest_parked(engine, org_id)
            if not batch.messages:
                break
            if org is not None:
                message_store = MessageStore(engine, targets, org, batch.read, PARKED_LOCK_WAIT)
                if message_store.store(group_by_target(batch.messages)) is not None:
                    break
            with db.public_session(engine) as session:
                parked_messages.remove(session, batch.messages)
            counts[org_id] = counts.get(org_id, 0) + len(batch.messages)
    if counts:
        log.info("stored %d messages that were parked", sum(counts.values()))
    return counts


class _ParkedBatch(NamedTuple):
    messages: Sequence[InboundMessage]
    read: Mapping[TopicPartition, ReadRange]


def _oldest_parked(engine: Engine, org_id: int) -> _ParkedBatch:
    """Return parked messages of an organization, and how they were read.

    Both are read in one snapshot, because other workers may store parked messages at the same time.
    """
    with db.public_session(engine, snapshot=True) as session:
        messages = parked_messages.oldest_messages(session, org_id, PARKED_MESSAGES_AT_ONCE, PARKED_BYTES_AT_ONCE)
        return _ParkedBatch(messages, parked_messages.read_ranges(session, messages))
