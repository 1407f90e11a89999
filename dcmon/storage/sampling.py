"""Reading samples back: the deterministic sample of a window, and rows to show."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime

from dcmon.db.sql import BoundSql
from dcmon.db.tables.org import Model, Version
from dcmon.storage import filters as data_filters
from dcmon.storage import packing, sample_tables, table_layout
from dcmon.storage.columns import HASH, KEY, LABEL, LEVEL, SAMPLE_ID, TIME, Columns
from dcmon.storage.filters import Filters
from dcmon.storage.stored_rows import Expression, RowReader
from dcmon.storage.table_layout import TableLayout
from dcmon.windows import Window

if TYPE_CHECKING:
    from dcmon.storage.column_blocks import ColumnarSample

MAX_BYTES = 500_000_000  # of a columnar sample
# The number of rows in a level varies by chance. Expecting a fifth more rows than the limit makes a second query rare.
SLACK = 1.2
STATISTICS = text("""
    select coalesce(sum(q.n), 0) as n, coalesce(sum(q.n_labelled), 0) as n_labelled,
           coalesce(sum(q.rows_revision), 0) as rows_revision, coalesce(sum(q.labels_revision), 0) as labels_revision,
           max(q.logged_at) as logged_at
      from unnest(:starts, :ends) with ordinality w(window_start, window_end, position)
      left join quarter_hours q on q.version_id = :version and q.at >= w.window_start and q.at < w.window_end
     group by w.position order by w.position
