"""The rejected rows of a file, by reason and field, with the first row of each as an example."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dcmon.ingestion.field_value import field_value
from dcmon.ingestion.quarantine import BadRow
from dcmon.states import RowKind

MAX_GROUPS = 1_000  # of reason and field; a file with more has a field of its own in each row


@dataclass(frozen=True)
class Rejection:
    """The rows of a file that were rejected for one reason in one field.

    `row` is the number of the first of them in the file, from 0, `line` the line where it begins, from 1; None if the
    format has no lines. `value` is what its field has, `detail` says what is wrong with it.
    """

    kind: RowKind
    reason: str
    field: str | None
    rows: int
    row: int
    value: Any
    detail: str
    line: int | None = None


@dataclass
class Rejections:
    """Counts rejected rows: by kind, and by reason and field."""

    _rows: Counter[RowKind] = field(default_factory=Counter)
    _groups: dict[tuple[RowKind, str, str | None], Rejection] = field(default_factory=dict)

    def add(self, kind: RowKind, bad: Sequence[BadRow]) -> None:
        """Count rows of a kind."""
        self._rows[kind] += len(bad)
        for row in bad:
            key = kind, str(row.reason), row.field
            if key not in self._groups and len(self._groups) >= MAX_GROUPS:
                key = kind, str(row.reason), None
            known = self._groups.get(key)
            if known is None:
                value = field_value(row.row, row.field)
                self._groups[key] = Rejection(kind, str(row.reason), key[2], 1, row.position, value, row.detail)
            elif row.position < known.row:
                value = field_value(row.row, row.field)
                self._groups[key] = replace(
                    known, rows=known.rows + 1, row=row.position, value=value, detail=row.detail
                )
            else:
                self._groups[key] = replace(known, rows=known.rows + 1)

    def count(self, kind: RowKind) -> int:
        """Return the number of rejected rows of a kind."""
        return self._rows[kind]

    def first_rows(self) -> set[int]:
        """Return the numbers of the rows that are examples."""
        return {group.row for group in self._groups.values()}

    def add_lines(self, lines: Mapping[int, int]) -> None:
        """Set the lines at which the examples begin, by the number of their row."""
        self._groups = {key: replace(group, line=lines.get(group.row)) for key, group in self._groups.items()}

    def by_frequency(self) -> list[Rejection]:
        """Return the rejections, those with the most rows first."""
        return sorted(self._groups.values(), key=lambda group: (-group.rows, group.row))
