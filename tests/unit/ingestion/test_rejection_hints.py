"""A refused row or body says what it met and what to send instead, for what clients of other languages write."""

import gzip
import json
from typing import Any

import pytest

from dcmon.errors import InvalidInput
from dcmon.ingestion import raw_rows
from dcmon.ingestion.field_value import field_value
from dcmon.ingestion.raw_rows import Raw
from dcmon.ingestion.rejected_row import RejectedRow
from dcmon.ingestion.row_types import sample_row_type
from dcmon.storage.columns import Columns

COLUMNS = Columns("binary", {"Age": "numeric", "caf\u00e9": "categorical"}, {"at": "datetime"}, ["bad", "good"])
ROW = {"_dc_sample_id": "a", "_dc_time": "2026-03-01T12:00:00Z", "_dc_prediction": "bad", "Age": 1, "caf\u00e9": "x"}


def detail(**change: Any) -> str:
    """Return the sentence about a row with some other fields."""
    return detail_of(json.dumps({**ROW, **change}))


def detail_of(row: str) -> str:
    with pytest.raises(RejectedRow) as raised:
        sample_row_type(COLUMNS).decode(Raw(row.encode()))
    return raised.value.detail


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Age": [0.8]}, "got [0.8]. It is in a list: send the value alone"),
        ({"_dc_prediction": ["bad"]}, 'got ["bad"]. It is in a list'),
        ({"Age": "NA"}, "got 'NA'. Send null for a missing value."),
        ({"Age": ""}, "got ''. Send null"),
        ({"at": "/Date(1700000000000)/"}, "a time such as 2026-03-01T12:00:00Z, got '/Date(1700000000000)/'"),
        ({"at": {"$date": 1}}, 'got {"$date":1}.'),
        ({"Age": float("inf")}, "'Age' is Infinity, which JSON does not allow. Send null."),
        ({"at": [[float("nan")]]}, "'at' has NaN, which JSON does not allow."),
        ({"caf\u00e9": "a\ud83d"}, "'café' has \\ud83d, half of a surrogate pair"),
        ({"caf\u00e9": {"\udc00": 1}}, "'café' has \\udc00, half of a surrogate pair"),
        ({"age": 1}, "no column 'age'. It has 'Age'."),
        ({" Age_": 1}, "no column ' Age_'. It has 'Age'."),
        ({"cafe\u0301": 1}, "It has 'café', in other characters that look the same."),
        ({"weight": 1}, "The version has no column 'weight'."),
        ({"_dc_prediction_probabilities": {"bad": 0.2}}, "Expected a probability for each class: bad, good, got"),
    ],
)
def test_rejection_says_what_was_met_and_what_to_send(change: dict[str, Any], says: str) -> None:
    assert says in detail(**change)


@pytest.mark.parametrize("name", ["$." * 100_000 + "\nx", "[1]" * 60_000 + "x", "\u0315\u0300" * 100_000])
def test_unknown_field_of_any_length_is_named(name: str) -> None:
    """Patterns that backtrack, and the order of combining characters, would take minutes for each row."""
    assert detail_of(json.dumps({**ROW, name: 1}, ensure_ascii=False)).startswith("The version has no column ")


@pytest.mark.parametrize("name", ["tags[0]", "missing required", "x` - at `$.y", "$.Age"])
def test_unknown_field_that_looks_like_a_message_is_named(name: str) -> None:
    assert detail(**{name: 1}) == f"The version has no column {name!r}."


def test_envelopes_of_kafka_are_named() -> None:
    assert "value.converter.schemas.enable=false" in detail_of(json.dumps({"schema": {}, "payload": ROW}))
    assert "ExtractNewRecordState" in detail_of(json.dumps({"before": None, "after": ROW, "op": "c"}))
    assert detail_of('"text"') == "Expected a JSON object with a value for each field, got 'text'."


def test_number_that_json_does_not_know_is_shown() -> None:
    for number in ("+1", ".5", "01", "5.", "0x1"):
        assert f'"Age": {number}' in detail_of(json.dumps(ROW).replace('"Age": 1', f'"Age": {number}'))
    huge = json.dumps(ROW).replace('"Age": 1', '"Age": 1e400')
    assert detail_of(huge) == "Expected a number up to 1.7e308, got 1e400."
    assert field_value(huge.encode(), "Age") == "1e400"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (gzip.compress(b"[]", mtime=0), "Content-Encoding: gzip"),
        ('[{"a": 1}]'.encode("utf-16"), "UTF-16"),
        (b"PAR1", "dcmon ingest file"),
        (b"Obj\x01", "Avro"),
        (b"\x00\x00\x00\x00\x07abc", "Avro"),
        (b'{"a": 1}', "also a single one: [{…}]"),
        (b'{"a": 1}\n{"a": 2}\n', "JSON lines"),
        (b"a,b\n1,2\n", "not a JSON array of objects"),
    ],
)
def test_body_of_another_format_is_named(body: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match="not a JSON array") as raised:
        raw_rows.split_rows(body)
    assert says in str(raised.value)


def test_byte_order_mark_is_left_out() -> None:
    """PowerShell and .NET write it before JSON."""
    assert [bytes(row) for row in raw_rows.split_rows('\ufeff[{"a": 1}]'.encode())] == [b'{"a": 1}']


@pytest.mark.parametrize("name", ["n", 'a "quoted" n'])
def test_bigint_written_with_a_point_keeps_its_digits(name: str) -> None:
    """A float has 53 bits: 9007199254740993.0 would be 9007199254740992."""
    columns = Columns("regression", {name: "bigint"}, {})
    sent = json.dumps({**ROW, "_dc_prediction": 1, name: "@"}).replace(', "Age": 1, "caf\\u00e9": "x"', "")

    def decode(number: str) -> Any:
        row_type = sample_row_type(columns)
        return row_type.decode(Raw(sent.replace('"@"', number).encode()))[row_type.names.index(name)]

    assert decode("9007199254740993.0") == decode("9.007199254740993e15") == 9007199254740993
    with pytest.raises(RejectedRow, match=r"Expected an integer, got 9007199254740993\.5\."):
        decode("9007199254740993.5")
