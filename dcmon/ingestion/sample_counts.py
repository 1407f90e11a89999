"""Count the stored samples of a version."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Version
from dcmon.storage.columns import HASH, KEY, LEVEL, TIME


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
    """Count the samples of the window [start, end), and those with a label."""
    table = f"samples_{version.relation}"
    counts = session.execute(
        text(
            f"select count(*), count(l.label) from {table} s left join labels_{version.relation} l"
            f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY})"
            f" where s.{TIME} >= :start and s.{TIME} < :end"
        ),
        {"start": start, "end": end},
    ).one()
    return WindowCounts(int(counts[0]), int(counts[1]))
