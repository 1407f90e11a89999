"""Measure the lag of ingestion from Kafka: by partition and by organization."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine, func, select, text

from dcmon import db, errors
from dcmon.db.tables.public import ParkedMessage
from dcmon.ingestion import kafka, message_format, offsets
from dcmon.ingestion.kafka import PeekedMessage
from dcmon.settings import Kafka
from dcmon.states import RowKind
from dcmon.storage.ledger import TopicPartition
from dcmon.tenancy import organizations

RATE_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class PartitionLag:
    """The lag of a partition.

    `read` is the committed offset, `end` the offset after the last message, `oldest_unread` the time at which the first
    unread message was sent. `unread` is the number of unread messages; None if they were too many to count.
    """

    topic: str
    partition: int
    read: int
    end: int
    oldest_unread: datetime | None = None
    unread: int | None = None

    @property
    def lag(self) -> int:
        """The number of unread messages, or of unread offsets if `unread` is None."""
        return max(0, self.end - self.read) if self.unread is None else self.unread


@dataclass(frozen=True)
class OrganizationLag:
    """The lag of an organization. `unread` counts its messages among the unread ones that were looked at."""

    organization: str
    unread: int
    oldest_unread: datetime | None
    parked: int
    rows_per_second: float | None
    last_rows: datetime | None


class Lag(NamedTuple):
    """The lag of each partition and of each organization."""

    partitions: list[PartitionLag]
    organizations: list[OrganizationLag]


class UnreadRows(NamedTuple):
    """Rows that are in Kafka and not stored yet: samples by version, and labels by model."""

    samples: Counter[int]
    labels: Counter[int]


class PartitionPeek(NamedTuple):
    """The lag of a partition, and its first unread messages."""

    lag: PartitionLag
    unread: list[PeekedMessage]


def measure(engine: Engine, settings: Kafka, limit: int) -> Lag:
    """Measure the lag. At most `limit` unread messages of each partition are read and counted by organization.

    Raises Unreachable.
    """
    peeks = partition_lags(engine, settings, limit)
    unread = [message for peek in peeks for message in peek.unread]
    return Lag([peek.lag for peek in peeks], _by_organization(engine, unread))


def partition_lags(engine: Engine, settings: Kafka, limit: int) -> list[PartitionPeek]:
    """Measure the lag of each partition, and read at most `limit` of its unread messages. Raises Unreachable."""
    ids, lags = kafka.ensure_topics(settings), []
    for name, topic_id in ids.items():
        for watermarks in kafka.read_watermarks(settings, name):
            partition = TopicPartition(topic_id, watermarks.partition)
            with db.public_session(engine) as session:
                committed = offsets.committed_offset(session, partition).next_offset
            first_unread = watermarks.low if committed is None else committed
            lag = PartitionLag(name, watermarks.partition, first_unread, watermarks.high)
            unread_range = replace(watermarks, low=max(first_unread, watermarks.low))
            unread, is_complete = kafka.peek(settings, name, unread_range, limit)
            oldest = min((message.sent_at for message in unread), default=None)
            count = len(unread) if is_complete else None
            lags.append(PartitionPeek(replace(lag, oldest_unread=oldest, unread=count), unread))
    return lags


def unread_rows(engine: Engine, settings: Kafka, org: db.Organization, limit: int) -> UnreadRows:
    """Count the rows of an organization in the first unread messages, `limit` of each partition. Raises Unreachable."""
    rows = UnreadRows(Counter(), Counter())
    for peek in partition_lags(engine, settings, limit):
        for unread in peek.unread:
            try:
                message = message_format.unpack(unread.value, unread.sent_at)
            except message_format.UnreadableMessage:
                continue
            if message.org == org.id:
                counter = rows.samples if message.kind == RowKind.SAMPLES else rows.labels
                counter[message.target] += message.row_count
    return rows


def _by_organization(engine: Engine, unread: Iterable[PeekedMessage]) -> list[OrganizationLag]:
    counts, oldest = Counter[int](), dict[int, datetime]()
    for message in unread:
        try:
            org_id = message_format.unpack(message.value, message.sent_at).org
        except message_format.UnreadableMessage:
            continue
        counts[org_id] += 1
        oldest[org_id] = min(message.sent_at, oldest.get(org_id, message.sent_at))
    with db.public_session(engine) as session:
        orgs = organizations.entries(session)
        by_org = select(ParkedMessage.org_id, func.count()).group_by(ParkedMessage.org_id)
        parked = {row.org_id: row[1] for row in session.execute(by_org)}
    return [
        OrganizationLag(org.name, counts[org.id], oldest.get(org.id), parked.get(org.id, 0), *_rate(engine, org))
        for org in orgs
    ]


class _Rate(NamedTuple):
    rows_per_second: float | None
    last_rows: datetime | None


def _rate(engine: Engine, org: db.Organization) -> _Rate:
    """Return the rows per second of the last minutes. No values if the organization can't be entered now."""
    statement = text(
        "select coalesce(sum(taken) filter (where created_at > now() - :window), 0), max(created_at) from batches"
        " where action = 'ingest'"
    )
    try:
        with db.org_session(engine, org, wait=timedelta(seconds=1)) as session:
            rows, last = session.execute(statement, {"window": RATE_WINDOW}).one()
    except errors.DcmonError:
        return _Rate(None, None)
    return _Rate(round(int(rows) / RATE_WINDOW.total_seconds(), 1), last)


def is_behind(partitions: Sequence[PartitionLag], longest: timedelta) -> bool:
    """True if a message has been unread for longer than `longest`."""
    now = datetime.now(UTC)
    return any(lag.oldest_unread is not None and now - lag.oldest_unread > longest for lag in partitions)
