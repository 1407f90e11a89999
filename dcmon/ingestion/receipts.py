from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db.tables.org import Quarantined, Version
from dcmon.windows import quarter_hour_start

if TYPE_CHECKING:  # numpy behind it is not loaded for a status
    pass

PUT = """
    insert into receipts as r (version_id, at, taken, waited, revision, is_touched)
    values (%(version)s, %(at)s, %(taken)s, greatest(clock_timestamp() - %(first)s, interval '0'), %(taken)s, true)
    on conflict (version_id, at) do update set taken = r.taken + excluded.taken, is_touched = true,
       waited = greatest(r.waited, excluded.waited), revision = r.revision + excluded.revision
"""
TOUCH = text("""
    insert into receipts as r (version_id, at, taken, waited, revision, is_touched)
    values (:version, :at, 0, interval '0', :rows, true)
    on conflict (version_id, at) do update set revision = r.revision + excluded.revision, is_touched = true
""")


def count_received(session: Session, version: Version, arrived: Sequence[tuple[datetime, int]]) -> None:
    """Count rows as received, by the quarter of an hour; `arrived`: when, and how many."""
    quarters: dict[datetime, list[tuple[datetime, int]]] = {}
    for logged_at, rows in arrived:
        quarters.setdefault(quarter_hour_start(logged_at), []).append((logged_at, rows))
    for at, of in sorted(quarters.items()):
        taken, first = sum(rows for _, rows in of), min(logged_at for logged_at, _ in of)
        db.run(session, PUT, {"version": version.id, "at": at, "taken": taken, "first": first})


def mark_windows_due(session: Session, left: Sequence[Quarantined]) -> None:
    """Rows left the quarantine: the windows of their receipt are to be looked at again."""
    counts: dict[tuple[int, datetime], int] = {}
    for row in left:
        if row.version_id is not None:
            key = row.version_id, quarter_hour_start(row.logged_at)
            counts[key] = counts.get(key, 0) + 1
    for (version_id, at), rows in sorted(counts.items()):
        session.execute(TOUCH, {"version": version_id, "at": at, "rows": rows})
