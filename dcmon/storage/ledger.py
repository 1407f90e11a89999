"""The ledger: a line for each change that stored or removed an organization's rows."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import sql
from dcmon.states import RowKind

SQL = sql.read(__name__)


class LedgerAction(StrEnum):
    """The action that a line of the ledger records. The history of committed offsets has INGEST and SEEK."""

    INGEST = "ingest"
    SEEK = "seek"  # an operator set an offset to another value
    RETRY = "retry"  # quarantined rows were tried again
    DROP = "drop"  # an operator deleted quarantined rows
    DELETE = "delete"  # an operator deleted samples
    PRUNE = "prune"  # rows older than their retention were deleted


@dataclass
class Outcome:
    """How many rows were stored, and what happened to the others.

    taken = stored + duplicates + quarantined. `conflicts` counts labels that differ from the stored label of the same
    sample, `waiting` labels whose sample is not stored yet, `replaced` duplicates whose label is lost, because a later
    row has another label for the id.
    """

    taken: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    conflicts: int = field(default=0, compare=False)
    waiting: int = field(default=0, compare=False)
    replaced: int = field(default=0, compare=False)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(*(getattr(self, count.name) + getattr(other, count.name) for count in fields(self)))


class TopicPartition(NamedTuple):
    """A partition of a Kafka topic. The topic is known by its id, since a recreated topic has other offsets."""

    topic_id: uuid.UUID
    partition: int


MAX_MERGED = 20_000  # lines in one statement


@dataclass(frozen=True)
class OffsetMove:
    """A move of the organization's offset past some messages, when their rows were stored."""

    partition: TopicPartition
    first_offset: int
    next_offset: int
    messages: int


@dataclass(frozen=True)
class Correction:
    """A change of stored rows by an operator or by a prune. The four counts add up to 0. `by` is who did it."""

    action: LedgerAction
    kind: str
    by: str
    note: str
    model_id: int
    version_id: int | None = None
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    removed: int = 0


@dataclass(frozen=True)
class LedgerEntry:
    """The outcome of rows of one model or version that were received together.

    `dropped` counts rows of a deleted model or version; `model_id` is None for them.
    """

    kind: str
    source: str
    outcome: Outcome
    model_id: int | None
    version_id: int | None = None
    dropped: int = 0
    note: str | None = None


def record(session: Session, entry: LedgerEntry, moves: Sequence[OffsetMove] = ()) -> None:
    """Write the line of an entry, or one line for each partition of its rows.

    These rows were stored together, so the first line counts all of them.
    """
    kind, source, outcome = entry.kind, entry.source, entry.outcome
    first, *further = moves or (None,)
    _write(
        session, kind=kind, source=source, model_id=entry.model_id, version_id=entry.version_id, taken=outcome.taken,
        stored=outcome.stored, duplicates=outcome.duplicates, quarantined=outcome.quarantined,
        conflicts=outcome.conflicts, dropped=entry.dropped, note=entry.note, **_offset_columns(first),
    )  # fmt: skip
    for move in further:
        _write(
            session, kind=kind, source=source, model_id=entry.model_id, version_id=entry.version_id, taken=0, stored=0,
            duplicates=0, quarantined=0, note="its rows are counted in the line before", **_offset_columns(move),
        )  # fmt: skip


def _offset_columns(move: OffsetMove | None) -> dict[str, Any]:
    if move is None:
        return {}
    topic_id, partition = move.partition
    return {"topic_id": topic_id, "partition": partition, "first_offset": move.first_offset,
            "next_offset": move.next_offset, "messages": move.messages}  # fmt: skip


def record_seek(session: Session, move: OffsetMove) -> None:
    """Write the line of a seek that set an offset back."""
    topic_id, partition = move.partition
    _write(
        session, action=LedgerAction.SEEK, kind=RowKind.SAMPLES, source=LedgerAction.SEEK, topic_id=topic_id,
        partition=partition, first_offset=move.first_offset, next_offset=move.next_offset, taken=0, stored=0,
        duplicates=0, quarantined=0,
    )  # fmt: skip


def record_correction(session: Session, correction: Correction) -> None:
    """Write the line of a correction."""
    _write(session, source=correction.action, taken=0, **asdict(correction))


def merge_requests(session: Session, before: datetime, limit: int = MAX_MERGED) -> int:
    """Replace the lines of requests by one line for each day and target.

    Each request writes its own line. Only lines before the time `before` are replaced, and at most `limit` of them.
    Lines that loaded a file or corrected rows stay as they are. Returns how many lines were replaced.
    """
    [[count]] = db.fetch(session, SQL.statement("merge_requests"), {"before": before, "limit": limit})
    return int(count)


def merge_moves(session: Session, before: datetime) -> int:
    """Replace lines that moved offsets by one line for each partition, target and day.

    Only lines before the day of `before` are replaced. The lines of a day share their range of offsets, like the lines
    of one batch. If a seek set the offset back, the lines before the seek and the lines after it are replaced
    separately. Returns how many lines were replaced.
    """
    [[count]] = db.fetch(session, SQL.statement("merge_moves"), {"before": before})
    return int(count)


def _write(session: Session, **line: Any) -> None:
    names = ", ".join(f'"{name}"' for name in line)
    db.run(session, f"insert into batches ({names}) values ({', '.join(f'%({name})s' for name in line)})", line)
