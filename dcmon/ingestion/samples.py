"""Samples: taken in exactly once, and read back. The id map decides what is new; new rows are COPYed."""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session
from xxhash import xxh3_64_digest

from dcmon import db
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion import labels, quarantine, receipts
from dcmon.ingestion.quarantine import Bad
from dcmon.ingestion.raw_rows import split
from dcmon.ingestion.row_batch import Delivery
from dcmon.ingestion.row_decoder import LONGEST_ID, Rejected, Shape
from dcmon.ingestion.row_types import sample_shape
from dcmon.storage import pg_binary, pg_copy, sample_tables
from dcmon.storage.columns import HASH, KEY, LEVEL, LOGGED_AT, SAMPLE_ID, TIME, Columns, quoted
from dcmon.storage.ledger import Outcome
from dcmon.storage.sample_ids import key_of, levels_of
from dcmon.storage.sampling import production
from dcmon.windows import QUARTER_HOUR_SECONDS

__all__ = ["Outcome", "Sorted", "count", "production", "sort", "split", "store", "take", "window_counts"]

CLOCK_SKEW = timedelta(minutes=5)
OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
WRITTEN_AT_ONCE = 5_000
LARGEST_SEED = 2**64 - 1


@dataclass
class Sorted:
    """Decoded rows by what is to be done with them, the new ones in columns. Made without a session.

    `at` says where the row of a key stands in the columns. `lines` are its values, encoded for COPY; times are
    microseconds since 2000; `content` is a hash of both; `numbers` count the rows of all deliveries, which begin at
    `starts`. `rivals` have the id of a row of the columns and another content: its place, their content, and their
    number.
    """

    shape: Shape
    encoder: pg_copy.Encoder
    deliveries: Sequence[Delivery]
    taken: int = 0
    bad: list[Bad] = field(default_factory=list)
    at: dict[bytes, int] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    rivals: list[tuple[int, bytes, int]] = field(default_factory=list)

    def fresh(self) -> "Fresh":
        """The rows that may be new, in order of key: two that store the same ids then wait for each other in turn."""
        keys = np.frombuffer(b"".join(self.at), "S16")  # in order of their places
        order = np.argsort(keys)
        logged = np.array([pg_binary.micros(delivery.logged_at) for delivery in self.deliveries], np.int64)
        of = np.searchsorted(self.starts, np.array(self.numbers, np.int64)[order], "right") - 1
        times = np.array(self.times, np.int64)[order]
        return Fresh(keys.view("V16")[order].tolist(), order.tolist(), times, logged[of])

    def conflicts(self, stored: Mapping[int, bytes]) -> list[Bad]:
        """The rows of the columns, and their rivals, that differ from the row that has their id.

        `stored` has the contents of rows that were stored before, by the place of the row with the same id.
        """
        numbers = [self.numbers[place] for place, content in stored.items() if content != self.content[place]]
        numbers += [n for place, said, n in self.rivals if said != stored.get(place, self.content[place])]
        return [self._conflict(number) for number in numbers]

    def _conflict(self, number: int) -> Bad:
        of = bisect_right(self.starts, number) - 1
        return quarantine.bad(self.deliveries[of], number - self.starts[of], CONFLICT)


@dataclass(frozen=True)
class Fresh:
    """Rows on their way into the tables, in order of key: their places in the columns, times and times of receipt."""

    keys: list[bytes]
    places: list[int]
    times: Any
    logged: Any

    def without(self, lost: Container[int]) -> "Fresh":
        """These rows without those that are at one of the places."""
        kept = [at for at in range(len(self.keys)) if at not in lost]
        return Fresh(
            [self.keys[at] for at in kept], [self.places[at] for at in kept], self.times[kept], self.logged[kept]
        )


def take(
    session: Session,
    model: Model,
    version: Version,
    deliveries: Sequence[Delivery],
    *,
    retention: timedelta | None = None,
) -> Outcome:
    """Store new rows, count duplicates, quarantine the rest; all in the session's transaction.

    The time of receipt is fixed in the delivery, so that a replay decides alike.
    """
    return store(
        session, model, version, sort(sample_tables.columns(model, version), deliveries, retention), is_new=False
    )


