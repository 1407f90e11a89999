"""Data filters: a list of (column, operator, value), joined by AND, turned into SQL with bound values."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from dcmon import errors
from dcmon.columns import LABEL, TYPES, quoted

OPERATORS = {
    "greater_than": ">",
    "greater_than_equals": ">=",
    "less_than": "<",
    "less_than_equals": "<=",
    "equals": "is not distinct from",
    "not_equals": "is distinct from",
}
Filters = Mapping[str, Any] | None


def condition(
    filters: Filters, known: Mapping[str, str], alias: str, label: str = "label"
) -> tuple[str, dict[str, Any]]:
    """SQL that holds for the rows wanted ("true" without filters), and its parameters.

    `filters` is {"filters": [{"column", "operator", "value"}, …]}; `known` maps the columns that there are, prediction
    and label too, to their types. A label is looked for in `label`. Raises InvalidInput for an unknown column or
    operator, and for a value that can't be compared with the column.
    """
    said, values = ["true"], dict[str, Any]()
    for number, each in enumerate((filters or {}).get("filters") or []):
        column, operator, value = each.get("column"), each.get("operator"), each.get("value")
        if column not in known or known[column] not in _VALUES:
            raise errors.InvalidInput(f"There is no column {column!r} to filter by.")
        sql = label if column == LABEL else f"{alias}.{quoted(column)}".replace(":", "\\:")
        said.append(_one(sql, column, known[column], operator, value, f"filter{number}", values))
    return " and ".join(said), values


def _one(sql: str, column: str, kind: str, operator: str, value: Any, name: str, values: dict[str, Any]) -> str:
    if operator == "in":
        wanted = value if isinstance(value, list | tuple) else [value]
        values[name] = [_value(column, kind, each) for each in wanted if each is not None]
        return f"{sql} = any(cast(:{name} as {_sql(kind)}[]))"
    if operator not in OPERATORS:
        raise errors.InvalidInput(f"There is no operator {operator!r}: it is one of {', '.join([*OPERATORS, 'in'])}.")
    if value is None:
        return f"{sql} {OPERATORS[operator]} null"
    values[name] = _value(column, kind, value)
    return f"{sql} {OPERATORS[operator]} cast(:{name} as {_sql(kind)})"


def _sql(kind: str) -> str:
    """Whole numbers are compared as numbers: 1.5 lies between two of them, and a large one stays exact."""
    return "numeric" if kind in ("integer", "bigint") else TYPES[kind].sql


def _value(column: str, kind: str, value: Any) -> Any:
    """A value as the column's type has it: a client may send 1 for "1", or the other way round."""
    try:
        return _VALUES[kind](value)
    except (TypeError, ValueError, OverflowError, InvalidOperation) as error:
        raise errors.InvalidInput(f"Column {column!r} is {kind}; it can't be compared with {value!r}.") from error


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _whole(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise TypeError
    return Decimal(str(value))


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float) or "\0" in str(value):
        raise TypeError
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _truth(value: Any) -> bool:
    said = str(value).lower()
    if said not in ("true", "false"):
        raise ValueError
    return said == "true"


def _time(value: Any) -> datetime:
    time = datetime.fromisoformat(value)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "numeric": _number,
    "integer": _whole,
    "bigint": _whole,
    "categorical": _text,
    "text": _text,
    "boolean": _truth,
    "datetime": _time,
}
