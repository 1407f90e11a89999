"""Each invalid row is rejected with a reason, and valid rows keep their values."""

import json
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from dcmon.errors import InvalidInput
from dcmon.ingestion import raw_rows
from dcmon.ingestion.raw_rows import MAX_ROW_BYTES, Raw, RowArray, split_rows, truncate_long_rows
from dcmon.ingestion.rejected_row import RejectedRow
from dcmon.ingestion.row_decoder import RowType
from dcmon.ingestion.row_types import label_row_type, reference_row_type, sample_row_type
from dcmon.storage import columns
from dcmon.storage.columns import Columns

FEATURES = {
    "n": "numeric", "i": "integer", "big": "bigint", "c": "categorical", "yes": "boolean", "list": "array_float",
    "when": "datetime", "a b": "text", "class": "numeric", 'q"x': "numeric", "x:y": "numeric", "%s": "numeric",
}  # fmt: skip
COLUMNS = Columns("binary", FEATURES, {"extra": "text"}, ["0", "1"])
GOOD: dict[str, Any] = {
    "_dc_sample_id": "s1", "_dc_time": "2026-11-24T10:00:00Z", "_dc_prediction": "1",
    "_dc_prediction_probabilities": [0.1, 0.9], "n": 1.5, "i": 3, "big": 2**40, "c": "x", "yes": True,
    "list": [1.0, 2], "when": "2026-01-01T00:00:00+02:00", "a b": "t", "class": None, 'q"x': 0, "x:y": 1, "%s": 2,
}  # fmt: skip


def decode(row: object, row_type: RowType | None = None) -> dict[str, Any]:
    row_type = row_type or sample_row_type(COLUMNS)
    raw = row if isinstance(row, bytes) else json.dumps(row).encode()
    return dict(zip(row_type.names, row_type.decode(msgspec.Raw(raw)), strict=True))


def test_valid_row_keeps_its_values() -> None:
    values = decode(GOOD)
    assert values["_dc_time"] == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert {name: values[name] for name in ("n", "i", "big", "c", "yes", "list", "class")} == {
        name: GOOD[name] for name in ("n", "i", "big", "c", "yes", "list", "class")
    }
    assert values["extra"] is None


def test_values_valid_by_json_schema_are_accepted() -> None:
    values = decode({**GOOD, "i": 3.0, "big": 4.0, "_dc_time": "2026-11-24T12:00:00+0200"})
    assert (values["i"], values["big"], values["_dc_time"]) == (3, 4, datetime(2026, 11, 24, 10, tzinfo=UTC))


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"n": "text"}, "wrong_type", "n"),
        ({"i": 1.5}, "wrong_type", "i"),
        ({"i": 2**31}, "out_of_range", "i"),
        ({"big": 2**63}, "out_of_range", "big"),
        ({"big": 2**70}, "out_of_range", "big"),
        ({"c": [5]}, "wrong_type", "c"),
        ({"c": {"nested": [1]}}, "wrong_type", "c"),
        ({"yes": 2}, "wrong_type", "yes"),
        ({"list": "x"}, "wrong_type", "list"),
        ({"when": "2026-01-01T00:00:00"}, "wrong_type", "when"),
        ({"_dc_time": "yesterday"}, "wrong_type", "_dc_time"),
        ({"_dc_time": 20260301}, "wrong_type", "_dc_time"),
        ({"_dc_prediction": None}, "wrong_type", "_dc_prediction"),
        ({"_dc_prediction_probabilities": [0.1, 0.2, 0.7]}, "wrong_length", "_dc_prediction_probabilities"),
        ({"_dc_prediction_probabilities": [80]}, "wrong_type", "_dc_prediction_probabilities"),
        ({"unknown": 1}, "unknown_field", "unknown"),
        ({"_dc_prediction": "2"}, "unknown_class", "_dc_prediction"),
        ({"a b": "x" * MAX_ROW_BYTES}, "too_long", None),
        ({"_dc_too_long": 1}, "too_long", None),
        ({"list": [float("nan")]}, "malformed", "list"),
        ({"c": "a\ud83d"}, "malformed", "c"),
        ({"\ud83d": 1}, "malformed", "\ud83d"),
        ({"n": float("-inf")}, "malformed", "n"),
    ],
)
def test_bad_field_is_named_with_its_reason(change: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(RejectedRow) as raised:
        decode({**GOOD, **change})
    assert (raised.value.reason, raised.value.field) == (reason, field)


@pytest.mark.parametrize("missing", ["n", "_dc_sample_id", "_dc_time", "_dc_prediction", "a b", "%s"])
def test_missing_field_is_named(missing: str) -> None:
    with pytest.raises(RejectedRow) as raised:
        decode({name: value for name, value in GOOD.items() if name != missing})
    assert (raised.value.reason, raised.value.field) == ("missing_feature", missing)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"5", "wrong_type"),
        (b"null", "wrong_type"),
        (b"[1]", "wrong_type"),
        (json.dumps({**GOOD, "c": "a\0b"}).encode(), "nul_character"),
        (json.dumps(GOOD).replace('"x"', '"\\ud800"').encode(), "malformed"),
        (json.dumps(GOOD).replace("1.5", "NaN").encode(), "malformed"),
        (json.dumps(GOOD).replace("1.5", "1e400").encode(), "out_of_range"),
    ],
)
def test_values_that_cannot_be_stored_are_rejected(raw: bytes, reason: str) -> None:
    with pytest.raises(RejectedRow) as raised:
        decode(raw)
    assert raised.value.reason == reason


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c), max_leaves=8))  # fmt: skip # noqa: E501
def test_arbitrary_json_is_decoded_or_rejected(value: object) -> None:
    with pytest.raises(RejectedRow) as raised:
        decode(value)
    assert raised.value.reason


