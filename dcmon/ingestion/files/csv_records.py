"""Records of a CSV, one by one: a line that is none costs itself, not the lines after it."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TextIO

LONGEST_FIELD = 2**21  # characters; also how far a quote that nobody closes is followed
LONGEST_LINE = 2**24  # characters of a line that are read at once: a file without line ends must not fill the memory

# The limit of csv is one for the process; its default, 128 KiB, is less than a row over HTTP may have.
csv.field_size_limit(LONGEST_FIELD)


class Malformed(NamedTuple):
    """A row that can't be read: its bytes, why, and where known in which field and of which sample."""

    row: bytes
    why: str
    field: str | None = None
    sample_id: str | None = None


class Garbled(NamedTuple):
    """A record with bytes that are no UTF-8: its cells, in some of which they are, and its bytes."""

    cells: list[str]
    row: bytes


class _Lines:
    """Lines of a file, and which of them the record at hand is made of."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.given_back = stream, deque[str]()
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.given_back.popleft() if self.given_back else self.stream.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.taken.append(line)
        return line

    def set_apart(self, why: str) -> Malformed:
        """The first line of the record as malformed; those after it are read again."""
        first, *others = self.taken
        self.given_back.extendleft(reversed(others))
        return Malformed(_as_read(first), why)

    @property
    def are_garbled(self) -> bool:
        return any(not line.isascii() and is_garbled(line) for line in self.taken)


def is_garbled(text: str) -> bool:
    """Whether it stands for bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _as_read(text: str) -> bytes:
    return text.rstrip("\r\n").encode(errors="surrogateescape")


def records(stream: TextIO) -> Iterator[list[str] | Garbled | Malformed]:
    """A header, then records with as many cells as it has; empty lines are none."""
    lines = _Lines(stream)
    reader, width = csv.reader(lines, strict=True), 0
    while True:
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Most often a quote that is not closed: it would take all lines up to the next one.
            yield lines.set_apart(f"The line is no CSV: {error}.")
            reader = csv.reader(lines, strict=True)
            continue
        if not cells:
            continue
        if width and len(cells) != width:
            yield lines.set_apart(f"The line has {len(cells)} cells, the header {width}.")
            continue
        width = len(cells)
        yield Garbled(cells, _as_read("".join(lines.taken))) if lines.are_garbled else cells
