"""Rows as tuples of values: their select list, and the values that come out of arrays."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from dcmon.storage.table_layout import ArrayColumn, TableLayout

Expression = Callable[[str], str]
OF_NUMBER: dict[str, Callable[[float], Any]] = {"numeric": float, "integer": int, "boolean": bool}


class RowReader:
    """Reads rows of a version: their columns `names`, in this order.

    `expression` gives the SQL of a column, `alias` is the alias of the table. An array is selected as a whole, because
    PostgreSQL reads the whole array for each of its elements.
    """

    def __init__(self, layout: TableLayout, names: Sequence[str], expression: Expression, alias: str) -> None:
        own = [name for name in names if name not in layout.elements]
        used = {layout.elements[name].array for name in names if name in layout.elements}
        self._array_columns = [array for array in layout.array_columns if array.name in used]
        self._own_count = len(own)
        self.select_list = ", ".join(
            [*map(expression, own), *(f"{alias}.{array.name}" for array in self._array_columns)]
        )
        selected = [*own, *(name for array in self._array_columns for name in array.column_types)]
        positions = {name: position for position, name in enumerate(selected)}
        self._order = [positions[name] for name in names]

    def values(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return the values of a row that was selected by the select list."""
        if not self._array_columns:
            return tuple(row)
        values = list(row[: self._own_count])
        for array, elements in zip(self._array_columns, row[self._own_count :], strict=True):
            values += _array_values(array, elements)
        return tuple([values[position] for position in self._order])


def _array_values(array: ArrayColumn, elements: Sequence[Any]) -> list[Any]:
    """Return the values of an array's columns, with None for null."""
    return [
        _value(kind, element) if kind in OF_NUMBER else element
        for kind, element in zip(array.column_types.values(), elements, strict=True)
    ]


def _value(kind: str, number: float) -> Any:
    return None if math.isnan(number) else OF_NUMBER[kind](number)