def test_rows_decoded_together_equal_rows_decoded_alone() -> None:
    row_type = sample_row_type(Columns("binary", {"n": "numeric"}, {}, ["0", "1"]))
    good = {"_dc_sample_id": "s", "_dc_time": "2026-11-24T10:00:00Z", "_dc_prediction": "1", "n": 1}
    for odd in (
        {**good, "_dc_prediction": "2"},
        {**good, "_dc_sample_id": "x" * MAX_ROW_BYTES},
        {**good, "n": "x"},
        good,
    ):
        encoded_rows = [msgspec.Raw(json.dumps(row).encode()) for row in (good, odd, good)]
        decoded = [row for part in row_type.decode_all(encoded_rows) for row in part]
        assert [isinstance(row, RejectedRow) for row in decoded] == [False, odd is not good, False]
        assert decoded[0] == row_type.decode(encoded_rows[0])


def test_row_too_long_for_a_message_is_truncated() -> None:
    short, long = msgspec.Raw(b"{}"), msgspec.Raw(json.dumps({**GOOD, "c": "é" * MAX_ROW_BYTES}).encode())
    shortened, cut = truncate_long_rows([short, long])
    assert bytes(shortened) == b"{}"
    assert len(bytes(cut)) < 100_000
    assert '"_dc_sample_id": "s1"' in json.loads(bytes(cut))["_dc_begins"]
    for row_type in (sample_row_type(COLUMNS), label_row_type(False)):
        with pytest.raises(RejectedRow) as raised:
            decode(bytes(cut), row_type)
        assert raised.value.reason == "too_long"


def test_label_may_be_text_number_or_null() -> None:
    row_type = label_row_type(False)
    for label in ("a", 1, 1.5, True, None):
        assert decode({"_dc_sample_id": "s", "_dc_label": label}, row_type)["_dc_label"] == label
    for bad in (
        {"_dc_sample_id": "s"},
        {"_dc_sample_id": True, "_dc_label": 1},
        {"_dc_sample_id": "s", "_dc_label": [1]},
    ):
        with pytest.raises(RejectedRow):
            decode(bad, row_type)


