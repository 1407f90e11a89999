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
TRUNCATED_BYTES = 10_000  # the part of a row that is kept if the row is too long
TOO_LONG = "_dc_too_long"
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # raised by msgspec for JSON that it refuses

__all__ = [
    "CHUNK_BYTES", "DECODE_ERRORS", "MAX_ROW_BYTES", "TOO_LONG", "Raw", "RowArray", "split_rows", "truncate_long_rows",
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
        """A copy of the array. It is not cached, because it is as large as the message."""
        return bytes(self._view)

    def chunks(self) -> Iterator[bytes]:
        """Yield smaller arrays that fit in a processor's cache, cut where rows seem to end.

        If each of them is an array of rows, these are the rows of the whole array.
        """
        text, begin, end = self.text, 1, len(self._view) - 1
        while (cut := text.find(b"},", begin + CHUNK_BYTES, end)) >= 0:
            yield b"[" + text[begin : cut + 1] + b"]"
            begin = cut + 2
        yield b"[" + text[begin:]

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
    """Split a JSON array into raw rows, of which some may be invalid JSON. Raises InvalidInput."""
    try:
        return msgspec.json.decode(body, type=list[Raw])
    except DECODE_ERRORS as error:
        return _split_leniently(body, error)


def _split_leniently(body: bytes, decode_error: Exception) -> list[Raw]:
    if body.startswith(BOM_UTF8):  # .NET and PowerShell write it; RFC 8259 allows to ignore it
        return split_rows(body[len(BOM_UTF8) :])
    start = len(body) - len(body.lstrip())
    try:
        if body[start : start + 1] != b"[":
            raise decode_error
        array = json_splitter.split_array(body, start)
        if body[array.end :].strip():
            raise decode_error
    except (*DECODE_ERRORS, json_splitter.UnbalancedJson) as error:
        hint = rejection_hints.for_body(body)
        raise errors.Unprocessable(f"The body is not a JSON array of objects: {hint or error}") from error
    return array.elements


def truncate_long_rows(rows: Sequence[Raw]) -> list[Raw]:
    """Return rows that fit in messages. A row that is too long is truncated, to be quarantined as too_long."""
    return [row if len(memoryview(row)) <= MAX_ROW_BYTES else _truncated(row) for row in rows]  # type: ignore[arg-type]


def _truncated(row: Raw) -> Raw:
    raw = bytes(row)
    beginning = raw[:TRUNCATED_BYTES].decode(errors="replace")
    return Raw(msgspec.json.encode({TOO_LONG: len(raw), "_dc_begins": beginning}))
