"""Split a JSON array into elements by quotes and brackets. An invalid element does not affect the others."""

import re
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

from msgspec import Raw

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = rb'[^"\[\]{}]++'
_LIST = rb"\[(?:%b|%b)*+\]" % (_PLAIN, _STRING)
_OBJECT = rb"\{(?:%b|%b|%b)*+\}" % (_PLAIN, _STRING, _LIST)
# For speed, a row of plain values and lists is one token. Otherwise a token is a string, a bracket, a comma, or a quote
# that does not begin a string.
_TOKEN = re.compile(rb'%b|%b|%b|["\[\]{},]' % (_OBJECT, _LIST, _STRING), re.DOTALL)
_BLANKS = b" \t\r\n"
_NOT_BLANK = re.compile(rb"[^ \t\r\n]")
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_INSIDE_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
# A regular expression holds the interpreter's lock while it searches, so other threads wait: search in parts.
WINDOW_BYTES = 500_000
MAX_TOKENS = 4_000_000  # some four seconds of work
_PAIRS = {b"]": b"[", b"}": b"{"}


class UnbalancedJson(ValueError):
    """Quotes and brackets do not match, so the end of an element is unknown."""


class TooManyElements(UnbalancedJson):
    """The array has more elements than the caller wants."""


class SplitArray(NamedTuple):
    """The elements of an array, and the offset after its closing bracket."""

    elements: list[Raw]
    end: int


class _ElementEnd(NamedTuple):
    is_last: bool
    position: int


class _Token(NamedTuple):
    text: bytes
    position: int


def split_array(body: bytes | mmap, start: int = 0, max_elements: int | None = None) -> SplitArray:
    """Return the elements of the array that begins at `start`, unchanged. Raises UnbalancedJson.

    This is much slower than a decoder: use it only for arrays that a decoder refused, or would need too long for.
    Raises TooManyElements if there are more than `max_elements`; None: any number is accepted.
    """
    elements, first, end = list[Raw](), start + 1, start
    for is_last, position in _element_ends(body, start):
        first = skip_blanks(body, first)
        if first < position:
            elements.append(Raw(body[first:position].rstrip(_BLANKS)))
        elif elements or not is_last:
            raise UnbalancedJson("an element is empty")
        if max_elements is not None and len(elements) > max_elements:
            raise TooManyElements(f"it has more than {max_elements:,} elements")
        first = end = position + 1
    return SplitArray(elements, end)


def split_object(body: bytes | mmap) -> dict[bytes, tuple[int, int]]:
    """Return where the value of each member of an object begins and ends, by its name in quotes.

    The values are not checked beyond their quotes and brackets. Raises UnbalancedJson.
    """
    members, key, begin, position = dict[bytes, tuple[int, int]](), b"", 0, 0
    for token, position in _outer_tokens(body):
        if token in (b",", b"}"):
            members[key], key = (begin, _end_of_value(body, position)), b""
        elif not key and token[:1] == b'"':
            colon = _COLON.match(body, position + len(token), position + len(token) + 1000)
            if colon is None:
                raise UnbalancedJson("a name has no value")
            key, begin = token, colon.end()
    if skip_blanks(body, position + 1) < len(body):
        raise UnbalancedJson("there is more after its last bracket")
    return members


def _outer_tokens(body: bytes | mmap) -> Iterator[_Token]:
    """Yield the tokens of an object that are in no list or object inside it, up to its closing bracket."""
    start, open_brackets = skip_blanks(body, 0), [b"{"]
    if body[start : start + 1] != b"{":
        raise UnbalancedJson("it does not begin with {")
    for number, token in enumerate(_tokens(body, start + 1)):
        is_outer = len(open_brackets) == 1
        if token.text in (b"[", b"{"):
            open_brackets.append(token.text)
        elif token.text == b'"' or (token.text in _PAIRS and open_brackets.pop() != _PAIRS[token.text]):
            break
        elif not open_brackets or (is_outer and token.text not in _PAIRS):
            yield token
        if not open_brackets:
            return
        if number > MAX_TOKENS:
            raise UnbalancedJson("it has too many brackets and texts to find its members")
    raise UnbalancedJson("quotes or brackets don't match")


def _end_of_value(body: bytes | mmap, position: int) -> int:
    """Return the offset after the last byte before `position` that is not blank."""
    while body[position - 1 : position].isspace():
        position -= 1
    return position


def skip_blanks(body: bytes | mmap, position: int) -> int:
    """Return the offset of the first byte at or after `position` that is not blank, or the length of the body."""
    while position < len(body):
        if match := _NOT_BLANK.search(body, position, position + WINDOW_BYTES):
            return match.start()
        position += WINDOW_BYTES
    return len(body)


def _element_ends(body: bytes | mmap, start: int) -> Iterator[_ElementEnd]:
    """Yield where the elements of the array end."""
    open_brackets = [b"["]
    for number, (token, position) in enumerate(_tokens(body, start + 1)):
        if token in (b"[", b"{"):
            open_brackets.append(token)
        elif token == b'"' or (token in _PAIRS and (not open_brackets or open_brackets.pop() != _PAIRS[token])):
            break
        elif not open_brackets:
            yield _ElementEnd(True, position)
            return
        elif token == b"," and len(open_brackets) == 1:
            yield _ElementEnd(False, position)
        if number > MAX_TOKENS:
            raise UnbalancedJson("it has too many brackets and texts to find its elements")
    raise UnbalancedJson("quotes or brackets don't match")


def _tokens(body: bytes | mmap, position: int) -> Iterator[_Token]:
    """Yield the tokens after a position. A row at the end of a window is several tokens instead of one."""
    while position < len(body):
        window_end = position + WINDOW_BYTES
        for match in _TOKEN.finditer(body, position, window_end):
            if match[0] == b'"' and window_end < len(body):  # the string ends behind the window, or nowhere
                position = _string_end(body, match.end())
                if position < 0:
                    yield _Token(b'"', match.start())
                    return
                break
            yield _Token(match[0], match.start())
        else:
            position = window_end


def _string_end(body: bytes | mmap, position: int) -> int:
    """Return the offset after the quote that ends a string, or -1. `position`: an offset inside the string."""
    while position < len(body):
        window_end = position + WINDOW_BYTES
        match = _INSIDE_STRING.match(body, position, window_end)
        end = match.end() if match else position
        if body[end : end + 1] == b'"':
            return end + 1
        if end == position:
            return -1  # a backslash at the end
        position = end
    return -1
