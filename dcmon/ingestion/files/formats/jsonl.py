"""JSON lines: one object per line, with typed values."""

import codecs
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from dcmon import errors
from dcmon.ingestion.files import value_conversion
from dcmon.ingestion.files.column_mapping import IGNORED, ColumnMapping
from dcmon.ingestion.files.csv_lines import MAX_LINE_LENGTH
from dcmon.ingestion.files.csv_records import MAX_STORED_LENGTH, MalformedRow
from dcmon.ingestion.files.encoding import UTF8
from dcmon.ingestion.files.formats import Row
from dcmon.ingestion.files.text_file import TextFile
from dcmon.ingestion.raw_rows import DECODE_ERRORS

_ARRAY = re.compile(rb"\s*\[\s*(\{|\[|$)")
_OBJECT_OF_LINES = re.compile(rb"\s*\{\s*")
_OBJECT_OF_TABLES = re.compile(rb'\s*\{\s*"[^"]*"\s*:\s*[{\[]')


def read(file: TextFile, mapping: ColumnMapping) -> Iterator[Row]:
    """Yield one row per line; skip blank lines."""
    converters = {name: mapping.value_converter(name) for name in mapping.types}
    omitted = mapping.omitted_fields
    for number, line in enumerate(_lines(file)):
        if number == 0:
            _require_lines(line, file.path)
        if isinstance(line, MalformedRow):
            yield line
        elif line.strip():
            row = _row(line, mapping, converters)
            # The lengths are compared first, because rows of most files have all fields.
            if isinstance(row, dict) and len(row) <= len(omitted) and not row.keys() >= omitted:
                row = {**dict.fromkeys(omitted), **row}
            yield row


def line_numbers(file: TextFile, rows: Collection[int]) -> dict[int, int]:
    """Return the number of the line, from 1, that each of these rows has."""
    has_row = (isinstance(line, MalformedRow) or bool(line.strip()) for line in _lines(file))
    of_rows = (number for number, is_row in enumerate(has_row, 1) if is_row)
    return {row: line for row, line in zip(range(max(rows, default=-1) + 1), of_rows, strict=False) if row in rows}


def _require_lines(first: bytes | MalformedRow, path: str) -> None:
    """Check that a file is not one array, or one object with all rows. Raises InvalidInput."""
    begin = first.row if isinstance(first, MalformedRow) else first
    way_out = 'write a line for each row. In pandas this is to_json(…, orient="records", lines=True)'
    if _ARRAY.match(begin):
        raise errors.InvalidInput(
            f"{path} is one JSON array, and not JSON lines: {way_out}; jq -c '.[]' {path} converts it."
        )
    is_too_long = isinstance(first, MalformedRow) and _OBJECT_OF_TABLES.match(begin)
    if is_too_long or _OBJECT_OF_LINES.fullmatch(begin) or _is_object_of_tables(begin):
        raise errors.InvalidInput(f"{path} is one JSON object, and not JSON lines: {way_out}.")


def _is_object_of_tables(line: bytes) -> bool:
    """Return True for a file that is one object of objects and lists, as pandas' to_json writes: no row is like that.

    A line that ends may be the first of several: Kafka Connect writes schema and payload of each row.
    """
    if line.endswith(b"\n"):
        return False
    try:
        values = _decode_raw(line).values()
    except DECODE_ERRORS:
        return False
    return bool(values) and all(bytes(value)[:1] in (b"{", b"[") for value in values)


def _lines(file: TextFile) -> Iterator[bytes | MalformedRow]:
    """Yield the lines in UTF-8. A line that is too long is one malformed row."""
    if file.encoding in (UTF8, "utf-8-sig"):
        yield from _complete_lines(file.stream.readline)
        return
    with file.text() as text:
        yield from _complete_lines(lambda size: text.readline(size).encode(errors="surrogatepass"))


def _complete_lines(read_line: Callable[[int], bytes]) -> Iterator[bytes | MalformedRow]:
    line = read_line(MAX_LINE_LENGTH).removeprefix(codecs.BOM_UTF8)
    while line:
        if _is_complete(line):
            yield line
        else:
            begin, part = line[:MAX_STORED_LENGTH], line
            while part and not _is_complete(part):
                part = read_line(MAX_LINE_LENGTH)
            yield MalformedRow(begin, f"The line has more than {MAX_LINE_LENGTH:,} bytes.")
        line = read_line(MAX_LINE_LENGTH)


def _is_complete(line: bytes) -> bool:
    return len(line) < MAX_LINE_LENGTH or line.endswith(b"\n")


def _row(line: bytes, mapping: ColumnMapping, converters: Mapping[str, value_conversion.Converter]) -> Row:
    try:
        values = _decode(line)
    except DECODE_ERRORS as error:
        return MalformedRow(line.rstrip(b"\r\n"), f"The line is not a JSON object: {error}.")
    row = {}
    for name, value in values.items():
        field = mapping.field(name)
        if field == IGNORED:
            continue
        # A field that the version does not have is kept: the row decoder rejects the row with a reason.
        convert = converters.get(field) if field and value is not None else None
        row[field or name] = convert(value) if convert else value
    return row


def _decode(line: bytes) -> dict[str, Any]:
    """Decode a JSON object. A number that Python does not have (1e309) stays unchanged. Raises DecodeError."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return {name: _decode_value(raw) for name, raw in _decode_raw(line).items()}


_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _decode_value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw
