"""Convert values to the type of their column: one function for each type, for all senders (docs/values.md)."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from dcmon.ingestion.values import lists, numbers, times
from dcmon.ingestion.values.refusal import ValueRefused
from dcmon.ingestion.values.rules import ValueRules
from dcmon.storage import categories

Converter = Callable[[Any], Any]
ID = "id"  # the type of a sample's id


@lru_cache(maxsize=256)
def converter(kind: str, rules: ValueRules) -> Converter:
    """Return the function that converts a value to a column type: a name in storage.columns.TYPES, or ID.

    A value is what JSON, Parquet or a cell of a CSV has, but not null. The function returns None for NaN, and raises
    ValueRefused.
    """
    return _CONVERTERS[kind](rules)


def _text(value: Any) -> Any:
    """Return text as it is, also a category: it is normalized when it is stored, at no cost for each value."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")  # 3.00, as a CSV of the same table has it
    spelled = categories.spelling(value)
    if spelled is not None and not isinstance(spelled, str):
        raise ValueRefused("a text, a number or a boolean")
    return spelled


def _id(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueRefused("a text or a number")
    return _text(value)


_CONVERTERS: Mapping[str, Callable[[ValueRules], Converter]] = {
    "numeric": lambda rules: partial(numbers.number, rules=rules),
    "integer": lambda rules: partial(numbers.integer, rules=rules, kind="integer"),
    "bigint": lambda rules: partial(numbers.integer, rules=rules, kind="bigint"),
    "boolean": lambda _: numbers.boolean,
    "categorical": lambda _: _text,
    "text": lambda _: _text,
    "datetime": lambda rules: partial(times.time, rules=rules),
    "array_float": lambda rules: partial(lists.list_of_numbers, rules=rules),
    "array_float_2d": lambda rules: partial(lists.list_of_lists, rules=rules),
    ID: lambda _: _id,
}
