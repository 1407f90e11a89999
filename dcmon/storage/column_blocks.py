"""Rows in columns, packed by PostgreSQL and decoded in the check worker.

The process that reads the rows decodes nothing. To fetch a row, pickle it and put it into a data frame costs 6 µs as a
tuple of objects, and a tenth of that in columns.
"""

import math
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import accumulate, chain
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db.sql import BoundSql
from dcmon.storage import array_blocks, pg_binary, text_counts
from dcmon.storage.categories import normalize
from dcmon.storage.packing import NUMBER_TYPES, PACKED, Packing, number_groups
from dcmon.storage.table_layout import NUMBERS, TEXTS, ArrayElement
from dcmon.storage.text_counts import SEPARATOR

NULL_BYTE = b"\xff"
SURROGATE = "\udcff"  # Python decodes that byte to this character
NULL_TIME = -(2**63)  # stands for null: no timestamptz of a sample has this value


class TooManyRows(errors.InvalidInput):
    """The rows take more than {most:,} bytes. Let the monitor read fewer (--rows), or raise DCMON_EVALUATE__MEMORY."""


@dataclass(frozen=True)
class ColumnarSample:
    """Rows in columns, in blocks of rows.

    A block is a row of `fetch`: its number of rows, then the packed columns of `column_types` that are not in an array
    (first those of numbers, in groups), then the packed arrays. `elements`: the columns that are in arrays.
    `n_selected_from`: how many rows there are, of which these are a sample; None if that is not known.
    """

    column_types: Mapping[str, str]
    blocks: Sequence[tuple[Any, ...]]
    elements: Mapping[str, ArrayElement] = field(default_factory=dict)
    n_selected_from: int | None = None

    def __len__(self) -> int:
        return sum(block[0] for block in self.blocks)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what has been decoded: a check worker decodes what it needs."""
        names = ("column_types", "blocks", "elements", "n_selected_from")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def _own_types(self) -> Mapping[str, str]:
        """The types of the columns that are not in an array."""
        return {name: kind for name, kind in self.column_types.items() if name not in self.elements}

    @cached_property
    def _grouped_numbers(self) -> Mapping[str, "_GroupedNumber"]:
        """Where the columns of numbers are that are packed in groups."""
        return {
            name: _GroupedNumber(part, group.width, position)
            for part, group in enumerate(number_groups(self._own_types), 1)
            for position, name in enumerate(group.names)
        }

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        """The position in a block of the first part of each other column."""
        sizes = {name: len(PACKED[kind]) for name, kind in self._own_types.items() if kind not in NUMBER_TYPES}
        first = 1 + len(number_groups(self._own_types))
        return dict(zip(sizes, accumulate(sizes.values(), initial=first), strict=False))

    @cached_property
    def _numbers(self) -> "np.ndarray[Any, Any]":
        """The columns of the array of numbers, which are decoded together: shape (columns, rows), NaN for null."""
        return array_blocks.number_columns([(block[0], packed) for block, packed in self._packed_array(NUMBERS)])

    @cached_property
    def _texts(self) -> list[list[bytes]]:
        """The columns of the array of texts in each block, packed like columns that are not in an array."""
        return [array_blocks.text_columns(packed, SURROGATE) for _, packed in self._packed_array(TEXTS)]

    def _packed_array(self, name: str) -> Iterator[tuple[tuple[Any, ...], bytes]]:
        """Yield each block, and an array in it. Arrays are the last parts of a block."""
        names = list(dict.fromkeys(element.array for element in self.elements.values()))
        for block in self.blocks:
            yield block, block[names.index(name) - len(names)]

    def _parts(self, name: str) -> list[Sequence[bytes]]:
        """Return the packed parts of a column in each block."""
        if (element := self.elements.get(name)) is not None:
            return [[columns[element.position]] for columns in self._texts]
        first = self._positions[name]
        last = first + len(PACKED[self.column_types[name]])
        return [block[first:last] for block in self.blocks]

    def column(self, name: str) -> Any:
        """Return a column: an array of numbers, or a list if values may be null."""
        kind = self.column_types[name]
        if (element := self.elements.get(name)) is not None and element.array == NUMBERS:
            return array_blocks.column_values(kind, self._numbers[element.position])
        if (grouped := self._grouped_numbers.get(name)) is not None:
            values = np.concatenate([grouped.values_in(block) for block in self.blocks]).astype("f8")
            return values.astype("i8") if kind == "integer" and not np.isnan(values).any() else values
        decoded = [_decoded(kind, parts) for parts in self._parts(name)]
        if isinstance(decoded[0], np.ndarray):
            return np.concatenate(decoded) if len(decoded) > 1 else decoded[0]
        return [value for block in decoded for value in block]

    def counts(self, name: str) -> "Counter[str | bool | None]":
        """Return the number of rows by value of a column of texts, categories or booleans; None stands for null.

        Each distinct text is decoded once, so that no string is made for each row. Categories get their normal
        spelling.
        """
        if self.column_types[name] == "boolean":
            return Counter(self.column(name))
        packed = Counter[bytes]()
        for (texts,) in self._parts(name):
            packed.update(text_counts.counted(texts))
        if self.column_types[name] != "categorical":
            return Counter({_text(value): n for value, n in packed.items()})
        counts = Counter[str | bool | None]()
        for value, n in packed.items():
            counts[None if value == NULL_BYTE else normalize(value.decode())] += n
        return counts

    def codes(self, name: str) -> "Codes":
        """Return a column of texts as positions in its distinct values."""
        codes, texts = text_counts.encoded(SEPARATOR.join(texts for (texts,) in self._parts(name)))
        is_categorical = self.column_types[name] == "categorical"
        names = {
            text: normalize(text.decode()) if is_categorical else text.decode() for text in texts if text != NULL_BYTE
        }
        position = {text: code for code, text in enumerate(dict.fromkeys(names.values()))}
        code_of = np.array([-1 if text == NULL_BYTE else position[names[text]] for text in texts], np.int64)
        return Codes(code_of[codes], tuple(position))

    def n_null(self, name: str) -> int:
        """Return the number of nulls of a column of times or arrays."""
        if self.column_types[name] == "datetime":
            return sum(int((np.frombuffer(parts[0], ">i8") == NULL_TIME).sum()) for parts in self._parts(name))
        return sum(sum(parts[1]) for parts in self._parts(name))

    def vectors(self, name: str, length: int | None) -> "np.ndarray[Any, Any] | None":
        """Return a column of arrays of one length: shape (rows, length), NaN in rows with another length or null.

        `length`: None for the longest one. None if no row has an array of this length.
        """
        lists = [_lists(parts[0], parts[1]) for parts in self._parts(name)]
        rows = [row for block in lists for row in block]
        width = max((len(row) for row in rows if row is not None), default=0) if length is None else length
        if width and all(isinstance(block, np.ndarray) and block.shape[1] == width for block in lists):
            return np.asarray(np.concatenate(lists))
        matching = [index for index, row in enumerate(rows) if row is not None and len(row) == width]
        if not matching or not width:
            return None
        vectors = np.full((len(rows), width), np.nan)
        vectors[matching] = np.array([rows[index] for index in matching], dtype=float)
        return vectors


class _GroupedNumber(NamedTuple):
    """A column in a group of numbers: the part of a block that has the group, its width, and the column's position."""

    part: int
    width: int
    position: int

    def values_in(self, block: tuple[Any, ...]) -> "np.ndarray[Any, Any]":
        """Return the column's values in a block, NaN for null, in the byte order of the network."""
        return np.frombuffer(block[self.part], ">f8").reshape(-1, self.width)[:, self.position]