def test_reference_row_follows_the_order_of_columns() -> None:
    names = ["_dc_label", "n", "_dc_prediction"]
    row_type = reference_row_type(Columns("binary", {"n": "numeric"}, {}), names)
    assert row_type.decode(msgspec.Raw(b'["1", 2, "0"]')) == ("1", 2.0, "0")
    for bad in (b'["1", 2]', b'{"n": 1}', b'["1", "x", "0"]'):
        with pytest.raises(RejectedRow):
            row_type.decode(msgspec.Raw(bad))


def test_reference_needs_exactly_the_known_columns() -> None:
    own = Columns("binary", {"n": "numeric"}, {})
    for names, field in ((["n"], "_dc_prediction"), (["_dc_prediction"], "n"), (["n", "_dc_prediction", "z"], "z")):
        with pytest.raises(RejectedRow) as raised:
            reference_row_type(own, names)
        assert raised.value.field == field


def test_body_is_split_into_rows() -> None:
    assert [bytes(row) for row in split_rows(b'[{"a": 1}, 2]')] == [b'{"a": 1}', b"2"]
    for body in (b"", b"{}", b"[", b"\xff"):
        with pytest.raises(InvalidInput, match="JSON array"):
            split_rows(body)


def test_json_schemas_agree_with_the_decoder() -> None:
    for schema in (columns.monitor_schema(COLUMNS), columns.reference_schema(COLUMNS)):
        Draft7Validator.check_schema(schema)
    validator = Draft7Validator(columns.monitor_schema(COLUMNS))
    assert validator.is_valid(GOOD)
    assert not validator.is_valid({**GOOD, "unknown": 1})
    assert not validator.is_valid({**GOOD, "i": 2**31})


def test_long_name_becomes_a_valid_column_name() -> None:
    first, second = "é" * 40, "é" * 39 + "x"
    assert len(columns.sql_name(first).encode()) <= 63
    assert columns.sql_name(first) != columns.sql_name(second)
    assert columns.sql_name("short") == "short"
    assert columns.quoted('q"x') == '"q""x"'


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.text() | st.just("},") | st.floats()), max_size=30))
def test_array_in_chunks_has_the_same_rows(objects: list[dict[str, Any]]) -> None:
    """A chunk may end anywhere; text in a row may look like the end of a row."""
    good = {"_dc_sample_id": "s", "_dc_time": "2026-11-24T10:00:00Z", "_dc_prediction": 1, "a": "}", "c": '"},{"'}
    texts = [json.dumps(good | changed).encode() for changed in objects]
    array = RowArray(memoryview(b"[" + b",".join(texts) + b"]"))
    row_type = sample_row_type(Columns("regression", {"a": "text"}, {"b": "text", "c": "text"}))
    decoded_together = [repr(row) for part in row_type.decode_all([Raw(text) for text in texts]) for row in part]
    with mock.patch.object(raw_rows, "CHUNK_BYTES", 40):
        assert [repr(row) for part in row_type.decode_all(array) for row in part] == decoded_together
    assert array.is_validated


@pytest.mark.parametrize("text", [b"[{},]", b"[{} {}]", b"[{}]]", b"[,]", b"[[}]"])
def test_invalid_array_is_noticed(text: bytes) -> None:
    with mock.patch.object(raw_rows, "CHUNK_BYTES", 1), pytest.raises(InvalidInput):
        list(sample_row_type(Columns("regression", {}, {})).decode_all(RowArray(memoryview(text + b"]"))))


@pytest.mark.parametrize(
    ("field", "value", "detail", "file_detail"),
    [
        ("n", "1,5", "A number is written like -1234.5.", "give --decimal or --thousands."),
        ("i", "1 234", "A number is written like -1234.5.", "give --decimal or --thousands."),
        ("n", "€ 5", "Leave out the sign of the currency.", "Leave out the sign of the currency."),
        ("when", "01/02/2026", "send the year first.", "give --date-order day or month."),
    ],
)
def test_refusal_names_options_only_for_files(field: str, value: str, detail: str, file_detail: str) -> None:
    with pytest.raises(RejectedRow) as raised:
        decode(GOOD | {field: value})
    assert raised.value.detail.endswith(detail)
    assert raised.value.file_detail.endswith(file_detail)
    assert repr(value) in raised.value.file_detail
