"""Columns: their names in SQL, and the JSON Schema that the SDK checks rows with."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.storage.columns import (
    LABEL,
    PREDICTION,
    PROBABILITIES,
    RESERVED,
    SAMPLE_ID,
    TIME,
    TYPES,
    Columns,
    monitor_schema,
    quoted,
    reference_schema,
    sql_name,
)

BINARY = Columns("binary", {"a": "numeric", "b": "text"}, {"c": "datetime"}, ["no", "yes"])
REGRESSION = Columns("regression", {"a": "bigint"}, {})


def test_a_classifier_says_a_class_and_its_probabilities() -> None:
    assert BINARY.model == {PREDICTION: "categorical", PROBABILITIES: "array_float"}
    assert Columns("multiclass", {}, {}).model == {PREDICTION: "categorical"}
    assert REGRESSION.model == {PREDICTION: "numeric"}
    assert (BINARY.label_type, REGRESSION.label_type) == ("categorical", "numeric")


def test_columns_keep_the_users_order() -> None:
    assert list(BINARY.own) == ["a", "b", "c"]
    assert list(BINARY.all) == [PREDICTION, PROBABILITIES, "a", "b", "c", LABEL]


@given(st.text(min_size=1, max_size=300))
def test_an_sql_name_fits_into_postgresql(name: str) -> None:
    assert len(sql_name(name).encode()) <= 63
    assert sql_name(name) == name or len(name.encode()) > 63


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert sql_name("ä" * 100 + "1") != sql_name("ä" * 100 + "2")


def test_a_quote_in_a_name_is_doubled() -> None:
    assert quoted('a"b') == '"a""b"'


def test_sample_schema_requires_features_and_allows_null() -> None:
    """The schema of a sample asks for features and lets them be null."""
    schema = monitor_schema(BINARY)

    assert schema["required"] == ["a", "b", SAMPLE_ID, TIME, PREDICTION]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["a"] == {"type": ["number", "null"]}
    assert schema["properties"]["c"] == {"type": ["string", "null"], "format": "date-time"}
    assert schema["properties"][PROBABILITIES]["minItems"] == 2
    assert schema["properties"][PREDICTION] == {"type": "string"}


def test_the_schema_of_a_reference_has_a_label_and_no_time() -> None:
    properties = reference_schema(REGRESSION)["properties"]

    assert properties[LABEL] == {"type": ["number", "null"]}
    assert not {TIME, SAMPLE_ID, PROBABILITIES} & set(properties)


@pytest.mark.parametrize("schema", [monitor_schema(BINARY), reference_schema(REGRESSION)])
def test_a_schema_is_json(schema: object) -> None:
    assert json.loads(json.dumps(schema)) == schema


def test_names_of_dcmons_own_columns_are_reserved() -> None:
    assert all(name in RESERVED for name in (SAMPLE_ID, TIME, LABEL, PREDICTION, PROBABILITIES))


@pytest.mark.parametrize("kind", list(TYPES))
def test_making_a_schema_nullable_leaves_the_type_as_it_is(kind: str) -> None:
    before = dict(TYPES[kind].json)
    monitor_schema(Columns("regression", {"x": kind}, {}))

    assert dict(TYPES[kind].json) == before
