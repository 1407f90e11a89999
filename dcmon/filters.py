"""Data filters: a list of (column, operator, value), joined by AND, turned into SQL with bound values."""

from collections.abc import Mapping
from typing import Any

from dcmon import errors
from dcmon.columns import LABEL, PREDICTION, quoted

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

    `filters` is {"filters": [{"column", "operator", "value"}, …]}; `known` names the columns there are. A label is
    looked for in `label`. Raises InvalidInput for an unknown column or operator.
    """
    said, values = ["true"], dict[str, Any]()
    for number, each in enumerate((filters or {}).get("filters") or []):
        column, operator, value = each.get("column"), each.get("operator"), each.get("value")
        if column == LABEL:
            sql = label
        elif column in known or column == PREDICTION:
            sql = f"{alias}.{quoted(column)}".replace(":", "\\:")
        else:
            raise errors.InvalidInput(f"There is no column {column!r} to filter by.")
        said.append(_one(sql, operator, value, f"filter{number}", values))
    return " and ".join(said), values


def _one(sql: str, operator: str, value: Any, name: str, values: dict[str, Any]) -> str:
    values[name] = value
    if operator == "in":
        values[name] = list(value) if isinstance(value, list | tuple) else [value]
        return f"{sql} = any(:{name})"
    if operator not in OPERATORS:
        raise errors.InvalidInput(f"There is no operator {operator!r}: it is one of {', '.join([*OPERATORS, 'in'])}.")
    if value is None:
        del values[name]
        return f"{sql} {OPERATORS[operator]} null"
    return f"{sql} {OPERATORS[operator]} :{name}"
