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
    """A row that can't be read: its bytes, and why."""

    row: bytes
    why: str


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
        return Malformed(first.rstrip("\r\n").encode(errors="surrogateescape"), why)


def records(stream: TextIO) -> Iterator[list[str] | Malformed]:
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
        yield cells
