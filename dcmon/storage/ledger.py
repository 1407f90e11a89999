"""The ledger: a line for whatever took rows into an organization's tables, or took them out."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from dcmon import db


@dataclass
class Outcome:
    """What became of rows: taken = stored + duplicates + quarantined. Conflicts: labels that differ from one known."""

    taken: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    conflicts: int = field(default=0, compare=False)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


class TopicPartition(NamedTuple):
    """A partition of a Kafka topic, which is known by its id: a recreated topic has other offsets."""

    topic_id: uuid.UUID
    partition: int


FOLDED_AT_ONCE = 20_000


@dataclass(frozen=True)
class OffsetMove:
    """The move of the organization's offset that rows came with, and how many messages they were in."""

    partition: TopicPartition
    first_offset: int
    next_offset: int
    messages: int


@dataclass(frozen=True)
class Correction:
    """A change of stored rows by an operator or by a prune. The four counts add up to 0.

    `action` is retry, delete, prune or drop; `by` is who did it.
    """

    action: str
    kind: str
    by: str
    note: str
    model_id: int
    version_id: int | None = None
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    removed: int = 0


def enter(
    session: Session,
    kind: str,
    source: str,
    outcome: Outcome,
    *,
    model_id: int | None,
    version_id: int | None = None,
    spans: Sequence[OffsetMove] = (),
    dropped: int = 0,
    note: str | None = None,
) -> None:
    """Write the line of rows that were taken in; of rows out of several partitions a line for each.

    They were stored together, so the first one counts them all.
    """
    first, *others = spans or (None,)
    _write(
        session, kind=kind, source=source, model_id=model_id, version_id=version_id, taken=outcome.taken,
        stored=outcome.stored, duplicates=outcome.duplicates, quarantined=outcome.quarantined,
        conflicts=outcome.conflicts, dropped=dropped, note=note, **_moved(first),
    )  # fmt: skip
    for span in others:
        _write(
            session, kind=kind, source=source, model_id=model_id, version_id=version_id, taken=0, stored=0,
            duplicates=0, quarantined=0, note="its rows are counted in the line before", **_moved(span),
        )  # fmt: skip


def _moved(span: OffsetMove | None) -> dict[str, Any]:
    if span is None:
        return {}
    topic_id, partition = span.partition
    return {"topic_id": topic_id, "partition": partition, "first_offset": span.first_offset,
            "next_offset": span.next_offset, "messages": span.messages}  # fmt: skip


def seek(session: Session, span: OffsetMove) -> None:
    """Write the line of an offset that was set back: what comes again from there on is taken once more."""
    topic_id, partition = span.partition
    _write(
        session, action="seek", kind="samples", source="seek", topic_id=topic_id, partition=partition,
        first_offset=span.first_offset, next_offset=span.next_offset, taken=0, stored=0, duplicates=0, quarantined=0,
    )  # fmt: skip


def correct(session: Session, correction: Correction) -> None:
    """Write the line of a correction."""
    _write(session, source=correction.action, taken=0, **asdict(correction))


def fold(session: Session, before: datetime, most: int = FOLDED_AT_ONCE) -> int:
    """Make one line of those of requests that are older, for each day and target: each request writes its own.

    Lines that loaded a file or corrected something stay as they are. Returns how many went.
    """
    found = db.fetch(
        session,
        "with old as (select id from batches where action = 'ingest' and topic_id is null and source like 'request/%%'"
        " and dropped = 0 and created_at < %(before)b order by id limit %(most)b for update skip locked),"
        " gone as (delete from batches using old where batches.id = old.id returning batches.*), folded as ("
        " insert into batches (kind, source, model_id, version_id, taken, stored, duplicates, quarantined, conflicts,"
        " note, created_at) select kind, 'requests', model_id, version_id, sum(taken), sum(stored), sum(duplicates),"
        " sum(quarantined), sum(conflicts), count(*) || ' requests', max(created_at) from gone"
        " group by kind, model_id, version_id, date_trunc('day', created_at, 'UTC')) select count(*) from gone",
        {"before": before, "most": most},
    )
    return int(found[0][0])


def fold_moves(session: Session, before: datetime) -> int:
    """Make one line of those that moved a partition's offset, for each day before that of `before` and each target.

    The lines of a day cover its offsets together, as those of a batch do; where a seek set the offset back, those
    before and after it do so apart. Returns how many went.
    """
    found = db.fetch(
        session,
        "with lines as ("
        " select id, topic_id, partition, kind, model_id, version_id, action, first_offset, next_offset,"
        " date_trunc('day', created_at, 'UTC') as day,"
        " count(*) filter (where action = 'seek') over (partition by topic_id, partition order by id) as seeks"
        " from batches where topic_id is not null and created_at < date_trunc('day', %(before)b, 'UTC')), runs as ("
        " select topic_id, partition, day, seeks, min(first_offset) as first_offset, max(next_offset) as next_offset"
        " from lines where action = 'ingest' group by topic_id, partition, day, seeks"
        " having count(*) > count(distinct (kind, model_id, version_id))), gone as ("
        " delete from batches b using lines l join runs r using (topic_id, partition, day, seeks)"
        " where b.id = l.id and l.action = 'ingest'"
        " returning b.*, r.first_offset as run_first, r.next_offset as run_next), folded as ("
        # The first id of a run's lines keeps their place before those that came later.
        " insert into batches (id, kind, source, model_id, version_id, topic_id, partition, first_offset, next_offset,"
        " messages, taken, stored, duplicates, quarantined, dropped, conflicts, note, created_at)"
        " overriding system value"
        " select min(id), kind, 'topic', model_id, version_id, topic_id, partition, run_first, run_next, sum(messages),"
        " sum(taken), sum(stored), sum(duplicates), sum(quarantined), sum(dropped), sum(conflicts),"
        " count(*) || ' batches', max(created_at) from gone"
        " group by kind, model_id, version_id, topic_id, partition, run_first, run_next) select count(*) from gone",
        {"before": before},
    )
    return int(found[0][0])


def _write(session: Session, **line: Any) -> None:
    names = ", ".join(f'"{name}"' for name in line)
    db.run(session, f"insert into batches ({names}) values ({', '.join(f'%({name})s' for name in line)})", line)