class Codes(NamedTuple):
    """A column of texts. `codes`: shape (rows,), positions in `names`, -1 for null."""

    codes: "np.ndarray[Any, Any]"
    names: tuple[str, ...]


def fetch(
    session: Session, packing: Packing, query: BoundSql, limit: int | None, max_bytes: int
) -> ColumnarSample | None:
    """Fetch the rows of a query in columns, in its order; None without rows.

    The query selects the `select_list` of the packing. Raises TooManyRows above `max_bytes`.
    """
    packed, rows = packing.targets, packing.block_rows
    if limit is not None and limit <= rows:
        statement = f"select count(*)::int4, {packed} from ({query.sql}) as sample"
        fetched_blocks: Iterable[Any] = db.fetch(session, *_compiled(session, statement, query.parameters))
    else:
        number = f"(row_number() over (order by o1, o2) - 1) / {rows} as block"
        numbered_rows = f"select *, {number} from ({query.sql}) as sample"
        statement = f"select count(*)::int4, {packed} from ({numbered_rows}) as numbered group by block order by block"
        fetched_blocks = db.stream(session, *_compiled(session, statement, query.parameters))
    blocks, size = [], 0
    for count, *parts in fetched_blocks:
        if not count:
            continue
        flat = list(chain.from_iterable(parts)) if packing.is_nested else parts
        size += sum(map(len, flat))
        if size > max_bytes:
            raise TooManyRows(most=max_bytes)
        blocks.append((count, *flat))
    return ColumnarSample(packing.column_types, blocks, packing.elements) if blocks else None


