"""Cells of a notebook, and the two texts that they make: a file of Jupyter, and a script.

Code gets values only as literals: `assignment` writes them, and no other function takes a value. So a name with any
characters can never end a text and become code.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

INDENT = 4
WIDTH = 100  # characters; a longer list or dict has a line for each item


class Cell(NamedTuple):
    """One cell. `source`: of a text without any name that a client chose, or code whose values are literals."""

    kind: Literal["markdown", "code"]
    source: str


def assignment(variable: str, value: Any) -> str:
    """Return the statement that assigns a JSON value to a variable."""
    return f"{variable} = {literal(value)}"


def literal(value: Any, depth: int = 0) -> str:
    """Return the Python literal of a JSON value. Characters that can't be seen are escaped."""
    if isinstance(value, Mapping):
        items = [f"{literal(str(name), depth + 1)}: {literal(item, depth + 1)}" for name, item in value.items()]
        return _enclosed("{", items, "}", depth)
    if isinstance(value, list | tuple):
        return _enclosed("[", [literal(item, depth + 1) for item in value], "]", depth)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _enclosed(opening: str, items: Sequence[str], closing: str, depth: int) -> str:
    line = f"{opening}{', '.join(items)}{closing}"
    if "\n" not in line and len(line) + INDENT * depth <= WIDTH:
        return line
    margin = " " * INDENT * (depth + 1)
    return "\n".join([opening, *(f"{margin}{item}," for item in items), " " * INDENT * depth + closing])


def as_script(cells: Iterable[Cell]) -> str:
    """Return the cells as a Python script; texts are comments."""
    return "\n\n".join(_commented(cell.source) if cell.kind == "markdown" else cell.source for cell in cells) + "\n"


def _commented(text: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())


def as_ipynb(cells: Iterable[Cell]) -> str:
    """Return the cells as JSON in the format 4.5 of Jupyter notebooks."""
    document = {
        "cells": [_ipynb_cell(number, cell) for number, cell in enumerate(cells, 1)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1)


def _ipynb_cell(number: int, cell: Cell) -> dict[str, Any]:
    source = cell.source.splitlines(keepends=True)
    shown = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": {}, "source": source}
    return shown | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {})
