"""CSV: a header, then records of text cells."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from dcmon import errors
from dcmon.ingestion.files import csv_records
from dcmon.ingestion.files.column_mapping import ColumnMapping
from dcmon.ingestion.files.csv_records import MalformedRow, NonUtf8Record, Record
from dcmon.ingestion.files.dialect import Dialect
from dcmon.ingestion.files.formats import Row
from dcmon.storage.columns import SAMPLE_ID

NUMBER_OR_TIME = re.compile(r"-?\d[\d.,:/TZ +-]*(?:[eE][+-]?\d+)?", re.ASCII)


def read(stream: BinaryIO, mapping: ColumnMapping, path: str, dialect: Dialect) -> Iterator[Row]:
    """Yield the rows below the header. Raises InvalidInput if the header is missing or its columns do not match."""
    text = io.TextIOWrapper(stream, encoding=dialect.encoding or "utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _rows(csv_records.records(text, dialect.delimiter or ","), mapping, path)
    finally:
        text.detach()


def _rows(records: Iterator[Record], mapping: ColumnMapping, path: str) -> Iterator[Row]:
    header = _header(next(records, None), path)
    _require_names(header, mapping, path)
    fields = mapping.map_columns(header)
    # Plain tuples: the cells of each row are converted in a loop over them.
    columns = [
        (index, fields[name], mapping.text_converter(fields[name]))
        for index, name in enumerate(header)
        if name in fields
    ]
    for record in records:
        if isinstance(record, MalformedRow):
            yield record
            continue
        cells = record
        if isinstance(record, NonUtf8Record):
            cells, by_field = record.cells, {name: record.cells[index] for index, name, _ in columns}
            if malformed := _malformed(record, by_field):
                yield malformed
                continue
        yield {name: convert(cell) if (cell := cells[index]) else None for index, name, convert in columns}


def _header(record: Record | None, path: str) -> list[str]:
    if record is None:
        raise errors.InvalidInput(f"{path} is empty: a CSV begins with a header.")
    if isinstance(record, NonUtf8Record):
        raise errors.InvalidInput(f"The header of {path} is not UTF-8.")
    if isinstance(record, MalformedRow):
        raise errors.InvalidInput(f"The first line of {path} is not the header of a CSV: {record.reason}")
    return record


def _require_names(header: Sequence[str], mapping: ColumnMapping, path: str) -> None:
    """Check that the first line may be a header. Raises InvalidInput if no cell is a field, and one is a number."""
    value = next((cell for cell in header if NUMBER_OR_TIME.fullmatch(cell)), None)
    if value is not None and not any(mapping.field(name) for name in header):
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
