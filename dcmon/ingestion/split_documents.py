"""Read the "split" JSON of pandas, {"columns": […], "data": [[…]]}.

A large document is decoded in pieces: a decoder holds the interpreter's lock, so other clients would wait.
"""

import re
from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import NamedTuple

import msgspec
from msgspec import Raw

from dcmon.ingestion import json_splitter
from dcmon.ingestion.raw_rows import CHUNK_BYTES, DECODE_ERRORS, MAX_CHUNK_BYTES, MAX_ROWS

Document = bytes | mmap
MAX_SMALL_BYTES = 1_000_000  # decoded in one call
MAX_NAMES_BYTES = 2_000_000  # of the names of all columns
_BEGIN = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"columns"[ \t\r\n]*:[ \t\r\n]*')
_DATA = re.compile(rb'\][ \t\r\n]*,[ \t\r\n]*"data"[ \t\r\n]*:[ \t\r\n]*\[')
_END = re.compile(rb"\][ \t\r\n]*\}[ \t\r\n]*\Z")
_BETWEEN_ROWS = re.compile(rb"\][ \t\r\n]*,[ \t\r\n]*\[")


class NoSplitDocument(ValueError):
    """The document is not of this form."""


class SplitDocument(msgspec.Struct):
    """The names of the columns, and the raw rows. Reading the rows of a large document may raise NoSplitDocument."""

    columns: list[str]
    data: Iterable[Raw]


class _SmallDocument(msgspec.Struct):
    columns: list[str]
    data: list[Raw]


class _Span(NamedTuple):
    begin: int
    end: int


def read(document: Document) -> SplitDocument:
    """Return columns and rows of a document. Raises NoSplitDocument."""
    try:
        if len(document) > MAX_SMALL_BYTES:
            return _read_usual(document) or _read_other(document)
        parsed = msgspec.json.decode(document, type=_SmallDocument)
    except (*DECODE_ERRORS, json_splitter.UnbalancedJson) as error:
        raise NoSplitDocument(str(error)) from error
    return SplitDocument(parsed.columns, parsed.data)


def _read_usual(document: Document) -> SplitDocument | None:
    """Read a document in which the data come right after the columns, and nothing after them. None: it is another."""
    begin = _BEGIN.match(document, 0, 1000)
    data = begin and _DATA.search(document, begin.end(), MAX_NAMES_BYTES)
    end = data and _END.search(document, max(data.end(), len(document) - 1000))
    if begin is None or data is None or end is None:
        return None
    try:
        columns = msgspec.json.decode(document[begin.end() : data.start() + 1], type=list[str])
    except DECODE_ERRORS:
        return None
    return SplitDocument(columns, _rows(document, _Span(data.end(), end.start())))


def _read_other(document: Document) -> SplitDocument:
    """Read a document with other members or in another order, token by token. Raises UnbalancedJson or DecodeError."""
    members = json_splitter.split_object(document)
    if (missing := {b'"columns"', b'"data"'} - set(members)) != set():
        raise json_splitter.UnbalancedJson(f"it has no {min(missing).decode()}")
    (columns_begin, columns_end), (begin, end) = members[b'"columns"'], members[b'"data"']
    if columns_end - columns_begin > MAX_NAMES_BYTES:
        raise json_splitter.UnbalancedJson(f"the names of its columns have more than {MAX_NAMES_BYTES:,} bytes")
    columns = msgspec.json.decode(document[columns_begin:columns_end], type=list[str])
    if document[begin : begin + 1] != b"[" or document[end - 1 : end] != b"]":
        raise json_splitter.UnbalancedJson('"data" is not a list')
    return SplitDocument(columns, _rows(document, _Span(begin + 1, end - 1)))


def _rows(document: Document, span: _Span) -> Iterator[Raw]:
    """Yield the rows between two brackets.

    The document is cut where a row seems to end. If what is in front of a cut is an array of rows, the cut is right:
    inside a text or a list it would have an open quote or bracket.
    """
    begin, end = span
    while end - begin > MAX_CHUNK_BYTES:
        cut = _BETWEEN_ROWS.search(document, begin + CHUNK_BYTES, min(end, begin + MAX_CHUNK_BYTES))
        rows = None if cut is None else _decoded(document[begin : cut.start() + 1])
        if cut is None or rows is None:
            break
        yield from rows
        begin = cut.end() - 1
    rows = _decoded(document[begin:end]) if end - begin <= MAX_CHUNK_BYTES else None
    if rows is not None:
        yield from rows
        return
    try:
        yield from json_splitter.split_array(document, begin - 1, MAX_ROWS).elements
    except json_splitter.UnbalancedJson as error:
        raise NoSplitDocument(str(error)) from error


def _decoded(rows: bytes) -> list[Raw] | None:
    try:
        return msgspec.json.decode(b"[" + rows + b"]", type=list[Raw])
    except DECODE_ERRORS:
        return None
