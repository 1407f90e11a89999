"""Decode samples into columns, ready for COPY, and separate the rows that can't be stored."""

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_64_digest

from dcmon.ingestion import quarantine
from dcmon.ingestion.quarantine import BadRow
from dcmon.ingestion.rejected_row import RejectedRow, RejectionReason
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.row_decoder import MAX_ID_LENGTH, RowType, RowValues
from dcmon.ingestion.row_types import sample_row_type
from dcmon.storage import pg_binary, pg_copy, table_layout
from dcmon.storage.columns import PREDICTION, PROBABILITIES, SAMPLE_ID, TIME, Columns
from dcmon.storage.sample_ids import key_of
from dcmon.storage.table_layout import ArrayColumn

NOT_OF_USER = (SAMPLE_ID, TIME, PREDICTION, PROBABILITIES)  # fields of a sample that each version has
CLOCK_SKEW = timedelta(minutes=5)
EARLIEST_TIME = datetime(1970, 1, 1, tzinfo=UTC)
MAX_HASH_SEED = 2**64 - 1
CONFLICT = RejectedRow(RejectionReason.CONFLICT, SAMPLE_ID, "A row with this id and other content is stored already.")


class RepeatedId(NamedTuple):
    """A row with the same id as an earlier row, but other content.

    `position` is the position of the earlier row in the columns, `number` the number of this row.
    """

    position: int
    content: bytes
    number: int


@dataclass
class DecodedSamples:
    """Decoded samples of several batches as columns, and the rows that can't be stored. Decoding needs no session.

    Rows are numbered over all batches; `starts` has the number of the first row of each batch. The columns hold the
    first row of each id. At the same position, `lines` has the values encoded for COPY, `times` the time in
    microseconds since 2000, `content` a hash of both, and `numbers` the row's number. `positions` maps the key of an id
    to its position in the columns.
    """

    row_type: RowType
    layout: int
    encoder: pg_copy.Encoder
    batches: Sequence[RowBatch]
    row_count: int = 0
    bad: list[BadRow] = field(default_factory=list)
    positions: dict[bytes, int] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    repeated: list[RepeatedId] = field(default_factory=list)

    @property
    def stored_columns(self) -> list[str]:
        """Return the columns of the version's table that `lines` have values for, in their order."""
        fields = self.row_type.fields
        own = [fields[index].name for index in self.encoder.order]
        return [*own, *(array.name for array in _array_columns(self.row_type, self.layout))]

    def candidates(self) -> "NewSamples":
        """Return the rows that may be new, in order of key.

        Transactions that store the same ids lock them in this order. So one waits for the other, without a deadlock.
        """
        keys = np.frombuffer(b"".join(self.positions), "S16")  # in the order of their positions
        order = np.argsort(keys)
        logged = np.array([pg_binary.micros(batch.logged_at) for batch in self.batches], np.int64)
        batch_numbers = np.searchsorted(self.starts, np.array(self.numbers, np.int64)[order], "right") - 1
        times = np.array(self.times, np.int64)[order]
        return NewSamples(keys.view("V16")[order].tolist(), order.tolist(), times, logged[batch_numbers])

    def conflicts(self, stored: Mapping[int, bytes]) -> list[BadRow]:
        """Return the rows whose content differs from the stored row with the same id.

        `stored` has the content of samples that were stored before, by the position of the row with the same id.
        """
        numbers = [self.numbers[position] for position, content in stored.items() if content != self.content[position]]
        numbers += [
            repeated.number
            for repeated in self.repeated
            if repeated.content != stored.get(repeated.position, self.content[repeated.position])
        ]
        return [self._conflict(number) for number in numbers]

    def _conflict(self, number: int) -> BadRow:
        batch_number = bisect_right(self.starts, number) - 1
        return quarantine.bad_row(self.batches[batch_number], number - self.starts[batch_number], CONFLICT)


@dataclass(frozen=True)
class NewSamples:
    """Samples to insert, in order of key: positions in `DecodedSamples`, times, and times of receipt."""

    keys: list[bytes]
    positions: list[int]
    times: Any  # numpy int64, microseconds since 2000
    logged: Any  # numpy int64, microseconds since 2000

    def without(self, indexes: Container[int]) -> "NewSamples":
        """Return the samples, except at these indexes."""
        remaining = [index for index in range(len(self.keys)) if index not in indexes]
        keys, positions = [self.keys[index] for index in remaining], [self.positions[index] for index in remaining]
        return NewSamples(keys, positions, self.times[remaining], self.logged[remaining])


def decode(columns: Columns, batches: Sequence[RowBatch], retention: timedelta | None = None) -> DecodedSamples:
    """Decode rows. Separate rows that can't be stored, are older than the retention, or repeat an id."""
    row_type = sample_row_type(columns)
    decoded = DecodedSamples(row_type, columns.layout, _encoder(row_type, columns.layout), batches)
    for batch in batches:
        for accepted in _decode_batch(decoded, batch, retention):
            _add(decoded, accepted)
    return decoded


def find_bad_rows(columns: Columns, batch: RowBatch, retention: timedelta | None = None) -> list[BadRow]:
    """Return the rows of a batch that can't be stored, as far as this is known without the stored samples."""
    row_type = sample_row_type(columns)
    decoded = DecodedSamples(row_type, columns.layout, _encoder(row_type, columns.layout), [batch])
    for _ in _decode_batch(decoded, batch, retention):
        pass
    return decoded.bad


