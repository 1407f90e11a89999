"""Data filters: a list of (column, operator, value), joined by AND, turned into SQL with bound values.

How a person writes them is in dcmon.storage.filter_parser.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

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
# What a column is called for short, where the version has none of that name.
SHORT = {"prediction": PREDICTION, "label": LABEL, "time": TIME}
SHOWN_AT_MOST = 10
Filters = Mapping[str, Any] | None


def conditions(filters: Filters) -> list[Mapping[str, Any]]:
    """The single conditions, which all must hold."""
    return list((filters or {}).get("filters") or [])


def condition(
    filters: Filters, known: Mapping[str, str], alias: str, label: str = "label", absent: Collection[str] = ()
) -> tuple[str, dict[str, Any]]:
    """SQL that holds for the rows wanted ("true" without filters), and its parameters.

    `filters` is {"filters": [{"column", "operator", "value"}, …]}; `known` maps the columns that there are, prediction
    and label too, to their types. A label is looked for in `label`; what is said of columns that are `absent` does not
    count. Null equals null and nothing else. Raises InvalidInput for an unknown column or operator, and for a value
    that can't be compared with the column.
    """
    said, values = ["true"], dict[str, Any]()
    for number, each in enumerate(conditions(filters)):
        column = _column(each.get("column"), known)
        sql = label if column == LABEL else f"{alias}.{quoted(column)}".replace(":", "\\:")
        compared = _one(sql, column, known[column], each.get("operator"), each.get("value"), f"filter{number}", values)
        if column in absent:
            values.pop(f"filter{number}", None)
        else:
            said.append(compared)
    return " and ".join(said), values


def require(filters: Filters, versions: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse what no version could be filtered by; `versions`: the types of each version's columns, newest first.

    Raises InvalidInput. A model without a version yet may have filters on any column.
    """
    for each in conditions(filters):
        if each.get("operator") not in KNOWN_OPERATORS:
            raise _unknown_operator(each.get("operator"))
    refused = None
    for version, known in versions.items():
        try:
            condition(filters, known, "s")
        except errors.InvalidInput as why:
            refused = refused or errors.InvalidInput(f"Version {version!r} can't be filtered so. {why}")
        else:
            return
    if refused is not None:
        raise refused


def _column(name: Any, known: Mapping[str, str]) -> str:
    """The column that a name stands for. Raises InvalidInput with those that there are."""
    if name not in known and SHORT.get(name) in known:
        return SHORT[name]
    if isinstance(name, str) and name in known:
        return name
    near = get_close_matches(str(name), known, 1)
    listed = [each for each in known if not each.startswith("_dc_")]
    more = f" and {len(listed) - SHOWN_AT_MOST} more" if len(listed) > SHOWN_AT_MOST else ""
    there = f"There are {', '.join(listed[:SHOWN_AT_MOST])}{more}, and {', '.join(SHORT)}."
    raise errors.InvalidInput(
        f"There is no column {name!r} to filter by. " + (f"Do you mean {near[0]!r}?" if near else there)
    )


def _one(sql: str, column: str, kind: str, operator: Any, value: Any, name: str, values: dict[str, Any]) -> str:
    if operator == "in":
        return _among(sql, column, kind, value, name, values)
    if operator not in OPERATORS:
        raise _unknown_operator(operator)
    if value is None:
        if operator not in ("equals", "not_equals"):
            raise errors.InvalidInput(f"Column {column!r} can be null or not, but not {operator} it: use equals.")
        return f"{sql} {OPERATORS[operator]} null"
    values[name] = _value(column, kind, value)
    return f"{_ordered(sql, kind, operator)} {OPERATORS[operator]} cast(:{name} as {_sql(kind)})"


def _among(sql: str, column: str, kind: str, value: Any, name: str, values: dict[str, Any]) -> str:
    wanted: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if not wanted:
        raise errors.InvalidInput(f"Column {column!r} can't be in an empty list: give it some values.")
    said = [_value(column, kind, each) for each in wanted if each is not None]
    if not said:
        return f"{sql} is null"
    values[name] = said
    one_of = f"{sql} = any(cast(:{name} as {_sql(kind)}[]))"
    return one_of if None not in wanted else f"({one_of} or {sql} is null)"


def _unknown_operator(operator: Any) -> errors.InvalidInput:
    return errors.InvalidInput(f"There is no operator {operator!r}: it is one of {', '.join(KNOWN_OPERATORS)}.")


def _ordered(sql: str, kind: str, operator: str) -> str:
    """Text is ordered by its code points, whatever the language of the database."""
    return f'{sql} collate "C"' if TYPES[kind].sql == "text" and "than" in operator else sql


def _sql(kind: str) -> str:
    """Whole numbers are compared as numbers: 1.5 lies between two of them, and a large one stays exact."""
    return "numeric" if kind in ("integer", "bigint") else TYPES[kind].sql


def _value(column: str, kind: str, value: Any) -> Any:
    """A value as the column's type has it: a client may send 1 for "1", or the other way round."""
    if kind not in _VALUES:
        raise errors.InvalidInput(f"Column {column!r} is {kind}: it can only be compared with null.")
    try:
        return _VALUES[kind](value)
    except (TypeError, ValueError, OverflowError, InvalidOperation) as error:
        raise errors.InvalidInput(
            f"Column {column!r} is {kind}; it can't be compared with {value!r}. {_WANTED[kind]}"
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise TypeError
    return number


def _whole(value: Any) -> Decimal:
    is_whole = isinstance(value, float) and value.is_integer()
    number = Decimal(value if is_whole else str(value))
    if isinstance(value, bool) or not number.is_finite() or abs(number) >= 10**40:
        raise TypeError
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float) or "\0" in str(value):
        raise TypeError
    said = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    said.encode()  # half of a surrogate pair is no text
    return said


def _truth(value: Any) -> bool:
    said = str(value).lower()
    if said not in ("true", "false"):
        raise ValueError
    return said == "true"


def _time(value: Any) -> datetime:
    time = datetime.fromisoformat(value)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "numeric": _number,
    "integer": _whole,
    "bigint": _whole,
    "categorical": _text,
    "text": _text,
    "boolean": _truth,
    "datetime": _time,
}
_WANTED: Mapping[str, str] = {
    "numeric": "Give a number.",
    "integer": "Give a number.",
    "bigint": "Give a number.",
    "categorical": "Give a text.",
    "text": "Give a text.",
    "boolean": "Give true or false.",
    "datetime": "Give a time like 2026-03-01 or 2026-03-01T12:00:00+01:00.",
}
