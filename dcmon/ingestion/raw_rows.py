"""Rows as raw JSON, in the array of a request's body or of a message."""

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from dcmon import errors
from dcmon.ingestion import json_splitter, rejection_hints

MAX_ROW_BYTES = 900_000  # the default limit of a broker, minus the other fields of a message
CHUNK_BYTES = 130_000  # decoded in one call: fits in a processor's cache
MAX_CHUNK_BYTES = CHUNK_BYTES + MAX_ROW_BYTES  # a decoder holds the interpreter's lock while it decodes one chunk
MAX_ROWS = 1_000_000  # of a body; each row needs memory of its own, also `1,`
TRUNCATED_BYTES = 10_000  # the part of a row that is kept if the row is too long
TOO_LONG = "_dc_too_long"
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # raised by msgspec for JSON that it refuses

__all__ = [
    "CHUNK_BYTES", "DECODE_ERRORS", "MAX_ROWS", "MAX_ROW_BYTES", "TOO_LONG", "Raw", "RowArray", "split_rows",
    "truncate_long_rows",
]  # fmt: skip


class RowArray(Sequence[Raw]):
    """The rows of a JSON array, which is split only if needed. Decoding the whole array costs less.

    `view` begins with "[" and ends with "]". `is_validated` is set when it is known to be a JSON array. If it is not a
    JSON array, reading a row, or the number of rows, raises InvalidInput.
    """

    def __init__(self, view: memoryview) -> None:
        self._view, self.is_validated = view, False
        self._rows: list[Raw] | None = None

    @property
    def text(self) -> bytes:
        """The array. It is a copy, which is not cached, unless the view is a whole body."""
        body = self._view.obj
        return body if isinstance(body, bytes) and len(body) == len(self._view) else bytes(self._view)

    def chunks(self) -> Iterator[bytes]:
        """Yield smaller arrays that fit in a processor's cache, cut where rows seem to end.

        If each of them is an array of rows, these are the rows of the whole array. An empty text stands for a chunk
        that is too long.
        """
        return _chunks(self.text, 1)

    @property
    def is_split(self) -> bool:
        """True if the array was split into rows."""
        return self._rows is not None

    @property
    def rows(self) -> list[Raw]:
        """All rows, raw."""
        if self._rows is None:
            self._rows, self.is_validated = split_rows(self.text), True
        return self._rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.rows == list(other)

    __hash__ = None  # type: ignore[assignment]


def split_rows(body: bytes) -> list[Raw]:
    """Split a JSON array into raw rows, of which some may be invalid JSON.

    Other threads never wait long for the interpreter: a large body is decoded in chunks. Raises Unprocessable or
    TooManyRows.
    """
    start = json_splitter.skip_blanks(body, len(BOM_UTF8) if body.startswith(BOM_UTF8) else 0)
    if body[start : start + 1] != b"[":
        hint = rejection_hints.for_body(body) or ("it does not begin with [" if start < len(body) else "it is empty")
        raise errors.Unprocessable(f"The body is not a JSON array of objects: {hint}")
    rows = list[Raw]()
    for chunk in _chunks(body, start + 1):
        try:
            decoded = msgspec.json.decode(chunk, type=list[Raw])
        except DECODE_ERRORS:
            decoded = []
        if not decoded:
            return _split_leniently(body, start)
        rows += decoded
        if len(rows) > MAX_ROWS:
            raise errors.TooManyRows(largest=MAX_ROWS)
    return rows


def _chunks(body: bytes, begin: int) -> Iterator[bytes]:
    """Yield arrays that consist of the rows after an offset. An empty text stands for a chunk that is too long."""
    end = len(body)
    while (cut := body.find(b"},", begin + CHUNK_BYTES, begin + MAX_CHUNK_BYTES)) >= 0:
        yield b"[" + body[begin : cut + 1] + b"]"
        begin = cut + 2
    yield b"[" + body[begin:] if end - begin <= MAX_CHUNK_BYTES else b""


def _split_leniently(body: bytes, start: int) -> list[Raw]:
    try:
        array = json_splitter.split_array(body, start, MAX_ROWS)
    except json_splitter.TooManyElements as error:
        raise errors.TooManyRows(largest=MAX_ROWS) from error
    except json_splitter.UnbalancedJson as error:
        raise errors.Unprocessable(f"The body is not a JSON array of objects: {error}") from error
    if json_splitter.skip_blanks(body, array.end) < len(body):
        raise errors.Unprocessable("The body is not a JSON array of objects: there is more after its last bracket")
    return array.elements


def truncate_long_rows(rows: Sequence[Raw]) -> list[Raw]:
    """Return rows that fit in messages. A row that is too long is truncated, to be quarantined as too_long."""
    return [row if len(memoryview(row)) <= MAX_ROW_BYTES else _truncated(row) for row in rows]  # type: ignore[arg-type]


def _truncated(row: Raw) -> Raw:
    raw = bytes(row)
    beginning = raw[:TRUNCATED_BYTES].decode(errors="replace")
    return Raw(msgspec.json.encode({TOO_LONG: len(raw), "_dc_begins": beginning}))
