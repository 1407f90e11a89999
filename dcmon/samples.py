"""Samples: taken in exactly once, and read back. The id map decides what is new; new rows are COPYed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db, labels, quarantine, storage
from dcmon.arrivals import QUARTER, Delivery, Fingerprint, Outcome, fingerprint
from dcmon.columns import HASH, KEY, LEVEL, LOGGED_AT, SAMPLE_ID, TIME, TYPES, Columns, quoted
from dcmon.quarantine import Bad
from dcmon.reading import production
from dcmon.rows import LONGEST_ID, Rejected, Shape, sample_shape, split
from dcmon.tables.org import Model, Version

__all__ = ["Outcome", "Sorted", "count", "production", "sort", "split", "store", "take", "window_counts"]

CLOCK_SKEW = timedelta(minutes=5)
OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.msgpack.Encoder().encode


class Arrival(NamedTuple):
    """A decoded row on its way: whose it is, what it says (a hash), its values, and where and when it came."""

    id: Fingerprint
    content: int
    values: tuple[Any, ...]
    logged_at: datetime
    row: msgspec.Raw
    source: str
    position: int

    @property
    def time(self) -> datetime:
        time: datetime = self.values[1]
        return time


@dataclass
class Sorted:
    """Decoded rows by what is to be done with them. Made without a session, so that a transaction only stores."""

    shape: Shape
    taken: int = 0
    new: dict[bytes, Arrival] = field(default_factory=dict)
    duplicates: int = 0
    bad: list[Bad] = field(default_factory=list)


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
    return store(session, model, version, sort(storage.columns(model, version), deliveries, retention))


def sort(columns: Columns, deliveries: Sequence[Delivery], retention: timedelta | None = None) -> Sorted:
    """Decode rows; set apart those that can't be stored, are older than the retention, or stand in there twice."""
    found = Sorted(sample_shape(columns), sum(len(delivery.rows) for delivery in deliveries))
    for delivery in deliveries:
        _sort(found, delivery, retention)
    return found


def _sort(found: Sorted, delivery: Delivery, retention: timedelta | None) -> None:
    decode, new, logged_at, source = found.shape.decode, found.new, delivery.logged_at, delivery.source
    earliest = OLDEST if retention is None else max(OLDEST, logged_at - retention)
    latest = logged_at + CLOCK_SKEW
    for position, row in enumerate(delivery.rows, delivery.first_position):
        try:
            values = decode(row)
            sample_id = values[0]
            if not earliest <= values[1] <= latest or not 0 < len(sample_id) <= LONGEST_ID:
                raise _unacceptable(sample_id, values[1], earliest, latest)
        except Rejected as why:
            found.bad.append(Bad(source, position, logged_at, bytes(row), why.reason, why.field, why.detail))
            continue
        content = int.from_bytes(blake2b(_encode(values), digest_size=8).digest(), signed=True)
        arrival = Arrival(fingerprint(sample_id), content, values, logged_at, row, source, position)
        first = new.setdefault(arrival.id.key, arrival)
        if first is not arrival and first.content == content:
            found.duplicates += 1
        elif first is not arrival:
            found.bad.append(_conflict(arrival))


def _unacceptable(sample_id: str, time: datetime, earliest: datetime, latest: datetime) -> Rejected:
    if not sample_id or len(sample_id) > LONGEST_ID:
        code = "too_long" if sample_id else "wrong_type"
        return Rejected(code, SAMPLE_ID, f"An id has 1 to {LONGEST_ID} characters.")
    if time > latest:
        return Rejected("future_timestamp", TIME, f"{time.isoformat()} is more than 5 minutes after receipt.")
    if time < OLDEST:
        return Rejected("out_of_range", TIME, f"{time.isoformat()} is before 1970.")
    return Rejected("too_old", TIME, f"{time.isoformat()} is past the retention, which begins {earliest.isoformat()}.")


def _conflict(arrival: Arrival) -> Bad:
    said = "Another row with this id is stored already."
    return Bad(
        arrival.source, arrival.position, arrival.logged_at, bytes(arrival.row), "conflict", SAMPLE_ID, said
    )  # fmt: skip


def store(session: Session, model: Model, version: Version, rows: Sorted) -> Outcome:
    """Store sorted rows in the session's transaction."""
    storage.lock_model(session, model, shared=True)
    _claim(session, model, version, rows)
    arrivals = list(rows.new.values())
    if arrivals:
        storage.ensure_partitions(session, "samples", version.relation, (a.values[1] for a in arrivals))
        _copy(session, version, rows.shape, arrivals)
        _touch(session, version, arrivals)
        labels.adopt(session, model, version, {a.id.key: (a.id, a.values[1]) for a in arrivals})
        _advance(session, version, arrivals)
    quarantine.put(session, model, version, "samples", rows.bad)
    return Outcome(rows.taken, len(arrivals), rows.duplicates, len(rows.bad))