""").bindparams(
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))), bindparam("ends", type_=ARRAY(DateTime(timezone=True)))
)


@dataclass(frozen=True)
class RowSelection:
    """The rows of a version to read.

    `limit`: only so many, those with the smallest hashes; None: all. `labelled`: only rows with a label. The filters
    and `labelled` apply before the limit.
    """

    model: Model
    version: Version
    limit: int | None
    labelled: bool = False
    filters: Filters = None


@dataclass(frozen=True)
class SampledRows:
    """Rows as tuples of values, in the order of `names`, the names in the API."""

    names: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class WindowStatistics:
    """The numbers of rows and labels of a version in a window, and their revisions.

    A revision is the sum over the window's quarter hours: it changes when rows or labels do. `logged_at`: the newest
    time at which rows were logged.
    """

    n: int = 0
    n_labelled: int = 0
    rows_revision: int = 0
    labels_revision: int = 0
    logged_at: datetime | None = None

    def n_used(self, needs_labels: bool) -> int:
        """Return how many rows a check can use."""
        return self.n_labelled if needs_labels else self.n

    @property
    def label_ratio(self) -> float:
        """Return the share of rows that have a label; 0 without rows."""
        return self.n_labelled / self.n if self.n else 0.0


def window_statistics(session: Session, version_id: int, start: datetime, end: datetime) -> WindowStatistics:
    """Sum up the quarter hours of a version in [start, end), without reading samples."""
    window = Window(start, end)
    return statistics_of_windows(session, version_id, [window])[window]


def statistics_of_windows(
    session: Session, version_id: int, windows: Collection[Window]
) -> dict[Window, WindowStatistics]:
    """Sum up the quarter hours of a version in each window, in one statement."""
    if not windows:
        return {}
    rows = session.execute(
        STATISTICS,
        {
            "version": version_id,
            "starts": [window.start for window in windows],
            "ends": [window.end for window in windows],
        },
    )
    return {
        window: WindowStatistics(
            int(row.n), int(row.n_labelled), int(row.rows_revision), int(row.labels_revision), row.logged_at
        )
        for window, row in zip(windows, rows, strict=True)
    }


def sample_rows(
    session: Session, window: Window, selection: RowSelection, statistics: WindowStatistics | None = None
) -> SampledRows:
    """Return the selected rows of a window: the same rows for the same data.

    With `statistics`, a query without filters skips the levels that can't have the smallest hashes, so that its cost
    does not grow with the window.
    """
    columns = sample_tables.columns(selection.model, selection.version)
    names = (*columns.model_output, *columns.user_columns, LABEL)
    lowest, reader = _lowest_level_of(selection, statistics), _reader(columns, names)

    def read(level: int) -> SampledRows:
        query = _sample_query(window, selection, level, reader.select_list)
        return SampledRows(names, [reader.values(row) for row in session.execute(text(query.sql), query.parameters)])

    sample = read(lowest)
    # By chance these levels may have too few rows: then read all levels.
    return read(0) if lowest and selection.limit and len(sample.rows) < selection.limit else sample


def sample_columns(
    session: Session,
    window: Window,
    selection: RowSelection,
    features: Sequence[str],
    *,
    statistics: WindowStatistics | None = None,
    max_bytes: int = MAX_BYTES,
) -> "ColumnarSample | None":
    """Return the selected rows in columns: features, predictions and labels; None without rows.

    `statistics` works as in `sample_rows`. If all rows of the window are selected, they come in no order. Raises
    TooManyRows when the columns take more than `max_bytes` bytes.
    """
    from dcmon.storage import column_blocks  # imports numpy, which a list of monitors starts without

    limit = selection.limit
    columns = sample_tables.columns(selection.model, selection.version)
    layout = table_layout.of(columns)
    columns_to_pack = packing.create(layout, columns.check_columns(features), _expression(layout), "s")
    lowest = _lowest_level_of(selection, statistics)
    reads_all = statistics is not None and limit is not None and statistics.n <= limit

    def read(level: int) -> "ColumnarSample | None":
        select_list = columns_to_pack.select_list((f"s.{HASH}", f"s.{KEY}"))
        query = _sample_query(window, selection, level, select_list, reads_all=reads_all)
        return column_blocks.fetch(session, columns_to_pack, query, limit, max_bytes)

    sample = read(lowest)
    # By chance these levels may have too few rows: then read all levels.
    return read(0) if lowest and limit and (sample is None or len(sample) < limit) else sample


def _lowest_level_of(selection: RowSelection, statistics: WindowStatistics | None) -> int:
    """Return the lowest level to read: 0 if the number of matching rows is unknown."""
    if statistics is None or selection.filters or not selection.limit:
        return 0
    return lowest_level(statistics.n_used(selection.labelled), selection.limit)


def lowest_level(population: int, limit: int) -> int:
    """Return the lowest level that the `limit` smallest hashes of a population have.

    A hash has its number of leading zero bits as level, so half of the rows have level 0, a quarter has level 1, ….
    """
    return max(0, math.floor(math.log2(population / (SLACK * limit)))) if population > SLACK * limit else 0


def _expression(layout: TableLayout) -> Expression:
    return lambda name: "l.label" if name == LABEL else layout.expression("s", name)


def _reader(columns: Columns, names: Sequence[str]) -> RowReader:
    layout = table_layout.of(columns)
    return RowReader(layout, names, _expression(layout), "s")


def _sample_query(
    window: Window, selection: RowSelection, lowest: int, select_list: str, *, reads_all: bool = False
) -> BoundSql:
    """Build the query of the deterministic sample, in the levels from `lowest` on.

    `reads_all`: True if no row is left out. Then rows come in no order, because to sort them costs PostgreSQL as much
    as all the rest of the query.
    """
    version = selection.version
    columns = sample_tables.columns(selection.model, version)
    expression = _expression(table_layout.of(columns))
    where, parameters = data_filters.condition(selection.filters, columns.filterable, expression)
    join = "join" if selection.labelled else "left join"
    statement = (
        f"select {select_list} from samples_{version.relation} s {join} labels_{version.relation} l"
        f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY})"
        f" and l.ts >= :start and l.ts < :end and l.lvl = any(:levels)"
        f" where s.{TIME} >= :start and s.{TIME} < :end and s.{LEVEL} = any(:levels) and {where}"
        + (" and l.label is not null" if selection.labelled else "")
        + ("" if reads_all else f" order by s.{HASH}, s.{KEY}")
        + ("" if reads_all or selection.limit is None else " limit :limit")
    )
    parameters |= {"start": window.start, "end": window.end, "levels": list(range(lowest, 32))}
    if selection.limit is not None and not reads_all:
        parameters["limit"] = selection.limit
    return BoundSql(statement, parameters)


def rows(session: Session, window: Window, selection: RowSelection) -> list[dict[str, Any]]:
    """Return rows to show, with ids, times and labels, in the order of their hashes."""
    version = selection.version
    columns = sample_tables.columns(selection.model, version)
    names = [*sorted([*columns.user_columns, *columns.model_output, SAMPLE_ID, TIME]), LABEL]
    reader, expression = _reader(columns, names), _expression(table_layout.of(columns))
    where, parameters = data_filters.condition(selection.filters, columns.filterable, expression)
    result = session.execute(
        text(
            f"select {reader.select_list} from samples_{version.relation} s left join labels_{version.relation} l"
            f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY})"
            f" where s.{TIME} >= :start and s.{TIME} < :end and {where} order by s.{HASH}, s.{KEY} limit :limit"
        ),
        {"start": window.start, "end": window.end, "limit": selection.limit, **parameters},
    )
    return [dict(zip(names, reader.values(row), strict=True)) for row in result]
