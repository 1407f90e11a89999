"""CSV: a header, and cells that are text."""

import io
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from dcmon import errors
from dcmon.ingestion.files import csv_records, value_conversion
from dcmon.ingestion.files.column_mapping import Layout
from dcmon.ingestion.files.csv_records import Garbled, Malformed
from dcmon.ingestion.files.formats import Row
from dcmon.storage.columns import SAMPLE_ID


def read(stream: BinaryIO, layout: Layout, path: str) -> Iterator[Row]:
    """The rows below the header, in UTF-8. Raises InvalidInput when the header is none, or not the layout's."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _typed(csv_records.records(text), layout, path)
    finally:
        text.detach()


def _typed(records: Iterator[list[str] | Garbled | Malformed], layout: Layout, path: str) -> Iterator[Row]:
    header = _header(next(records, None), path)
    fields = layout.arrange(header)
    plan = [
        (at, fields[name], value_conversion.from_text(layout.kinds[fields[name]]))
        for at, name in enumerate(header)
        if name in fields
    ]
    for record in records:
        if isinstance(record, Malformed):
            yield record
            continue
        cells = record
        if isinstance(record, Garbled):
            cells, named = record.cells, {name: record.cells[at] for at, name, _ in plan}
            if malformed := _garbled(record, named):
                yield malformed
                continue
        yield {name: convert(cell) if (cell := cells[at]) else None for at, name, convert in plan}


def _header(found: list[str] | Garbled | Malformed | None, path: str) -> list[str]:
    if found is None:
        raise errors.InvalidInput(f"{path} is empty: a CSV begins with a header.")
    if isinstance(found, Garbled):
        raise errors.InvalidInput(f"The header of {path} is no UTF-8.")
    if isinstance(found, Malformed):
        raise errors.InvalidInput(f"{path} begins with no header of a CSV: {found.why}")
    return found


def _garbled(record: Garbled, named: Mapping[str, str]) -> Malformed | None:
    """The record as malformed; None when what is no UTF-8 stands only in columns that are left out."""
    field = next((name for name, cell in named.items() if csv_records.is_garbled(cell)), None)
    if field is None:
        return None
    sample_id = named.get(SAMPLE_ID)
    known = sample_id if sample_id and not csv_records.is_garbled(sample_id) else None
    return Malformed(record.row, f"{field!r} has bytes that are no UTF-8.", field, known)
