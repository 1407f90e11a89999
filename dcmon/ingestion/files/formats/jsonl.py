"""JSON lines: an object a line, with values of types of their own."""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import msgspec

from dcmon.ingestion.files import csv_records, value_conversion
from dcmon.ingestion.files.column_mapping import IGNORED, Layout
from dcmon.ingestion.files.csv_records import Malformed
from dcmon.ingestion.files.formats import Row


def read(stream: BinaryIO, layout: Layout) -> Iterator[Row]:
    """The rows, one a line; blank lines are none."""
    converters = {name: value_conversion.from_value(kind) for name, kind in layout.kinds.items()}
    while line := stream.readline(csv_records.LONGEST_LINE):
        if line.strip():
            yield _object(line, layout, converters)


def _object(line: bytes, layout: Layout, converters: Mapping[str, value_conversion.Converter]) -> Row:
    try:
        given = _decoded(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Malformed(line.rstrip(b"\r\n"), f"The line is no JSON object: {error}.")
    row = {}
    for name, value in given.items():
        found = layout.field(name)
        if found == IGNORED:
            continue
        # A field that the version does not have is the row's fault: its decoder says so.
        convert = converters.get(found) if found and value is not None else None
        row[found or name] = convert(value) if convert else value
    return row


def _decoded(line: bytes) -> dict[str, Any]:
    """The values of a JSON object; one that Python has no number for (1e309) as it is written. Raises DecodeError."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return {name: _value(written) for name, written in _raw(line).items()}


_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _value(written: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return written
