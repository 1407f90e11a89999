"""Decoding rows: each kind of bad row has its reason, and what can be taken is taken."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import errors
from dcmon.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME, Columns
from dcmon.rows import Raw, Rejected, Shape, label_shape, reference_shape, sample_shape, split

FEATURES = {
    "number": "numeric",
    "small": "integer",
    "big": "bigint",
    "word": "categorical",
    "flag": "boolean",
    "vector": "array_float",
    "matrix": "array_float_2d",
    "when": "datetime",
}
COLUMNS = Columns("binary", FEATURES, {"note": "text"}, ["no", "yes"])
SHAPE = sample_shape(COLUMNS)
GOOD: dict[str, Any] = {
    SAMPLE_ID: "s1",
    TIME: "2026-01-01T00:00:00Z",
    PREDICTION: "yes",
    "number": 1.5,
    "small": 1,
    "big": 2,
    "word": "x",
    "flag": True,
    "vector": [1.0],
    "matrix": [[1.0, 2.0]],
    "when": "2026-01-01T00:00:00+00:00",
}


def decoded(row: bytes, shape: Shape = SHAPE) -> dict[str, Any]:
    return dict(zip(shape.names, shape.decode(Raw(row)), strict=True))


def row(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def with_token(name: str, token: bytes) -> bytes:
    """A row with a literal that Python's json would not write."""
    return row(**{name: "TOKEN"}).replace(b'"TOKEN"', token)


def reason(bad: bytes, shape: Shape = SHAPE) -> tuple[str, str | None]:
    with pytest.raises(Rejected) as caught:
        shape.decode(Raw(bad))
    return caught.value.reason, caught.value.field


def test_a_good_row_is_decoded_in_the_order_of_the_fields() -> None:
    assert SHAPE.names == [SAMPLE_ID, TIME, PREDICTION, *FEATURES, "note", PROBABILITIES]
    assert decoded(row()) == {
        **GOOD,
        TIME: datetime(2026, 1, 1, tzinfo=UTC),
        "when": datetime(2026, 1, 1, tzinfo=UTC),
        "note": None,
        PROBABILITIES: None,
    }


@pytest.mark.parametrize(
    ("bad", "why", "field"),
    [
        (row(number="1"), "wrong_type", "number"),
        (row(number=True), "wrong_type", "number"),
        (row(number={"a": {"b": [1]}}), "wrong_type", "number"),
        (row(small=1.5), "wrong_type", "small"),
        (row(small=2**31), "out_of_range", "small"),
        (row(small=-(2**31) - 1), "out_of_range", "small"),
        (row(big=2**63), "out_of_range", "big"),
        (row(big=-(2**63) - 1), "out_of_range", "big"),
        (row(big=2**200), "out_of_range", "big"),
        (row(big=1e30), "out_of_range", "big"),
        (row(word=5), "wrong_type", "word"),
        (row(flag=1), "wrong_type", "flag"),
        (row(flag="true"), "wrong_type", "flag"),
        (row(vector=[1, "x"]), "wrong_type", "vector"),
        (row(vector=[None]), "wrong_type", "vector"),
        (row(vector=[[1]]), "wrong_type", "vector"),
        (row(matrix=[1]), "wrong_type", "matrix"),
        (row(matrix=[[1], [2, 3]]), "wrong_length", "matrix"),
        (row(matrix=[[1], []]), "wrong_length", "matrix"),
        (row(when="2026-01-01T00:00:00"), "wrong_type", "when"),
        (row(when="2026-01-01"), "wrong_type", "when"),
        (row(when="2026-13-01T00:00:00Z"), "wrong_type", "when"),
        (row(when="2026-13-01T00:00:00+0200"), "wrong_type", "when"),
        (row(when=1_700_000_000), "wrong_type", "when"),
        (row(when="0001-01-01T00:00:00+05:00"), "out_of_range", "when"),
        (row(when="9999-12-31T23:59:59-05:00"), "out_of_range", "when"),
        (row(**{TIME: None}), "wrong_type", TIME),
        (row(**{SAMPLE_ID: None}), "wrong_type", SAMPLE_ID),
        (row(**{SAMPLE_ID: 7}), "wrong_type", SAMPLE_ID),
        (row(**{PREDICTION: None}), "wrong_type", PREDICTION),
        (row(**{PROBABILITIES: [0.1, 0.2, 0.7]}), "wrong_length", PROBABILITIES),
        (row(**{PROBABILITIES: []}), "wrong_length", PROBABILITIES),
        (row(**{PROBABILITIES: [0.1, "x"]}), "wrong_type", PROBABILITIES),
        (row(unknown=1), "unknown_field", "unknown"),
        (row(**{"a`b": 1}), "unknown_field", "a`b"),
        (row(**{"a\0b": 1}), "unknown_field", "a\0b"),
        (row(**{LABEL: "yes"}), "unknown_field", LABEL),
        (row(word="a\0b"), "nul_character", "word"),
        (row(note="\0"), "nul_character", "note"),
        (row(**{SAMPLE_ID: "\0"}), "nul_character", SAMPLE_ID),
        (row(word="\ud800"), "malformed", None),
        (with_token("number", b"1e400"), "out_of_range", "number"),
        (with_token("number", b"NaN"), "malformed", None),
        (with_token("number", b"-Infinity"), "malformed", None),
        (with_token("word", b'"\xff"'), "malformed", None),
        (with_token("word", b"[" * 100_000), "wrong_type", "word"),
        (row()[:-1], "malformed", None),
        (b"5", "wrong_type", None),
        (b"null", "wrong_type", None),
        (b'["s1"]', "wrong_type", None),
    ],
)
def test_a_bad_row_is_rejected_with_its_reason_and_field(bad: bytes, why: str, field: str | None) -> None:
    assert reason(bad) == (why, field)


@pytest.mark.parametrize("name", [SAMPLE_ID, TIME, PREDICTION, *FEATURES])
def test_what_is_required_is_missed(name: str) -> None:
    rest = {key: value for key, value in GOOD.items() if key != name}

    assert reason(json.dumps(rest).encode()) == ("missing_feature", name)


@pytest.mark.parametrize("name", [*FEATURES, "note", PROBABILITIES])
def test_columns_may_be_null(name: str) -> None:
    assert decoded(row(**{name: None}))[name] is None


def test_whole_floats_are_taken_as_integers() -> None:
    taken = decoded(row(small=3.0, big=-4.0))

    assert (taken["small"], taken["big"]) == (3, -4)
    assert isinstance(taken["small"], int)


def test_offsets_without_a_colon_are_taken() -> None:
    taken = decoded(row(when="2026-01-01T02:00:00+0200", **{TIME: "2026-01-01T00:00:00-0930"}))

    assert taken["when"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert taken[TIME] == datetime(2026, 1, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("edge", [-(2**63), 2**63 - 1])
def test_the_ends_of_a_bigint_are_taken_exactly(edge: int) -> None:
    assert decoded(row(big=edge, when="2026-01-01T02:00:00+0200"))["big"] == edge


def test_a_backslash_before_u0000_is_text_and_no_nul() -> None:
    assert decoded(row(word="\\u0000"))["word"] == "\\u0000"


ODD_NAMES = [
    "a b",
    "class",
    '"q"',
    "x:y",
    "%s",
    "%(x)s",
    "f0",
    "ü",
    "a.b",
    "a[0]",
    "`",
    "\\",
    "'",
    "{n}",
    "a\nb",
    "\\x1f",
    "x" * 200,
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_can_be_a_column(name: str) -> None:
    shape = sample_shape(Columns("regression", {name: "numeric"}, {}))
    good = {SAMPLE_ID: "s", TIME: "2026-01-01T00:00:00Z", PREDICTION: 1, name: 2}

    assert decoded(json.dumps(good).encode(), shape)[name] == 2
    assert reason(json.dumps({**good, name: "x"}).encode(), shape) == ("wrong_type", name)
    assert reason(json.dumps({**good, "other": 1}).encode(), shape) == ("unknown_field", "other")
    del good[name]
    assert reason(json.dumps(good).encode(), shape) == ("missing_feature", name)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_value_breaks_the_decoder(value: Any) -> None:
    for name in (SAMPLE_ID, TIME, *FEATURES):
        with suppress(Rejected):
            decoded(row(**{name: value}))


@given(st.binary())
def test_no_bytes_break_the_decoder(noise: bytes) -> None:
    with pytest.raises(Rejected):
        SHAPE.decode(Raw(noise))


def test_a_body_is_split_into_rows() -> None:
    assert [bytes(each) for each in split(b'[{"a": 1}, 5, null]')] == [b'{"a": 1}', b"5", b"null"]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1", b"\xff", b"null", b"[" * 100_000, b"[" + b"[" * 100_000 + b"]" * 100_001]
)
def test_a_body_that_is_no_array_is_refused(body: bytes) -> None:
    with pytest.raises(errors.InvalidInput, match="no JSON array"):
        split(body)


@pytest.mark.parametrize("label", ["yes", 1, 1.5, None, 2**70])
def test_a_class_label_is_text_or_number(label: Any) -> None:
    assert decoded(json.dumps({SAMPLE_ID: "s", LABEL: label}).encode(), label_shape(False))[LABEL] == label


@pytest.mark.parametrize(
    ("bad", "is_regression", "why", "field"),
    [
        ({SAMPLE_ID: "s", LABEL: "x"}, True, "wrong_type", LABEL),
        ({SAMPLE_ID: "s", LABEL: [1]}, False, "wrong_type", LABEL),
        ({SAMPLE_ID: "s", LABEL: True}, False, "wrong_type", LABEL),
        ({SAMPLE_ID: "s", LABEL: "\0"}, False, "nul_character", LABEL),
        ({SAMPLE_ID: "", LABEL: 1}, False, "wrong_length", SAMPLE_ID),
        ({SAMPLE_ID: "x" * 1025, LABEL: 1}, False, "wrong_length", SAMPLE_ID),
        ({SAMPLE_ID: "s"}, False, "missing_feature", LABEL),
        ({SAMPLE_ID: "s", LABEL: 1, "x": 1}, False, "unknown_field", "x"),
    ],
)
def test_a_bad_label_is_rejected(bad: dict[str, Any], is_regression: bool, why: str, field: str) -> None:
    assert reason(json.dumps(bad).encode(), label_shape(is_regression)) == (why, field)


def reference_reason(values: list[Any], names: list[str]) -> tuple[str, str | None]:
    with pytest.raises(Rejected) as caught:
        reference_shape(REFERENCE, names).decode_list(Raw(json.dumps(values).encode()))
    return caught.value.reason, caught.value.field


REFERENCE = Columns(
    "binary", {"n": "numeric", "i": "integer", "w": "categorical", "m": "array_float_2d"}, {}, ["0", "1"]
)
NAMES = ["w", "n", "i", "m", PREDICTION, PROBABILITIES, LABEL]


def test_a_reference_row_is_a_list_in_the_order_that_is_given() -> None:
    shape = reference_shape(REFERENCE, NAMES)

    given = Raw(b'["x", 1, 2.0, [[1]], "1", [0, 1], null]')
    assert shape.decode_list(given) == ("x", 1.0, 2, [[1.0]], "1", [0.0, 1.0], None)


@pytest.mark.parametrize(
    ("values", "why", "field"),
    [
        (["x", "1", 2, [[1]], "1", [0, 1], None], "wrong_type", "n"),
        (["x", 1, 2, [[1]], None, [0, 1], None], "wrong_type", PREDICTION),
        (["x", 1, 2, [[1]], "1", [1], None], "wrong_length", PROBABILITIES),
        (["\0", 1, 2, [[1]], "1", [0, 1], None], "nul_character", "w"),
        (["x", 1, 2, [[1], [1, 2]], "1", [0, 1], None], "wrong_length", "m"),
        (["x", 1, 2, [[1]], "1", [0, 1]], "wrong_type", None),
        (["x", 1, 2, [[1]], "1", [0, 1], None, None], "wrong_type", None),
    ],
)
def test_a_bad_reference_row_is_rejected(values: list[Any], why: str, field: str | None) -> None:
    assert reference_reason(values, NAMES) == (why, field)


@pytest.mark.parametrize(
    ("names", "why", "field"), [([*NAMES, "z"], "unknown_field", "z"), (NAMES[1:], "missing_feature", "w")]
)
def test_the_columns_of_a_reference_are_the_versions(names: list[str], why: str, field: str) -> None:
    assert reference_reason([], names) == (why, field)
