"""Samples: taken in exactly once, and read back. The id map decides what is new; new rows are COPYed."""

from bisect import bisect_right
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import arrays, db, flow, labels, quarantine, storage
from dcmon.arrivals import QUARTER, Delivery, Outcome, key_of, levels_of
from dcmon.columns import HASH, KEY, LEVEL, LOGGED_AT, SAMPLE_ID, TIME, TYPES, Columns, quoted
from dcmon.quarantine import Bad
from dcmon.reading import production
from dcmon.rows import LONGEST_ID, Rejected, Shape, sample_shape, split
from dcmon.tables.org import Model, Version

__all__ = ["Outcome", "Sorted", "count", "production", "sort", "split", "store", "take", "window_counts"]

CLOCK_SKEW = timedelta(minutes=5)
OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.msgpack.Encoder().encode


@dataclass
class Sorted:
    """Decoded rows by what is to be done with them, the new ones in columns. Made without a session.

    `at` says where the row of a key stands in the columns. Times are microseconds since 2000; `content` is a hash of
    the values; `numbers` count the rows of all deliveries, which begin at `starts`. `rivals` have the id of a row of
    the columns and another content: its place, their content, and their number.
    """

    shape: Shape
    deliveries: Sequence[Delivery]
    taken: int = 0
    bad: list[Bad] = field(default_factory=list)
    at: dict[bytes, int] = field(default_factory=dict)
    values: list[tuple[Any, ...]] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    rivals: list[tuple[int, bytes, int]] = field(default_factory=list)

    def fresh(self) -> "Fresh":
        """The rows that may be new, in order of key: two that store the same ids then wait for each other in turn."""
        keys = sorted(self.at)
        places = [self.at[key] for key in keys]
        logged = np.array([arrays.micros(delivery.logged_at) for delivery in self.deliveries], np.int64)
        numbers = np.fromiter((self.numbers[place] for place in places), np.int64, len(places))
        times = np.fromiter((self.times[place] for place in places), np.int64, len(places))
        return Fresh(keys, places, times, logged[np.searchsorted(self.starts, numbers, "right") - 1])

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
    return store(session, model, version, sort(storage.columns(model, version), deliveries, retention), is_new=False)


def sort(columns: Columns, deliveries: Sequence[Delivery], retention: timedelta | None = None) -> Sorted:
    """Decode rows; set apart those that can't be stored, are older than the retention, or stand in there twice."""
    found = Sorted(sample_shape(columns), deliveries)
    for delivery in deliveries:
        _sort(found, delivery, retention)
    return found


