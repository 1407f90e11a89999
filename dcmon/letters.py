"""Messages on their way into an organization: those that wait because it can't be entered, those that nobody can store.

All of it lies in "public", so that it does not need the organization.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import messages, offsets
from dcmon.messages import Message
from dcmon.offsets import Partition, Stretch
from dcmon.tables.public import DeadLetter, IngestTopic, ParkedMessage

LONGEST_REASON = 2_000  # characters: an error may quote a row of any size
LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Letter:
    """A message with the partition and offset that it came from, and the number of the seek after which it was read.

    A log that lost its end has other messages at the same offsets; these are read after a seek.
    """

    partition: Partition
    offset: int
    value: bytes
    message: Message
    seek: int = 0

    @property
    def place(self) -> str:
        """Topic, partition and offset, and the seek if there was one, as a source of rows is named."""
        place = f"{self.partition[0]}/{self.partition[1]}/{self.offset}"
        return f"{place}/{self.seek}" if self.seek else place


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


def park(session: Session, letter: Letter, reason: str) -> None:
    """Let a message wait for its organization."""
    topic_id, number = letter.partition
    values = {"topic_id": topic_id, "partition": number, "at_offset": letter.offset, "seek": letter.seek}
    body = messages.encode(letter.message)
    new = insert(ParkedMessage).values(**values, body=body, org_id=letter.message.org, reason=reason)
    session.execute(new.on_conflict_do_nothing())


def waiting(session: Session, org_ids: Iterable[int] | None = None) -> set[int]:
    """The organizations, of these or of all, that messages wait for."""
    found = select(ParkedMessage.org_id).distinct()
    return set(session.scalars(found if org_ids is None else found.where(ParkedMessage.org_id.in_(list(org_ids)))))


def parked(session: Session, org_id: int, limit: int, size: int) -> list[Letter]:
    """Messages that wait for an organization, in order of topic, partition and offset: so many, of so many bytes.

    One at least, however large it is. Those that were read after one seek are done before those after the next: an
    organization follows a seek only when it has all from before.
    """
    order = (ParkedMessage.topic_id, ParkedMessage.partition, ParkedMessage.at_offset)
    of_org = ParkedMessage.org_id == org_id
    mine = of_org & (ParkedMessage.seek == select(func.min(ParkedMessage.seek)).where(of_org).scalar_subquery())
    sizes = session.scalars(select(func.octet_length(ParkedMessage.body)).where(mine).order_by(*order).limit(limit))
    limit = max(1, sum(reached <= size for reached in accumulate(sizes)))
    ordered = select(ParkedMessage).where(mine).order_by(*order)
    return [
        Letter(
            (each.topic_id, each.partition), each.at_offset, each.body, messages.unpack(each.body, LATEST), each.seek
        )
        for each in session.scalars(ordered.limit(limit))
    ]


def stretches(session: Session, letters: Iterable[Letter]) -> dict[Partition, Stretch]:
    """How parked messages were read; those of a partition after the same seek."""
    return {where: Stretch(offsets.seek_of(session, seek)) for where, seek in {(e.partition, e.seek) for e in letters}}


def release(session: Session, letters: Iterable[Letter]) -> None:
    """These wait no longer."""
    place = tuple_(ParkedMessage.topic_id, ParkedMessage.partition, ParkedMessage.at_offset, ParkedMessage.seek)
    gone = [(*each.partition, each.offset, each.seek) for each in letters]
    session.execute(delete(ParkedMessage).where(place.in_(gone)))
