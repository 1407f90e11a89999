"""Data filters: a list of (column, operator, value), joined by AND, turned into SQL with bound values.

dcmon.storage.filter_parser parses the text form that users write.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any, NamedTuple

from dcmon import errors
from dcmon.storage.columns import LABEL, PREDICTION, TIME, TYPES, quoted

OPERATORS = {
    "greater_than": ">",
    "greater_than_equals": ">=",
    "less_than": "<",
    "less_than_equals": "<=",
    "equals": "is not distinct from",
    "not_equals": "is distinct from",
}
KNOWN_OPERATORS = (*OPERATORS, "in")
# Short names of columns, which are valid if the version has no column of that name.
SHORT_NAMES = {"prediction": PREDICTION, "label": LABEL, "time": TIME}
MAX_LISTED = 10  # columns that a message lists
Filters = Mapping[str, Any] | None


class _Column(NamedTuple):
    """A column to compare: its name, its type and its SQL expression."""

    name: str
    kind: str
    sql: str


class _Comparison(NamedTuple):
    """The SQL of one condition, and the value of its parameter if it has one."""

    sql: str
    value: Any = None
    has_parameter: bool = False


def conditions(filters: Filters) -> list[Mapping[str, Any]]:
    """Return the single conditions, which all must hold."""
    return list((filters or {}).get("filters") or [])


def condition(
    filters: Filters, known: Mapping[str, str], alias: str, label: str = "label", absent: Collection[str] = ()
) -> tuple[str, dict[str, Any]]:
    """Return SQL that holds for the rows that match ("true" without filters), and its parameters.

    `filters` is {"filters": [{"column", "operator", "value"}, …]}. `known` maps the filterable columns, with prediction
    and label, to their types. `label` is the SQL of the label. Filters on `absent` columns are checked and then
    ignored. Null equals only null. Raises InvalidInput for an unknown column or operator, and for a value that can't
    be compared with the column.
    """
    comparisons, values = ["true"], dict[str, Any]()
    for number, item in enumerate(conditions(filters)):
        name, parameter = _column_name(item.get("column"), known), f"filter{number}"
        sql = label if name == LABEL else f"{alias}.{quoted(name)}".replace(":", "\\:")
        comparison = _comparison(_Column(name, known[name], sql), item.get("operator"), item.get("value"), parameter)
        if name in absent:
            continue
        comparisons.append(comparison.sql)
        if comparison.has_parameter:
            values[parameter] = comparison.value
    return " and ".join(comparisons), values


def require(filters: Filters, versions: Mapping[str, Mapping[str, str]]) -> None:
    """Raise InvalidInput for filters that fit no version, with the reason of the newest version.

    `versions` has the types of each version's columns, newest first. A model without a version may have filters on any
    column.
    """
    for item in conditions(filters):
        if item.get("operator") not in KNOWN_OPERATORS:
            raise _unknown_operator(item.get("operator"))
    refused = None
    for version, known in versions.items():
        try:
            condition(filters, known, "s")
        except errors.InvalidInput as error:
            refused = refused or errors.InvalidInput(f"Version {version!r} can't be filtered like this. {error}")
        else:
            return
    if refused is not None:
        raise refused


def _column_name(name: Any, known: Mapping[str, str]) -> str:
    """Return the column that a name or short name means. Raises InvalidInput that lists the known columns."""
    if name not in known and SHORT_NAMES.get(name) in known:
        return SHORT_NAMES[name]
    if isinstance(name, str) and name in known:
        return name
    near = get_close_matches(str(name), known, 1)
    own = [column for column in known if not column.startswith("_dc_")]
    more = f" and {len(own) - MAX_LISTED} more" if len(own) > MAX_LISTED else ""
    choices = f"There are {', '.join(own[:MAX_LISTED])}{more}, and {', '.join(SHORT_NAMES)}."
    raise errors.InvalidInput(
        f"There is no column {name!r} to filter by. " + (f"Do you mean {near[0]!r}?" if near else choices)
    )


def _comparison(column: _Column, operator: Any, value: Any, parameter: str) -> _Comparison:
    if operator == "in":
        return _membership(column, value, parameter)
    if operator not in OPERATORS:
        raise _unknown_operator(operator)
    if value is None:
        if operator not in ("equals", "not_equals"):
            raise errors.InvalidInput(f"Column {column.name!r} can be null or not, but not {operator} it: use equals.")
        return _Comparison(f"{column.sql} {OPERATORS[operator]} null")
    sql = f"{_ordered(column, operator)} {OPERATORS[operator]} cast(:{parameter} as {_sql_type(column.kind)})"
    return _Comparison(sql, _value(column, value), has_parameter=True)


def _membership(column: _Column, value: Any, parameter: str) -> _Comparison:
    members: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if not members:
        raise errors.InvalidInput(f"Column {column.name!r} can't be in an empty list: give it some values.")
    values = [_value(column, member) for member in members if member is not None]
    if not values:
        return _Comparison(f"{column.sql} is null")
    sql = f"{column.sql} = any(cast(:{parameter} as {_sql_type(column.kind)}[]))"
    return _Comparison(sql if None not in members else f"({sql} or {column.sql} is null)", values, has_parameter=True)


def _unknown_operator(operator: Any) -> errors.InvalidInput:
    return errors.InvalidInput(f"There is no operator {operator!r}: it is one of {', '.join(KNOWN_OPERATORS)}.")


def _ordered(column: _Column, operator: str) -> str:
    """Return the column's SQL with the collation to order by: text by code points, in a database of any language."""
    return f'{column.sql} collate "C"' if TYPES[column.kind].sql == "text" and "than" in operator else column.sql


