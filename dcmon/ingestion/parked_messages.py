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

from dcmon.db.tables.public import ParkedMessage
from dcmon.ingestion import message_format, offsets
from dcmon.ingestion.message_format import Message
from dcmon.ingestion.offsets import Stretch
from dcmon.storage.ledger import Partition

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


def park(session: Session, letter: Letter, reason: str) -> None:
    """Let a message wait for its organization."""
    topic_id, number = letter.partition
    values = {"topic_id": topic_id, "partition": number, "at_offset": letter.offset, "seek": letter.seek}
    body = message_format.encode(letter.message)
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
            (each.topic_id, each.partition),
            each.at_offset,
            each.body,
            message_format.unpack(each.body, LATEST),
            each.seek,
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
