"""Decode labels, and keep the last one of each sample id. Separate rows that can't be stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from dcmon.ingestion import quarantine
from dcmon.ingestion.quarantine import BadRow
from dcmon.ingestion.rejected_row import RejectedRow, RejectionReason
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.row_types import label_row_type
from dcmon.storage import categories, pg_binary
from dcmon.storage.sample_ids import key_of

LabelValue = str | float | None


@dataclass
class DecodedLabels:
    """The last label of each sample id, and the rows that can't be stored. Decoding needs no session.

    `last` maps the key of an id to its label and the time of logging, in microseconds since 2000: plain tuples, because
    a named tuple for each row would cost time. `conflicts` counts labels that differ from an earlier label of the id.
    `others` has the labels of each id that another label took the place of, equal or not.
    """

    row_count: int = 0
    last: dict[bytes, tuple[LabelValue, int]] = field(default_factory=dict)
    conflicts: int = 0
    bad: list[BadRow] = field(default_factory=list)
    others: dict[bytes, list[LabelValue]] = field(default_factory=dict)

    @property
    def replaced(self) -> int:
        """The number of rows whose label is lost, because a later row of these has another label for the id."""
        return sum(label != self.last[key][0] for key, labels in self.others.items() for label in labels)


def decode(is_regression: bool, batches: Sequence[RowBatch]) -> DecodedLabels:
    """Decode rows. Of several labels of an id, keep the label that was logged last, then the last by position."""
    decoded = DecodedLabels()
    for batch in batches:
        _decode_batch(decoded, batch, is_regression)
    return decoded


def _decode_batch(decoded: DecodedLabels, batch: RowBatch, is_regression: bool) -> None:
    last, logged_at, names = decoded.last, pg_binary.micros(batch.logged_at), _ClassNames()
    for position, row in enumerate(chain.from_iterable(label_row_type(is_regression).decode_all(batch.rows))):
        decoded.row_count += 1
        if position in batch.refused:
            row = RejectedRow(RejectionReason.REFUSED, None, batch.refused[position])
        if isinstance(row, RejectedRow):
            decoded.bad.append(quarantine.bad_row(batch, position, row))
            continue
        sample_id, label = row
        entry = (label if label is None else float(label) if is_regression else names[type(label), label], logged_at)
        key = key_of(sample_id)
        earlier = last.setdefault(key, entry)
        if earlier is not entry:
            decoded.conflicts += earlier[0] != entry[0]
            is_later = earlier[1] <= logged_at
            decoded.others.setdefault(key, []).append((earlier if is_later else entry)[0])
            if is_later:
                last[key] = entry


class _ClassNames(dict[tuple[type, Any], str]):
    """The spelling of classes by type and value: 1, 1.0 and "1.0" are "1". True equals 1, so the type counts."""

    def __missing__(self, key: tuple[type, Any]) -> str:
        name = self[key] = str(categories.spelling(key[1]))
        return name
