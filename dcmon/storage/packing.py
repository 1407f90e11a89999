"""The SQL that packs rows into column blocks, which storage.column_blocks decodes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcmon.storage.stored_rows import Expression
from dcmon.storage.table_layout import NUMBERS, TEXTS, ArrayElement, TableLayout

BLOCK = 50_000  # rows that PostgreSQL packs into one value, because a value has at most 1 GB
MAX_BLOCK_VALUES = 5_000_000  # in a block, so that blocks of wide rows have fewer rows
MAX_ELEMENTS = 8  # of an array are read one by one: reading an element costs as much as reading its array
MAX_TARGETS = 1_600  # PostgreSQL allows 1,664 columns in the result of a statement
TARGETS_TOGETHER = 1_000
NULL = "\\xff"  # stands for null: this byte is never part of UTF-8

# The SQL that packs a block of a column. {0} is the column. Values are joined as bytes, as PostgreSQL sends them: texts
# in the encoding of the connection, which is UTF-8, and numbers in the byte order of the network. To make an array of
# the values first costs twice as much.
PACKED_TEXTS = f"string_agg(coalesce(textsend({{0}}), '{NULL}'::bytea), '\\x00'::bytea)"
PACKED_NULLS = "string_agg(case when {0} is null then '\\x01'::bytea else '\\x00'::bytea end, null)"
PACKED_LISTS = ("coalesce(string_agg(array_send({0}), null), ''::bytea)", PACKED_NULLS)  # no bytes for null
PACKED: Mapping[str, tuple[str, ...]] = {
    "bigint": ("string_agg(int8send(coalesce({0}, 0)), null)", PACKED_NULLS),
    "boolean": ("string_agg(int4send(coalesce({0}::int4, 2)), null)",),
    "categorical": (PACKED_TEXTS,),
    "text": (PACKED_TEXTS,),
    "datetime": ("string_agg(timestamptz_send(coalesce({0}, '-infinity'::timestamptz)), null)",),
    "array_float": PACKED_LISTS,
    "array_float_2d": PACKED_LISTS,
}
# Columns of these types are packed together, as float8, which has all values of an int4; NaN stands for null.
NUMBER_TYPES = ("numeric", "integer")
NUMBER = "coalesce({0}::float8, 'NaN'::float8)"
# The SQL that packs so many numbers of a row. A function that sends a value takes 1 kB of memory for it: to send a line
# segment, which is four numbers, costs PostgreSQL half as much as to send four numbers.
PACKED_NUMBERS: Mapping[int, str] = {
    1: "string_agg(float8send({0}), null)",
    2: "string_agg(point_send(point({0}, {1})), null)",
    4: "string_agg(lseg_send(lseg(point({0}, {1}), point({2}, {3}))), null)",
}
NUMBERS_TOGETHER = max(PACKED_NUMBERS)
# The SQL that packs the arrays of a layout; storage.array_blocks decodes them.
PACKED_ARRAY: Mapping[str, str] = {
    NUMBERS: "string_agg(array_send({0}), null)",
    TEXTS: "convert_to(json_agg({0})::text, 'UTF8')",
}


@dataclass(frozen=True)
class NumberGroup:
    """Columns of numbers that are packed together: so many numbers for each row, of which the last may be spare."""

    names: tuple[str, ...]

    @property
    def width(self) -> int:
        """How many numbers are packed for a row."""
        return min(width for width in PACKED_NUMBERS if width >= len(self.names))

    def packed(self, columns: Mapping[str, str]) -> str:
        """Return the SQL that packs the group. `columns`: the SQL of each column."""
        numbers = [NUMBER.format(columns[name]) for name in self.names]
        return PACKED_NUMBERS[self.width].format(*numbers, *["0"] * (self.width - len(numbers)))


def number_groups(column_types: Mapping[str, str]) -> list[NumberGroup]:
    """Return the columns that are packed together. They are the first parts of a block, in this order.

    `column_types`: those of the columns that are not in an array, in the order of the block.
    """
    names = [name for name, kind in column_types.items() if kind in NUMBER_TYPES]
    firsts = range(0, len(names), NUMBERS_TOGETHER)
    return [NumberGroup(tuple(names[first : first + NUMBERS_TOGETHER])) for first in firsts]


@dataclass(frozen=True)
class Packing:
    """How columns are packed into blocks.

    `own`: the SQL of each column that is packed alone; `array_columns`: the SQL of each array that is packed, and
    `elements`: the columns in them. `width` is the number of values of a row that are packed.
    """

    column_types: Mapping[str, str]
    own: Mapping[str, str]
    array_columns: Mapping[str, str]
    elements: Mapping[str, ArrayElement]
    width: int

    def select_list(self, order: Sequence[str]) -> str:
        """Return the select list of the rows to pack.

        `order`: the SQL of the two values by which the rows are ordered.
        """
        columns = [*self.own.values(), *self.array_columns.values()]
        named_columns = [f"{column} as c{position}" for position, column in enumerate(columns)]
        return ", ".join([*named_columns, f"{order[0]} as o1", f"{order[1]} as o2"])

    @property
    def is_nested(self) -> bool:
        """True if packed columns are selected in arrays, because they are too many for a result of PostgreSQL."""
        return len(self._expressions) > MAX_TARGETS

    @property
    def targets(self) -> str:
        """Return the select list of a block: the packed columns."""
        packed = self._expressions
        if not self.is_nested:
            return ", ".join(packed)
        parts = [packed[first : first + TARGETS_TOGETHER] for first in range(0, len(packed), TARGETS_TOGETHER)]
        return ", ".join(f"array[{', '.join(part)}]" for part in parts)

    @property
    def _expressions(self) -> list[str]:
        columns = {name: f"c{position}" for position, name in enumerate([*self.own, *self.array_columns])}
        own_types = {name: self.column_types[name] for name in self.own}
        others = [(name, PACKED[kind]) for name, kind in own_types.items() if kind not in NUMBER_TYPES]
        others += [(name, (PACKED_ARRAY[name],)) for name in self.array_columns]
        groups = [group.packed(columns) for group in number_groups(own_types)]
        return [*groups, *(part.format(columns[name]) for name, parts in others for part in parts)]

    @property
    def block_rows(self) -> int:
        """Return how many rows PostgreSQL packs into one block."""
        return max(1, min(BLOCK, MAX_BLOCK_VALUES // max(1, self.width)))


def create(layout: TableLayout, column_types: Mapping[str, str], expression: Expression, alias: str) -> Packing:
    """Return how columns are packed.

    `expression` gives the SQL of a column; `alias` is the alias of the table. An array is packed as a whole if more
    than a few of its columns are needed, because PostgreSQL reads the whole array for each of its elements.
    """
    wanted = Counter(layout.elements[name].array for name in column_types if name in layout.elements)
    packed = [array for array in layout.array_columns if wanted[array.name] > MAX_ELEMENTS]
    elements = {name: layout.elements[name] for array in packed for name in array.column_types if name in column_types}
    own = {name: expression(name) for name in column_types if name not in elements}
    width = len(own) + sum(len(array.column_types) for array in packed)
    return Packing(column_types, own, {array.name: f"{alias}.{array.name}" for array in packed}, elements, width)
