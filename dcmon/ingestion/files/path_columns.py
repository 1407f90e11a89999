"""Columns in the path of a file: the folders `key=value` of Hive, Spark, DuckDB, polars and pyarrow."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from dcmon import errors

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class PathColumn(NamedTuple):
    """The value of a column in a path, as text; None for null.

    `is_below`: the folder is below the path that was given, so that it must be a column. A folder `run=7` in the given
    path itself is one only if the version has a field for it.
    """

    text: str | None
    is_below: bool


PathColumns = Mapping[str, PathColumn]


def parse(given: str, below: str = "") -> PathColumns:
    """Return the columns of a file's path, by name. `below`: the part of the path below the given path.

    A column both in the given path and below it has the value below. Raises InvalidInput.
    """
    columns: dict[str, PathColumn] = {}
    for parts, is_below in ((_folders(given, has_name=not below), False), (_folders(below), True)):
        for part in parts:
            if not is_key_value(part):
                continue
            try:
                name, text = _parse_folder(part)
            except UnicodeError as error:
                if is_below:
                    raise errors.InvalidInput(f"The folder {part!r} has bytes that are not UTF-8.") from error
                continue
            if is_below and name in columns and columns[name].is_below:
                raise errors.InvalidInput(f"The path has the column {name!r} twice.")
            columns[name] = PathColumn(text, is_below)
    return columns


def is_key_value(folder: str) -> bool:
    """Return True if a folder's name is a column's name and its value."""
    return folder.find("=") > 0


def is_hidden(part: str) -> bool:
    """Return True if a file or folder belongs to the writer, not to the data: _SUCCESS, _temporary, .part-0.crc.

    A folder `_dc_label=1` is a column, as for Spark. Iceberg describes its tables in `v1.metadata.json`.
    """
    return part.startswith(".") or (part.startswith("_") and not is_key_value(part)) or part.endswith(".metadata.json")


def _folders(path: str, *, has_name: bool = True) -> tuple[str, ...]:
    parts = PurePosixPath(path).parts
    return parts[:-1] if has_name else parts


def _parse_folder(folder: str) -> tuple[str, str | None]:
    """Return the name and the value of a folder like `at=12%3A30`. Raises UnicodeError."""
    name, value = (unquote(part, errors="strict") for part in folder.split("=", 1))
    (name + value).encode()
    return name, None if value == HIVE_NULL else value
