"""Data filters: every name and value is bound or quoted, and a value is compared as the column's type has it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from dcmon import errors
from dcmon.columns import LABEL, PREDICTION, PROBABILITIES, Columns
from dcmon.filters import condition

KNOWN = Columns(
    "binary",
    {
        "n": "numeric",
        "i": "integer",
        "b": "bigint",
        "c": "categorical",
        "t": "boolean",
        "d": "datetime",
        "v": "array_float",
    },
    {'odd "name": %s': "text"},
    ["0", "1"],
).all


def said(column: str, operator: str, value: Any) -> tuple[str, dict[str, Any]]:
    return condition({"filters": [{"column": column, "operator": operator, "value": value}]}, KNOWN, "s", "l.label")


@pytest.mark.parametrize("filters", [None, {}, {"filters": None}, {"filters": []}])
def test_without_filters_every_row_fits(filters: Any) -> None:
    assert condition(filters, KNOWN, "s") == ("true", {})


@pytest.mark.parametrize(
    ("operator", "sql"),
    [
        ("greater_than", ">"),
        ("greater_than_equals", ">="),
        ("less_than", "<"),
        ("less_than_equals", "<="),
        ("equals", "is not distinct from"),
        ("not_equals", "is distinct from"),
    ],
)
def test_an_operator_compares_with_a_bound_value(operator: str, sql: str) -> None:
    assert said("n", operator, 1) == (f'true and s."n" {sql} cast(:filter0 as float8)', {"filter0": 1.0})


def test_filters_are_joined_by_and() -> None:
    filters = [
        {"column": "n", "operator": "less_than", "value": 1},
        {"column": "c", "operator": "equals", "value": "x"},
    ]
    sql, values = condition({"filters": filters}, KNOWN, "s")

    assert sql.count(" and ") == 2
    assert values == {"filter0": 1.0, "filter1": "x"}


@pytest.mark.parametrize(
    ("column", "given", "bound"),
    [
        ("n", "1.5", 1.5),
        ("i", 1.5, Decimal("1.5")),
        ("b", 2**63 - 1, Decimal(2**63 - 1)),
        ("c", 1, "1"),
        ("c", 1.0, "1"),
        ("c", "x' or true --", "x' or true --"),
        ("t", True, True),
        ("t", "False", False),
        ("d", "2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("d", "2026-01-01T02:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
        (PREDICTION, 1, "1"),
        (LABEL, 0, "0"),
    ],
)
def test_a_value_is_bound_as_the_columns_type_has_it(column: str, given: Any, bound: Any) -> None:
    assert said(column, "equals", given)[1] == {"filter0": bound}


def test_a_label_is_looked_for_where_the_reader_has_it() -> None:
    assert said(LABEL, "equals", None)[0] == "true and l.label is not distinct from null"


def test_one_of_several_values_is_an_array() -> None:
    assert said("c", "in", ["a", 1, None]) == (
        'true and s."c" = any(cast(:filter0 as text[]))',
        {"filter0": ["a", "1"]},
    )
    assert said("n", "in", 1)[1] == {"filter0": [1.0]}


def test_a_name_is_quoted_and_keeps_its_colons() -> None:
    assert said('odd "name": %s', "equals", "x")[0].startswith('true and s."odd ""name""\\: %s" is')


@pytest.mark.parametrize(
    ("column", "operator", "value"),
    [
        ("unknown", "equals", 1),
        (None, "equals", 1),
        ("v", "equals", 1),
        (PROBABILITIES, "equals", 1),
        ("n", "like", 1),
        ("n", None, 1),
        ("n", "equals", "x"),
        ("n", "equals", True),
        ("n", "equals", [1]),
        ("n", "equals", 10**400),
        ("i", "equals", "x"),
        ("c", "equals", ["x"]),
        ("c", "equals", "a\0b"),
        ("t", "equals", 1),
        ("d", "equals", "yesterday"),
        ("d", "equals", 5),
        ("n", "in", ["x"]),
    ],
)
def test_what_can_not_be_compared_is_refused(column: Any, operator: Any, value: Any) -> None:
    with pytest.raises(errors.InvalidInput):
        said(column, operator, value)
