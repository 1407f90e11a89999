"""Large documents of pandas are read in pieces, with the rows that a decoder would give."""

import json
from typing import Any

import msgspec
import pytest

from dcmon.ingestion import split_documents
from dcmon.ingestion.split_documents import MAX_SMALL_BYTES, NoSplitDocument

NAMES = ["job", 'a "quoted", [name]', "data", "é"]
ROWS: list[Any] = [
    ["plain", 1, 2.5, None],
    ["],[", '"data":[', "\\", "],"],
    ["é\n\t", [0.5, 0.5], [["deep"], [{}]], {"a": [1, {"b": "]}"}]}],
    [],
    {"job": "an object"},
    5,
    "text],[",
    None,
]
REPEATS = 100_000


def large(rows: list[Any]) -> list[Any]:
    return rows * (REPEATS // len(rows))


def read(document: bytes) -> tuple[list[str], list[Any]]:
    assert len(document) > MAX_SMALL_BYTES
    parsed = split_documents.read(document)
    return parsed.columns, [msgspec.json.decode(row) for row in parsed.data]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n\t", " : ")])
@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[:2], ROWS[:4], ROWS], ids=["plain", "texts", "nested", "all"])
def test_large_document_has_the_rows_of_a_decoder(rows: list[Any], separators: tuple[str, str]) -> None:
    document = json.dumps({"columns": NAMES, "data": large(rows)}, separators=separators).encode()
    assert read(document) == (NAMES, large(rows))


@pytest.mark.parametrize("order", [("data", "columns"), ("columns", "index", "data"), ("a", "data", "columns", "b")])
def test_large_document_in_another_order_is_read(order: tuple[str, ...]) -> None:
    rows = large(ROWS)[:50_000]
    members = {"columns": NAMES, "data": rows, "index": list(range(9)), "a": {"data": [{}]}, "b": "],"}
    document = json.dumps({name: members[name] for name in order}).encode()
    assert read(document) == (NAMES, rows)


def test_rows_before_a_bad_one_are_read() -> None:
    """The decoder of rows names the bad row; the others are not affected."""
    rows = json.dumps(large(ROWS[:4]))[1:-1]
    parsed = split_documents.read(f'{{"columns": ["a"], "data": [{rows}, [1, NaN], [2]]}}'.encode())
    assert [bytes(row) for row in parsed.data][-2:] == [b"[1, NaN]", b"[2]"]


@pytest.mark.parametrize(
    "document",
    [
        b'{"columns": ["a"], "data": [' + b"[" * MAX_SMALL_BYTES + b"]}",
        b'{"columns": ["a"], "data": [' + b'["x' * (MAX_SMALL_BYTES // 2) + b"]}",
        b'{"columns": [' + b'"a",' * MAX_SMALL_BYTES + b'"a"], "data": [[1]]}',
        b'{"columns": ["a"]' + b" " * MAX_SMALL_BYTES + b"}",
        b'{"data": [[1]]' + b" " * MAX_SMALL_BYTES + b"}",
        b'{"columns": [1], "data": [[1]' + b",[1]" * (MAX_SMALL_BYTES // 3) + b"]}",
        b'{"columns": ["a"], "data": 5' + b" " * MAX_SMALL_BYTES + b"}",
        b'{"columns": ["a"], "data": [[1]]}' + b" " * MAX_SMALL_BYTES + b"x",
        b"[" + b"1," * (MAX_SMALL_BYTES // 2) + b"1]",
        b" " * (MAX_SMALL_BYTES + 1),
        b'"' + b"x" * MAX_SMALL_BYTES,
        b'{"columns" ["a"], "data": [[1]]' + b" " * MAX_SMALL_BYTES + b"}",
    ],
)
def test_large_document_of_another_form_is_refused(document: bytes) -> None:
    with pytest.raises(NoSplitDocument):
        list(split_documents.read(document).data)


def test_reading_stops_where_the_caller_stops() -> None:
    """A reference has a bound of rows: what comes after it costs nothing, even if it is no JSON."""
    parsed = split_documents.read(b'{"columns": ["a"], "data": [' + b"[1]," * (MAX_SMALL_BYTES // 3) + b"}{]]]}")
    assert bytes(next(iter(parsed.data))) == b"[1]"
