"""Reading samples back: the deterministic sample of a window, and rows to show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Model, Version
from dcmon.storage import filters as data_filters
from dcmon.storage import sample_tables
from dcmon.storage.columns import HASH, KEY, LABEL, LEVEL, SAMPLE_ID, TIME, quoted
from dcmon.storage.filters import Filters

if TYPE_CHECKING:
    from dcmon.storage.column_blocks import ColumnarSample

MAX_BYTES = 500_000_000  # of a sample in columns


@dataclass(frozen=True)
class SampledRows:
    """Rows as tuples in the order of names; the names are the API's."""

    names: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


SLACK = 1.2  # levels are random: asking for a fifth more rows than the limit makes a second query rare


@dataclass(frozen=True)
class WindowStatistics:
    """Counts of a version's rows and labels in a window, the sums of their revisions, and the newest logging time."""

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
        return self.n_labelled / self.n if self.n else 0.0


def window_statistics(session: Session, version_id: int, start: datetime, end: datetime) -> WindowStatistics:
    """Sum up the quarter hours of a version in [start, end), without reading samples."""
    found = session.execute(
        text(
            "select coalesce(sum(n), 0), coalesce(sum(n_labelled), 0), coalesce(sum(rows_revision), 0),"
            " coalesce(sum(labels_revision), 0), max(logged_at)"
            " from quarter_hours where version_id = :version and at >= :start and at < :end"
        ),
        {"version": version_id, "start": start, "end": end},
    ).one()
    n, n_labelled, rows_revision, labels_revision, logged_at = found
    return WindowStatistics(int(n), int(n_labelled), int(rows_revision), int(labels_revision), logged_at)


def sample_rows(
    session: Session,
    model: Model,
    version: Version,
    start: datetime,
    end: datetime,
    limit: int,
    *,
    labelled: bool = False,
    filters: Filters = None,
    statistics: WindowStatistics | None = None,
) -> SampledRows:
    """Return the `limit` rows of [start, end) with the smallest hashes: the same rows for the same data.

    `labelled` keeps rows with a label only; filters apply before the limit. `statistics` (used without filters)
    let the query skip the levels that can't hold the smallest hashes, so that the cost does not grow with the window.
    """
    columns = sample_tables.columns(model, version)
    names = (*columns.model, *columns.own, LABEL)
    population = 0 if statistics is None or filters else statistics.n_labelled if labelled else statistics.n
    lowest = lowest_level(population, limit)

    def read(level: int) -> SampledRows:
        expressions = ", ".join(_column(name) for name in names)
        statement, values = _bottom(model, version, start, end, limit, labelled, filters, level, expressions)
        return SampledRows(names, [tuple(row) for row in session.execute(text(statement), values)])

    found = read(lowest)
    # By chance these levels may have too few rows: then read all levels.
    return read(0) if lowest and len(found.rows) < limit else found


def sample_columns(
    session: Session,
    model: Model,
    version: Version,
    start: datetime,
    end: datetime,
    limit: int | None,
    features: Sequence[str],
    *,
    labelled: bool = False,
    filters: Filters = None,
    statistics: WindowStatistics | None = None,
    max_bytes: int = MAX_BYTES,
) -> "ColumnarSample | None":
    """Return the deterministic sample in columns: features, predictions and labels; None without rows.

    Without a limit, the whole window. Raises TooManyRows when the columns take more than `max_bytes` bytes.
    """
    from dcmon.storage import column_blocks  # imports numpy, which a list of monitors starts without

    kinds = sample_tables.columns(model, version).read(features)
    population = 0 if statistics is None or filters else statistics.n_labelled if labelled else statistics.n
    lowest = lowest_level(population, limit) if limit else 0

    def read(level: int) -> "ColumnarSample | None":
        expressions = ", ".join(f"{_column(name)} as c{position}" for position, name in enumerate(kinds))
        expressions += f", s.{HASH} as o1, s.{KEY} as o2"
        rows, values = _bottom(model, version, start, end, limit, labelled, filters, level, expressions)
        return column_blocks.fetch(session, kinds, rows, values, limit, max_bytes)

    found = read(lowest)
    if lowest and limit and (found is None or len(found) < limit):
        return read(0)
    return found


def _column(name: str) -> str:
    return "l.label" if name == LABEL else f"s.{quoted(name)}".replace(":", "\\:")


def _bottom(
    model: Model,
    version: Version,
    start: datetime,
    end: datetime,
    limit: int | None,
    labelled: bool,
    filters: Filters,
    lowest: int,
    expressions: str,
) -> tuple[str, dict[str, Any]]:
    """Build the statement that selects `expressions` of the deterministic sample, and its parameters."""
    where, values = data_filters.condition(filters, sample_tables.columns(model, version).filterable, "s", "l.label")
    join = "join" if labelled else "left join"
    statement = (
        f"select {expressions} from samples_{version.relation} s {join} labels_{version.relation} l"
        f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY})"
        f" and l.ts >= :start and l.ts < :end and l.lvl = any(:levels)"
        f" where s.{TIME} >= :start and s.{TIME} < :end and s.{LEVEL} = any(:levels) and {where}"
        + (" and l.label is not null" if labelled else "")
        + f" order by s.{HASH}, s.{KEY}"
        + ("" if limit is None else " limit :limit")
    )
    given = {} if limit is None else {"limit": limit}
    return statement, {"start": start, "end": end, "levels": list(range(lowest, 32)), **given, **values}


def lowest_level(population: int, limit: int) -> int:
    """Return the lowest level that the `limit` smallest hashes of a population have, with some slack."""
    return max(0, math.floor(math.log2(population / (SLACK * limit)))) if population > SLACK * limit else 0


def production(
    session: Session,
    model: Model,
    version: Version,
    start: datetime,
    end: datetime,
    limit: int,
    filters: Filters = None,
) -> list[dict[str, Any]]:
    """Return rows of [start, end) with ids, times and labels, in the order of their hashes."""
    columns = sample_tables.columns(model, version)
    names = sorted([*columns.own, *columns.model, SAMPLE_ID, TIME])
    where, values = data_filters.condition(filters, columns.filterable, "s", "l.label")
    expressions = ", ".join(f"s.{quoted(name)}".replace(":", "\\:") for name in names)
    found = session.execute(
        text(
            f"select {expressions}, l.label from samples_{version.relation} s left join labels_{version.relation} l"
            f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY})"
            f" where s.{TIME} >= :start and s.{TIME} < :end and {where} order by s.{HASH}, s.{KEY} limit :limit"
        ),
        {"start": start, "end": end, "limit": limit, **values},
    )
    return [_named([*names, LABEL], row) for row in found]


def _named(names: Sequence[str], row: Any) -> dict[str, Any]:
    return dict(zip(names, row, strict=True))
