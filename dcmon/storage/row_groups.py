"""Groups of rows by the values of a column: their counts, and a deterministic sample of each, read in one statement."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.sql import BoundSql
from dcmon.nearest import meant
from dcmon.operators import Operator
from dcmon.storage import filters as data_filters
from dcmon.storage import packing, sample_tables, table_layout
from dcmon.storage.categories import normalize
from dcmon.storage.columns import HASH, KEY, LABEL, LEVEL, PREDICTION, TIME
from dcmon.storage.sampling import MAX_BYTES, RowSelection
from dcmon.storage.stored_rows import Expression
from dcmon.windows import Window

if TYPE_CHECKING:
    from dcmon.storage.column_blocks import ColumnarSample

ROWS_OF_GROUP, MIN_GROUPS, MAX_GROUPS = 200, 2, 10  # of a column that is ordered
MAX_LISTED = 10  # columns in a message
MAX_VALUES = 30  # of a column of texts
MAX_VALUES_READ = 300  # before spellings of one category are joined
NULL_NAME = "Null"
ORDERED_TYPES = frozenset({"numeric", "integer", "bigint", "datetime"})
NAMED_TYPES = frozenset({"categorical", "text", "boolean"})


@dataclass(frozen=True)
class RowGroup:
    """Rows that match `conditions`, which are in the form of data filters. `n`: how many there are."""

    name: str
    conditions: Sequence[Mapping[str, Any]]
    n: int


class RowGroups(NamedTuple):
    """The number of all rows, and the groups of them."""

    n: int
    groups: list[RowGroup]


class _Source(NamedTuple):
    """The rows to group, in SQL: from FROM to WHERE, and how the value of a column is written."""

    sql: str
    parameters: dict[str, Any]
    expression: Expression


class _Bin(NamedTuple):
    """The least and the greatest value of a group, and its number of rows."""

    low: Any
    high: Any
    n: int


def of_column(session: Session, window: Window, selection: RowSelection, column: str) -> RowGroups:
    """Group the rows of a window by a column: at quantiles if it is ordered, otherwise by its most frequent values.

    `selection`: its limit does not count. Raises InvalidInput for a column that can't be grouped.
    """
    kind = _require_groupable(selection, column)
    source = _window_source(window, selection)
    value = source.expression(column)
    n, known = session.execute(text(f"select count(*), count({value}) {source.sql}"), source.parameters).one()
    if kind in ORDERED_TYPES:
        groups = _ordered_groups(column, kind, _bins(session, source, value, known))
    else:
        groups = _named_groups(session, source, column, kind)
    if n > known:
        is_null = {"column": column, "operator": Operator.EQUALS.value, "value": None}
        groups.append(RowGroup(NULL_NAME, [is_null], n - known))
    return RowGroups(n, groups)


def _require_groupable(selection: RowSelection, column: str) -> str:
    """Return the type of a column."""
    known = sample_tables.columns(selection.model, selection.version).filterable
    if column not in known:
        own = [name for name in known if not name.startswith("_dc_")][:MAX_LISTED]
        listed = ", ".join([*own, *(name for name in (PREDICTION, LABEL) if name in known)])
        raise errors.InvalidInput(
            f"Version {selection.version.name!r} has no column {column!r}.{meant(column, known)} There are {listed}."
        )
    kind = known[column]
    if column == TIME:
        raise errors.InvalidInput(
            f"Rows can't be grouped by {column!r}, the time of a sample: a reference has none. For periods of time, ask"
            " for the values of a lookback."
        )
    if kind not in ORDERED_TYPES | NAMED_TYPES:
        raise errors.InvalidInput(
            f"Rows can't be grouped by {column!r} ({kind}): use a column of numbers, times, texts, categories or"
            " booleans."
        )
    return kind


def _bins(session: Session, source: _Source, value: str, count: int) -> list[_Bin]:
    """Return groups of about the same size; equal values are in one group."""
    number = max(MIN_GROUPS, min(MAX_GROUPS, count // ROWS_OF_GROUP))
    # Rounded, because 0.7 * 10 is a little more than 7.
    ranked = (
        f"select {value} as x, ceil(round((cume_dist() over (order by {value}) * {number})::numeric, 9)) as bin"
        f" {source.sql} and {value} is not null"
    )
    statement = f"select min(x), max(x), count(*) from ({ranked}) ranked group by bin order by bin"
    return [_Bin(*row) for row in session.execute(text(statement), source.parameters)]


def _ordered_groups(column: str, kind: str, bins: Sequence[_Bin]) -> list[RowGroup]:
    is_single = all(one.low == one.high for one in bins)
    edges = [*(one.low for one in bins), *(one.high for one in bins[-1:])]
    shown = _edge_texts(kind, edges)
    groups = []
    for position, (low, high, n) in enumerate(bins):
        end = "]" if position == len(bins) - 1 else ")"
        name = shown[position] if is_single else f"[{shown[position]}, {shown[position + 1]}{end}"
        bounds = ((Operator.GREATER_THAN_EQUALS, low), (Operator.LESS_THAN_EQUALS, high))
        conditions = [
            {"column": column, "operator": operator.value, "value": _json_value(bound)} for operator, bound in bounds
        ]
        groups.append(RowGroup(name, conditions, n))
    return groups


def _edge_texts(kind: str, edges: Sequence[Any]) -> list[str]:
    """Return edges as texts, rounded so far that different edges still differ."""
    if kind != "numeric" or not edges:
        return [str(_json_value(edge)) for edge in edges]
    span = max(edges) - min(edges) or abs(edges[0]) or 1.0
    first = max(0, 2 - math.floor(math.log10(span))) if math.isfinite(span) else 0
    for digits in range(first, first + 12):
        texts = [repr(edge) if abs(edge) >= 1e15 else _rounded(edge, digits) for edge in edges]
        if len(set(texts)) == len(set(edges)):
            return texts
    return [repr(edge) for edge in edges]


def _rounded(edge: float, digits: int) -> str:
    rounded = f"{edge:.{digits}f}"
    return rounded.rstrip("0").rstrip(".") if digits else rounded


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _named_groups(session: Session, source: _Source, column: str, kind: str) -> list[RowGroup]:
    value = source.expression(column)
    statement = (
        f"select {value} as x, count(*) as n {source.sql} and {value} is not null group by 1"
        f" order by n desc, 1 limit {MAX_VALUES_READ}"
    )
    counts = Counter[Any]()
    for stored_value, n in session.execute(text(statement), source.parameters):
        counts[normalize(stored_value) if kind == "categorical" else stored_value] += n
    most_frequent = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:MAX_VALUES]
    return [
        RowGroup(
            str(name).lower() if kind == "boolean" else name,
            [{"column": column, "operator": Operator.EQUALS.value, "value": name}],
            n,
        )
        for name, n in most_frequent
    ]


def samples(
    session: Session, window: Window, selection: RowSelection, features: Sequence[str], groups: Sequence[RowGroup]
) -> "list[ColumnarSample | None]":
    """Return a sample of each group of a window, in their order: its rows with the smallest hashes.

    None for a group without rows. Raises TooManyRows.
    """
    source = _window_source(window, selection)
    return _samples(session, source, selection, features, groups)


def reference_samples(
    session: Session, selection: RowSelection, features: Sequence[str], groups: Sequence[RowGroup]
) -> "list[ColumnarSample | None]":
    """Return a sample of each group of the reference, in the order in which its rows were loaded."""
    return _samples(session, _reference_source(selection), selection, features, groups)


def _samples(
    session: Session, source: _Source, selection: RowSelection, features: Sequence[str], groups: Sequence[RowGroup]
) -> "list[ColumnarSample | None]":
    from dcmon.storage import column_blocks  # imports numpy, which a list of monitors starts without

    columns = sample_tables.columns(selection.model, selection.version)
    alias = "s" if f"s.{TIME}" in source.sql else "r"
    layout = table_layout.of(columns)
    columns_to_pack = packing.create(layout, columns.check_columns(features), source.expression, alias)
    number = _group_number(groups, columns.filterable, source.expression)
    order = (f"s.{HASH}", f"s.{KEY}") if alias == "s" else ("r._dc_position", f"r.{HASH}")
    by_hash = "o1, o2" if alias == "s" else "o2, o1"
    rows = f"select {columns_to_pack.select_list(order)}, {number.sql} as group_number {source.sql}"
    limit = "" if selection.limit is None else " where rank <= :limit"
    ranked = (
        f"select * from (select *, row_number() over (partition by group_number order by {by_hash}) as rank"
        f" from ({rows}) rows where group_number is not null) ranked{limit}"
    )
    parameters = {**source.parameters, **number.parameters}
    if selection.limit is not None:
        parameters["limit"] = selection.limit
    return column_blocks.fetch_groups(session, columns_to_pack, BoundSql(ranked, parameters), len(groups), MAX_BYTES)


def _group_number(groups: Sequence[RowGroup], column_types: Mapping[str, str], expression: Expression) -> BoundSql:
    """Return the SQL of the position of the group that a row is in."""
    cases, parameters = ["case"], dict[str, Any]()
    for position, group in enumerate(groups):
        condition = data_filters.condition(
            {"filters": list(group.conditions)}, column_types, expression, prefix=f"group{position}_"
        )
        cases.append(f"when {condition.sql} then {position}")
        parameters |= condition.parameters
    return BoundSql(" ".join([*cases, "end"]) if groups else "null::int", parameters)


def _window_source(window: Window, selection: RowSelection) -> _Source:
    version = selection.version
    columns = sample_tables.columns(selection.model, version)
    layout = table_layout.of(columns)

    def expression(name: str) -> str:
        return "l.label" if name == LABEL else layout.expression("s", name)

    where, parameters = data_filters.condition(selection.filters, columns.filterable, expression)
    join, has_label = ("join", " and l.label is not null") if selection.labelled else ("left join", "")
    sql = (
        f"from samples_{version.relation} s {join} labels_{version.relation} l"
        f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY}) and l.ts >= :start and l.ts < :end"
        f" where s.{TIME} >= :start and s.{TIME} < :end and {where}{has_label}"
    )
    return _Source(sql, {**parameters, "start": window.start, "end": window.end}, expression)


def _reference_source(selection: RowSelection) -> _Source:
    version = selection.version
    columns = sample_tables.columns(selection.model, version)
    expression = partial(table_layout.of(columns).expression, "r")
    where, parameters = data_filters.condition(selection.filters, columns.filterable, expression, (TIME,))
    has_label = f" and r.{LABEL} is not null" if selection.labelled else ""
    sql = f"from reference_{version.relation} r where r.revision = 0 and {where}{has_label}"
    return _Source(sql, parameters, expression)


def combined_filters(filters: data_filters.Filters, group: RowGroup | None) -> dict[str, Any]:
    """Return the filters of rows that are in a group, in addition to the filters of all rows."""
    return {"filters": [*data_filters.conditions(filters), *(group.conditions if group else ())]}