def sort(columns: Columns, deliveries: Sequence[Delivery], retention: timedelta | None = None) -> Sorted:
    """Decode rows; set apart those that can't be stored, are older than the retention, or stand in there twice."""
    shape = sample_shape(columns)
    found = Sorted(shape, _encoder(shape), deliveries)
    for delivery in deliveries:
        _sort(found, delivery, retention)
    return found


def _sort(found: Sorted, delivery: Delivery, retention: timedelta | None) -> None:
    found.starts.append(found.taken)
    earliest = OLDEST if retention is None else max(OLDEST, delivery.logged_at - retention)
    bounds = Bounds(earliest, delivery.logged_at + CLOCK_SKEW)
    position = 0
    for decoded in found.shape.decode_all(delivery.rows):
        for at in range(position, position + len(decoded)) if delivery.refused else ():
            if at in delivery.refused:
                decoded[at - position] = Rejected("refused", None, delivery.refused[at])
        _add(found, *_acceptable(found, delivery, bounds, position, decoded))
        position += len(decoded)
    found.taken += position


def _acceptable(
    found: Sorted, delivery: Delivery, bounds: "Bounds", first: int, decoded: Sequence[tuple[Any, ...] | Rejected]
) -> tuple[Sequence[int], list[int], Sequence[tuple[Any, ...]]]:
    """The rows that can be stored, with their numbers and times; the others are set apart."""
    numbers, times, rows = list[int](), list[int](), list[tuple[Any, ...]]()
    for position, row in enumerate(decoded, first):
        if isinstance(row, Rejected):
            found.bad.append(quarantine.bad(delivery, position, row))
            continue
        time = (row[1] - pg_binary.EPOCH) // pg_binary.MICROSECOND
        if not bounds.first <= time <= bounds.last or not 0 < len(row[0]) <= LONGEST_ID:
            found.bad.append(quarantine.bad(delivery, position, _unacceptable(row[0], row[1], bounds)))
            continue
        numbers.append(found.taken + position)
        times.append(time)
        rows.append(row)
    return numbers, times, rows


def _add(found: Sorted, numbers: Sequence[int], times: Sequence[int], rows: Sequence[tuple[Any, ...]]) -> None:
    """Put rows into the columns: encoded at once, for now they are in the processor's cache."""
    lines, at = found.encoder.encode(rows), found.at
    content = [xxh3_64_digest(line, time & LARGEST_SEED) for line, time in zip(lines, times, strict=True)]
    keys = [key_of(row[0]) for row in rows]
    new = dict(zip(keys, range(len(at), len(at) + len(keys)), strict=True))
    if len(new) < len(keys) or not at.keys().isdisjoint(new):
        _add_one_by_one(found, zip(keys, numbers, times, lines, content, strict=True))
        return
    at.update(new)
    found.lines += lines
    found.content += content
    found.times += times
    found.numbers += numbers


def _add_one_by_one(found: Sorted, rows: Iterable[tuple[bytes, int, int, bytes, bytes]]) -> None:
    """Rows of which one has the id of another."""
    for key, number, time, line, content in rows:
        place = found.at.setdefault(key, len(found.lines))
        if place == len(found.lines):
            found.lines.append(line)
            found.content.append(content)
            found.times.append(time)
            found.numbers.append(number)
        elif found.content[place] != content:
            found.rivals.append((place, content, number))


@lru_cache(maxsize=64)
def _encoder(shape: Shape) -> pg_copy.Encoder:
    """Of all values but the time, which a tuple has at its beginning; ids are as many as rows."""
    beside = {SAMPLE_ID: "text", TIME: ""}
    return pg_copy.Encoder([beside.get(field.name, field.kind) for field in shape.fields])


CONFLICT = Rejected("conflict", SAMPLE_ID, "Another row with this id is stored already.")


