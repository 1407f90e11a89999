"""Count the stored samples of a version."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Version
from dcmon.storage.columns import HASH, KEY, LEVEL, TIME
from dcmon.windows import Window, quarter_hour_start

# No sample is older, or younger than five minutes after receipt.
FIRST_TIME, LAST_TIME = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
QUARTER, ALL_LEVELS = timedelta(minutes=15), list(range(32))
COMPLETE_QUARTERS = text("""
    select cast(coalesce(sum(n), 0) as int8), cast(coalesce(sum(n_labelled), 0) as int8) from quarter_hours
     where version_id = :version and at >= :start and at < :end
""")
BUCKETS = text("""
    select v.model_id, date_bin(cast(:unit as interval), q.at, timestamptz '2000-01-01 UTC') as start,
           cast(sum(q.n) as int8), cast(sum(q.n_labelled) as int8), max(q.logged_at)
      from quarter_hours q join versions v on v.id = q.version_id
     where q.n > 0 and q.at >= :start and q.at <= :end
       and (cast(:models as int[]) is null or v.model_id = any(cast(:models as int[])))
     group by 1, 2 order by 1, 2
""")


def count(session: Session, version: Version) -> int:
    """Return how many samples a version has."""
    total = session.scalar(
        text("select coalesce(sum(n), 0) from quarter_hours where version_id = :id"), {"id": version.id}
    )
    return int(total or 0)


class WindowCounts(NamedTuple):
    """The number of samples of a window, and of those with a label."""

    samples: int
    labelled: int


def window_counts(session: Session, version: Version, start: datetime, end: datetime) -> WindowCounts:
    """Count the samples of the window [start, end), and those with a label.

    Whole quarter hours are counted already: only the samples of those that the window begins or ends in are read.
    """
    start, end = min(max(start, FIRST_TIME), LAST_TIME), min(end, LAST_TIME)
    first, last = _quarter_from(start), quarter_hour_start(max(end, FIRST_TIME))
    if first > last:
        return _read_counts(session, version, start, end)
    values = {"version": version.id, "start": first, "end": last}
    complete = WindowCounts(*session.execute(COMPLETE_QUARTERS, values).one())
    edges = [_read_counts(session, version, *edge) for edge in ((start, first), (last, end)) if edge[0] < edge[1]]
    counts = [complete, *edges]
    return WindowCounts(sum(part.samples for part in counts), sum(part.labelled for part in counts))


def _quarter_from(time: datetime) -> datetime:
    """Return the start of the first quarter hour that begins at a time or later."""
    start = quarter_hour_start(time)
    return start if start == time else start + QUARTER


def _read_counts(session: Session, version: Version, start: datetime, end: datetime) -> WindowCounts:
    if start >= end:
        return WindowCounts(0, 0)
    table = f"samples_{version.relation}"
    counts = session.execute(
        text(
            f"select count(*), count(l.label) from {table} s left join labels_{version.relation} l"
            f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY})"
            f" where s.{LEVEL} = any(:levels) and s.{TIME} >= :start and s.{TIME} < :end"
        ),
        {"start": start, "end": end, "levels": ALL_LEVELS},
    ).one()
    return WindowCounts(int(counts[0]), int(counts[1]))


class BucketCounts(NamedTuple):
    """The rows and labels of a model in a span of time that begins at `start`. `logged_at`: when the last ones came."""

    model_id: int
    start: datetime
    rows: int
    labels: int
    logged_at: datetime | None = None


class BucketUnit(StrEnum):
    """How long the spans are in which rows are counted."""

    QUARTER_HOUR = "15 minutes"
    HOUR = "1 hour"
    DAY = "1 day"


def buckets(
    session: Session, span: Window, unit: BucketUnit, model_ids: Sequence[int] | None = None
) -> list[BucketCounts]:
    """Count the rows of models (None: of all) by bucket, in UTC, in the quarter hours that overlap with a span."""
    values = {
        "unit": unit.value,
        "start": quarter_hour_start(span.start),
        "end": span.end,
        "models": None if model_ids is None else list(model_ids),
    }
    return [BucketCounts(*row) for row in session.execute(BUCKETS, values)]
