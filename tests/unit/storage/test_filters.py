"""Filters as SQL: names are quoted, values are bound and converted to the column's type."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from dcmon import errors
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, TIME, Columns, qualified
from dcmon.storage.filters import condition, require

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
).filterable


def expression(name: str) -> str:
    return "l.label" if name == LABEL else qualified("s", name)


def condition_of(column: str, operator: str, value: Any) -> tuple[str, dict[str, Any]]:
    return condition({"filters": [{"column": column, "operator": operator, "value": value}]}, KNOWN, expression)


@pytest.mark.parametrize("filters", [None, {}, {"filters": None}, {"filters": []}])
def test_empty_filter_selects_every_row(filters: Any) -> None:
    assert condition(filters, KNOWN, expression) == ("true", {})


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
def test_operator_compares_with_a_bound_value(operator: str, sql: str) -> None:
    assert condition_of("n", operator, 1) == (f'true and s."n" {sql} cast(:filter0 as float8)', {"filter0": 1.0})


def test_filters_are_joined_by_and() -> None:
    filters = [
        {"column": "n", "operator": "less_than", "value": 1},
        {"column": "c", "operator": "equals", "value": "x"},
    ]
    sql, values = condition({"filters": filters}, KNOWN, expression)

    assert sql.count(" and ") == 2
    assert values == {"filter0": 1.0, "filter1": "x"}


@pytest.mark.parametrize(
    ("column", "value", "bound"),
    [
        ("n", "1.5", 1.5),
        ("i", 1.5, Decimal("1.5")),
        ("b", 2**63 - 1, Decimal(2**63 - 1)),
        ("c", 1, ["1", "1.0"]),
        ("c", 1.0, ["1", "1.0"]),
        ("c", "x' or true --", "x' or true --"),
        ("t", True, True),
        ("t", "False", False),
        ("d", "2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("d", "2026-01-01T02:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
        (PREDICTION, 1, ["1", "1.0"]),
        (LABEL, 0, ["0", "0.0"]),
    ],
)
def test_value_is_converted_to_the_column_type(column: str, value: Any, bound: Any) -> None:
    assert condition_of(column, "equals", value)[1] == {"filter0": bound}


def test_label_is_read_from_the_given_sql_expression() -> None:
    assert condition_of(LABEL, "equals", None)[0] == "true and l.label is not distinct from null"


def test_in_operator_binds_an_array() -> None:
    assert condition_of("c", "in", ["a", 1]) == (
        'true and s."c" = any(cast(:filter0 as text[]))',
        {"filter0": ["a", "1", "1.0"]},
    )
    assert condition_of("n", "in", 1)[1] == {"filter0": [1.0]}


def test_column_name_is_quoted_and_keeps_its_colons() -> None:
    assert condition_of('odd "name": %s', "equals", "x")[0].startswith('true and s."odd ""name""\\: %s" is')


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
def test_incomparable_filter_is_refused(column: Any, operator: Any, value: Any) -> None:
    with pytest.raises(errors.InvalidInput):
        condition_of(column, operator, value)


@pytest.mark.parametrize(
    ("column", "operator", "value", "says"),
    [
        ("agee", "equals", 1, "no column 'agee' to filter by"),
        ("nn", "equals", 1, "Do you mean 'n'?"),
        ("zzzzzz", "equals", 1, 'There are n, i, b, c, t, d, v, odd "name": %s, and prediction, label, time.'),
        ("n", "greater_than", None, "use equals"),
        ("n", "in", [], "empty list"),
        ("n", "equals", "nan", "Give a number."),
        ("n", "equals", "inf", "Give a number."),
        ("i", "equals", "NaN", "Give a number."),
        ("i", "equals", "1e999999", "Give a number."),
        ("c", "equals", "\ud800", "Give a text."),
        ("v", "equals", [1.0], "v' is array_float: it can only be compared with null."),
        ("d", "equals", "5", "Give a time like"),
        ("n", "like", 1, "It is one of greater_than, greater_than_equals, less_than"),
    ],
)
def test_refused_filter_has_an_error_with_a_suggestion(column: str, operator: str, value: Any, says: str) -> None:
    with pytest.raises(errors.InvalidInput, match=re.escape(says)):
        condition_of(column, operator, value)


@pytest.mark.parametrize("column", ["v", PROBABILITIES])
def test_array_column_can_be_compared_with_null(column: str) -> None:
    assert condition_of(column, "not_equals", None) == (f'true and s."{column}" is distinct from null', {})


def test_text_is_ordered_by_code_points_in_any_locale() -> None:
    """The order does not depend on the language of the database."""
    assert condition_of("c", "less_than", "b")[0] == 'true and s."c" collate "C" < cast(:filter0 as text)'
    assert "collate" not in condition_of("n", "less_than", 1)[0] + condition_of("c", "equals", "b")[0]


def test_in_operator_accepts_null_among_its_values() -> None:
    assert (
        condition_of("c", "in", ["a", None])[0] == 'true and (s."c" = any(cast(:filter0 as text[])) or s."c" is null)'
    )


def test_short_names_work_unless_a_column_has_them() -> None:
    """`prediction`, `label` and `time` are short names of the columns of dcmon."""
    assert condition_of("label", "equals", 0) == condition_of(LABEL, "equals", 0)
    assert condition_of("prediction", "equals", 0) == condition_of(PREDICTION, "equals", 0)
    named = condition(
        {"filters": [{"column": "label", "operator": "equals", "value": 1}]}, {"label": "numeric"}, expression
    )
    assert named == ('true and s."label" is not distinct from cast(:filter0 as float8)', {"filter0": 1.0})


def test_filter_on_an_absent_column_is_checked_but_ignored() -> None:
    """A reference has no time, so a filter by time does not apply to it."""
    of_time = {"filters": [{"column": TIME, "operator": "less_than", "value": "2026-01-01"}]}
    assert condition(of_time, KNOWN, expression, absent=(TIME,)) == ("true", {})
    with pytest.raises(errors.InvalidInput):
        condition(
            {"filters": [{"column": TIME, "operator": "less_than", "value": 5}]}, KNOWN, expression, absent=(TIME,)
        )


def test_filters_that_fit_no_version_are_refused() -> None:
    """A filter must be possible for at least one version of the model."""
    old, new = {"age": "categorical"}, {"age": "numeric", "job": "categorical"}
    filters = {"filters": [{"column": "age", "operator": "equals", "value": "x"}]}
    require(filters, {"v2": new, "v1": old})
    with pytest.raises(
        errors.InvalidInput, match=r"Version 'v2' can't be filtered like this\. Column 'age' is numeric"
    ):
        require(filters, {"v2": new})
    # A newer version without the column is left out by the routes, so the reason is that of the version that has it.
    with pytest.raises(
        errors.InvalidInput, match=r"Version 'v1' can't be filtered like this\. Column 'age' is numeric"
    ):
        require(filters, {"v2": {"job": "categorical"}, "v1": {"age": "numeric"}})
    require({"filters": [{"column": "any", "operator": "equals", "value": 1}]}, {})
    with pytest.raises(errors.InvalidInput, match="no operator 'like'"):
        require({"filters": [{"column": "any", "operator": "like", "value": 1}]}, {})


def test_unknown_column_of_a_version_without_features() -> None:
    own = {"_dc_prediction": "categorical", "_dc_label": "categorical", "_dc_time": "datetime"}
    with pytest.raises(errors.InvalidInput, match=r"'nix' to filter by\. There are prediction, label, time\.$"):
        require({"filters": [{"column": "nix", "operator": "equals", "value": 1}]}, {"v1": own})
