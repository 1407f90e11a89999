"""CSV: a header, then records of text cells."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from dcmon import errors
from dcmon.ingestion.files import csv_detection, csv_records
from dcmon.ingestion.files.column_mapping import ColumnMapping
from dcmon.ingestion.files.csv_layout import CsvLayout, HeaderFit
from dcmon.ingestion.files.csv_lines import CountedText, Lines
from dcmon.ingestion.files.csv_records import MalformedRow, NonUtf8Record, Record, SkippedRow
from dcmon.ingestion.files.dialect import Dialect
from dcmon.ingestion.files.formats import Row
from dcmon.ingestion.files.text_file import TextFile
from dcmon.storage.columns import SAMPLE_ID

NUMBER_OR_TIME = re.compile(r"-?\d[\d.,:/TZ +-]*(?:[eE][+-]?\d+)?", re.ASCII)


def read(file: TextFile, mapping: ColumnMapping) -> Iterator[Row]:
    """Yield the rows below the header. Raises InvalidInput if the header is missing or its columns do not match."""
    with file.text() as text:
        lines, dialect = Lines(text), file.dialect
        layout = csv_detection.detect(lines, file.path, dialect.delimiter, mapping.is_known)
        file.notes.update(_notes(layout, dialect))
        yield from _rows(csv_records.records(lines, layout), mapping, file.path)


def line_numbers(file: TextFile, mapping: ColumnMapping, rows: Collection[int]) -> dict[int, int]:
    """Return the number of the line, from 1, at which each of these rows begins."""
    numbers: dict[int, int] = {}
    with file.text() as text:
        counted = CountedText(text)
        lines = Lines(counted)
        layout = csv_detection.detect(lines, file.path, file.dialect.delimiter, mapping.is_known)
        left_out = continuations = 0
        for number, _ in enumerate(csv_records.records(lines, layout), -1):  # the first record is the header
            if number in rows:
                parts = len(lines.record) + lines.left_out - left_out
                length = parts - (counted.continuations - continuations)
                numbers[number] = counted.parts - counted.continuations - lines.unread - length + 1
            if len(numbers) == len(rows):
                break
            left_out, continuations = lines.left_out, counted.continuations
    return numbers


def _notes(layout: CsvLayout, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Yield what a CSV shows about how it is written and is not usual, by subject."""
    if layout.delimiter != "," and dialect.delimiter is None:
        yield "delimiter", f"delimiter {csv_detection.name(layout.delimiter)}"
    if layout.has_blanks and layout.delimiter != " ":
        yield "blanks", "blanks after delimiters left out"
    if layout.header_fit == HeaderFit.ROW_NAMES:
        yield "row names", "the rows begin with names, which are ignored"


def _rows(records: Iterator[Record], mapping: ColumnMapping, path: str) -> Iterator[Row]:
    header = [_name(cell, mapping) for cell in _header(next(records, None), path)]
    _require_names(header, mapping, path)
    with _hint_at_delimiter(header):
        fields = mapping.map_columns([name for name in header if name])
    # Plain tuples: the cells of each row are converted in a loop over them.
    columns = [
        (index, fields[name], mapping.text_converter(fields[name]))
        for index, name in enumerate(header)
        if name in fields
    ]
    is_text = mapping.text_fields is not None
    for record in records:
        cells = record
        if not isinstance(record, list):
            if not isinstance(record, NonUtf8Record):
                yield record
                continue
            cells, by_field = record.cells, {name: record.cells[index] for index, name, _ in columns}
            if malformed := _malformed(record, by_field):
                yield malformed
                continue
        if is_text:
            yield {name: cells[index] for index, name, _ in columns}
        else:
            yield {name: convert(cell) if (cell := cells[index]) else None for index, name, convert in columns}


@contextmanager
def _hint_at_delimiter(header: Sequence[str]) -> Iterator[None]:
    """Add a hint to the error about the columns of a header that has one cell, and another delimiter in it."""
    try:
        yield
    except errors.InvalidInput as error:
        others = [mark for mark in (*csv_detection.DELIMITERS, " ") if mark in header[0].strip()]
        if len(header) > 1 or not others:
            raise
        mark = csv_detection.name(others[0])
        hint = f"The header is one column with {mark} in it: if that is the delimiter, use --delimiter {mark}."
        raise errors.InvalidInput(f"{error} {hint}") from error


def _name(cell: str, mapping: ColumnMapping) -> str:
    """Return the name of a column: without blanks around it, if only so it is known."""
    return cell.strip() if not mapping.is_known(cell) and mapping.is_known(cell.strip()) else cell


def _header(record: Record | None, path: str) -> Sequence[str]:
    if record is None or isinstance(record, SkippedRow):
        raise errors.InvalidInput(f"{path} is empty: a CSV begins with a header.")
    if isinstance(record, NonUtf8Record):
        raise errors.InvalidInput(f"The header of {path} is not UTF-8.")
    if isinstance(record, MalformedRow):
        raise errors.InvalidInput(f"The first line of {path} is not the header of a CSV: {record.reason}")
    return record


def _require_names(header: Sequence[str], mapping: ColumnMapping, path: str) -> None:
    """Check that the first line may be a header. Raises InvalidInput if no cell is a field, and one is a number."""
    value = next((cell for cell in header if NUMBER_OR_TIME.fullmatch(cell)), None)
    if value is not None and not mapping.has_field_in(header):
        raise errors.InvalidInput(
            f"The first line of {path} is a row, and not a header with the names of the columns: it has the value"
            f' {value!r}. Write the file with a header; for Spark, this is .option("header", True).'
        )


def _malformed(record: NonUtf8Record, cells: Mapping[str, str]) -> MalformedRow | None:
    """Return the record as malformed; None if only cells of ignored columns are not UTF-8."""
    field = next((name for name, cell in cells.items() if csv_records.has_invalid_utf8(cell)), None)
    if field is None:
        return None
    sample_id = cells.get(SAMPLE_ID)
    known_id = sample_id if sample_id and not csv_records.has_invalid_utf8(sample_id) else None
    return MalformedRow(record.row, f"{field!r} has bytes that are not UTF-8.", field, known_id)
