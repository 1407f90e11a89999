"""Compute the statistics of rows in a table, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db.sql import read
from dcmon.storage import categories, column_statistics
from dcmon.storage.column_statistics import MAX_VALUES, VALUE_TYPES, Statistics
from dcmon.storage.stored_rows import Expression

SQL = read(__name__)
RANGES_AT_ONCE, CATEGORIES_AT_ONCE = 400, 50  # columns of one statement


@dataclass(frozen=True)
class TableRows:
    """The rows to summarize: a table with its alias, a condition on its rows, and its columns, name to type."""

    table: str
    condition: str
    values: Mapping[str, Any]
    column_types: Mapping[str, str]
    expression: Expression


def of_rows(session: Session, source: TableRows, known: Statistics) -> Statistics:
    """Return the statistics of rows. `known`: those of other rows, which make some values of no interest."""
    results: dict[str, Mapping[str, Any]] = {}
    by_name = source.column_types
    ranges = [name for name, kind in by_name.items() if name in column_statistics.empty(by_name)]
    texts = [name for name in ranges if by_name[name] == "categorical"]
    others = [name for name in ranges if by_name[name] != "categorical"]
    for first in range(0, len(others), RANGES_AT_ONCE):
        results |= _ranges(session, source, others[first : first + RANGES_AT_ONCE])
    for first in range(0, len(texts), CATEGORIES_AT_ONCE):
        results |= _categories(session, source, texts[first : first + CATEGORIES_AT_ONCE], known)
    return {name: results[name] for name in ranges}


def _ranges(session: Session, source: TableRows, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return the smallest and largest values of columns of numbers and times, and the values of booleans."""
    items = ", ".join(_extremes(source.column_types[name], source.expression(name)) for name in names)
    row = session.execute(text(f"select {items} from {source.table} where {source.condition}"), source.values).one()
    results: dict[str, Mapping[str, Any]] = {}
    for number, name in enumerate(names):
        low, high = row[2 * number], row[2 * number + 1]
        if source.column_types[name] in VALUE_TYPES:
            results[name] = {"values": sorted({value for value in (low, high) if value is not None})}
        else:
            results[name] = {"min": low, "max": high}
    return results


def _extremes(kind: str, value: str) -> str:
    if kind == "boolean":
        return f"bool_and({value}), bool_or({value})"
    if kind == "datetime":
        return f"cast(extract(epoch from min({value})) as float8), cast(extract(epoch from max({value})) as float8)"
    return f"min({value}), max({value})"


def _categories(
    session: Session, source: TableRows, names: Sequence[str], known: Statistics
) -> dict[str, Mapping[str, Any]]:
    """Return the values of columns of categories. If a column has all that are shown, only smaller ones count."""
    values, items = dict(source.values), list[str]()
    for number, name in enumerate(names):
        expression = source.expression(name)
        shown = known.get(name, {}).get("values", ())
        if len(shown) == MAX_VALUES:
            values[f"last{number}"] = shown[-1]
            expression = f'case when {expression} collate "C" < :last{number} then {expression} end'
        items.append(f"({number}, {expression})")
    statement = SQL.statement(
        "categories", items=", ".join(items), table=source.table, condition=source.condition, limit=MAX_VALUES
    )
    results: dict[str, set[str]] = {name: set() for name in names}
    for number, value in session.execute(text(statement), values):
        results[names[number]].add(categories.normalize(value))
    return {name: {"values": sorted(texts)[:MAX_VALUES]} for name, texts in results.items()}
