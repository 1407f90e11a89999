"""Values and arrays in PostgreSQL's binary format.

The format is what PostgreSQL's array_send and timestamptz_send write. All values of an array are encoded together,
because a Python object for each value costs more than storing the value.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from dcmon.db import Array

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # the origin of PostgreSQL's times
MICROSECOND = timedelta(microseconds=1)
HEADER, EMPTY = struct.Struct("!iiIii").pack, struct.Struct("!iiI").pack
HEADER_2D = struct.Struct("!iiIiiii").pack
FLOAT8, TEXT, UUID, TIMESTAMPTZ, INT2, INT4, INT8 = 701, 25, 2950, 1184, 21, 23, 20
ARRAY_TYPES = {FLOAT8: 1022, TEXT: 1009, UUID: 2951, TIMESTAMPTZ: 1185, INT2: 1005, INT4: 1007, INT8: 1016}
NULL = struct.pack("!i", -1)
_of_float, _size = struct.Struct("!id").pack, struct.Struct("!i").pack


def _array(element: int, count: int, items: bytes, has_null: bool = False) -> Array:
    header = HEADER(1, has_null, element, count, 1) if count else EMPTY(0, 0, element)
    return Array(header + items, ARRAY_TYPES[element])


def array_head(element: int, count: int) -> bytes:
    """Return the beginning of an array of one dimension, whose values may be null."""
    return HEADER(1, 1, element, count, 1)


def micros(time: datetime) -> int:
    """Convert a time to microseconds since 2000, as PostgreSQL stores it."""
    return (time - EPOCH) // MICROSECOND


def time(microseconds: int) -> datetime:
    """Convert microseconds since 2000 to a time."""
    return EPOCH + int(microseconds) * MICROSECOND


def uuids(keys: Sequence[bytes]) -> Array:
    """Encode an array of uuids from their 16 bytes."""
    return _fixed(UUID, "V16", np.frombuffer(b"".join(keys), "V16"))


def times(microseconds: Any) -> Array:
    """Encode an array of timestamptz from microseconds since 2000."""
    return _fixed(TIMESTAMPTZ, ">i8", microseconds)


def int8s(values: Any) -> Array:
    """Encode an array of int8 from a sequence or a NumPy column."""
    return _fixed(INT8, ">i8", values)


def int4s(values: Any) -> Array:
    """Encode an array of int4."""
    return _fixed(INT4, ">i4", values)


def int2s(values: Any) -> Array:
    """Encode an array of int2."""
    return _fixed(INT2, ">i2", values)


def texts(values: Sequence[str | None]) -> Array:
    """Encode an array of text, with nulls."""
    parts = list[bytes]()
    for value in values:
        encoded = None if value is None else value.encode()
        parts += (NULL,) if encoded is None else (_size(len(encoded)), encoded)
    return _array(TEXT, len(values), b"".join(parts), None in values)


def float8s(values: Sequence[float | None]) -> Array:
    """Encode an array of float8, with nulls."""
    items = b"".join([NULL if value is None else _of_float(8, value) for value in values])
    return _array(FLOAT8, len(values), items, None in values)


def floats(values: Sequence[float]) -> bytes:
    """Encode a value of type float8[] for COPY, without nulls."""
    sized: list[float] = [8] * (2 * len(values))
    sized[1::2] = values
    return _floats(len(values))(1, 0, FLOAT8, len(values), 1, *sized) if values else EMPTY(0, 0, FLOAT8)


def floats_2d(values: Sequence[Sequence[float]]) -> bytes:
    """Encode a value of type float8[] with two dimensions, for COPY.

    The inner lists have the same length and are not empty.
    """
    if not values:
        return floats([])
    items = b"".join([_of_float(8, value) for line in values for value in line])
    return HEADER_2D(2, 0, FLOAT8, len(values), 1, len(values[0]), 1) + items


@lru_cache(maxsize=32)
def _floats(count: int) -> Callable[..., bytes]:
    return struct.Struct("!iiIii" + "id" * count).pack


def _fixed(element: int, kind: str, values: Any) -> Array:
    items = np.empty(len(values), dtype=[("size", ">i4"), ("value", kind)])
    items["size"], items["value"] = np.dtype(kind).itemsize, values
    return _array(element, len(values), items.tobytes())
