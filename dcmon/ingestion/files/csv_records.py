"""Read a CSV record by record. A malformed line is reported, and does not affect the lines after it."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

from dcmon.ingestion.files.csv_layout import CsvLayout, adapted_header
from dcmon.ingestion.files.csv_lines import BYTE_ORDER_MARK, Lines, LineTooLong

MAX_FIELD_LENGTH = 2**21  # characters; also how far the reader searches for the end of a quoted field
MAX_STORED_LENGTH = 2**16  # characters of a record that is too long
LINES_TRIED = 200  # of a quoted field that is too long, to tell whether its quote is only not closed

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


class SkippedRow(StrEnum):
    """A row that has no content. It has a number, but is not counted."""

    BLANK = "blank"  # delimiters alone, as Excel writes below a table
    HEADER = "header"  # the header again: files that were put together


Record = list[str] | NonUtf8Record | MalformedRow | SkippedRow


def has_invalid_utf8(text: str) -> bool:
    """Return True if the text contains bytes that are not UTF-8 (decoded with errors="surrogateescape")."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def records(lines: Lines, layout: CsvLayout) -> Iterator[Record]:
    """Yield the header, then the records. Skip empty lines; reject lines with more or fewer cells than the header."""
    return _Records(lines, layout).read()


class _Records:
    """The records of a CSV. Its width is 0 until the header is read."""

    def __init__(self, lines: Lines, layout: CsvLayout) -> None:
        self.lines, self.layout, self.width = lines, layout, 0
        self.header: list[str] = []

    def read(self) -> Iterator[Record]:
        """Yield the header, then the records."""
        lines, reader, width, unusual = self.lines, self._reader(), 0, frozenset[str]()
        while True:
            lines.record.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, LineTooLong) as error:
                yield self._recovered(error)
                reader = self._reader()
                continue
            if not cells or not (width or any(cells)):
                continue
            if not width:
                self.header, cells = cells, adapted_header(cells, self.layout)
                self.width = width = len(cells)
                unusual = frozenset({"", self.header[0], BYTE_ORDER_MARK + self.header[0]})
            elif len(cells) != width:
                if skipped := self._skipped(cells):
                    yield skipped
                else:
                    yield self._recovered(f"The line has {len(cells)} cells, the header has {width}.")
                    reader = self._reader()
                continue
            elif cells[0] in unusual and (skipped := self._skipped(cells)):
                yield skipped
                continue
            if len(lines.record) == 1 and lines.record[0].isascii():  # most rows, without a call
                yield cells
            else:
                yield NonUtf8Record(cells, self._bytes()) if self._has_invalid_utf8() else cells

    def _reader(self) -> "Iterator[list[str]]":
        return self._reader_of(self.lines)

    def _reader_of(self, lines: Iterator[str]) -> "Iterator[list[str]]":
        layout = self.layout
        return csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=layout.has_blanks, strict=True)

    def _skipped(self, cells: Sequence[str]) -> SkippedRow | None:
        if not any(cells):
            return SkippedRow.BLANK
        is_header = [cells[0].removeprefix(BYTE_ORDER_MARK), *cells[1:]] == self.header
        return SkippedRow.HEADER if is_header else None

    def _recovered(self, problem: "csv.Error | LineTooLong | str") -> Record:
        """Return the record at which reading failed, or reject its first line, and continue with the line after it."""
        is_too_long = isinstance(problem, LineTooLong) or str(problem).startswith("field larger")
        if is_too_long and not self._is_unclosed():
            beginning = "".join(self.lines.record)[:MAX_STORED_LENGTH]
            self.lines.skip_record()
            return MalformedRow(
                _original_bytes(beginning), f"The row has more than {MAX_FIELD_LENGTH:,} characters in a field."
            )
        if self.width and not is_too_long and (cells := self._with_other_escapes()):
            return cells
        # Most often a quote that is not closed: all lines up to the next quote would be lost.
        first = self.lines.record[0]
        self.lines.give_back(skipped=1)
        reason = problem if isinstance(problem, str) else f"The line is not CSV: {problem or 'it is too long'}."
        return MalformedRow(_original_bytes(first[:MAX_FIELD_LENGTH]), reason)

    def _is_unclosed(self) -> bool:
        """Return True if a quote was not closed: most of the lines that follow it are records by themselves."""
        following = self.lines.record[1:-1][:LINES_TRIED]
        matching = 0
        for line in following:
            with suppress(csv.Error):
                matching += len(next(self._reader_of(iter([line])), ())) == self.width
        return len(following) > 1 and matching * 2 > len(following)

    def _with_other_escapes(self) -> list[str] | None:
        """Read the record again with a backslash as the escape of quotes, or without. None if it is no record then."""
        lines = self.lines
        if not any('\\"' in line for line in lines.record):
            return None
        line_count = len(lines.record)
        lines.give_back()
        lines.has_escapes = not lines.has_escapes
        try:
            cells = next(self._reader(), [])
        except (csv.Error, LineTooLong):
            cells = []
        if len(cells) == self.width:
            return cells
        lines.has_escapes = not lines.has_escapes
        lines.give_back()
        for _ in range(line_count):
            next(lines)
        return None

    def _has_invalid_utf8(self) -> bool:
        return any(not line.isascii() and has_invalid_utf8(line) for line in self.lines.record)

    def _bytes(self) -> bytes:
        return _original_bytes("".join(self.lines.record))


def _original_bytes(text: str) -> bytes:
    return text.rstrip("\r\n").encode(errors="surrogateescape")
