"""How far ingestion is behind: of each partition, and of each organization."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, select, text

from dcmon import db, errors
from dcmon.db.tables.public import ParkedMessage
from dcmon.ingestion import kafka, message_format, offsets
from dcmon.settings import Kafka
from dcmon.tenancy import organizations

RATE_OVER = timedelta(minutes=5)


@dataclass(frozen=True)
class PartitionLag:
    """A partition: up to where it is settled, where it ends, and when its oldest unread message was sent."""

    topic: str
    partition: int
    read: int
    end: int
    oldest_unread: datetime | None = None
    unread: int | None = None

    @property
    def lag(self) -> int:
        """How many messages are unread; so many offsets, when there are more than were looked at."""
        return max(0, self.end - self.read) if self.unread is None else self.unread


@dataclass(frozen=True)
class OrganizationLag:
    """An organization: unread messages (of those looked at), messages that wait for it, and rows taken a second."""

    organization: str
    unread: int
    oldest_unread: datetime | None
    parked: int
    rows_per_second: float | None
    last_rows: datetime | None


def measure(engine: Engine, settings: Kafka, look_at: int) -> tuple[list[PartitionLag], list[OrganizationLag]]:
    """The lag of each partition, and of each organization by a look at so many unread messages of each partition.

    Raises Unreachable.
    """
    found = partitions(engine, settings, look_at)
    return [lag for lag, _ in found], _by_organization(engine, [each for _, unread in found for each in unread])


def partitions(engine: Engine, settings: Kafka, look_at: int) -> list[tuple[PartitionLag, list[kafka.Sent]]]:
    """The lag of each partition, with the first of its unread messages, at most so many. Raises Unreachable."""
    ids, found = kafka.ensure_topics(settings), []
    for name, topic_id in ids.items():
        for extent in kafka.extents(settings, name):
            with db.public_session(engine) as session:
                stands = offsets.floor(session, (topic_id, extent.partition)).next_offset
            lag = PartitionLag(name, extent.partition, extent.begin if stands is None else stands, extent.end)
            unread, are_all = kafka.peek(settings, name, replace(extent, begin=max(lag.read, extent.begin)), look_at)
            oldest, number = min((each.at for each in unread), default=None), len(unread) if are_all else None
            found.append((replace(lag, oldest_unread=oldest, unread=number), unread))
    return found


def _by_organization(engine: Engine, unread: Iterable[kafka.Sent]) -> list[OrganizationLag]:
    counts, oldest = Counter[int](), dict[int, datetime]()
    for each in unread:
        try:
            org_id = message_format.unpack(each.value, each.at).org
        except message_format.Unreadable:
            continue
        counts[org_id] += 1
        oldest[org_id] = min(each.at, oldest.get(org_id, each.at))
    with db.public_session(engine) as session:
        orgs = organizations.entries(session)
        waiting = select(ParkedMessage.org_id, func.count()).group_by(ParkedMessage.org_id)
        parked = {row.org_id: row[1] for row in session.execute(waiting)}
    return [
        OrganizationLag(org.name, counts[org.id], oldest.get(org.id), parked.get(org.id, 0), *_rate(engine, org))
        for org in orgs
    ]


def _rate(engine: Engine, org: db.Organization) -> tuple[float | None, datetime | None]:
    """Rows taken a second in the last minutes, and when the last came; nothing where it can't be entered now."""
    statement = text(
        "select coalesce(sum(taken) filter (where created_at > now() - :over), 0), max(created_at) from batches"
        " where action = 'ingest'"
    )
    try:
        with db.org_session(engine, org, wait=timedelta(seconds=1)) as session:
            taken, last = session.execute(statement, {"over": RATE_OVER}).one()
    except errors.DcmonError:
        return None, None
    return round(int(taken) / RATE_OVER.total_seconds(), 1), last


def is_behind(partitions: Sequence[PartitionLag], longest: timedelta) -> bool:
    """Whether a message has waited for longer than this."""
    now = datetime.now(UTC)
    return any(each.oldest_unread is not None and now - each.oldest_unread > longest for each in partitions)
