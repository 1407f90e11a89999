"""Rows as they came: JSON that nobody has decoded yet, in an array as a body or a message has it."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from dcmon import errors
from dcmon.ingestion import json_splitter

MAX_ROW_BYTES = 900_000  # bytes: what a broker takes by default, less what a message says beside its rows
CHUNK_BYTES = 130_000  # bytes that are decoded in one call: what fits a processor's cache
TOO_LONG = "_dc_too_long"

__all__ = ["CHUNK_BYTES", "MAX_ROW_BYTES", "TOO_LONG", "Raw", "RowArray", "split_rows", "truncate_long_rows"]


class RowArray(Sequence[Raw]):
    """The rows of a JSON array, which is split only when one of them is asked for: to decode it as it is costs less.

    `view` begins with "[" and ends with "]". `is_sound`: it is known to be a JSON array. Where it is none, asking for a
    row, or for their number, raises InvalidInput.
    """

    def __init__(self, view: memoryview) -> None:
        self._view, self.is_sound = view, False
        self._rows: list[Raw] | None = None

    @property
    def text(self) -> bytes:
        """The array; not kept, for it is as large as the message that it is seen in."""
        return bytes(self._view)

    def pieces(self) -> Iterator[bytes]:
        """The array in arrays that fit a processor's cache, cut where it seems that a row ends.

        If each of them is an array of rows, then so is the whole, and these are its rows.
        """
        text, begin, end = self.text, 1, len(self._view) - 1
        while (cut := text.find(b"},", begin + CHUNK_BYTES, end)) >= 0:
            yield b"[" + text[begin : cut + 1] + b"]"
            begin = cut + 2
        yield b"[" + text[begin:]

    @property
    def is_split(self) -> bool:
        """Whether its rows were asked for."""
        return self._rows is not None

    @property
    def rows(self) -> list[Raw]:
        """All rows, undecoded."""
        if self._rows is None:
            self._rows, self.is_sound = split_rows(self.text), True
        return self._rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return self.rows[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.rows == list(other)

    __hash__ = None  # type: ignore[assignment]


def split_rows(body: bytes) -> list[Raw]:
    """The rows of a JSON array, undecoded. One that is no JSON is a row all the same. Raises InvalidInput."""
    try:
        return msgspec.json.decode(body, type=list[Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _split_leniently(body, error)


def _split_leniently(body: bytes, why: Exception) -> list[Raw]:
    begins = len(body) - len(body.lstrip())
    try:
        if body[begins : begins + 1] != b"[":
            raise why
        found, end = json_splitter.split_array(body, begins)
        if body[end:].strip():
            raise why
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, json_splitter.UnbalancedJson) as error:
        raise errors.InvalidInput(f"The body is no JSON array of objects: {error}") from error
    return found


def truncate_long_rows(rows: Sequence[Raw]) -> list[Raw]:
    """Rows that fit into messages. One that is too long is cut: what is left of it is quarantined as too_long."""
    return [row if len(memoryview(row)) <= MAX_ROW_BYTES else _cut(row) for row in rows]  # type: ignore[arg-type]


def _cut(row: Raw) -> Raw:
    raw = bytes(row)
    begins = raw[:10_000].decode(errors="replace")
    return Raw(msgspec.json.encode({TOO_LONG: len(raw), "_dc_begins": begins}))
