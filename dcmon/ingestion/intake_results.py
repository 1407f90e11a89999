"""What became of the rows of a request: the counts, and the first rejected row of each reason.

The endpoint responds with these classes as JSON: docs/http.md describes the fields.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dcmon.ingestion.field_value import encodable, field_value
from dcmon.ingestion.quarantine import BadRow
from dcmon.ingestion.rejected_row import RejectedRow
from dcmon.storage.ledger import Outcome


@dataclass(frozen=True)
class RejectedExample:
    """A rejected row of a request: its position from 0, the field that is wrong, and the value that was met."""

    row: int
    field: str | None
    value: Any
    detail: str

    @classmethod
    def create(
        cls, position: int, row: bytes, rejected: BadRow | RejectedRow, names: Sequence[str] | None = None
    ) -> "RejectedExample":
        """Return the example of a raw row. `names` are those of the values of a row that is a list."""
        field = rejected.field and encodable(rejected.field)
        return cls(position, field, field_value(row, rejected.field, names), encodable(rejected.detail))


@dataclass(frozen=True)
class StoredRows:
    """Rows that were stored: received = stored + duplicates + replaced + the sum of `quarantined`.

    `replaced` counts labels that are lost, because a later row of the request has another label for the same id.
    `quarantined` counts by reason, also rows that were in the quarantine before. `waiting` counts labels, stored or
    duplicates, whose sample is not stored yet. `first` has the first rejected row of each reason.
    """

    received: int
    stored: int
    duplicates: int
    waiting: int
    replaced: int
    quarantined: Mapping[str, int]
    first: Mapping[str, RejectedExample]

    @property
    def counts(self) -> dict[str, int]:
        """The counts of the rows by what became of them, for metrics."""
        return {
            "received": self.received,
            "stored": self.stored,
            "duplicate": self.duplicates,
            "replaced": self.replaced,
            "quarantined": sum(self.quarantined.values()),
        }


@dataclass(frozen=True)
class CheckOfFirstRows:
    """A check of the first `rows` rows of a request: those that will be quarantined, by reason."""

    rows: int
    quarantined: Mapping[str, int]
    first: Mapping[str, RejectedExample]


@dataclass(frozen=True)
class AcceptedRows:
    """Rows that are in Kafka, from which a worker stores them later. The check is None if it was not possible."""

    received: int
    accepted: int
    check_of_first_rows: CheckOfFirstRows | None

    @property
    def counts(self) -> dict[str, int]:
        """The counts of the rows by what became of them, for metrics."""
        return {"received": self.received, "accepted": self.accepted}


IntakeResult = StoredRows | AcceptedRows


def stored_rows(outcome: Outcome, bad: Sequence[BadRow]) -> StoredRows:
    """Return the result of storing rows, of which `bad` could not be stored."""
    duplicates = outcome.taken - outcome.stored - outcome.replaced - len(bad)
    return StoredRows(
        outcome.taken, outcome.stored, duplicates, outcome.waiting, outcome.replaced, count_by_reason(bad),
        first_by_reason(bad),
    )  # fmt: skip


def checked_rows(count: int, bad: Sequence[BadRow]) -> CheckOfFirstRows:
    """Return the result of a check of `count` rows, of which `bad` can't be stored."""
    return CheckOfFirstRows(count, count_by_reason(bad), first_by_reason(bad))


def count_by_reason(bad: Sequence[BadRow]) -> dict[str, int]:
    """Count rejected rows by reason, the most frequent first."""
    return {str(reason): count for reason, count in Counter(row.reason for row in bad).most_common()}


def first_by_reason(bad: Sequence[BadRow]) -> dict[str, RejectedExample]:
    """Return the first rejected row of each reason."""
    first: dict[str, BadRow] = {}
    for row in bad:
        if row.position <= first.setdefault(row.reason, row).position:
            first[row.reason] = row
    return {
        str(reason): RejectedExample.create(row.position, row.row, row)
        for reason, row in sorted(first.items(), key=lambda item: item[1].position)
    }
