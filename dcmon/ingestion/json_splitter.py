"""Split a JSON array into elements by quotes and brackets. An invalid element does not affect the others."""

import re
from collections.abc import Iterator
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
_PAIRS = {b"]": b"[", b"}": b"{"}


class UnbalancedJson(ValueError):
    """Quotes and brackets do not match, so the end of an element is unknown."""


class SplitArray(NamedTuple):
    """The elements of an array, and the offset after its closing bracket."""

    elements: list[Raw]
    end: int


class _ElementEnd(NamedTuple):
    is_last: bool
    position: int


def split_array(body: bytes, start: int = 0) -> SplitArray:
    """Return the elements of the array that begins at `start`, unchanged. Raises UnbalancedJson.

    This is much slower than a decoder: use it only for arrays that a decoder refused.
    """
    elements, first, end = list[Raw](), start + 1, start
    for is_last, position in _element_ends(body, start):
        element = body[first:position].strip(_BLANKS)
        if element:
            elements.append(Raw(element))
        elif elements or not is_last:
            raise UnbalancedJson("an element is empty")
        first = end = position + 1
    return SplitArray(elements, end)


def _element_ends(body: bytes, start: int) -> Iterator[_ElementEnd]:
    """Yield where the elements of the array end."""
    open_brackets = [b"["]
    for match in _TOKEN.finditer(body, start + 1):
        token = match[0]
        if token in (b"[", b"{"):
            open_brackets.append(token)
        elif token == b'"' or (token in _PAIRS and (not open_brackets or open_brackets.pop() != _PAIRS[token])):
            break
        elif not open_brackets:
            yield _ElementEnd(True, match.start())
            return
        elif token == b"," and len(open_brackets) == 1:
            yield _ElementEnd(False, match.start())
    raise UnbalancedJson("quotes or brackets don't match")