def fetch_groups(
    session: Session, packing: Packing, query: BoundSql, count: int, max_bytes: int
) -> list[ColumnarSample | None]:
    """Fetch the rows of `count` groups in columns; None for a group without rows.

    The query selects the `select_list` of the packing, and `group_number`. Raises TooManyRows above `max_bytes`.
    """
    number = f"(row_number() over (partition by group_number order by o1, o2) - 1) / {packing.block_rows} as block"
    statement = (
        f"select group_number, count(*)::int4, {packing.targets} from (select *, {number} from ({query.sql}) as sample)"
        " as numbered group by group_number, block order by group_number, block"
    )
    blocks, size = dict[int, list[tuple[Any, ...]]](), 0
    for group_number, count_of_block, *parts in db.stream(session, *_compiled(session, statement, query.parameters)):
        flat = list(chain.from_iterable(parts)) if packing.is_nested else parts
        size += sum(map(len, flat))
        if size > max_bytes:
            raise TooManyRows(most=max_bytes)
        blocks.setdefault(group_number, []).append((count_of_block, *flat))
    return [
        ColumnarSample(packing.column_types, blocks[position], packing.elements) if position in blocks else None
        for position in range(count)
    ]


def _compiled(session: Session, statement: str, parameters: dict[str, Any]) -> BoundSql:
    """Translate the parameters from the form of SQLAlchemy to that of psycopg."""
    compiled = text(statement).compile(dialect=session.get_bind().dialect)
    return BoundSql(str(compiled), dict(compiled.construct_params(parameters)))


def _decoded(kind: str, parts: Sequence[bytes]) -> Any:
    if kind == "bigint":
        return _integers(np.frombuffer(parts[0], ">i8"), np.frombuffer(parts[1], "?"))
    if kind == "boolean":
        return [(False, True, None)[value] for value in np.frombuffer(parts[0], ">i4").tolist()]
    if kind == "datetime":
        return [_time(value) for value in np.frombuffer(parts[0], ">i8").tolist()]
    if kind.startswith("array"):
        lists = _lists(parts[0], parts[1])
        return lists if isinstance(lists, list) else lists.tolist()
    return _texts(parts[0], kind == "categorical")


