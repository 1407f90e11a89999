"""Tell the encoding of a text file. UTF-8 is checked in the whole file, before a row of it is stored.

Without this check, the rows of a file in another encoding that have only ASCII letters would be stored, and the others
rejected: a biased sample.
"""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple

from dcmon import errors

UTF8 = "utf-8"
BLOCK_BYTES = 2**20
SAMPLE_BYTES = 2**12
MAX_SHOWN = 30  # characters of a line in a sentence
VALID_LINES_PER_STRAY = 10
# UTF-32 comes first: its mark for little endian begins with that of UTF-16.
_MARKS: Mapping[bytes, str] = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: UTF8,
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Text of another encoding: a letter with an accent beside a letter of ASCII (ÿ, 255, ends no usual word), in encodings
# of DOS and old Macintosh between two letters, or letters of another script in a row.
_OTHER_TEXT = re.compile(
    rb"[A-Za-z][\xc0-\xd6\xd8-\xf6\xf8-\xfe]|[\xc0-\xd6\xd8-\xf6\xf8-\xfe][A-Za-z]|[A-Za-z][\x80-\xfe][A-Za-z]"
    rb"|[\x80-\xff]{3}"
)
_CHOICES = (
    "--encoding windows-1252 (Western Europe), windows-1250 (Central Europe), windows-1251 (Cyrillic), shift_jis …"
)

OpenBytes = Callable[[], AbstractContextManager[BinaryIO]]


class _InvalidLines(NamedTuple):
    """Lines that are not UTF-8, counted, and lines of UTF-8 with other characters than ASCII."""

    invalid: int
    valid: int
    first_number: int
    first_line: bytes


def detect(open_bytes: OpenBytes, path: str, *, has_header: bool) -> str:
    """Return the encoding of a file, as a name of Python. Raises InvalidInput if the file does not show it."""
    with open_bytes() as stream:
        begin = stream.read(SAMPLE_BYTES)
        marked = next((name for mark, name in _MARKS.items() if begin.startswith(mark)), None)
        encoding = marked or _utf16(begin) or UTF8
        if _is_valid(stream, encoding, begin):
            return encoding
    if encoding != UTF8:
        raise errors.InvalidInput(f"{path} begins as {encoding}, but other bytes follow. Write the file again.")
    with open_bytes() as stream:
        invalid_lines = _invalid_lines(stream)
    if not _is_stray(invalid_lines):
        raise errors.InvalidInput(_refusal(invalid_lines, path, has_header=has_header))
    return encoding


def require_valid(open_bytes: OpenBytes, path: str, encoding: str) -> None:
    """Check that a whole file has an encoding. Raises InvalidInput. In UTF-8, single rows may have other bytes."""
    if encoding == UTF8:
        return
    with open_bytes() as stream:
        if not _is_valid(stream, encoding):
            raise errors.InvalidInput(
                f"{path} has bytes that are not {encoding}. Give another encoding with --encoding."
            )


def _utf16(begin: bytes) -> str | None:
    """Return UTF-16 without a mark, if 0 stands beside many bytes: delimiters, digits and most names are ASCII.

    Some letters (U+0100) have their 0 on the other side.
    """
    even, odd = begin[::2].count(0), begin[1::2].count(0)
    if odd > len(begin) / 8 and even * 4 < odd:
        return "utf-16-le"
    return "utf-16-be" if even > len(begin) / 8 and odd * 4 < even else None


def _is_valid(stream: BinaryIO, encoding: str, begin: bytes = b"") -> bool:
    """Return True if `begin` and the rest of a stream have an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        decoder.decode(begin)
        while block := stream.read(BLOCK_BYTES):
            decoder.decode(block)
        decoder.decode(b"", True)
    except UnicodeError:
        return False
    return True


def _invalid_lines(stream: BinaryIO) -> _InvalidLines:
    invalid, valid, first_number, first_line = 0, 0, 0, b""
    for number, line in enumerate(_lines(stream), 1):
        if line.isascii():
            continue
        try:
            line.decode()
            valid += 1
        except UnicodeDecodeError:
            first_number, first_line = (first_number, first_line) if invalid else (number, line)
            invalid += 1
    return _InvalidLines(invalid, valid, first_number, first_line)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines, whichever line ends the file has. A line that is longer than a block comes in parts."""
    remaining = b""
    while block := stream.read(BLOCK_BYTES):
        *lines, remaining = (remaining + block).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        yield from lines
        if len(remaining) > BLOCK_BYTES:
            yield remaining
            remaining = b""
    yield remaining


def _is_stray(lines: _InvalidLines) -> bool:
    """Return True if a file is UTF-8 but for stray rows: most accents are UTF-8, or one line has a broken byte."""
    if lines.valid >= VALID_LINES_PER_STRAY * lines.invalid:
        return True
    return lines.invalid == 1 and _OTHER_TEXT.search(lines.first_line) is None


def _refusal(lines: _InvalidLines, path: str, *, has_header: bool) -> str:
    is_header = has_header and lines.first_number == 1
    counted = "line" if lines.invalid == 1 else f"{lines.invalid:,} lines, the first is line"
    where = "" if is_header else f"{counted} {lines.first_number}: "
    return (
        f"{'The header of ' if is_header else ''}{path} is not UTF-8 ({where}{_readings(lines.first_line)}). Say its"
        f" encoding with {_CHOICES}; --encoding utf-8 rejects the lines that are not UTF-8 and loads the others."
    )


def _readings(line: bytes) -> str:
    """Return what two encodings read in a line, which helps to choose."""
    at = next((match.start() for match in re.finditer(rb"[\x80-\xff]", line)), 0)
    begin = max(line.rfind(mark, 0, at) + 1 for mark in (b",", b";", b"\t", b"|", b'"'))
    begin = max(begin, at - MAX_SHOWN // 2)
    shown = re.split(rb'[,;\t|"\r\n]', line[begin : begin + MAX_SHOWN])[0]
    return " or ".join(
        f"{shown.decode(name, errors='replace')!r} in {name}" for name in ("windows-1252", "windows-1251")
    )
