"""References: rows with predictions and labels, in revisions, to compare production with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Version
from dcmon.storage import filters as data_filters
from dcmon.storage import sample_tables
from dcmon.storage.columns import HASH, LABEL, TIME, quoted
from dcmon.storage.sampling import MAX_BYTES, RowSelection, SampledRows

if TYPE_CHECKING:
    from dcmon.storage.column_blocks import ColumnarSample

RARE_SHARE = 0.05  # of the labelled rows


def count(session: Session, version: Version) -> int:
    """Count the reference rows of a version."""
    return int(session.scalar(text(f"select count(*) from reference_{version.relation}")) or 0)


def sample_rows(session: Session, selection: RowSelection) -> SampledRows:
    """Return the selected reference rows.

    A reference has no times: filters on the sample's time do not apply to it.
    """
    columns = sample_tables.columns(selection.model, selection.version)
    names = (*columns.model, *columns.own, LABEL)
    expressions = ", ".join(_column(name) for name in names)
    statement, values = _sample_statement(selection, expressions)
    return SampledRows(names, [tuple(row) for row in session.execute(text(statement), values)])


def sample_columns(
    session: Session, selection: RowSelection, features: Sequence[str], *, max_bytes: int = MAX_BYTES
) -> "ColumnarSample | None":
    """Return the selected reference rows in columns: features, predictions and labels; None without rows."""
    from dcmon.storage import column_blocks  # imports numpy, which most commands start without

    column_types = sample_tables.columns(selection.model, selection.version).read(features)
    expressions = ", ".join(f"{_column(name)} as c{position}" for position, name in enumerate(column_types))
    expressions += f", r.{HASH} as o1, r._dc_position as o2"
    statement, values = _sample_statement(selection, expressions)
    return column_blocks.fetch(session, column_types, statement, values, selection.limit, max_bytes)


def rows(session: Session, selection: RowSelection) -> list[dict[str, Any]]:
    """Return reference rows to show, with columns in sorted order."""
    sample = sample_rows(session, selection)
    order = sorted(sample.names)
    named = (dict(zip(sample.names, row, strict=True)) for row in sample.rows)
    return [{name: row[name] for name in order} for row in named]


def is_unbalanced(session: Session, version: Version) -> bool:
    """True if the reference has two classes and one is rare: drift then gives both the same weight.

    All rows of the reference count, so that the answer is the same for each revision.
    """
    if not version.reference_revision:
        return False
    counted = f"select count(*) from reference_{version.relation} r where r.revision = 0 and r.{LABEL} is not null"
    counts = session.scalars(text(f"{counted} group by r.{LABEL} limit 3")).all()
    return len(counts) == 2 and min(counts) <= RARE_SHARE * sum(counts)


def _column(name: str) -> str:
    return f"r.{quoted(name)}".replace(":", "\\:")


def _sample_statement(selection: RowSelection, expressions: str) -> tuple[str, dict[str, Any]]:
    """Build the statement that selects `expressions` of the selected rows, and its parameters."""
    version, limit = selection.version, selection.limit
    known = sample_tables.columns(selection.model, version).filterable
    where, values = data_filters.condition(selection.filters, known, "r", f"r.{LABEL}", (TIME,))
    has_label = f" and r.{LABEL} is not null" if selection.labelled else ""
    statement = (
        f"select {expressions} from reference_{version.relation} r where r.revision = 0 and {where}{has_label}"
        f" order by r.{HASH}, r._dc_position"
    )
    return (statement, values) if limit is None else (f"{statement} limit :limit", {"limit": limit, **values})
