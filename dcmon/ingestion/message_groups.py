"""Store groups of messages in one organization, exactly once: rows and offsets in one transaction."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import Organization
from dcmon.ingestion import offsets, store
from dcmon.ingestion.offsets import ReadRange
from dcmon.ingestion.parked_messages import InboundMessage
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.store import PreparedRows
from dcmon.ingestion.target_cache import RowTarget, TargetCache
from dcmon.states import RowKind
from dcmon.storage import ledger
from dcmon.storage.ledger import LedgerEntry, OffsetMove, Outcome, TopicPartition

OffsetMoves = Mapping[TopicPartition, OffsetMove | None]
MAX_NOTE_LENGTH = 500


@dataclass
class MessageGroup:
    """Messages for one version or model, which are stored together.

    `prepared` has the decoded rows of all messages if they were decoded before the transaction. `refused` is set for
    groups of one message: the positions of the rows that PostgreSQL refuses, each with the reason.
    """

    kind: RowKind
    target: int
    messages: list[InboundMessage]
    prepared: PreparedRows | None = None
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def batches(self) -> list[RowBatch]:
        """One batch of rows for each message."""
        batches = [
            RowBatch(inbound.message.rows, inbound.message.received_at, inbound.source) for inbound in self.messages
        ]
        return [batch._replace(refused=self.refused) for batch in batches] if self.refused else batches


def group_by_target(messages: Iterable[InboundMessage]) -> list[MessageGroup]:
    """Group messages by version or model, in order of partition and offset.

    Samples come before labels, so that labels find their samples immediately. A group spans all partitions: two workers
    that stored ids of a version partition by partition could wait for each other.
    """
    groups: dict[tuple[bool, int], MessageGroup] = {}
    for inbound in sorted(messages, key=lambda inbound: (inbound.partition, inbound.offset)):
        kind, target = inbound.message.kind, inbound.message.target
        groups.setdefault((kind == RowKind.LABELS, target), MessageGroup(kind, target, [])).messages.append(inbound)
    return [groups[key] for key in sorted(groups)]


def decode_groups(targets: TargetCache, org: Organization, groups: Iterable[MessageGroup]) -> None:
    """Decode the rows of groups before the transaction. A group is skipped if its version or model was deleted."""
    for group in groups:
        with suppress(errors.NotFound):
            group.prepared = store.prepare(targets, RowTarget(org, group.kind, group.target), group.batches)


def store_groups(
    session: Session, org: Organization, groups: Sequence[MessageGroup], read: Mapping[TopicPartition, ReadRange]
) -> set[str]:
    """Store the messages that the organization does not have yet.

    Messages of a deleted version or model are dropped; the returned texts name the version or model. `read` says how
    the messages of each partition were read. Raises OffsetReset. All transactions take locks in this order: offsets,
    models, rows, versions.
    """
    ends = dict[TopicPartition, int]()
    for inbound in (inbound for group in groups for inbound in group.messages):
        ends[inbound.partition] = max(inbound.offset + 1, ends.get(inbound.partition, 0))
    moves = {partition: _advance(session, partition, end, read[partition]) for partition, end in sorted(ends.items())}
    new = [remaining for group in groups if (remaining := _without_stored(group, moves)) is not None]
    store.lock_models(
        session,
        (group.target for group in new if group.kind == RowKind.SAMPLES),
        (group.target for group in new if group.kind == RowKind.LABELS),
    )
    return {reason for group in new if (reason := _store_group(session, org, group, moves))}


def _advance(session: Session, partition: TopicPartition, next_offset: int, read: ReadRange) -> OffsetMove | None:
    """Follow a seek, then advance the organization's offset. None if it must stay (see `offsets.lock_organization`)."""
    if (locked := offsets.lock_organization(session, partition, read)) is None:
        return None
    if locked.current != locked.before_seek:
        ledger.record_seek(session, OffsetMove(partition, locked.before_seek, locked.current, 0))
    if next_offset > locked.current:
        offsets.advance_organization(session, partition, next_offset)
    return OffsetMove(partition, locked.current, max(locked.current, next_offset), 0)


def _without_stored(group: MessageGroup, moves: OffsetMoves) -> MessageGroup | None:
    """Return the group without messages that the organization has. None if no message remains."""
    first_offsets = {partition: move.first_offset if move else 0 for partition, move in moves.items()}
    remaining = [inbound for inbound in group.messages if inbound.offset >= first_offsets[inbound.partition]]
    if len(remaining) == len(group.messages):
        return group
    return replace(group, messages=remaining, prepared=None) if remaining else None


def _store_group(session: Session, org: Organization, group: MessageGroup, moves: OffsetMoves) -> str:
    """Store a group of messages. Return a reason if their version or model was deleted, else ''."""
    try:
        if group.prepared is not None:
            store.store_rows(session, group.prepared, _moves_of_group(group, moves))
        elif group.kind == RowKind.SAMPLES:
            store.store_samples(session, org, group.target, group.batches, _moves_of_group(group, moves))
        else:
            store.store_labels(session, group.target, group.batches, _moves_of_group(group, moves))
    except errors.NotFound as error:
        _require_deleted(session, group)
        _drop(session, group, moves, str(error))
        return str(error)
    return ""


def _moves_of_group(group: MessageGroup, moves: OffsetMoves) -> list[OffsetMove]:
    """Return the offset moves of a group, one for each partition. Each counts the group's messages."""
    counts = Counter(inbound.partition for inbound in group.messages)
    return [
        replace(move, messages=count) for partition, count in counts.items() if (move := moves[partition]) is not None
    ]


def _require_deleted(session: Session, group: MessageGroup) -> None:
    """Raise InvalidInput if the id never existed. Such a message is a mistake, and an operator should see it."""
    sequence, noun = ("versions_id_seq", "version") if group.kind == RowKind.SAMPLES else ("models_id_seq", "model")
    if group.target > (session.scalar(text(f"select last_value from {sequence}")) or 0):
        raise errors.InvalidInput(f"there has never been a {noun} {group.target} in this organization")


def _drop(session: Session, group: MessageGroup, moves: OffsetMoves, reason: str) -> None:
    """Write a line in the ledger for rows that can no longer be stored."""
    rows = sum(len(batch.rows) for batch in group.batches)
    entry = LedgerEntry(group.kind, group.messages[0].source, Outcome(taken=rows), None, dropped=rows, note=reason)
    ledger.record(session, entry, _moves_of_group(group, moves))


def skip_dead_letter(session: Session, inbound: InboundMessage, read: ReadRange, reason: str) -> None:
    """Advance the organization's offset past a dead letter, if it is not past it yet. Raises OffsetReset."""
    moves = {inbound.partition: _advance(session, inbound.partition, inbound.offset + 1, read)}
    if (group := _without_stored(group_by_target([inbound])[0], moves)) is not None:
        _drop(session, group, moves, f"dead letter: {reason}"[:MAX_NOTE_LENGTH])
