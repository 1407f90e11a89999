"""How a version's columns are stored: each in a column of its own, or many of them in one array.

A row of PostgreSQL has at most 8,160 bytes and 1,600 columns, because it must fit into a page. Only texts, lists and
arrays can be stored outside the page. So a version with too many columns stores its numbers, and if necessary its
texts, in arrays. The layout is decided when a version is created, and never changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from dcmon import errors
from dcmon.storage.columns import TYPES, Columns, qualified, quoted

NUMBERS, TEXTS = "_dc_numbers", "_dc_texts"
KINDS = {NUMBERS: ("numeric", "integer", "boolean"), TEXTS: ("categorical", "text")}
ARRAY_SQL = {NUMBERS: "float8[]", TEXTS: "text[]"}
NAN = "cast('NaN' as float8)"  # stands for null in an array of numbers; JSON has no NaN
# The SQL of a value of an array, by the type of its column. {0} is the element. A float8 has all values of an int4.
ELEMENT_SQL = {
    "numeric": f"nullif({{0}}, {NAN})",
    "integer": f"cast(nullif({{0}}, {NAN}) as int4)",
    "boolean": f"cast(cast(nullif({{0}}, {NAN}) as int4) as bool)",
    "categorical": "{0}",
    "text": "{0}",
}
MAX_COLUMNS = 5_000
# Of the 1,600 columns of a table, dcmon has some, and they must also fit in a list of columns with it.
MAX_TABLE_COLUMNS = 1_500
MAX_ROW_BYTES = 8_160
HEADER_BYTES = 23  # of a row, before a bit for each column that tells which are null
# A text or list of up to 24 bytes stays in the row; of a longer one, at least a pointer of 18 bytes.
SIZES = {"float8": 8, "int8": 8, "timestamptz": 8, "int4": 4, "int2": 2, "bool": 1}
VARIABLE_SIZE = 24
# The columns of dcmon in a table of samples or of a reference, before and after those of the version.
UUID_BYTES = 16
BEFORE, AFTER = ("int4", "int2", "text", "timestamptz"), ("timestamptz", "text")


class Layout(IntEnum):
    """Which columns of a version are in arrays. The number is stored in `versions.layout`."""

    NO_ARRAY = 1
    NUMBERS_IN_ARRAY = 2
    NUMBERS_AND_TEXTS_IN_ARRAY = 3


ARRAY_COLUMNS: Mapping[int, Sequence[str]] = {
    Layout.NO_ARRAY: (),
    Layout.NUMBERS_IN_ARRAY: (NUMBERS,),
    Layout.NUMBERS_AND_TEXTS_IN_ARRAY: (NUMBERS, TEXTS),
}


@dataclass(frozen=True)
class ArrayColumn:
    """A column of arrays with the values of several columns of a version: their names and types, in order."""

    name: str
    column_types: Mapping[str, str]

    @property
    def sql_type(self) -> str:
        return ARRAY_SQL[self.name]


class ArrayElement(NamedTuple):
    """Where a column is stored: the column of arrays, and the position from 0 on."""

    array: str
    position: int


@dataclass(frozen=True)
class TableLayout:
    """The columns of a version's tables: columns of their own (name to type), and columns of arrays."""

    own: Mapping[str, str]
    array_columns: Sequence[ArrayColumn] = ()

    @cached_property
    def elements(self) -> Mapping[str, ArrayElement]:
        """Return where the columns are that are in arrays."""
        return {
            name: ArrayElement(array.name, position)
            for array in self.array_columns
            for position, name in enumerate(array.column_types)
        }

    @property
    def declarations(self) -> str:
        """Return the columns for CREATE TABLE."""
        own = [f"{quoted(name)} {TYPES[kind].sql}" for name, kind in self.own.items()]
        return ", ".join([*own, *(f"{array.name} {array.sql_type}" for array in self.array_columns)])

    def expression(self, alias: str, name: str) -> str:
        """Return the SQL of a column's value, with the alias of its table, for `sqlalchemy.text`."""
        if (element := self.elements.get(name)) is None:
            return qualified(alias, name)
        array = next(array for array in self.array_columns if array.name == element.array)
        return ELEMENT_SQL[array.column_types[name]].format(f"{alias}.{array.name}[{element.position + 1}]")


def array_columns(layout: int, user_columns: Mapping[str, str]) -> list[ArrayColumn]:
    """Return the arrays of a layout. `user_columns`: the version's own columns, in the stored order."""
    return [
        ArrayColumn(array, column_types)
        for array in ARRAY_COLUMNS[layout]
        if (column_types := {name: kind for name, kind in user_columns.items() if kind in KINDS[array]})
    ]


def of(columns: Columns) -> TableLayout:
    """Return the layout of the tables of a version."""
    column_types = {**columns.model_output, **columns.user_columns}
    if columns.layout == Layout.NO_ARRAY:
        return TableLayout(column_types)
    in_array = array_columns(columns.layout, columns.user_columns)
    taken = {name for array in in_array for name in array.column_types}
    return TableLayout({name: kind for name, kind in column_types.items() if name not in taken}, in_array)


def choose(columns: Columns) -> Layout:
    """Return the layout for a new version: the first in which all its rows fit in a page. Raises InvalidInput."""
    if len(columns.user_columns) > MAX_COLUMNS:
        raise errors.InvalidInput(
            f"The version has {len(columns.user_columns):,} columns, and at most {MAX_COLUMNS:,} are possible."
            " Leave some out, or divide them among several models."
        )
    for layout in Layout:
        tables = of(columns.with_layout(layout))
        if row_bytes(tables) <= MAX_ROW_BYTES and len(tables.own) <= MAX_TABLE_COLUMNS:
            return layout
    count = len([name for name in tables.own if name in columns.user_columns])
    raise errors.InvalidInput(
        f"With {count:,} columns of types bigint, datetime, array_float and array_float_2d, a row has up to"
        f" {row_bytes(tables):,} bytes, and PostgreSQL has room for {MAX_ROW_BYTES:,}. Leave some out, or use numeric"
        " or integer instead of bigint."
    )


def row_bytes(tables: TableLayout) -> int:
    """Return how many bytes the largest row has in its page, without what PostgreSQL can store outside.

    PostgreSQL's documentation, "Database Page Layout" and "TOAST".
    """
    own = [TYPES[kind].sql for kind in tables.own.values()]
    types = [*BEFORE, *own, *(array.sql_type for array in tables.array_columns), *AFTER]
    size = _aligned(HEADER_BYTES + (len(types) + 1 + 7) // 8, 8) + UUID_BYTES
    for sql_type in types:
        width = SIZES.get(sql_type, 1)
        size = _aligned(size, width) + SIZES.get(sql_type, VARIABLE_SIZE)
    return size


def _aligned(size: int, width: int) -> int:
    return -(-size // width) * width
