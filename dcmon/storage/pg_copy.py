"""Encode rows in the binary format of PostgreSQL's COPY.

A value is its size in four bytes, big-endian, and its bytes; a null is the size -1 (PostgreSQL's documentation, COPY,
"Binary Format"). Some hundred rows are encoded together, column by column, because a Python object and a call for each
value cost more than storing the value.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dcmon.storage import categories, pg_binary, probabilities
from dcmon.storage.pg_binary import NULL

BEGIN, END = b"PGCOPY\n\xff\r\n\0" + bytes(8), struct.pack("!h", -1)
FLOAT = ">f8"
FIXED: Mapping[str, str] = {"numeric": FLOAT, "integer": ">i4", "bigint": ">i8", "datetime": ">i8", "boolean": "?"}
CLASS = "class"  # a prediction that the row decoder has found among the version's classes
TEXTS = ("categorical", "text", CLASS)
PROBABILITIES = "probabilities"  # a list of numbers of one length; percent is converted
LISTS: Mapping[str, Callable[[Any], bytes]] = {
    "array_float": pg_binary.floats, PROBABILITIES: pg_binary.floats, "array_float_2d": pg_binary.floats_2d,
}  # fmt: skip
# The texts of a column with more different texts, or longer texts, are encoded one by one.
MAX_CATEGORIES, MAX_CATEGORY_LENGTH = 100, 64

Column = Sequence[Any]
_size = struct.Struct("!i").pack


class Encoder:
    """Encodes rows whose values have these types: names in storage.columns.TYPES, CLASS or PROBABILITIES.

    Values of other types are left out. `array_columns`: the positions of values that are encoded together as one array.
    `order` has the positions of the other values in the order in which they are encoded; the arrays follow them.
    """

    def __init__(self, column_types: Sequence[str], array_columns: Sequence[Sequence[int]] = ()) -> None:
        self._array_columns = [
            _array_of([column_types[at] for at in positions], positions) for positions in array_columns
        ]
        in_array = {at for positions in array_columns for at in positions}
        column_types = ["" if at in in_array else kind for at, kind in enumerate(column_types)]
        by_kind = {kind: [at for at, value_kind in enumerate(column_types) if value_kind == kind] for kind in FIXED}
        self._fixed = [(kind, positions) for kind, positions in by_kind.items() if positions]
        self._texts = [(at, _Texts(kind)) for at, kind in enumerate(column_types) if kind in TEXTS]
        self._lists = [(at, kind) for at, kind in enumerate(column_types) if kind in LISTS]
        self.order = [at for _, positions in self._fixed for at in positions]
        self.order += [at for at, _ in self._texts] + [at for at, _ in self._lists]

    def encode(self, rows: Sequence[Column]) -> list[bytes]:
        """Encode the values of each row.

        The result does not begin with the number of values, which COPY needs: `encode_fixed_columns` writes it.
        """
        if not rows:
            return []
        columns = list(zip(*rows, strict=True))
        parts = [_encode_fixed(kind, [columns[at] for at in positions]) for kind, positions in self._fixed]
        parts += [texts.encode(columns[at]) for at, texts in self._texts]
        parts += [_encode_lists(kind, columns[at]) for at, kind in self._lists]
        parts += [array.encode(columns) for array in self._array_columns]
        return list(map(b"".join, zip(*parts, strict=True)))


class FixedColumn(NamedTuple):
    """A column of values of a fixed size.

    `values` is an array of this type of NumPy, or one value for all rows.
    """

    numpy_type: str
    values: Any


def encode_fixed_columns(columns: Mapping[str, FixedColumn], count: int, width: int) -> list[bytes]:
    """Encode the beginning of `count` rows: their number of values, and these columns.

    `width` is the number of all values of a row. The caller appends the values of the other columns.
    """
    layout = [("width", ">i2")]
    for name, column in columns.items():
        layout += [(f"size of {name}", ">i4"), (name, column.numpy_type)]
    block = np.empty(count, layout)
    block["width"] = width
    for name, column in columns.items():
        block[f"size of {name}"], block[name] = np.dtype(column.numpy_type).itemsize, column.values
    return _lines(block)


def _encode_fixed(kind: str, columns: Sequence[Column]) -> list[bytes]:
    """Encode several columns of one type with a fixed size."""
    values, is_null = _numbers(kind, columns)
    block = np.empty(values.shape, [("size", ">i4"), ("value", FIXED[kind])])
    block["size"], block["value"] = block.dtype["value"].itemsize, values
    if not is_null.any():
        return _lines(block)
    block["size"][is_null] = -1
    is_sent = np.ones((*values.shape, block.itemsize), bool)
    is_sent[is_null, len(NULL) :] = False
    flat = block.view(np.uint8).reshape(is_sent.shape)[is_sent].tobytes()
    ends = is_sent.sum((1, 2)).cumsum().tolist()
    return [flat[first:end] for first, end in zip([0, *ends], ends, strict=False)]


def _numbers(kind: str, columns: Sequence[Column]) -> tuple[Any, Any]:
    """Return two arrays with a line for each row: the values, and which are null."""
    if FIXED[kind] == FLOAT:
        numbers = np.array(columns, np.float64).T
        return numbers, np.isnan(numbers)  # JSON has no NaN: a NaN was a null
    is_null = np.array([[value is None for value in column] for column in columns]).T
    if kind == "datetime":
        columns = [[value and pg_binary.micros(value) for value in column] for column in columns]
    return np.array([[value or 0 for value in column] for column in columns], FIXED[kind]).T, is_null


def _lines(block: Any) -> list[bytes]:
    """Return the bytes of each line of a block."""
    width = block.itemsize * (block.shape[1] if block.ndim > 1 else 1)
    lines: list[bytes] = np.ascontiguousarray(block).view(f"V{width}").ravel().tolist()
    return lines


class _Texts(dict[str | None, bytes]):
    """Caches the encoded texts of a column while they are few, because categories are repeated.

    Categories get their normal spelling: at a miss of the cache, so that it costs nothing while they are few.
    """

    def __init__(self, kind: str) -> None:
        super().__init__({None: NULL})
        self.is_categorical, self.are_few = kind == "categorical", kind != "text"

    def encode(self, column: Column) -> list[bytes]:
        if self.are_few:
            return list(map(self.__getitem__, column))
        if self.is_categorical:
            column = categories.normalize_all(column)
        return [NULL if text is None else _sized(text.encode()) for text in column]

    def __missing__(self, text: str | None) -> bytes:
        if text is None:  # another thread has just cleared the cache
            return NULL
        encoded = _sized((categories.normalize(text) if self.is_categorical else text).encode())
        self.are_few = self.are_few and len(text) <= MAX_CATEGORY_LENGTH and len(self) <= MAX_CATEGORIES
        if self.are_few:
            self[text] = encoded
        elif len(self) > 1:
            self.clear()
            self[None] = NULL
        return encoded


class _Numbers(NamedTuple):
    """Encodes numbers, integers and booleans as one float8[]. A null is NaN there."""

    positions: Sequence[int]

    def encode(self, columns: Sequence[Column]) -> list[bytes]:
        numbers = np.array([columns[at] for at in self.positions], np.float64).T
        return _lines(_block_of_lists(numbers, len(self.positions)))


class _TextArray(NamedTuple):
    """Encodes texts as one text[]."""

    positions: Sequence[int]
    texts: Sequence[_Texts]

    def encode(self, columns: Sequence[Column]) -> list[bytes]:
        items = [texts.encode(columns[at]) for texts, at in zip(self.texts, self.positions, strict=True)]
        head = pg_binary.array_head(pg_binary.TEXT, len(items))
        return [_sized(head + b"".join(row)) for row in zip(*items, strict=True)]


def _array_of(column_types: Sequence[str], positions: Sequence[int]) -> _Numbers | _TextArray:
    if column_types[0] in TEXTS:
        return _TextArray(positions, [_Texts(kind) for kind in column_types])
    return _Numbers(positions)


def _encode_lists(kind: str, column: Column) -> list[bytes]:
    lengths = {None if value is None else len(value) for value in column}
    if kind != "array_float_2d" and len(lengths) == 1 and (length := lengths.pop()):
        vectors = np.array(column, np.float64)
        return _lines(_block_of_lists(probabilities.shares(vectors) if kind == PROBABILITIES else vectors, length))
    if kind == PROBABILITIES:
        column = [None if value is None else probabilities.share(value) for value in column]
    to_bytes = LISTS[kind]
    return [NULL if value is None else _sized(to_bytes(value)) for value in column]


def _block_of_lists(lists: Any, length: int) -> Any:
    """Encode lists of one length, such as probabilities, without an object for each."""
    head = pg_binary.floats([0.0] * length)[: -12 * length]
    items = [("size", ">i4"), ("value", FLOAT)]
    block = np.empty(len(lists), [("size", ">i4"), ("head", f"V{len(head)}"), ("items", items, (length,))])
    block["size"], block["head"] = len(head) + 12 * length, np.frombuffer(head, f"V{len(head)}")
    block["items"]["size"], block["items"]["value"] = 8, np.array(lists, np.float64)
    return block


def _sized(value: bytes) -> bytes:
    return _size(len(value)) + value