def _claim(session: Session, model: Model, version: Version, rows: Sorted) -> None:
    """Keep as new only what the id map did not have; the rest are duplicates or conflicts."""
    wanted = sorted(rows.new)
    if not wanted:
        return
    arrivals = [rows.new[key] for key in wanted]
    lost = db.fetch(
        session,
        "with incoming as (select * from unnest(%(k)b::uuid[], %(ts)b::timestamptz[], %(content)b::int8[])"
        " with ordinality t(k, ts, content, at)),"
        f" claimed as (insert into ids_{model.relation} (k, version_id, ts, content)"
        " select k, %(version)b, ts, content from incoming on conflict do nothing returning k)"
        " select at from incoming left join claimed using (k) where claimed.k is null",
        {
            "version": version.id,
            "k": db.Uuids(wanted),
            "ts": [arrival.values[1] for arrival in arrivals],
            "content": [arrival.content for arrival in arrivals],
        },
    )
    keys = [wanted[at - 1] for (at,) in lost]
    for key, content in _known(session, model, version, keys).items():
        arrival = rows.new.pop(key)
        if arrival.content == content:
            rows.duplicates += 1
        else:
            rows.bad.append(_conflict(arrival))


def _known(session: Session, model: Model, version: Version, keys: Sequence[bytes]) -> Mapping[bytes, int]:
    """What the id map holds for keys that are there."""
    if not keys:
        return {}
    found = db.fetch(
        session,
        "select t.at, i.content from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" join ids_{model.relation} i on i.k = t.k and i.version_id = %(version)b",
        {"version": version.id, "k": db.Uuids(keys)},
    )
    return {keys[at - 1]: content for at, content in found}


def _copy(session: Session, version: Version, shape: Shape, arrivals: Sequence[Arrival]) -> None:
    """COPY the rows in binary: 0.4 µs a row where an INSERT takes ten times as much (docs/performance.md)."""
    fields = shape.fields
    names = ", ".join(quoted(field.name) for field in fields)
    into = f"copy samples_{version.relation} ({KEY}, {HASH}, {LEVEL}, {names}, {LOGGED_AT}) from stdin (format binary)"
    # A uuid's binary form is its 16 bytes: sent as bytea, no object is made for each.
    types = ["bytea", "int4", "int2", *(TYPES[field.kind].sql for field in fields), "timestamptz"]
    with db.copy(session, into) as copy:
        copy.set_types(types)
        write = copy.write_row
        for (key, hash_, level), _, values, logged_at, *_ in arrivals:
            write((key, hash_, level, *values, logged_at))


def _touch(session: Session, version: Version, arrivals: Sequence[Arrival]) -> None:
    counts = Counter(int(arrival.values[1].timestamp() // QUARTER) for arrival in arrivals)
    quarters = sorted(counts)
    session.execute(
        text(
            "insert into quarter_hours as q (version_id, at, n, rows_revision, logged_at, is_touched)"
            " select :version, at, n, n, :logged_at, true"
            " from unnest(cast(:at as timestamptz[]), cast(:n as int[])) t(at, n)"
            " on conflict (version_id, at) do update set n = q.n + excluded.n, is_touched = true,"
            " rows_revision = q.rows_revision + excluded.n, logged_at = greatest(q.logged_at, excluded.logged_at)"
        ),
        {
            "version": version.id,
            "logged_at": max(arrival.logged_at for arrival in arrivals),
            "at": [datetime.fromtimestamp(quarter * QUARTER, UTC) for quarter in quarters],
            "n": [counts[quarter] for quarter in quarters],
        },
    )


def _advance(session: Session, version: Version, arrivals: Sequence[Arrival]) -> None:
    """Widen the version's span; last in the transaction, because its row is the hottest."""
    last, logged_at = max((arrival.values[1], arrival.logged_at) for arrival in arrivals)
    session.execute(
        text(
            "update versions set earliest = least(earliest, :first), watermark = greatest(watermark, :last),"
            " newest_logged_at = case when watermark is null or watermark <= :last"
            " then :logged_at else newest_logged_at end where id = :id"
        ),
        {
            "first": min(arrival.values[1] for arrival in arrivals),
            "last": last,
            "logged_at": logged_at,
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
