"""The distinct values of each column of a file, as far as a proposal reads it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from dcmon import errors
from dcmon.ingestion.files import column_names
from dcmon.ingestion.files.column_mapping import EveryColumn
from dcmon.ingestion.files.reader import File
from dcmon.ingestion.files.value_conversion import NULL_WORDS
from dcmon.storage.columns import LABEL, PREDICTION

MAX_ROWS = 100_000
MAX_FURTHER_ROWS = 2_000_000  # of which only classes are read
MAX_CLASSES = 1_000
MAX_CELLS = 5_000_000  # of a file with many columns fewer rows are read


@dataclass
class ColumnProfile:
    """The values of a column: how often each occurs, without nulls.

    `words` has texts that are null in columns that are not text, such as NA. A list is counted as a tuple; `nested` is
    the number of other values that no column can have.
    """

    name: str
    nulls: int = 0
    counts: Counter[Any] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    lists: int = 0
    nested: int = 0

    def add(self, value: Any) -> None:
        """Count a value."""
        if value is None or value != value:  # NaN
            self.nulls += 1
        elif isinstance(value, str):
            is_word = len(value) <= 5 and value.strip().lower() in NULL_WORDS
            (self.words if is_word else self.counts)[value] += 1
        elif isinstance(value, list | tuple):
            self.lists += 1
            self._count(tuple(tuple(item) if isinstance(item, list) else item for item in value))
        else:
            self._count(value)

    def _count(self, value: Any) -> None:
        try:
            self.counts[value] += 1
        except TypeError:  # a dict, or a list of dicts
            self.nested += 1

    @property
    def values(self) -> int:
        """Return the number of values, without nulls and the words for them."""
        return self.counts.total()

    @property
    def is_unique(self) -> bool:
        """Return True if each row has a value, and no value occurs twice."""
        return not (self.nulls or self.words or self.nested) and len(self.counts) == self.values > 0


@dataclass(frozen=True)
class FileProfile:
    """The profiles of all columns, by name. `is_complete` is False if only the first rows were read."""

    path: str
    rows: int
    columns: Mapping[str, ColumnProfile]
    is_complete: bool


def of_file(file: File, outputs: Collection[str] = ()) -> FileProfile:
    """Read the first rows of a file, and the classes of further rows.

    `outputs`: columns that have predictions or labels. Raises InvalidInput if the file has no row that can be read.
    """
    profiles: dict[str, ColumnProfile] = {}
    rows = 0
    readable = (row for row in file.rows(EveryColumn(file.dialect.value_rules())) if isinstance(row, dict))
    for row in readable:
        _add_row(profiles, row.items(), rows)
        rows += 1
        if len(row) < len(profiles):
            for name in profiles.keys() - row.keys():
                profiles[name].nulls += 1
        if rows >= MAX_ROWS or rows * len(profiles) >= MAX_CELLS:
            break
    if not profiles:
        raise errors.InvalidInput(f"{file.path} has no row that can be read: a proposal needs some rows.")
    return FileProfile(file.path, rows, profiles, is_complete=not _add_classes(profiles, readable, outputs))


def _add_classes(
    profiles: Mapping[str, ColumnProfile], rows: Iterable[Mapping[str, Any]], outputs: Collection[str]
) -> int:
    """Add the classes of further rows: a file that is sorted has some only at its end. Return the number of rows."""
    further = 0
    columns = [
        profile
        for name, profile in profiles.items()
        if len(profile.counts) <= MAX_CLASSES
        and (name in outputs or any(column_names.rank(name, field) is not None for field in (PREDICTION, LABEL)))
    ]
    for row in islice(rows, MAX_FURTHER_ROWS):
        further += 1
        for profile in columns:
            profile.add(row.get(profile.name))
    return further


def _add_row(profiles: dict[str, ColumnProfile], values: Iterable[tuple[str, Any]], rows_before: int) -> None:
    for name, value in values:
        profile = profiles.get(name)
        if profile is None:  # in JSON lines a row may have a new field
            profile = profiles[name] = ColumnProfile(name, nulls=rows_before)
        profile.add(value)