def _decode_batch(decoded: DecodedSamples, batch: RowBatch, retention: timedelta | None) -> Iterator["_AcceptedRows"]:
    """Yield the rows that can be stored, a few hundred at a time. Add the other rows to `decoded.bad`."""
    decoded.starts.append(decoded.row_count)
    earliest = EARLIEST_TIME if retention is None else max(EARLIEST_TIME, batch.logged_at - retention)
    bounds = TimeBounds(earliest, batch.logged_at + CLOCK_SKEW)
    first = 0
    for rows in decoded.row_type.decode_all(batch.rows):
        for position in range(first, first + len(rows)) if batch.refused else ():
            if position in batch.refused:
                rows[position - first] = RejectedRow(RejectionReason.REFUSED, None, batch.refused[position])
        yield _accept(decoded, batch, bounds, first, rows)
        first += len(rows)
    decoded.row_count += first


class _AcceptedRows(NamedTuple):
    """The numbers, times and values of rows that can be stored, in the same order."""

    numbers: list[int]
    times: list[int]
    values: list[RowValues]


def _accept(
    decoded: DecodedSamples,
    batch: RowBatch,
    bounds: "TimeBounds",
    first: int,
    rows: Sequence[RowValues | RejectedRow],
) -> _AcceptedRows:
    """Return the rows that can be stored. Add the other rows to `decoded.bad`."""
    numbers, times, values = list[int](), list[int](), list[RowValues]()
    for position, row in enumerate(rows, first):
        if isinstance(row, RejectedRow):
            decoded.bad.append(quarantine.bad_row(batch, position, row))
            continue
        time = (row[1] - pg_binary.EPOCH) // pg_binary.MICROSECOND
        if not bounds.first <= time <= bounds.last or not 0 < len(row[0]) <= MAX_ID_LENGTH:
            decoded.bad.append(quarantine.bad_row(batch, position, _rejection(row[0], row[1], bounds)))
            continue
        numbers.append(decoded.row_count + position)
        times.append(time)
        values.append(row)
    return _AcceptedRows(numbers, times, values)


def _add(decoded: DecodedSamples, accepted: _AcceptedRows) -> None:
    """Add rows to the columns. Encode them immediately, while they are in the processor's cache."""
    numbers, times, rows = accepted
    lines, positions = decoded.encoder.encode(rows), decoded.positions
    content = [xxh3_64_digest(line, time & MAX_HASH_SEED) for line, time in zip(lines, times, strict=True)]
    keys = [key_of(row[0]) for row in rows]
    new = dict(zip(keys, range(len(positions), len(positions) + len(keys)), strict=True))
    if len(new) < len(keys) or not positions.keys().isdisjoint(new):
        _add_one_by_one(decoded, zip(keys, numbers, times, lines, content, strict=True))
        return
    positions.update(new)
    decoded.lines += lines
    decoded.content += content
    decoded.times += times
    decoded.numbers += numbers


def _add_one_by_one(decoded: DecodedSamples, rows: Iterable[tuple[bytes, int, int, bytes, bytes]]) -> None:
    """Add rows of which at least one repeats an id."""
    for key, number, time, line, content in rows:
        position = decoded.positions.setdefault(key, len(decoded.lines))
        if position == len(decoded.lines):
            decoded.lines.append(line)
            decoded.content.append(content)
            decoded.times.append(time)
            decoded.numbers.append(number)
        elif decoded.content[position] != content:
            decoded.repeated.append(RepeatedId(position, content, number))


@lru_cache(maxsize=64)
def _encoder(row_type: RowType, layout: int) -> pg_copy.Encoder:
    """Return the encoder of all values but the time. Ids are encoded as plain text, because each row has another id."""
    fixed_kinds = {SAMPLE_ID: "text", TIME: "", PROBABILITIES: pg_copy.PROBABILITIES}
    if row_type.classes:
        fixed_kinds[PREDICTION] = pg_copy.CLASS
    positions = {field.name: position for position, field in enumerate(row_type.fields)}
    array_positions = [[positions[name] for name in array.column_types] for array in _array_columns(row_type, layout)]
    return pg_copy.Encoder([fixed_kinds.get(field.name, field.kind) for field in row_type.fields], array_positions)


def _array_columns(row_type: RowType, layout: int) -> Sequence[ArrayColumn]:
    """Return the arrays of a version's table. The fields have the order of the version's columns."""
    user_columns = {field.name: field.kind for field in row_type.fields if field.name not in NOT_OF_USER}
    return table_layout.array_columns(layout, user_columns)


class TimeBounds:
    """The times that rows of a batch may have. `first` and `last` are in microseconds since 2000."""

    def __init__(self, earliest: datetime, latest: datetime) -> None:
        self.earliest, self.latest = earliest, latest
        self.first, self.last = pg_binary.micros(earliest), pg_binary.micros(latest)


def _rejection(sample_id: str, time: datetime, bounds: TimeBounds) -> RejectedRow:
    """Return the rejection of a decoded row, whose id or time can't be stored."""
    if not sample_id or len(sample_id) > MAX_ID_LENGTH:
        code = RejectionReason.TOO_LONG if sample_id else RejectionReason.WRONG_TYPE
        return RejectedRow(code, SAMPLE_ID, f"An id has 1 to {MAX_ID_LENGTH} characters.")
    if time > bounds.latest:
        detail = f"{time.isoformat()} is more than 5 minutes after receipt."
        return RejectedRow(RejectionReason.FUTURE_TIMESTAMP, TIME, detail)
    if time < EARLIEST_TIME:
        return RejectedRow(RejectionReason.OUT_OF_RANGE, TIME, f"{time.isoformat()} is before 1970.")
    detail = f"{time.isoformat()} is older than the retention, which begins at {bounds.earliest.isoformat()}."
    return RejectedRow(RejectionReason.TOO_OLD, TIME, detail)
