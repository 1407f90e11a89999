"""Data filters: conditions on columns, joined by AND, turned into SQL with bound values.

dcmon.storage.filter_parser parses the text form that users write.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from dcmon import errors
from dcmon.db.sql import BoundSql
from dcmon.formatting import some_of
from dcmon.nearest import meant, unknown
from dcmon.operators import Operator
from dcmon.storage.categories import earlier_spellings, normalize
from dcmon.storage.columns import LABEL, PREDICTION, TIME, TYPES, quoted

# Null equals only null. Filters have no ranges.
SQL_OF_OPERATOR: Mapping[str, str] = {
    Operator.GREATER_THAN: ">",
    Operator.GREATER_THAN_EQUALS: ">=",
    Operator.LESS_THAN: "<",
    Operator.LESS_THAN_EQUALS: "<=",
    Operator.EQUALS: "is not distinct from",
    Operator.NOT_EQUALS: "is distinct from",
}
EQUALITIES = (Operator.EQUALS, Operator.NOT_EQUALS)
IN = "in"  # the operator of filters that compares with a list; rules do not have it
KNOWN_OPERATORS = (*SQL_OF_OPERATOR, IN)
# Short names of columns. Each is valid if the version has no own column of that name.
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
    """Return the single conditions; a row matches if all of them are true."""
    return list((filters or {}).get("filters") or [])


def condition(
    filters: Filters,
    column_types: Mapping[str, str],
    expression: Callable[[str], str],
    absent: Collection[str] = (),
    prefix: str = "filter",
) -> BoundSql:
    """Return the SQL that is true for the rows that match; "true" without filters.

    `filters` is {"filters": [{"column", "operator", "value"}, …]}. `column_types` has the filterable columns, with
    prediction and label. `expression` gives the SQL of a column. Filters on `absent` columns are checked and then
    ignored. `prefix`: what the names of parameters begin with. Null equals only null. Raises InvalidInput for an
    unknown column or operator, and for a value that can't be compared with the column.
    """
    comparisons, parameters = ["true"], dict[str, Any]()
    for number, item in enumerate(conditions(filters)):
        name, parameter = _column_name(item.get("column"), column_types), f"{prefix}{number}"
        column = _Column(name, column_types[name], expression(name))
        comparison = _comparison(column, item.get("operator"), item.get("value"), parameter)
        if name in absent:
            continue
        comparisons.append(comparison.sql)
        if comparison.has_parameter:
            parameters[parameter] = comparison.value
    return BoundSql(" and ".join(comparisons), parameters)


def require(filters: Filters, versions: Mapping[str, Mapping[str, str]]) -> None:
    """Raise InvalidInput if the filters fit no version.

    The reason is that of the newest version with all columns of the filters; if none has them, of the newest version.
    `versions` maps the name of each version to the types of its columns, newest first. Without versions, all columns
    are accepted.
    """
    for item in conditions(filters):
        if item.get("operator") not in KNOWN_OPERATORS:
            raise _unknown_operator(item.get("operator"))
    refusals = list[tuple[bool, errors.InvalidInput]]()
    for version, column_types in versions.items():
        try:
            condition(filters, column_types, quoted)
        except errors.InvalidInput as error:
            reason = errors.InvalidInput(f"Version {version!r} can't be filtered like this. {error}")
            refusals.append((_has_columns(filters, column_types), reason))
        else:
            return
    if refusals:
        raise next((reason for has_columns, reason in refusals if has_columns), refusals[0][1])


def _has_columns(filters: Filters, column_types: Mapping[str, str]) -> bool:
    names = [item.get("column") for item in conditions(filters)]
    return all(name in column_types or SHORT_NAMES.get(str(name)) in column_types for name in names)


def _column_name(name: Any, column_types: Mapping[str, str]) -> str:
    """Return the column that a name or short name means. Raises InvalidInput that lists the columns."""
    if name not in column_types and SHORT_NAMES.get(name) in column_types:
        return SHORT_NAMES[name]
    if isinstance(name, str) and name in column_types:
        return name
    own = [column for column in column_types if not column.startswith("_dc_")]
    listed = f"{some_of(own, MAX_LISTED)}, and " if own else ""
    choices = f"There are {listed}{', '.join(short for short, name in SHORT_NAMES.items() if name in column_types)}."
    raise errors.InvalidInput(
        f"There is no column {name!r} to filter by." + (meant(name, column_types) or f" {choices}")
    )


def _comparison(column: _Column, operator: Any, value: Any, parameter: str) -> _Comparison:
    if operator == IN:
        return _membership(column, value, parameter)
    if operator not in SQL_OF_OPERATOR:
        raise _unknown_operator(operator)
    if value is None:
        if operator not in EQUALITIES:
            raise errors.InvalidInput(f"Column {column.name!r} can't be {operator} null: use equals or not_equals.")
        return _Comparison(f"{column.sql} {SQL_OF_OPERATOR[operator]} null")
    if column.kind == "categorical" and operator in EQUALITIES:
        return _equality(column, operator, earlier_spellings(_value(column, value)), parameter)
    if column.kind == "categorical":
        value = normalize(_value(column, value))
    sql = f"{_ordered(column, operator)} {SQL_OF_OPERATOR[operator]} cast(:{parameter} as {_sql_type(column.kind)})"
    return _Comparison(sql, _value(column, value), has_parameter=True)


def _equality(column: _Column, operator: str, spellings: Sequence[str], parameter: str) -> _Comparison:
    """Compare a column of categories with one of them, which stored rows may spell in several ways."""
    if len(spellings) == 1:
        return _Comparison(f"{column.sql} {SQL_OF_OPERATOR[operator]} cast(:{parameter} as text)", spellings[0], True)
    is_one_of = f"{column.sql} = any(cast(:{parameter} as text[]))"
    if operator == Operator.EQUALS:
        return _Comparison(f"coalesce({is_one_of}, false)", spellings, has_parameter=True)
    return _Comparison(f"({is_one_of}) is not true", spellings, has_parameter=True)


def _membership(column: _Column, value: Any, parameter: str) -> _Comparison:
    items: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise errors.InvalidInput(f"Column {column.name!r} is compared with an empty list: give it some values.")
    values = [_value(column, item) for item in items if item is not None]
    if column.kind == "categorical":
        values = [spelling for value in values for spelling in earlier_spellings(value)]
    if not values:
        return _Comparison(f"{column.sql} is null")
    sql = f"{column.sql} = any(cast(:{parameter} as {_sql_type(column.kind)}[]))"
    return _Comparison(sql if None not in items else f"({sql} or {column.sql} is null)", values, has_parameter=True)


def _unknown_operator(operator: Any) -> errors.Unprocessable:
    return errors.Unprocessable(unknown("operator", operator, KNOWN_OPERATORS))


def _ordered(column: _Column, operator: str) -> str:
    """Return the SQL of the column to order by.

    Text is ordered by code points, so that the result does not depend on the language of the database.
    """
    is_ordered_text = TYPES[column.kind].sql == "text" and operator not in EQUALITIES
    return f'{column.sql} collate "C"' if is_ordered_text else column.sql


def _sql_type(kind: str) -> str:
    """Return the SQL type in which values are compared.

    Integers are compared as numeric: 1.5 lies between two integers, and large integers stay exact.
    """
    return "numeric" if kind in ("integer", "bigint") else TYPES[kind].sql


def _value(column: _Column, value: Any) -> Any:
    """Convert a value to the column's type. Raises InvalidInput.

    A client may send 1 for "1", or "1" for 1.
    """
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
    result.encode()  # raises an error for half of a surrogate pair, which is not a valid text
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