class Bounds:
    """The times that rows of a delivery may have, also in microseconds since 2000."""

    def __init__(self, earliest: datetime, latest: datetime) -> None:
        self.earliest, self.latest = earliest, latest
        self.first, self.last = pg_binary.micros(earliest), pg_binary.micros(latest)


def _unacceptable(sample_id: str, time: datetime, bounds: Bounds) -> Rejected:
    if not sample_id or len(sample_id) > LONGEST_ID:
        code = "too_long" if sample_id else "wrong_type"
        return Rejected(code, SAMPLE_ID, f"An id has 1 to {LONGEST_ID} characters.")
    if time > bounds.latest:
        return Rejected("future_timestamp", TIME, f"{time.isoformat()} is more than 5 minutes after receipt.")
    if time < OLDEST:
        return Rejected("out_of_range", TIME, f"{time.isoformat()} is before 1970.")
    said = f"{time.isoformat()} is past the retention, which begins {bounds.earliest.isoformat()}."
    return Rejected("too_old", TIME, said)


def store(session: Session, model: Model, version: Version, rows: Sorted, *, is_new: bool = True) -> Outcome:
    """Store sorted rows in the session's transaction. They stay as they are: what failed can be stored again.

    `is_new`: they were just received, not tried again.
    """
    sample_tables.lock_model(session, model, shared=True, to_store=True)
    fresh = rows.fresh()
    stored = _stored(session, model, version, fresh.keys)
    conflicts = rows.conflicts({fresh.places[at]: content for at, content in stored.items()})
    if stored:
        fresh = fresh.without(stored)
    if fresh.keys:
        _claim(session, model, version, rows, fresh)
        sample_tables.ensure_partitions(session, "samples", version.relation, fresh.times)
        _copy(session, version, rows, fresh)
        _touch(session, version, fresh)
        labels.adopt(session, model, version, fresh.keys, fresh.times)
    kept = quarantine.put(session, model, version, "samples", [*rows.bad, *conflicts])
    if is_new:
        counts = np.diff([*rows.starts, rows.taken]).tolist()
        receipts.put(session, version, [(each.logged_at, n) for each, n in zip(rows.deliveries, counts, strict=True)])
    if fresh.keys:
        _advance(session, version, fresh)
    return Outcome(rows.taken, len(fresh.keys), rows.taken - len(fresh.keys) - kept, kept)


def _stored(session: Session, model: Model, version: Version, keys: Sequence[bytes]) -> dict[int, bytes]:
    """Of the keys, which are in order, that are in the id map: the place among these, and the content."""
    if not keys:
        return {}
    found = db.fetch(
        session,
        f"select uuid_send(k), content from ids_{model.relation} where k = any(%(k)b::uuid[])"
        " and version_id = %(version)b",
        {"version": version.id, "k": pg_binary.uuids(keys)},
    )
    return {bisect_left(keys, key): content.to_bytes(8, signed=True) for key, content in found}


def _claim(session: Session, model: Model, version: Version, rows: Sorted, fresh: Fresh) -> None:
    """Enter ids into the id map, in order of key.

    Where another transaction enters one of them at the same time, the primary key refuses it (23505) and the whole of
    this one is repeated. To look first and then COPY costs two thirds of an insert that passes over what is there.
    """
    content = np.frombuffer(b"".join([rows.content[place] for place in fresh.places]), ">i8")
    columns = {
        "k": ("V16", np.frombuffer(b"".join(fresh.keys), "V16")), "version_id": (">i4", version.id),
        "ts": (">i8", fresh.times), "content": (">i8", content),
    }  # fmt: skip
    lines = pg_copy.heads(columns, len(fresh.keys), len(columns))
    with db.copy(session, f"copy ids_{model.relation} ({', '.join(columns)}) from stdin (format binary)") as copy:
        copy.write(b"".join([pg_copy.BEGIN, *lines, pg_copy.END]))


