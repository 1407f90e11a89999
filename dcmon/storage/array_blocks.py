"""Decode the arrays of wide versions into columns, many rows at once."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

HEADER_BYTES = 20  # of an array of one dimension: dimensions, flags, type, length, first index
ROWS_AT_ONCE = 128  # transposed together, so that they stay in the processor's cache
Blocks = Sequence[tuple[int, bytes]]  # the number of rows of each block, and its packed arrays


def column_values(kind: str, values: "np.ndarray[Any, Any]") -> Any:
    """Return the values of a column of an array of numbers as `ColumnarSample.column` does."""
    if kind == "boolean":
        return [None if value != value else bool(value) for value in values.tolist()]
    if kind == "integer" and not np.isnan(values).any():
        return values.astype("i8")
    return values.copy()  # the caller may change it


def number_columns(blocks: Blocks) -> "np.ndarray[Any, Any]":
    """Return a matrix of float64, with a line for each column. A null is NaN."""
    views = [_rows(count, packed) for count, packed in blocks]
    matrix = np.empty((views[0].shape[1], sum(len(view) for view in views)))
    first = 0
    for view in views:
        for at in range(0, len(view), ROWS_AT_ONCE):
            part = view[at : at + ROWS_AT_ONCE]
            matrix[:, first + at : first + at + len(part)] = part.T
        first += len(view)
    return matrix


def _rows(count: int, packed: bytes) -> "np.ndarray[Any, Any]":
    """Return the numbers of rows that PostgreSQL's array_send wrote one after the other, without copying them."""
    width = (len(packed) // count - HEADER_BYTES) // 12
    row = [("head", f"V{HEADER_BYTES}"), ("items", [("size", ">i4"), ("value", ">f8")], (width,))]
    view: np.ndarray[Any, Any] = np.frombuffer(packed, row)["items"]["value"]
    return view


def text_columns(packed: bytes, null: str) -> list[bytes]:
    """Return the columns of an array of texts: for each, its values with a zero byte after each but the last.

    `null` stands for null; it may be a surrogate, which stands for a byte.
    """
    rows = msgspec.json.decode(packed, type=list[msgspec.Raw])
    parts = list[list[str]]()
    for first in range(0, len(rows), ROWS_AT_ONCE):
        # Only some rows at once, because an object for each text takes several times the memory of the texts.
        lines = map(_decode_texts, rows[first : first + ROWS_AT_ONCE])
        columns = ([null if value is None else value for value in column] for column in zip(*lines, strict=True))
        parts.append(["\0".join(column) for column in columns])
    return ["\0".join(column).encode(errors="surrogateescape") for column in zip(*parts, strict=True)]


_decode_texts = msgspec.json.Decoder(list[str | None]).decode
