"""Columns of a version: their SQL names and the JSON Schema that the SDK uses to check rows."""

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
    TAKEN_NAMES,
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


def test_classifier_has_columns_of_class_and_probabilities() -> None:
    assert BINARY.model_output == {PREDICTION: "categorical", PROBABILITIES: "array_float"}
    assert Columns("multiclass", {}, {}).model_output == {PREDICTION: "categorical"}
    assert REGRESSION.model_output == {PREDICTION: "numeric"}
    assert (BINARY.label_type, REGRESSION.label_type) == ("categorical", "numeric")


def test_columns_keep_the_users_order() -> None:
    assert list(BINARY.user_columns) == ["a", "b", "c"]
    assert list(BINARY.all) == [PREDICTION, PROBABILITIES, "a", "b", "c", LABEL]


@given(st.text(min_size=1, max_size=300))
def test_sql_name_is_not_longer_than_postgresql_allows(name: str) -> None:
    assert len(sql_name(name).encode()) <= 63
    assert sql_name(name) == name or len(name.encode()) > 63 or name in TAKEN_NAMES


@pytest.mark.parametrize("name", sorted(TAKEN_NAMES))
def test_taken_name_gets_another_name_in_sql(name: str) -> None:
    assert sql_name(name).startswith(f"{name}_")
    assert sql_name(name.upper()) == name.upper(), "names in SQL are quoted, so that upper case is another name"


def test_long_names_with_a_common_start_stay_different() -> None:
    assert sql_name("ä" * 100 + "1") != sql_name("ä" * 100 + "2")


def test_quote_in_a_column_name_is_doubled() -> None:
    assert quoted('a"b') == '"a""b"'


def test_sample_schema_requires_features_and_allows_null() -> None:
    """Features are required and may be null."""
    schema = monitor_schema(BINARY)

    assert schema["required"] == ["a", "b", SAMPLE_ID, TIME, PREDICTION]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["a"] == {"type": ["number", "null"]}
    assert schema["properties"]["c"] == {"type": ["string", "null"], "format": "date-time"}
    assert schema["properties"][PROBABILITIES]["minItems"] == 2
    assert schema["properties"][PREDICTION] == {"type": "string"}


def test_reference_schema_has_a_label_and_no_time() -> None:
    properties = reference_schema(REGRESSION)["properties"]

    assert properties[LABEL] == {"type": ["number", "null"]}
    assert not {TIME, SAMPLE_ID, PROBABILITIES} & set(properties)


@pytest.mark.parametrize("schema", [monitor_schema(BINARY), reference_schema(REGRESSION)])
def test_schema_can_be_written_as_json(schema: object) -> None:
    assert json.loads(json.dumps(schema)) == schema


def test_names_of_dcmons_own_columns_are_reserved() -> None:
    assert all(name in RESERVED for name in (SAMPLE_ID, TIME, LABEL, PREDICTION, PROBABILITIES))


@pytest.mark.parametrize("kind", list(TYPES))
def test_nullable_schema_keeps_the_column_type(kind: str) -> None:
    before = dict(TYPES[kind].json)
    monitor_schema(Columns("regression", {"x": kind}, {}))

    assert dict(TYPES[kind].json) == before
