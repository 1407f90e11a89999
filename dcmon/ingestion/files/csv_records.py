"""Read a CSV record by record. A malformed line is reported, and does not affect the lines after it."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TextIO

MAX_FIELD_LENGTH = 2**21  # characters; also how far the reader searches for the end of a quoted field
MAX_LINE_LENGTH = 2**24  # characters: a file without line ends must not fill the memory

# The csv module has one limit for the process. Its default, 128 KiB, is less than the limit of a row over HTTP.
csv.field_size_limit(MAX_FIELD_LENGTH)


class MalformedRow(NamedTuple):
    """A row that can't be read, with the reason. Field and sample id are set if they are known."""

    row: bytes
    reason: str
    field: str | None = None
    sample_id: str | None = None


class NonUtf8Record(NamedTuple):
    """A record with bytes that are not UTF-8. `row` has all bytes of the record."""

    cells: list[str]
    row: bytes


Record = list[str] | NonUtf8Record | MalformedRow


class _Lines:
    """The lines of a file. Keeps the lines of the current record."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.returned = stream, deque[str]()
        self.record: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.returned.popleft() if self.returned else self.stream.readline(MAX_LINE_LENGTH)
        if not line:
            raise StopIteration
        self.record.append(line)
        return line

    def reject_first(self, reason: str) -> MalformedRow:
        """Return the first line of the record as malformed. The other lines of the record are read again."""
        first, *following = self.record
        self.returned.extendleft(reversed(following))
        return MalformedRow(_original_bytes(first), reason)

    def has_invalid_utf8(self) -> bool:
        return any(not line.isascii() and has_invalid_utf8(line) for line in self.record)


def has_invalid_utf8(text: str) -> bool:
    """Return True if the text contains bytes that are not UTF-8 (decoded with errors="surrogateescape")."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _original_bytes(text: str) -> bytes:
    return text.rstrip("\r\n").encode(errors="surrogateescape")


def records(stream: TextIO, delimiter: str = ",") -> Iterator[Record]:
    """Yield the header, then the records. Skip empty lines; reject lines with more or fewer cells than the header."""
    lines = _Lines(stream)
    reader, width = csv.reader(lines, delimiter=delimiter, strict=True), 0
    while True:
        lines.record.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Most often a quote that is not closed: all lines up to the next quote would be lost.
            yield lines.reject_first(f"The line is not CSV: {error}.")
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if not cells:
            continue
        if width and len(cells) != width:
            yield lines.reject_first(f"The line has {len(cells)} cells, the header has {width}.")
            continue
        width = len(cells)
        yield NonUtf8Record(cells, _original_bytes("".join(lines.record))) if lines.has_invalid_utf8() else cells