def _sort(found: Sorted, delivery: Delivery, retention: timedelta | None) -> None:
    at, values, content, times, numbers = found.at, found.values, found.content, found.times, found.numbers
    earliest = OLDEST if retention is None else max(OLDEST, delivery.logged_at - retention)
    latest = delivery.logged_at + CLOCK_SKEW
    decoded = found.shape.decode_all(delivery.rows)
    for position, why in delivery.refused.items():
        decoded[position] = Rejected("refused", None, why)
    found.starts.append(found.taken)
    for position, row in enumerate(decoded):
        if isinstance(row, Rejected):
            found.bad.append(quarantine.bad(delivery, position, row))
            continue
        sample_id, time = row[0], row[1]
        if not earliest <= time <= latest or not 0 < len(sample_id) <= LONGEST_ID:
            found.bad.append(quarantine.bad(delivery, position, _unacceptable(sample_id, time, earliest, latest)))
            continue
        said = blake2b(_encode(row), digest_size=8).digest()
        first = at.setdefault(key_of(sample_id), len(values))
        if first == len(values):
            values.append(row)
            content.append(said)
            times.append((time - arrays.EPOCH) // arrays.MICROSECOND)
            numbers.append(found.taken + position)
        elif content[first] != said:
            found.rivals.append((first, said, found.taken + position))
    found.taken += len(decoded)


CONFLICT = Rejected("conflict", SAMPLE_ID, "Another row with this id is stored already.")


def _unacceptable(sample_id: str, time: datetime, earliest: datetime, latest: datetime) -> Rejected:
    if not sample_id or len(sample_id) > LONGEST_ID:
        code = "too_long" if sample_id else "wrong_type"
        return Rejected(code, SAMPLE_ID, f"An id has 1 to {LONGEST_ID} characters.")
    if time > latest:
        return Rejected("future_timestamp", TIME, f"{time.isoformat()} is more than 5 minutes after receipt.")
    if time < OLDEST:
        return Rejected("out_of_range", TIME, f"{time.isoformat()} is before 1970.")
    return Rejected("too_old", TIME, f"{time.isoformat()} is past the retention, which begins {earliest.isoformat()}.")


def store(session: Session, model: Model, version: Version, rows: Sorted, *, is_new: bool = True) -> Outcome:
    """Store sorted rows in the session's transaction. They stay as they are: what failed can be stored again.

    `is_new`: they were just received, not tried again.
    """
    storage.lock_model(session, model, shared=True)
    fresh = rows.fresh()
    stored = _claim(session, model, version, rows, fresh)
    conflicts = rows.conflicts({fresh.places[at]: content for at, content in stored.items()})
    if stored:
        fresh = fresh.without(stored)
    if fresh.keys:
        storage.ensure_partitions(session, "samples", version.relation, fresh.times)
        _copy(session, version, rows, fresh)
        _touch(session, version, fresh)
        labels.adopt(session, model, version, fresh.keys, fresh.times)
    kept = quarantine.put(session, model, version, "samples", [*rows.bad, *conflicts])
    if is_new:
        flow.put(session, version, [(delivery.logged_at, len(delivery.rows)) for delivery in rows.deliveries])
    if fresh.keys:
        _advance(session, version, fresh)
    return Outcome(rows.taken, len(fresh.keys), rows.taken - len(fresh.keys) - kept, kept)


def _claim(session: Session, model: Model, version: Version, rows: Sorted, fresh: Fresh) -> dict[int, bytes]:
    """Enter ids into the id map. Those that are there: their place among the keys, and their content."""
    if not fresh.keys:
        return {}
    content = np.frombuffer(b"".join([rows.content[place] for place in fresh.places]), ">i8")
    entered = db.run(
        session,
        f"insert into ids_{model.relation} (k, version_id, ts, content) select k, %(version)b, ts, content"
        " from unnest(%(k)b::uuid[], %(ts)b::timestamptz[], %(content)b::int8[]) t(k, ts, content)"
        " on conflict do nothing",
        {
            "version": version.id,
            "k": arrays.uuids(fresh.keys),
            "ts": arrays.times(fresh.times),
            "content": arrays.int8s(content),
        },
    )
    if entered == len(fresh.keys):
        return {}
    known = _known(session, model, version, fresh.keys, entered)
    return {at: content.to_bytes(8, signed=True) for at, content in known.items()}


def _known(session: Session, model: Model, version: Version, keys: Sequence[bytes], entered: int) -> dict[int, int]:
    """Of keys of which so many were just entered: the places and contents of those that were there before.

    A row just entered has this transaction as its xmin, and of its commands the last as its cmin. (To return the
    entered keys from the insert would cost each row of each batch as much as this costs a batch with a duplicate.)
    """
    there = f"select content, xmin, cmin from ids_{model.relation} where k = t.k and version_id = %(version)b"
    found = db.fetch(
        session,
        "select t.at - 1, i.content, case when i.xmin = pg_current_xact_id()::xid then i.cmin::text::int8 else -1 end"
        f" from unnest(%(k)b::uuid[]) with ordinality t(k, at) {db.for_each(there)} i",
        {"version": version.id, "k": arrays.uuids(keys)},
    )
    last = max(command for *_, command in found) if entered else None
    known = {at: content for at, content, command in found if command != last}
    if len(known) + entered != len(keys):
        # One was there and is gone: it was pruned in between.
        raise db.serialization_failure(f"{entered} of {len(keys)} ids were new, but {len(known)} were there")
    return known


def _copy(session: Session, version: Version, rows: Sorted, fresh: Fresh) -> None:
    """COPY the rows in binary. Times go as numbers, keys and lists as bytes: the same on the wire, no object each."""
    fields = rows.shape.fields
    names = ", ".join(quoted(field.name) for field in fields)
    into = f"copy samples_{version.relation} ({KEY}, {HASH}, {LEVEL}, {names}, {LOGGED_AT}) from stdin (format binary)"
    time = 3 + rows.shape.names.index(TIME)
    packed = [(at, PACKED[f.kind]) for at, f in enumerate(fields, 3) if f.kind in PACKED and at != time]
    columns = (*levels_of(fresh.keys), fresh.times, fresh.logged)
    with db.copy(session, into) as copy:
        copy.set_types(["bytea", "int4", "int2", *(WIRE.get(f.kind, TYPES[f.kind].sql) for f in fields), "int8"])
        write, values = copy.write_row, rows.values
        lines = zip(fresh.keys, fresh.places, *(column.tolist() for column in columns), strict=True)
        for key, place, hash_, level, at, logged in lines:
            row = [key, hash_, level, *values[place], logged]
            row[time] = at
            for column, pack in packed:
                if row[column] is not None:
                    row[column] = pack(row[column])
            write(row)


PACKED: Mapping[str, Callable[[Any], Any]] = {"datetime": arrays.micros, "array_float": arrays.floats}
WIRE = {"datetime": "int8", "array_float": "bytea"}


def _touch(session: Session, version: Version, fresh: Fresh) -> None:
    """Count new rows by quarter of an hour."""
    quarters, counts = np.unique(fresh.times // (QUARTER * 1_000_000), return_counts=True)
    db.run(
        session,
        "insert into quarter_hours as q (version_id, at, n, rows_revision, logged_at, is_touched)"
        " select %(version)b, at, n, n, %(logged_at)b, true"
        " from unnest(%(at)b::timestamptz[], %(n)b::int4[]) t(at, n)"
        " on conflict (version_id, at) do update set n = q.n + excluded.n, is_touched = true,"
        " rows_revision = q.rows_revision + excluded.n, logged_at = greatest(q.logged_at, excluded.logged_at)",
        {
            "version": version.id,
            "logged_at": arrays.time(fresh.logged.max()),
            "at": arrays.times(quarters * (QUARTER * 1_000_000)),
            "n": arrays.int4s(counts),
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
            "first": arrays.time(fresh.times.min()),
            "last": arrays.time(last),
            "logged_at": arrays.time(fresh.logged[fresh.times == last].max()),
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
