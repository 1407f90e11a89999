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
PACKED_INTEGERS = (
    "string_agg(int8send(coalesce({0}, 0)), null)",
    "string_agg(case when {0} is null then '\\x01'::bytea else '\\x00'::bytea end, null)",
)
PACKED_LISTS = (
    "string_agg(coalesce(array_send({0}), ''::bytea), null)",
    "string_agg(int4send(coalesce(length(array_send({0})), 0)), null)",
)
PACKED: Mapping[str, tuple[str, ...]] = {
    "numeric": ("string_agg(float8send(coalesce({0}, 'NaN'::float8)), null)",),
    "integer": PACKED_INTEGERS,
    "bigint": PACKED_INTEGERS,
    "boolean": ("string_agg(int4send(coalesce({0}::int4, 2)), null)",),
    "categorical": (PACKED_TEXTS,),
    "text": (PACKED_TEXTS,),
    "datetime": ("string_agg(timestamptz_send(coalesce({0}, '-infinity'::timestamptz)), null)",),
    "array_float": PACKED_LISTS,
    "array_float_2d": PACKED_LISTS,
}
# The SQL that packs the arrays of a layout; storage.array_blocks decodes them.
PACKED_ARRAY: Mapping[str, str] = {
    NUMBERS: "string_agg(array_send({0}), null)",
    TEXTS: "convert_to(json_agg({0})::text, 'UTF8')",
}


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
        packed = [PACKED[self.column_types[name]] for name in self.own]
        packed += [(PACKED_ARRAY[name],) for name in self.array_columns]
        return [part.format(f"c{position}") for position, parts in enumerate(packed) for part in parts]

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
