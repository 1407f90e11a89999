"""JSON lines: one object per line, with typed values."""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import msgspec

from dcmon.ingestion.files import csv_records, value_conversion
from dcmon.ingestion.files.column_mapping import IGNORED, ColumnMapping
from dcmon.ingestion.files.csv_records import MalformedRow
from dcmon.ingestion.files.formats import Row
from dcmon.ingestion.raw_rows import DECODE_ERRORS


def read(stream: BinaryIO, mapping: ColumnMapping) -> Iterator[Row]:
    """Yield one row per line; skip blank lines."""
    converters = {name: mapping.value_converter(name) for name in mapping.types}
    while line := stream.readline(csv_records.MAX_LINE_LENGTH):
        if line.strip():
            yield _row(line, mapping, converters)


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
