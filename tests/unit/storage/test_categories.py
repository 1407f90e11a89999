"""Each category has one spelling for all programs."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.storage import categories, pg_copy
from tests.helpers.examples import examples

WHOLE_FLOATS = st.integers(-(2**60), 2**60).map(float)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1.0", "1"),
        ("1.00", "1"),
        ("-3.0", "-3"),
        ("-0.0", "0"),
        ("0.0", "0"),
        ("1e+16", "10000000000000000"),
        ("1e16", "10000000000000000"),  # Rust
        ("1.0E7", "10000000"),  # Java
        ("1e+05", "100000"),  # R
        ("1.0E-5", "1e-05"),
        ("true", "True"),
        ("FALSE", "False"),
        ("2026-03-01 00:00:00", "2026-03-01"),
        ("2026-03-01 12:30", "2026-03-01T12:30:00"),
        ("2026-03-01T13:30:00.500+01:00", "2026-03-01T12:30:00.5Z"),
        ("2026-03-01 12:30:00 UTC", "2026-03-01T12:30:00Z"),
    ],
)
def test_spelling_of_a_program_becomes_the_normal_one(text: str, wanted: str) -> None:
    assert categories.normalize(text) == wanted
    assert list(categories.normalize_all([None, text, "x" * 50])) == [None, wanted, "x" * 50]


@pytest.mark.parametrize(
    "text",
    ["", "1", "007", "007.0", "1.50", "v1.0", "1.0.0", "1.", ".0", "5e3", "tRue", "NaN", "inf", "1e+999", "٣.0", "1.0 ",
     "2026-13-01 12:00", "9999-12-31T23:59:59-12:00", "12:00:00", "2026-03-01", "yes", "-0", "+1.0"],
)  # fmt: skip
def test_other_text_stays_as_it_is(text: str) -> None:
    assert categories.normalize(text) == text
    assert list(categories.normalize_all([text])) == [text]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1.0, "1"),
        (True, "True"),
        (0.1, "0.1"),
        (1e16, "10000000000000000"),
        (float("nan"), None),
        (2**70, str(2**70)),
        (Decimal("1.00"), "1"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+2"), "100"),
        (Decimal("NaN"), None),
        (dt.date(2026, 3, 1), "2026-03-01"),
        (dt.datetime(2026, 3, 1, tzinfo=dt.UTC).replace(tzinfo=None), "2026-03-01"),
        (dt.datetime(2026, 3, 1, 1, tzinfo=dt.UTC), "2026-03-01T01:00:00Z"),
        (b"1.0", "1"),
    ],
)
def test_value_that_is_not_text_has_a_spelling(value: Any, wanted: str | None) -> None:
    assert categories.spelling(value) == wanted


@given(st.floats(allow_infinity=False, allow_nan=False) | WHOLE_FLOATS | st.integers() | st.booleans())
@settings(max_examples=examples(200))
def test_text_and_value_have_one_spelling(value: float | bool) -> None:
    """A program may send a value as text, as Python and JSON write it."""
    assert categories.normalize(str(value)) == categories.spelling(value)
    assert categories.normalize(json.dumps(value)) == categories.spelling(value)


@given(st.lists(st.none() | st.text() | st.floats().map(str) | st.integers().map(lambda n: f"{n}.0"), max_size=300))
@settings(max_examples=examples(100))
def test_column_is_spelled_like_its_values(column: list[str | None]) -> None:
    """The encoder caches few categories, and looks over many at once: both store the same, and normal stays normal."""
    wanted = [None if text is None else categories.normalize(text) for text in column]
    assert list(categories.normalize_all(column)) == wanted
    assert list(categories.normalize_all(wanted)) == wanted
    column = [text and text.encode("utf-8", "replace").decode() for text in column]
    encoder, plain = pg_copy.Encoder(["categorical"]), pg_copy.Encoder(["text"])
    assert encoder.encode([(text,) for text in column]) == plain.encode(
        [(None if text is None else categories.normalize(text),) for text in column]
    )


def test_text_columns_and_classes_are_stored_as_sent() -> None:
    for kind in ("text", pg_copy.CLASS):
        assert pg_copy.Encoder([kind]).encode([("1.0",)]) == [b"\0\0\0\x031.0"]
    assert pg_copy.Encoder(["categorical"]).encode([("1.0",)]) == [b"\0\0\0\x011"]


def test_classes_are_found_by_each_spelling() -> None:
    assert categories.class_names(["1.0", "2.0"]) == {"1": "1.0", "2": "2.0", "1.0": "1.0", "2.0": "2.0"}
    assert categories.class_names(["0", "1"]) == {"0": "0", "1": "1", "False": "0", "True": "1"}
    assert categories.class_names(["false", "true"])["1"] == "true"
    assert categories.class_names(["1", "2"]) == {"1": "1", "2": "2"}


def test_filters_find_earlier_spellings() -> None:
    assert categories.earlier_spellings("1") == ["1", "1.0"]
    assert categories.earlier_spellings("1.00") == ["1", "1.00", "1.0"]
    assert categories.earlier_spellings("true") == ["True", "true", "TRUE"]
    assert categories.earlier_spellings("a") == ["a"]
