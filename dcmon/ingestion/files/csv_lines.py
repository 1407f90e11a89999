"""The lines of a CSV, which can be read again, and in which a backslash may escape a quote."""

import re
from collections import deque
from typing import Protocol

MAX_LINE_LENGTH = 2**24  # characters: a file without line ends must not fill the memory
BYTE_ORDER_MARK = "\ufeff"
_ESCAPES = re.compile(r'(\\+)"')


class LineTooLong(Exception):
    """A line is longer than MAX_LINE_LENGTH. The record has its beginning."""


class TextLines(Protocol):
    """A text whose lines can be read."""

    def readline(self, size: int = -1, /) -> str:
        """Return the next line, at most `size` characters of it; "" at the end."""


class CountedText:
    """A text that counts its lines, also those that are read in parts."""

    def __init__(self, text: TextLines) -> None:
        self._text, self._is_within_line = text, False
        self.parts = self.continuations = 0

    def readline(self, size: int = -1, /) -> str:
        """Return the next line or part of a line."""
        if part := self._text.readline(size):
            self.parts += 1
            self.continuations += self._is_within_line
            self._is_within_line = part[-1] not in "\r\n"
        return part


class Lines:
    """The lines of a file. Keeps the lines of the current record as they are in the file.

    `has_escapes`: a backslash before a quote escapes it, as Spark writes quotes, so that the line is returned with the
    quote doubled.
    """

    def __init__(self, stream: TextLines) -> None:
        self.stream, self._returned = stream, deque[str]()
        self.record: list[str] = []
        self.left_out = 0  # lines, or parts of them, that belong to records and are not in `record`
        self.has_escapes = False
        if first := stream.readline(MAX_LINE_LENGTH):
            self._returned.append(first.removeprefix(BYTE_ORDER_MARK))

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else self.stream.readline(MAX_LINE_LENGTH)
        if not line:
            raise StopIteration
        self.record.append(line)
        if len(line) >= MAX_LINE_LENGTH and line[-1] not in "\r\n":
            raise LineTooLong
        if self.has_escapes and '\\"' in line:
            return _ESCAPES.sub(_doubled, line)
        return line

    def give_back(self, skipped: int = 0) -> None:
        """Read the lines of the record again, but for the first `skipped` lines."""
        self._returned.extendleft(reversed(self.record[skipped:]))
        del self.record[skipped:]

    def peek(self, characters: int) -> list[str]:
        """Return the next lines, some `characters` long, without reading them."""
        size = 0
        self.record.clear()
        while size < characters and (line := self._returned.popleft() if self._returned else self._read()):
            self.record.append(line)
            size += len(line)
        lines = list(self.record)
        self.give_back()
        return lines

    def _read(self) -> str:
        return self.stream.readline(MAX_LINE_LENGTH)

    def skip_record(self) -> None:
        """Read to the end of a record whose beginning was read, without keeping it."""
        is_quoted = sum(self._quotes(line) for line in self.record) % 2 == 1
        last = self.record[-1]
        while is_quoted or last[-1] not in "\r\n":
            last = self._returned.popleft() if self._returned else self._read()
            if not last:
                return
            self.left_out += 1
            is_quoted ^= self._quotes(last) % 2 == 1

    @property
    def unread(self) -> int:
        """Return how many lines were read from the stream, and will be read again."""
        return len(self._returned)

    def _quotes(self, line: str) -> int:
        return line.count('"') - (line.count('\\"') if self.has_escapes else 0)


def _doubled(escaped: "re.Match[str]") -> str:
    """Return backslashes and the quote after them as a CSV without escapes has them: "" is a quote of the value."""
    backslashes = len(escaped[1])
    return "\\" * (backslashes // 2) + ('""' if backslashes % 2 else '"')
