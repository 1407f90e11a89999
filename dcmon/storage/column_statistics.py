"""What is known of each column of a version: its smallest and largest value, or its values.

Statistics of two sets of rows can be merged in any order, and merging the same rows again changes nothing. So rows may
be read in parts, and again.
"""

from collections.abc import Mapping
from typing import Any

MAX_VALUES = 200  # of a column of categories: the first in alphabetical order
RANGE_TYPES, VALUE_TYPES = ("numeric", "integer", "bigint", "datetime"), ("categorical", "boolean")

# By column: {"min", "max"}, in epoch seconds for times, or {"values"}, sorted. Texts and lists have none.
Statistics = Mapping[str, Mapping[str, Any]]


def empty(column_types: Mapping[str, str]) -> Statistics:
    """Return the statistics of no rows, in the order of the columns."""
    ranges: dict[str, Any] = {"min": None, "max": None}
    return {
        name: dict(ranges) if kind in RANGE_TYPES else {"values": []}
        for name, kind in column_types.items()
        if kind in RANGE_TYPES or kind in VALUE_TYPES
    }


def merged(one: Statistics, other: Statistics) -> Statistics:
    """Return the statistics of the rows of both. Columns keep the order of `one`, then of `other`."""
    return {name: _merged(one.get(name), other.get(name)) for name in dict.fromkeys([*one, *other])}


def _merged(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if one is None or other is None:
        return one or other or {}
    if "values" in one:
        return {"values": sorted({*one["values"], *other["values"]})[:MAX_VALUES]}
    return {
        name: smallest([value for value in (one[name], other[name]) if value is not None], default=None)
        for name, smallest in (("min", min), ("max", max))
    }
