"""Parse filters typed by a person, and write filters so that they parse to the same filter."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import errors
from dcmon.storage.columns import quoted
from dcmon.storage.filter_parser import parse, write
from dcmon.storage.filters import KNOWN_OPERATORS, condition


def parse_one(text: str) -> tuple[str, str, Any]:
    """Parse a text with a single condition."""
    parsed = parse([text])
    assert parsed is not None
    (row,) = parsed["filters"]
    return row["column"], row["operator"], row["value"]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("age >= 30", ("age", "greater_than_equals", 30)),
        ("age<=-1.5", ("age", "less_than_equals", -1.5)),
        ("age > 30", ("age", "greater_than", 30)),
        ("age < 30", ("age", "less_than", 30)),
        ("city == Oslo", ("city", "equals", "Oslo")),
        ("city = 'Oslo'", ("city", "equals", "Oslo")),
        ("city != New York", ("city", "not_equals", "New York")),
        ('city <> "New York"', ("city", "not_equals", "New York")),
        ("city in ('Oslo','Rome')", ("city", "in", ["Oslo", "Rome"])),
        ("city IN [Oslo, null, 'a, b']", ("city", "in", ["Oslo", None, "a, b"])),
        ("city in Oslo", ("city", "in", ["Oslo"])),
        ("job != null", ("job", "not_equals", None)),
        ("job == None", ("job", "equals", None)),
        ("job is null", ("job", "equals", None)),
        ("job IS NOT NULL", ("job", "not_equals", None)),
        ("job == 'null'", ("job", "equals", "null")),
        ("job == '1'", ("job", "equals", "1")),
        ("zip == 007", ("zip", "equals", "007")),
        ("size == 1.50", ("size", "equals", "1.50")),
        ("vip == true", ("vip", "equals", "true")),
        ("home town == x", ("home town", "equals", "x")),
        ("age (years) > 3", ("age (years)", "greater_than", 3)),
        ('"a >= b" == 1', ("a >= b", "equals", 1)),
        ("`a``b` == 1", ("a`b", "equals", 1)),
        ("name == 'it''s'", ("name", "equals", "it's")),
        ("in == 1", ("in", "equals", 1)),
        ("größe == 'Zürich 🏔'", ("größe", "equals", "Zürich 🏔")),
        ("_dc_time >= 2026-01-01T00:00:00+02:00", ("_dc_time", "greater_than_equals", "2026-01-01T00:00:00+02:00")),
    ],
)
def test_condition_is_parsed_into_column_operator_and_value(text: str, means: tuple[str, str, Any]) -> None:
    assert parse_one(text) == means


def test_several_conditions_are_joined_by_and() -> None:
    together = parse(["age >= 30 and city == 'A and B'", "job != null"])
    assert together == parse(["age >= 30", "city == 'A and B'", "job != null"])
    assert together is not None
    assert len(together["filters"]) == 3
    assert parse([]) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column, operator and value"),
        ("age", "no column, operator and value"),
        (">= 3", "no column, operator and value"),
        ("city like 'x'", "no column, operator and value"),
        ("age >= 30 and", "no column, operator and value"),
        ("age >=", "A value is missing"),
        ("city in ()", "A value is missing"),
        ("city in ('a',)", "A value is missing"),
        ("city in ('a'", "The list has no closing bracket"),
        ("city not in ('a')", "use != for each value"),
        ("city == 'Oslo", "It can't have \"'\" at character 9."),
        ("age ! 3", "It can't have '!' at character 5."),
        ("age == b == c", "a comma must be in quotes"),
        ("age == f(x)", "a comma must be in quotes"),
        ("age < 3 or age > 5", "There is no 'or'"),
        ("city == 'a' b", "A text in quotes must stand alone, without b."),
        ("city == b 'a'", "A text in quotes must stand alone, without b."),
        (r'"he said \"hi\"" == 3', r"without hi\. Write a quote between quotes twice."),
        ("city == 'a' 'b'", "A text in quotes must stand alone, without 'b'."),
    ],
)
def test_invalid_filter_is_refused_with_an_example(text: str, says: str) -> None:
    with pytest.raises(errors.InvalidInput) as refused:
        parse([text])
    assert says in str(refused.value)
    assert "Write it like age >= 30" in str(refused.value)


NAMES = st.text(min_size=1, max_size=12)
VALUES = (
    st.none() | st.text(max_size=12) | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
)
SINGLE = st.fixed_dictionaries(
    {
        "column": NAMES,
        "operator": st.sampled_from([name for name in KNOWN_OPERATORS if name != "in"]),
        "value": VALUES,
    }
)
SEVERAL = st.fixed_dictionaries(
    {"column": NAMES, "operator": st.just("in"), "value": st.lists(VALUES, min_size=1, max_size=4)}
)


@given(st.lists(SINGLE | SEVERAL, min_size=1, max_size=4))
def test_written_filter_parses_to_an_equal_filter(conditions: list[dict[str, Any]]) -> None:
    meant = {"filters": conditions}
    read = parse([write(meant)])
    assert read is not None
    assert read["filters"] == conditions


@given(st.sampled_from(["numeric", "integer", "categorical", "boolean"]), VALUES | st.booleans())
def test_written_filter_has_the_same_sql_condition(kind: str, value: Any) -> None:
    meant = {"filters": [{"column": "x", "operator": "equals", "value": value}]}
    try:
        expected = condition(meant, {"x": kind}, quoted)
    except errors.InvalidInput:
        return
    assert condition(parse([write(meant)]), {"x": kind}, quoted) == expected


@given(st.text(max_size=40))
def test_arbitrary_text_parses_or_raises_invalid_input(text: str) -> None:
    try:
        parsed = parse([text])
    except errors.InvalidInput:
        return
    assert parsed is not None
    assert parse([write(parsed)]) == parsed
