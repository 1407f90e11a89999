"""References: rows with predictions and labels, in revisions, to compare production with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Model, Version
from dcmon.storage import filters as data_filters
from dcmon.storage import sample_tables
from dcmon.storage.columns import HASH, LABEL, TIME, quoted
from dcmon.storage.filters import Filters
from dcmon.storage.sampling import MAX_BYTES, SampledRows

if TYPE_CHECKING:
    from dcmon.storage.column_blocks import ColumnarSample

RARE = 0.05  # a share of the labelled rows


def count(session: Session, version: Version) -> int:
    """Count the reference rows of a version."""
    found = session.scalar(text(f"select count(*) from reference_{version.relation}"))
    return int(found or 0)


def sample_rows(
    session: Session, model: Model, version: Version, limit: int, *, labelled: bool = False, filters: Filters = None
) -> SampledRows:
    """Return the `limit` reference rows with the smallest hashes; filters and `labelled` apply before the limit.

    A reference has no times: filters on the sample's time do not apply to it.
    """
    columns = sample_tables.columns(model, version)
    names = (*columns.model, *columns.own, LABEL)
    expressions = ", ".join(_column(name) for name in names)
    statement, values = _bottom(model, version, limit, labelled, filters, expressions)
    return SampledRows(names, [tuple(row) for row in session.execute(text(statement), values)])


def sample_columns(
    session: Session,
    model: Model,
    version: Version,
    limit: int | None,
    features: Sequence[str],
    *,
    labelled: bool = False,
    filters: Filters = None,
    max_bytes: int = MAX_BYTES,
) -> "ColumnarSample | None":
    """Return the deterministic sample in columns: features, predictions and labels; None without rows."""
    from dcmon.storage import column_blocks  # imports numpy, which most commands start without

    kinds = sample_tables.columns(model, version).read(features)
    expressions = ", ".join(f"{_column(name)} as c{position}" for position, name in enumerate(kinds))
    expressions += f", r.{HASH} as o1, r._dc_position as o2"
    return column_blocks.fetch(
        session, kinds, *_bottom(model, version, limit, labelled, filters, expressions), limit, max_bytes
    )


def is_unbalanced(session: Session, version: Version) -> bool:
    """True if the reference has two classes and one is rare: drift then gives both the same weight.

    All rows of the reference count, so that the answer is the same for each revision.
    """
    if not version.reference_revision:
        return False
    counted = f"select count(*) from reference_{version.relation} r where r.revision = 0 and r.{LABEL} is not null"
    counts = session.scalars(text(f"{counted} group by r.{LABEL} limit 3")).all()
    return len(counts) == 2 and min(counts) <= RARE * sum(counts)


def _column(name: str) -> str:
    return f"r.{quoted(name)}".replace(":", "\\:")


def _bottom(
    model: Model, version: Version, limit: int | None, labelled: bool, filters: Filters, expressions: str
) -> tuple[str, dict[str, Any]]:
    known = sample_tables.columns(model, version).filterable
    where, values = data_filters.condition(filters, known, "r", f"r.{LABEL}", (TIME,))
    wanted = f" and r.{LABEL} is not null" if labelled else ""
    statement = (
        f"select {expressions} from reference_{version.relation} r where r.revision = 0 and {where}{wanted}"
        f" order by r.{HASH}, r._dc_position"
    )
    return (statement, values) if limit is None else (f"{statement} limit :limit", {"limit": limit, **values})


def rows(session: Session, model: Model, version: Version, limit: int, filters: Filters = None) -> list[dict[str, Any]]:
    """Return reference rows to show, columns in sorted order."""
    sample = sample_rows(session, model, version, limit, filters=filters)
    order = sorted(sample.names)
    return [
        {name: row[name] for name in order} for row in (dict(zip(sample.names, r, strict=True)) for r in sample.rows)
    ]
