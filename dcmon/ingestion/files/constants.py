"""Constant columns: a value that all rows of a file have, from `--set` or from the file's path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from dcmon.ingestion.files.csv_records import MalformedRow
from dcmon.ingestion.files.formats import Row
from dcmon.storage import categories
from dcmon.storage.columns import SAMPLE_ID


class OwnValue(StrEnum):
    """What happens to a row that has a value of its own in the field of a constant."""

    REFUSED = "refused"  # --set
    EQUAL = "equal"  # a folder below the given path: both must have the same value
    PREFERRED = "preferred"  # a folder in the given path itself, which may have been chosen for another reason


@dataclass(frozen=True)
class Constant:
    """The value of a field in all rows of a file. `text` is its spelling in the option or path, None for null."""

    value: Any
    text: str | None
    own_value: OwnValue


def add(rows: Iterator[Row], constants: Mapping[str, Constant]) -> Iterator[Row]:
    """Yield the rows with the constants, and MalformedRow for rows whose own value contradicts a constant."""
    for row in rows:
        yield _add_to_row(row, constants) if isinstance(row, dict) else row


def _add_to_row(row: dict[str, Any], constants: Mapping[str, Constant]) -> Row:
    for field, constant in constants.items():
        if field not in row:
            row[field] = constant.value
            continue
        if constant.own_value == OwnValue.REFUSED:
            return _malformed(row, field, f"The row has {field!r}, which --set gives too.")
        if constant.own_value == OwnValue.EQUAL and not _is_equal(row[field], constant.value):
            own = "null" if row[field] is None else repr(row[field])
            path = "null" if constant.value is None else repr(constant.text)
            return _malformed(row, field, f"{field!r} is {own} in the row, and {path} in the path.")
    return row


def _is_equal(own: Any, constant: Any) -> bool:
    """Compare two converted values. Two spellings of a category are equal."""
    if isinstance(own, str) and isinstance(constant, str):
        return categories.normalize(own) == categories.normalize(constant)
    return bool(own == constant)


def _malformed(row: Mapping[str, Any], field: str, reason: str) -> MalformedRow:
    sample_id = row.get(SAMPLE_ID)
    known_id = sample_id if isinstance(sample_id, str) else None
    return MalformedRow(msgspec.json.encode(row, enc_hook=str), reason, field, known_id)
