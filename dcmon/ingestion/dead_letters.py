from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db.tables.public import DeadLetter, IngestTopic
from dcmon.storage.ledger import Partition

LONGEST_REASON = 2_000  # characters: an error may quote a row of any size


@dataclass(frozen=True)
class Dead:
    """A message that nobody can store, with the reason."""

    partition: Partition
    offset: int
    body: bytes | None
    reason: str


def bury(session: Session, dead: Dead) -> None:
    """Keep a message that can't be stored, once however often it is read: it is known by its place and its bytes."""
    topic_id, number = dead.partition
    topic = func.coalesce(select(IngestTopic.name).where(IngestTopic.topic_id == topic_id).scalar_subquery(), "")
    values = {"topic": topic, "topic_id": topic_id, "partition": number, "at_offset": dead.offset}
    # PostgreSQL's text holds no NUL; the body, as bytes, has the message as it came.
    reason = dead.reason.replace("\0", "�").encode(errors="replace").decode()[:LONGEST_REASON]
    session.execute(insert(DeadLetter).values(**values, body=dead.body, reason=reason).on_conflict_do_nothing())


def unsent(session: Session, limit: int) -> list[DeadLetter]:
    """Dead letters that Kafka's topic of them does not have yet, oldest first; nobody else sends them until the end."""
    chosen = select(DeadLetter).where(DeadLetter.sent_at.is_(None)).order_by(DeadLetter.id).limit(limit)
    return list(session.scalars(chosen.with_for_update(skip_locked=True)))


def are_sent(session: Session, dead: Iterable[DeadLetter]) -> None:
    """Kafka's topic of dead letters has these."""
    for each in dead:
        each.sent_at = datetime.now(UTC)
    session.flush()