def _sql_type(kind: str) -> str:
    """Return the SQL type to compare as. Numeric for integers: 1.5 lies between two, and large ones stay exact."""
    return "numeric" if kind in ("integer", "bigint") else TYPES[kind].sql


def _value(column: _Column, value: Any) -> Any:
    """Convert a value to the column's type: a client may send 1 for "1", or "1" for 1. Raises InvalidInput."""
    name, kind = column.name, column.kind
    if kind not in _CONVERTERS:
        raise errors.InvalidInput(f"Column {name!r} is {kind}: it can only be compared with null.")
    try:
        return _CONVERTERS[kind](value)
    except (TypeError, ValueError, OverflowError, InvalidOperation) as error:
        raise errors.InvalidInput(
            f"Column {name!r} is {kind}; it can't be compared with {value!r}. {_ADVICE[kind]}"
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise TypeError
    return number


def _integer(value: Any) -> Decimal:
    is_integral = isinstance(value, float) and value.is_integer()
    number = Decimal(value if is_integral else str(value))
    if isinstance(value, bool) or not number.is_finite() or abs(number) >= 10**40:
        raise TypeError
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float) or "\0" in str(value):
        raise TypeError
    result = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    result.encode()  # raises for half of a surrogate pair, which is no text
    return result


def _boolean(value: Any) -> bool:
    word = str(value).lower()
    if word not in ("true", "false"):
        raise ValueError
    return word == "true"


def _time(value: Any) -> datetime:
    time = datetime.fromisoformat(value)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


_CONVERTERS: Mapping[str, Callable[[Any], Any]] = {
    "numeric": _number,
    "integer": _integer,
    "bigint": _integer,
    "categorical": _text,
    "text": _text,
    "boolean": _boolean,
    "datetime": _time,
}
_ADVICE: Mapping[str, str] = {
    "numeric": "Give a number.",
    "integer": "Give a number.",
    "bigint": "Give a number.",
    "categorical": "Give a text.",
    "text": "Give a text.",
    "boolean": "Give true or false.",
    "datetime": "Give a time like 2026-03-01 or 2026-03-01T12:00:00+01:00.",
}