def _integers(values: "np.ndarray[Any, Any]", is_null: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    if not is_null.any():
        return values.astype("i8")
    return np.where(is_null, np.nan, values)


class _KnownTexts(dict[str, str | None]):
    """Equal texts as one object, which is hashed and kept in memory once."""

    def __init__(self, is_categorical: bool) -> None:
        super().__init__({SURROGATE: None})
        self.is_categorical = is_categorical

    def __missing__(self, text: str) -> str:
        normal = self[text] = normalize(text) if self.is_categorical else text
        return normal


def _texts(packed: bytes, is_categorical: bool) -> list[str | None]:
    texts = packed.decode(errors="surrogateescape").split("\0")
    return list(map(_KnownTexts(is_categorical).__getitem__, texts))


def _time(microseconds: int) -> Any:
    return None if microseconds == NULL_TIME else pg_binary.EPOCH + timedelta(microseconds=microseconds)


def _text(packed: bytes) -> str | None:
    return None if packed == NULL_BYTE else packed.decode()


def _lists(packed: bytes, nulls: bytes) -> "list[Any] | np.ndarray[Any, Any]":
    """Decode arrays: as one array if all have one length and no null, otherwise as lists, None for null.

    `nulls`: a byte for each row, 1 for null; `packed` has no bytes of a null.
    """
    n_present = len(nulls) - sum(nulls)
    vectors = _equal_vectors(packed, n_present)
    if vectors is not None and n_present == len(nulls):
        return vectors
    present = iter(_separate_lists(packed) if vectors is None else vectors.tolist())
    return [None if is_null else next(present) for is_null in nulls]


def _equal_vectors(packed: bytes, n: int) -> "np.ndarray[Any, Any] | None":
    """Decode n vectors of one length, such as probabilities, at once: shape (rows, length).

    None if there are none, if they differ in length, or if they have nulls. As each header says where the next one is,
    equal headers at equal distances are headers.
    """
    if not n or len(packed) % n or len(packed) < 20 * n:
        return None
    count, remainder = divmod(len(packed) // n - 20, 12)
    if remainder:
        return None
    head = [("dimensions", ">i4"), ("has_null", ">i4"), ("kind", ">i4"), ("count", ">i4"), ("first", ">i4")]
    body = [("length", ">i4"), ("value", ">f8")]
    vectors = np.frombuffer(packed, [*head, ("body", body, (count,))])
    if (vectors["dimensions"] != 1).any() or vectors["has_null"].any() or (vectors["count"] != count).any():
        return None
    return np.asarray(vectors["body"]["value"], dtype=np.float64)


def _separate_lists(packed: bytes) -> Iterator[Any]:
    """Decode arrays of float8 one by one, each into lists."""
    start = 0
    while start < len(packed):
        end = _array_end(packed, start)
        yield _list(packed[start:end])
        start = end


def _array_end(packed: bytes, start: int) -> int:
    """Return where the array ends that starts there."""
    dimensions, has_null, _ = struct.unpack_from(">3i", packed, start)
    counts = struct.unpack_from(f">{2 * dimensions}i", packed, start + 12)[::2]
    n_values: int = math.prod(counts) if counts else 0
    at: int = start + 12 + 8 * dimensions
    if not has_null:
        return at + 12 * n_values
    for _ in range(n_values):
        at += 4 if packed[at : at + 4] == pg_binary.NULL else 12
    return at


def _list(packed: bytes) -> Any:
    """Decode an array of float8 into lists."""
    dimensions, has_null, _ = np.frombuffer(packed, ">i4", 3).tolist()
    shape = np.frombuffer(packed, ">i4", 2 * dimensions, 12).tolist()[::2]
    if not dimensions:
        return []
    body = packed[12 + 8 * dimensions :]
    flat = _with_nulls(body) if has_null else np.frombuffer(body, [("length", ">i4"), ("value", ">f8")])["value"]
    return np.reshape(np.asarray(flat, dtype=object if has_null else "f8"), shape).tolist()


def _with_nulls(body: bytes) -> list[float | None]:
    values, at = list[float | None](), 0
    while at < len(body):
        is_null = body[at : at + 4] == pg_binary.NULL
        values.append(None if is_null else float(np.frombuffer(body, ">f8", 1, at + 4)[0]))
        at += 4 if is_null else 12
    return values
