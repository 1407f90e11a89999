"""What the response to logged rows says of rejected rows."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.ingestion import intake_results
from dcmon.ingestion.field_value import MAX_VALUE_LENGTH, field_value, value_text
from dcmon.ingestion.quarantine import BadRow
from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.storage.ledger import Outcome

NOW = datetime(2026, 11, 29, tzinfo=UTC)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def bad(position: int, reason: RejectionReason, **row: Any) -> BadRow:
    return BadRow("request/1", position, NOW, json.dumps(row).encode(), reason, "age", "Expected a number.")


@given(JSON_VALUES)
def test_value_of_any_row_can_be_shown(value: Any) -> None:
    """It can be sent as JSON, and is short."""
    shown = field_value(json.dumps({"age": value}).encode(), "age")

    assert len(msgspec.json.encode(shown)) <= 8 * MAX_VALUE_LENGTH
    assert len(value_text(shown)) <= 8 * MAX_VALUE_LENGTH
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**60):
        assert (shown, type(shown)) == (value, type(value))


@given(st.binary(max_size=2_000), st.none() | st.just("age"))
def test_row_that_is_not_json_is_shown_as_text(row: bytes, field: str | None) -> None:
    assert len(msgspec.json.encode(field_value(row, field))) <= 8 * MAX_VALUE_LENGTH


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (b'{"age": "1.0"}', "1.0"),
        (b'{"age": 1.0}', 1.0),
        (b'{"age": null}', None),
        (b'{"job": 1}', None),
        (b'{"age": NaN}', "NaN"),
        (b'{"age": -Infinity}', "-Infinity"),
        (b'{"age": [0.8]}', [0.8]),
        (b'{"age": {"a": NaN}}', '{"a": NaN}'),
        (b'{"age": 123456789012345678901234567890}', 123456789012345678901234567890),
        (b'{"age": "\\ud800"}', "?"),
        (b'{"age": 1', '{"age": 1'),
        (b"[1]", "[1]"),
        (b"\xff", "�"),
    ],
)  # fmt: skip
def test_value_that_was_met_is_shown(row: bytes, shown: Any) -> None:
    assert field_value(row, "age") == shown


def test_long_value_is_shortened() -> None:
    assert field_value(json.dumps({"age": "x" * 5_000}).encode(), "age") == "x" * (MAX_VALUE_LENGTH - 1) + "…"
    assert len(field_value(json.dumps({"age": [1] * 5_000}).encode(), "age")) == MAX_VALUE_LENGTH
    assert len(field_value(b"x" * 5_000_000, "age")) == MAX_VALUE_LENGTH


def test_first_row_of_each_reason_is_kept() -> None:
    """Conflicts are found last, in another order than the rows have."""
    rows = [
        bad(7, RejectionReason.WRONG_TYPE, age="a"),
        bad(8, RejectionReason.WRONG_TYPE, age="b"),
        bad(5, RejectionReason.CONFLICT, age=5),
        bad(2, RejectionReason.CONFLICT, age=2),
        bad(9, RejectionReason.CONFLICT, age=9),
    ]

    result = intake_results.stored_rows(Outcome(taken=20, stored=10, duplicates=7, quarantined=3), rows)

    assert (result.received, result.stored, result.duplicates) == (20, 10, 5)
    assert list(result.quarantined.items()) == [("conflict", 3), ("wrong_type", 2)]
    assert {reason: (row.row, row.value) for reason, row in result.first.items()} == {
        "conflict": (2, 2),
        "wrong_type": (7, "a"),
    }
