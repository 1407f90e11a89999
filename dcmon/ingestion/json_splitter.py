"""The elements of a JSON array, found by quotes and brackets alone, so that one that is no JSON costs itself only."""

import re
from collections.abc import Iterator

from msgspec import Raw

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = rb'[^"\[\]{}]++'
_LIST = rb"\[(?:%b|%b)*+\]" % (_PLAIN, _STRING)
_OBJECT = rb"\{(?:%b|%b|%b)*+\}" % (_PLAIN, _STRING, _LIST)
# Whole rows of plain values and lists at once, for speed; else strings, what structures, a quote that begins no string.
_TOKEN = re.compile(rb'%b|%b|%b|["\[\]{},]' % (_OBJECT, _LIST, _STRING), re.DOTALL)
_BLANKS = b" \t\r\n"
_PAIRS = {b"]": b"[", b"}": b"{"}


class UnbalancedJson(ValueError):
    """Quotes and brackets don't say where an element ends."""


def split_array(body: bytes, at: int = 0) -> tuple[list[Raw], int]:
    """The elements of the array that begins at `at`, as they stand there, and where it ends. Raises Unbalanced.

    Slower than a decoder by far: for arrays that a decoder refused.
    """
    found, first, end = list[Raw](), at + 1, at
    for is_last, position in _borders(body, at):
        element = body[first:position].strip(_BLANKS)
        if element:
            found.append(Raw(element))
        elif found or not is_last:
            raise UnbalancedJson("an element is empty")
        first = end = position + 1
    return found, end


def _borders(body: bytes, at: int) -> Iterator[tuple[bool, int]]:
    """Where the array's elements end; True with the last."""
    open_ = [b"["]
    for match in _TOKEN.finditer(body, at + 1):
        token = match[0]
        if token in (b"[", b"{"):
            open_.append(token)
        elif token == b'"' or (token in _PAIRS and (not open_ or open_.pop() != _PAIRS[token])):
            break
        elif not open_:
            yield True, match.start()
            return
        elif token == b"," and len(open_) == 1:
            yield False, match.start()
    raise UnbalancedJson("quotes or brackets don't match")
