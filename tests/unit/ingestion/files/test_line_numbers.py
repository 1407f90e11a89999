"""The line at which a row of a file begins, whatever comes before it."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.ingestion.files import column_mapping, reader
from dcmon.ingestion.files.column_mapping import ColumnMapping, FileKind
from dcmon.ingestion.files.dialect import Dialect
from dcmon.storage.columns import Columns
from tests.helpers.examples import examples

MAPPING: ColumnMapping = column_mapping.create(Columns("binary", {}, {}, ["0", "1"]), FileKind.LABELS, {})
HEADER = "_dc_sample_id,_dc_label\n"
PIECES = {  # the lines of a piece, and whether it is a row
    "first,1\n": (1, True), "a,1\n": (1, True), '"b\nc",1\n': (2, True), '"\n\n",1\r\n': (3, True),
    "\n": (1, False), "\r\n": (1, False), ",\n": (1, True), "a,b,c\n": (1, True), "caf\udce9,1\n": (1, True),
    "e,1\r\n": (1, True), HEADER: (1, True),
}  # fmt: skip
JSON_PIECES = {
    '{"_dc_sample_id": "a"}\n': (1, True), "\n": (1, False), " \r\n": (1, False), "{\n": (1, True),
}  # fmt: skip


def lines_of(path: Path, text: str, rows: range = range(1000)) -> list[int]:
    content = text.encode(errors="surrogateescape")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    with reader.open_file(str(path), dialect=Dialect(encoding="utf-8")) as file:
        lines = file.line_numbers(MAPPING, rows)
    assert list(lines) == sorted(lines)
    return list(lines.values())


def expected(pieces: list[tuple[int, bool]], first: int) -> list[int]:
    """Return the lines of the rows of pieces that begin at line `first`."""
    starts = [first + sum(lines for lines, _ in pieces[:number]) for number in range(len(pieces))]
    return [start for start, (_, is_row) in zip(starts, pieces, strict=True) if is_row]


@given(st.lists(st.sampled_from(sorted(PIECES)), max_size=12), st.sampled_from(["", "\ufeff", "\n\n", "sep=,\n"]))
@settings(max_examples=examples(60))
def test_csv_row_begins_at_its_line(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], beginning: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "line_numbers.csv"
    first = 2 + beginning.count("\n")
    pieces = ["first,1\n", *pieces]  # as long as the header: otherwise its first cell may be the name of the row
    assert lines_of(path, beginning + HEADER + "".join(pieces)) == expected([PIECES[piece] for piece in pieces], first)


@given(st.lists(st.sampled_from(sorted(JSON_PIECES)), max_size=12))
@settings(max_examples=examples(30))
def test_json_row_is_at_its_line(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "line_numbers.jsonl.gz"
    assert lines_of(path, "".join(pieces)) == expected([JSON_PIECES[piece] for piece in pieces], 1)


def test_lines_after_an_unclosed_quote_are_rows_of_their_own(tmp_path: Path) -> None:
    assert lines_of(tmp_path / "a.csv", HEADER + 'a,1\n"b,1\nc,1\nd,1\n') == [2, 3, 4, 5]


def test_record_that_is_too_long_is_one_row(tmp_path: Path) -> None:
    too_long = f'"{"x" * 2**21}\n{"y" * 100}\n",1\n'
    assert lines_of(tmp_path / "a.csv", f"{HEADER}a,1\n{too_long}b,1\n{too_long}c,1\n") == [2, 3, 6, 7, 10]


def test_only_wanted_rows_have_lines(tmp_path: Path) -> None:
    assert lines_of(tmp_path / "a.csv", HEADER + "a,1\n" * 9, range(3, 5)) == [5, 6]
