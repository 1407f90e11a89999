"""Decoded columns have the values of `ColumnarSample.column`, for each type, with nulls, in one block and several."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.decoding import decode
from dcmon.errors import InvalidInput
from dcmon.statistics.columns import ClassColumn, CountedColumn, NumericColumn, UnreadColumn
from dcmon.storage.column_blocks import ColumnarSample
from tests.helpers.examples import examples
from tests.helpers.packed_rows import LABEL, PREDICTION, PROBABILITIES, decoded, packed

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6) | st.sampled_from(
    ["", "a", "None", "\xff", "null"]
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "numeric": NUMBERS,
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "categorical": TEXTS,
    "text": TEXTS,
    "boolean": st.booleans(),
    "datetime": st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
    "array_float": st.lists(NUMBERS, max_size=3),
}
CLASSES = ["no", "yes"]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            **{kind: st.none() | values for kind, values in VALUES.items()},
            LABEL: st.none() | st.sampled_from([*CLASSES, "zebra"]),
            PREDICTION: st.none() | st.sampled_from(CLASSES),
            PROBABILITIES: st.none() | st.sampled_from([[0.25, 0.75], [0.5, 0.5], [1.0], []]),
        }
    ),
    min_size=1,
    max_size=9,
)


def schema_of(task_type: str = "binary") -> DatasetSchema:
    return DatasetSchema(task_type, {kind: kind for kind in VALUES}, CLASSES if task_type == "binary" else None)


def sample_of(rows: list[dict[str, Any]], blocks: int, task_type: str = "binary") -> ColumnarSample:
    return packed(pd.DataFrame(rows, dtype=object), schema_of(task_type), blocks)


def is_null(value: Any) -> bool:
    return value is None or value != value


@settings(max_examples=examples(60))
@given(ROWS, st.integers(1, 4))
def test_decoded_features_have_the_stored_values(rows: list[dict[str, Any]], blocks: int) -> None:
    sample = sample_of(rows, blocks)
    features = decode(sample, schema_of()).features
    assert list(features) == list(VALUES)
    for kind in VALUES:
        values, column = list(sample.column(kind)), features[kind]
        assert column.n_null == sum(map(is_null, values)) == sum(row[kind] is None for row in rows), kind
        if isinstance(column, NumericColumn):
            assert np.array_equal(column.values, np.array(values, dtype=float), equal_nan=True), kind
            assert column.sorted.tolist() == sorted(float(value) for value in values if not is_null(value)), kind
        elif isinstance(column, CountedColumn):
            assert column.counts == Counter(value for value in values if value is not None), kind
            assert column.counts_with_null == Counter(values), kind
        else:
            assert isinstance(column, UnreadColumn)
            assert kind in ("datetime", "array_float")


@settings(max_examples=examples(60))
@given(ROWS, st.integers(1, 4))
def test_decoded_outputs_have_the_stored_values(rows: list[dict[str, Any]], blocks: int) -> None:
    sample = sample_of(rows, blocks)
    decoded_rows = decode(sample, schema_of())
    assert len(decoded_rows) == len(rows)
    for name, column in ((LABEL, decoded_rows.labels), (PREDICTION, decoded_rows.predictions)):
        values = sample.column(name)
        if column is None:
            assert set(values) == {None}
            continue
        assert isinstance(column, ClassColumn)
        assert [None if code < 0 else column.names[code] for code in column.codes] == values
        assert column.counts() == Counter(value for value in values if value is not None)
    vectors = [row[PROBABILITIES] if len(row[PROBABILITIES] or []) == 2 else None for row in rows]
    if decoded_rows.probabilities is None:
        assert vectors == [None] * len(rows)
    else:
        expected = np.array([[np.nan, np.nan] if vector is None else vector for vector in vectors])
        assert np.array_equal(decoded_rows.probabilities, expected, equal_nan=True)


@settings(max_examples=examples(30))
@given(st.lists(st.tuples(st.none() | NUMBERS, st.none() | NUMBERS), min_size=1, max_size=9), st.integers(1, 3))
def test_decoded_outputs_of_a_regression_are_numbers(pairs: list[tuple[float, float]], blocks: int) -> None:
    frame = pd.DataFrame(pairs, columns=[LABEL, PREDICTION], dtype=object)
    rows = decoded(frame, DatasetSchema("regression", {}), blocks)
    for name, column in ((LABEL, rows.labels), (PREDICTION, rows.predictions)):
        values = [np.nan if value is None else value for value in frame[name]]
        if column is None:
            assert np.isnan(values).all()
        else:
            assert isinstance(column, NumericColumn)
            assert np.array_equal(column.values, np.array(values, dtype=float), equal_nan=True)
    assert rows.probabilities is None


def test_column_is_decoded_once() -> None:
    features = decode(sample_of([dict.fromkeys(VALUES)], 1), schema_of()).features
    assert features["numeric"] is features["numeric"]


def test_feature_without_a_column_is_refused() -> None:
    features = decoded(pd.DataFrame({"numeric": [1.0]}), schema_of()).features
    with pytest.raises(InvalidInput, match="no feature text in this version"):
        features["text"]


def test_earlier_spellings_of_one_category_are_one() -> None:
    """Rows that an earlier release stored have 1.0 where newer rows have 1, and the version may call its class 1.0."""
    rows = [
        {"categorical": category, "text": category, LABEL: label, PREDICTION: "1.0"}
        for category, label in (("1.0", "0"), ("1", "1"), (None, None), ("true", "0.0"), ("True", "1.00"))
    ]
    schema = DatasetSchema("binary", {"categorical": "categorical", "text": "text"}, ["0.0", "1.0"])
    sample = packed(pd.DataFrame(rows, dtype=object), schema, 2)
    columns = decode(sample, schema)

    assert columns.features["categorical"].counts_with_null == {"1": 2, "True": 2, None: 1}
    assert columns.features["text"].counts_with_null == {"1.0": 1, "1": 1, "true": 1, "True": 1, None: 1}
    assert (columns.labels.counts(), columns.predictions.counts()) == ({"0.0": 2, "1.0": 2}, {"1.0": 5})
    assert columns.labels.is_present.tolist() == [True, True, False, True, True]
    assert sample.column("categorical") == ["1", "1", None, "True", "True"]
