"""How far ingestion is: the truth in each organization beside its rows, the floor for everyone in "public"."""

import uuid
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

Partition = tuple[uuid.UUID, int]


def lock(session: Session, partition: Partition) -> int:
    """The first offset that the organization does not have of a partition; nobody else moves it until the end."""
    named = {"topic": partition[0], "partition": partition[1]}
    session.execute(
        text(
            "insert into ingest_offsets (topic_id, partition, next_offset) values (:topic, :partition, 0)"
            " on conflict do nothing"
        ),
        named,
    )
    found = session.scalar(
        text("select next_offset from ingest_offsets where topic_id = :topic and partition = :partition for update"),
        named,
    )
    return int(found or 0)


def move(session: Session, partition: Partition, next_offset: int) -> None:
    """The organization has everything below `next_offset`."""
    session.execute(
        text(
            "update ingest_offsets set next_offset = greatest(next_offset, :next)"
            " where topic_id = :topic and partition = :partition"
        ),
        {"topic": partition[0], "partition": partition[1], "next": next_offset},
    )


def floor(session: Session, partition: Partition) -> int | None:
    """Up to where a partition is settled for every organization; None when it was never read. In "public"."""
    found: int | None = session.scalar(
        text("select next_offset from ingest_floor where topic_id = :topic and partition = :partition"),
        {"topic": partition[0], "partition": partition[1]},
    )
    return found


def raise_floors(session: Session, reached: Mapping[Partition, int]) -> None:
    """Everything below is settled. In "public"."""
    for (topic_id, partition), offset in sorted(reached.items()):
        session.execute(
            text(
                "insert into ingest_floor as f (topic_id, partition, next_offset) values (:topic, :partition, :next)"
                " on conflict (topic_id, partition) do update"
                " set next_offset = greatest(f.next_offset, excluded.next_offset)"
            ),
            {"topic": topic_id, "partition": partition, "next": offset},
        )
