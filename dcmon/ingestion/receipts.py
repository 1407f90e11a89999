"""Count received rows by version and quarter of an hour, for the data flow metrics."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db.tables.org import Quarantined, Version
from dcmon.windows import quarter_hour_start

COUNT = """
    insert into receipts as r (version_id, at, taken, waited, revision, is_touched)
    values (%(version)s, %(at)s, %(taken)s, greatest(clock_timestamp() - %(first)s, interval '0'), %(taken)s, true)
    on conflict (version_id, at) do update set taken = r.taken + excluded.taken, is_touched = true,
       waited = greatest(r.waited, excluded.waited), revision = r.revision + excluded.revision
"""
MARK_DUE = text("""
    insert into receipts as r (version_id, at, taken, waited, revision, is_touched)
    values (:version, :at, 0, interval '0', :rows, true)
    on conflict (version_id, at) do update set revision = r.revision + excluded.revision, is_touched = true
""")


class ReceivedRows(NamedTuple):
    """Rows that were received together: the time of receipt, and their number."""

    logged_at: datetime
    rows: int


def count_received(session: Session, version: Version, received: Sequence[ReceivedRows]) -> None:
    """Count rows of a version as received."""
    quarters: dict[datetime, list[ReceivedRows]] = {}
    for batch in received:
        quarters.setdefault(quarter_hour_start(batch.logged_at), []).append(batch)
    # In order of time: two transactions that count the same quarters must not deadlock.
    for at, batches in sorted(quarters.items()):
        rows, first = sum(batch.rows for batch in batches), min(batch.logged_at for batch in batches)
        db.run(session, COUNT, {"version": version.id, "at": at, "taken": rows, "first": first})


def mark_windows_due(session: Session, rows: Sequence[Quarantined]) -> None:
    """Make the windows due in which these rows, which left the quarantine, were received."""
    counts: dict[tuple[int, datetime], int] = {}
    for row in rows:
        if row.version_id is not None:
            key = row.version_id, quarter_hour_start(row.logged_at)
            counts[key] = counts.get(key, 0) + 1
    for (version_id, at), count in sorted(counts.items()):
        session.execute(MARK_DUE, {"version": version_id, "at": at, "rows": count})
