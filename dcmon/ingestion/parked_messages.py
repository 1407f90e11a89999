"""Parked messages. They are kept until their organization, which can't be written now, can be written again.

They are kept in the schema "public", so that parking a message does not need the organization.
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
from dcmon.ingestion.offsets import ReadRange
from dcmon.storage.ledger import TopicPartition

NO_BOUND = datetime.max.replace(tzinfo=UTC)  # the time of receipt was limited when the message was read from Kafka


@dataclass(frozen=True)
class InboundMessage:
    """A message with its position in Kafka. `seek` is the last seek before the message was read.

    If a log has lost its end, new messages get the same offsets as the lost ones. They are read after a seek, so the
    number of the seek tells them apart.
    """

    partition: TopicPartition
    offset: int
    value: bytes
    message: Message
    seek: int = 0

    @property
    def source(self) -> str:
        """The source of the message's rows: topic, partition, offset, and a seek's number."""
        source = f"{self.partition.topic_id}/{self.partition.partition}/{self.offset}"
        return f"{source}/{self.seek}" if self.seek else source


def park(session: Session, inbound: InboundMessage, reason: str) -> None:
    """Keep a message until its organization can be written. A message that is parked already does not change."""
    topic_id, number = inbound.partition
    values = {"topic_id": topic_id, "partition": number, "at_offset": inbound.offset, "seek": inbound.seek}
    body = message_format.encode(inbound.message)
    new = insert(ParkedMessage).values(**values, body=body, org_id=inbound.message.org, reason=reason)
    session.execute(new.on_conflict_do_nothing())


def organization_ids(session: Session, org_ids: Iterable[int] | None = None) -> set[int]:
    """Return the ids of organizations with parked messages. `org_ids` limits them."""
    ids = select(ParkedMessage.org_id).distinct()
    return set(session.scalars(ids if org_ids is None else ids.where(ParkedMessage.org_id.in_(list(org_ids)))))


def oldest_messages(session: Session, org_id: int, max_messages: int, max_bytes: int) -> list[InboundMessage]:
    """Return parked messages of an organization in order of topic, partition and offset. At least one if it has any.

    Messages that were read after a seek are returned only when all earlier ones are stored. Only then may the
    organization follow the seek.
    """
    order = (ParkedMessage.topic_id, ParkedMessage.partition, ParkedMessage.at_offset)
    of_org = ParkedMessage.org_id == org_id
    first_seek = select(func.min(ParkedMessage.seek)).where(of_org).scalar_subquery()
    due = of_org & (ParkedMessage.seek == first_seek)
    lengths = session.scalars(
        select(func.octet_length(ParkedMessage.body)).where(due).order_by(*order).limit(max_messages)
    )
    limit = max(1, sum(total <= max_bytes for total in accumulate(lengths)))
    rows = session.scalars(select(ParkedMessage).where(due).order_by(*order).limit(limit))
    return [
        InboundMessage(
            TopicPartition(row.topic_id, row.partition),
            row.at_offset,
            row.body,
            message_format.unpack(row.body, NO_BOUND),
            row.seek,
        )
        for row in rows
    ]


def read_ranges(session: Session, messages: Iterable[InboundMessage]) -> dict[TopicPartition, ReadRange]:
    """Return how parked messages were read. All messages of a partition must have the same seek."""
    seeks = {(inbound.partition, inbound.seek) for inbound in messages}
    return {partition: ReadRange(offsets.seek_by_number(session, number)) for partition, number in seeks}


def remove(session: Session, messages: Iterable[InboundMessage]) -> None:
    """Remove messages that are stored."""
    key = tuple_(ParkedMessage.topic_id, ParkedMessage.partition, ParkedMessage.at_offset, ParkedMessage.seek)
    keys = [(*inbound.partition, inbound.offset, inbound.seek) for inbound in messages]
    session.execute(delete(ParkedMessage).where(key.in_(keys)))
