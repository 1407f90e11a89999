"""What watched sources lose: rows of their files that can't be stored and are in quarantine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db import sql
from dcmon.ingestion.field_value import field_value

FILES = 5_000  # the newest files that are looked at
ROWS_OF_FILE = 10_000  # quarantined rows that are counted in each file; for more, the count of its load is taken
REASON_ROWS, REASONS = 1_000, 3  # of how many rows reasons are read, and how many reasons are shown
MAX_GROUPS = 100  # of reason and field: rows of JSON lines can have any number of unknown fields

SQL = sql.read(__name__)
LOSSES = SQL.statement("losses", files=FILES, rows_of_file=ROWS_OF_FILE, reason_rows=REASON_ROWS, reasons=REASONS)
REASONS_OF_SOURCE = text(SQL.statement("reasons"))


@dataclass(frozen=True)
class SourceLoss:
    """How many rows of a source's files of the last day are in quarantine, of how many that it read.

    `since`: the receipt of the first of them. `reasons`: the most frequent ones, each with its field in brackets if
    there is one. `detail` says what is wrong with the first of them, which is in `file`. Duplicates don't count.
    """

    source: str
    received: int
    quarantined: int
    since: datetime
    reasons: Sequence[str]
    file: str
    detail: str

    @property
    def share(self) -> float:
        return self.quarantined / max(self.received, 1)


def from_row(row: Mapping[Any, Any]) -> SourceLoss:
    """Return the loss that a row of LOSSES has; its times may be text of JSON."""
    since = row["since"]
    counts = {name: int(row[name]) for name in ("received", "quarantined")}
    return SourceLoss(**{**row, **counts, "since": datetime.fromisoformat(since) if isinstance(since, str) else since})


def by_source(session: Session) -> dict[str, SourceLoss]:
    """Return the losses of the last day by the source's name, of all sources that have some."""
    rows = session.execute(text(LOSSES)).mappings()
    return {row["source"]: from_row(row) for row in rows}


def by_reason(session: Session, source_id: int) -> list[dict[str, Any]]:
    """Return the rows of a source that are in quarantine by reason and field, as rows of the command's output.

    Each has the first row: its file, its number in the file from 1, the value of the field, and what is wrong.
    """
    rows = session.execute(REASONS_OF_SOURCE, {"source": source_id, "limit": MAX_GROUPS})
    return [
        {
            "rows": row.rows, "reason": row.reason, "field": row.field, "file": row.file, "row": row.position + 1,
            "value": field_value(row.row, row.field), "detail": row.detail,
        }
        for row in rows
    ]  # fmt: skip
