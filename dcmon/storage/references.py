"""References: rows with predictions and labels, in revisions, to compare production with."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db.sql import BoundSql
from dcmon.db.tables.org import Version
from dcmon.storage import filters as data_filters
from dcmon.storage import packing, sample_tables, table_layout
from dcmon.storage.categories import class_names, normalize
from dcmon.storage.columns import HASH, LABEL, TIME
from dcmon.storage.sampling import MAX_BYTES, RowSelection, SampledRows
from dcmon.storage.stored_rows import RowReader

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
    names = (*columns.model_output, *columns.user_columns, LABEL)
    layout = table_layout.of(columns)
    reader = RowReader(layout, names, partial(layout.expression, "r"), "r")
    query = _sample_query(selection, reader.select_list)
    return SampledRows(names, [reader.values(row) for row in session.execute(text(query.sql), query.parameters)])


def sample_columns(
    session: Session, selection: RowSelection, features: Sequence[str], *, max_bytes: int = MAX_BYTES
) -> "ColumnarSample | None":
    """Return the selected reference rows in columns: features, predictions and labels; None without rows.

    The rows are in the order in which they were loaded. A calibration's cross-validation depends on it.
    """
    from dcmon.storage import column_blocks  # imports numpy, which most commands start without

    columns = sample_tables.columns(selection.model, selection.version)
    layout = table_layout.of(columns)
    columns_to_pack = packing.create(layout, columns.check_columns(features), partial(layout.expression, "r"), "r")
    of_table = _sample_query(selection, "r.*")
    select_list = columns_to_pack.select_list(("r._dc_position", f"r.{HASH}"))
    query = BoundSql(f"select {select_list} from ({of_table.sql}) r order by r._dc_position", of_table.parameters)
    return column_blocks.fetch(session, columns_to_pack, query, selection.limit, max_bytes)


def rows(session: Session, selection: RowSelection) -> list[dict[str, Any]]:
    """Return reference rows to show, with columns in sorted order."""
    sample = sample_rows(session, selection)
    order = sorted(sample.names)
    values_by_name = (dict(zip(sample.names, row, strict=True)) for row in sample.rows)
    return [{name: values[name] for name in order} for values in values_by_name]


def is_unbalanced(session: Session, version: Version) -> bool:
    """Return True if the reference has two classes and one of them is rare.

    Drift checks then give both classes the same weight. All rows of the reference count, so that the result is the
    same for each monitor that uses this revision. Spellings of one class that earlier releases stored count together.
    """
    if not version.reference_revision:
        return False
    labelled_rows = f"reference_{version.relation} r where r.revision = 0 and r.{LABEL} is not null"
    names, counts = class_names(version.classes or ()), Counter[str]()
    for label, n in session.execute(text(f"select r.{LABEL}, count(*) from {labelled_rows} group by r.{LABEL}")):
        spelled = normalize(label)
        counts[names.get(label) or names.get(spelled) or spelled] += n
        if len(counts) > 2:
            return False
    return len(counts) == 2 and min(counts.values()) <= RARE_SHARE * counts.total()


def _sample_query(selection: RowSelection, select_list: str) -> BoundSql:
    """Build the query of the selected reference rows."""
    version = selection.version
    columns = sample_tables.columns(selection.model, version)
    expression = partial(table_layout.of(columns).expression, "r")
    where, parameters = data_filters.condition(selection.filters, columns.filterable, expression, (TIME,))
    has_label = f" and r.{LABEL} is not null" if selection.labelled else ""
    statement = (
        f"select {select_list} from reference_{version.relation} r where r.revision = 0 and {where}{has_label}"
        f" order by r.{HASH}, r._dc_position"
    )
    if selection.limit is None:
        return BoundSql(statement, parameters)
    return BoundSql(f"{statement} limit :limit", {"limit": selection.limit, **parameters})
