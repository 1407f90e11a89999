"""Rows encoded for COPY equal the output of psycopg's own writer, byte for byte."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer

from dcmon.storage import categories, pg_binary, pg_copy
from dcmon.storage.columns import TYPES
from tests.helpers.examples import examples

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
floats = st.floats(allow_nan=False)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "numeric": floats,
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "categorical": texts,
    "text": texts,
    "array_float": st.lists(floats, max_size=4),
    "array_float_2d": st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(floats, min_size=width, max_size=width), max_size=3)
    ),
    "datetime": st.integers(-63_000_000_000, 250_000_000_000).map(
        lambda seconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=seconds % 1_000_000)
    ),
}


def encoded_by_psycopg(kind: str, value: Any) -> bytes:
    """Return a value as psycopg encodes it for COPY; a category in its one spelling."""
    if value is None:
        return struct.pack("!i", -1)
    if kind == "categorical":
        value = categories.normalize(value)
    if kind == "integer":
        written = struct.pack("!i", value)
    elif kind == "bigint":
        written = struct.pack("!q", value)
    elif kind.startswith("array") and not value:
        written = pg_binary.floats([])
    else:
        dumper = Transformer().get_dumper(value, PyFormat.BINARY)
        written = bytes(dumper.dump(value) or b"")
    return struct.pack("!i", len(written)) + written


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]]]:
    types = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=8))
    row = st.tuples(*(st.none() | VALUES[kind] for kind in types))
    return types, draw(st.lists(row, max_size=12))


@settings(max_examples=examples(300))
@given(tables())
def test_rows_are_encoded_as_psycopg_writes_them(table: tuple[list[str], list[tuple[Any, ...]]]) -> None:
    types, rows = table
    encoder = pg_copy.Encoder(types)
    expected = [b"".join(encoded_by_psycopg(types[at], row[at]) for at in encoder.order) for row in rows]

    assert encoder.encode(rows) == expected
    assert encoder.encode(rows) == expected, "what it remembers of the first time changes nothing"
    assert sorted(encoder.order) == list(range(len(types)))


def test_column_of_many_texts_is_encoded_like_one_of_few() -> None:
    encoder = pg_copy.Encoder(["categorical"])
    rows = [(f"text {number}" if number % 7 else None,) for number in range(5 * pg_copy.MAX_CATEGORIES)]

    for _ in range(2):
        assert encoder.encode(rows) == [encoded_by_psycopg("categorical", text) for (text,) in rows]
    assert encoder.encode([("x" * 10_000,), ("b",), (None,)])[1:] == [
        encoded_by_psycopg("text", "b"),
        encoded_by_psycopg("text", None),
    ]


def test_column_without_a_type_is_left_out() -> None:
    encoder = pg_copy.Encoder(["numeric", "", "text"])

    assert encoder.order == [0, 2]
    assert encoder.encode([(1.0, object(), "a")]) == [
        encoded_by_psycopg("numeric", 1.0) + encoded_by_psycopg("text", "a")
    ]


def test_encoded_row_begins_with_the_number_of_its_values() -> None:
    columns = {
        "key": pg_copy.FixedColumn("V2", np.frombuffer(b"abcd", "V2")),
        "at": pg_copy.FixedColumn(">i8", np.array([-1, 2])),
    }
    heads = pg_copy.encode_fixed_columns(columns, 2, 5)

    assert heads == [
        struct.pack("!hi2siq", 5, 2, b"ab", 8, -1),
        struct.pack("!hi2siq", 5, 2, b"cd", 8, 2),
    ]


def test_times_are_counted_from_the_year_2000() -> None:
    (line,) = pg_copy.Encoder(["datetime"]).encode([(datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=1),)])
    assert line == struct.pack("!iq", 8, 1_000_000)
