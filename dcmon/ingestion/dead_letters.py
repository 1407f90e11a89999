"""Dead letters: messages that can't be stored. They stay here after they are sent to Kafka's dead letter topic."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db.tables.public import DeadLetter, IngestTopic
from dcmon.storage.ledger import TopicPartition

MAX_REASON_LENGTH = 2_000  # characters: an error message may contain a row of any size


@dataclass(frozen=True)
class NewDeadLetter:
    """A message that can't be stored, with the reason. `body` is None if the message has no value."""

    partition: TopicPartition
    offset: int
    body: bytes | None
    reason: str


def add(session: Session, new: NewDeadLetter) -> None:
    """Keep a message that can't be stored. A message that is read again (same offset, same bytes) is kept once."""
    topic_id, number = new.partition
    topic = func.coalesce(select(IngestTopic.name).where(IngestTopic.topic_id == topic_id).scalar_subquery(), "")
    values = {"topic": topic, "topic_id": topic_id, "partition": number, "at_offset": new.offset}
    # PostgreSQL's text can't hold a NUL character. The body is stored as bytes, unchanged.
    reason = new.reason.replace("\0", "�").encode(errors="replace").decode()[:MAX_REASON_LENGTH]
    session.execute(insert(DeadLetter).values(**values, body=new.body, reason=reason).on_conflict_do_nothing())


def lock_unsent(session: Session, limit: int) -> list[DeadLetter]:
    """Return dead letters that are not sent to Kafka yet, oldest first. Lock them against other workers."""
    unsent = select(DeadLetter).where(DeadLetter.sent_at.is_(None)).order_by(DeadLetter.id).limit(limit)
    return list(session.scalars(unsent.with_for_update(skip_locked=True)))


def mark_sent(session: Session, dead_letters: Iterable[DeadLetter]) -> None:
    """Mark dead letters as sent to Kafka."""
    for dead_letter in dead_letters:
        dead_letter.sent_at = datetime.now(UTC)
    session.flush()