def _copy(session: Session, version: Version, rows: Sorted, fresh: Fresh) -> None:
    """COPY the rows in the order of the table's index, which is then filled from left to right."""
    fields = rows.shape.fields
    names = ", ".join(quoted(fields[at].name) for at in rows.encoder.order)
    into = f"copy samples_{version.relation} ({KEY}, {HASH}, {LEVEL}, {TIME}, {LOGGED_AT}, {names}) from stdin"
    hashes, levels = levels_of(fresh.keys)
    order = np.lexsort((fresh.times, levels))
    keys = np.frombuffer(b"".join(fresh.keys), "V16")
    begins = {
        KEY: ("V16", keys[order]), HASH: (">i4", hashes[order]), LEVEL: (">i2", levels[order]),
        TIME: (">i8", fresh.times[order]), LOGGED_AT: (">i8", fresh.logged[order]),
    }  # fmt: skip
    heads = pg_copy.heads(begins, len(order), len(begins) + len(rows.encoder.order))
    lines = [rows.lines[fresh.places[at]] for at in order.tolist()]
    with db.copy(session, f"{into} (format binary)") as copy:
        copy.write(pg_copy.BEGIN)
        for first in range(0, len(lines), WRITTEN_AT_ONCE):
            part = slice(first, first + WRITTEN_AT_ONCE)
            copy.write(b"".join(chain.from_iterable(zip(heads[part], lines[part], strict=True))))
        copy.write(pg_copy.END)


def _touch(session: Session, version: Version, fresh: Fresh) -> None:
    """Count new rows by quarter of an hour."""
    quarters, counts = np.unique(fresh.times // (QUARTER_HOUR_SECONDS * 1_000_000), return_counts=True)
    db.run(
        session,
        "insert into quarter_hours as q (version_id, at, n, rows_revision, logged_at, is_touched)"
        " select %(version)b, at, n, n, %(logged_at)b, true"
        " from unnest(%(at)b::timestamptz[], %(n)b::int4[]) t(at, n)"
        " on conflict (version_id, at) do update set n = q.n + excluded.n, is_touched = true,"
        " rows_revision = q.rows_revision + excluded.n, logged_at = greatest(q.logged_at, excluded.logged_at)",
        {
            "version": version.id,
            "logged_at": pg_binary.time(fresh.logged.max()),
            "at": pg_binary.times(quarters * (QUARTER_HOUR_SECONDS * 1_000_000)),
            "n": pg_binary.int4s(counts),
        },
    )


def _advance(session: Session, version: Version, fresh: Fresh) -> None:
    """Widen the version's span; last in the transaction, because its row is the hottest."""
    last = fresh.times.max()
    db.run(
        session,
        "update versions set earliest = least(earliest, %(first)b), watermark = greatest(watermark, %(last)b),"
        " newest_logged_at = case when watermark is null or watermark <= %(last)b"
        " then %(logged_at)b else newest_logged_at end where id = %(id)b",
        {
            "first": pg_binary.time(fresh.times.min()),
            "last": pg_binary.time(last),
            "logged_at": pg_binary.time(fresh.logged[fresh.times == last].max()),
            "id": version.id,
        },
    )


def count(session: Session, version: Version) -> int:
    """How many samples a version has."""
    total = session.scalar(
        text("select coalesce(sum(n), 0) from quarter_hours where version_id = :id"), {"id": version.id}
    )
    return int(total or 0)


def window_counts(session: Session, version: Version, start: datetime, end: datetime) -> tuple[int, int]:
    """Samples, and samples with a label, in [start, end)."""
    table = f"samples_{version.relation}"
    found = session.execute(
        text(
            f"select count(*), count(l.label) from {table} s left join labels_{version.relation} l"
            f" on (l.lvl, l.ts, l.h, l.k) = (s.{LEVEL}, s.{TIME}, s.{HASH}, s.{KEY})"
            f" where s.{TIME} >= :start and s.{TIME} < :end"
        ),
        {"start": start, "end": end},
    ).one()
    return int(found[0]), int(found[1])
