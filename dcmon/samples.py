"""Samples: taken in exactly once, and read back. The id map decides what is new; new rows are COPYed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db, labels, quarantine, storage
from dcmon.arrivals import Fingerprint, Outcome, fingerprint, quarter_hour
from dcmon.columns import HASH, KEY, LEVEL, LOGGED_AT, SAMPLE_ID, TIME, TYPES, quoted
from dcmon.reading import production
from dcmon.rows import LONGEST_ID, Rejected, sample_shape, split
from dcmon.tables.org import Model, Version

__all__ = ["Outcome", "count", "production", "split", "take", "window_counts"]

CLOCK_SKEW = timedelta(minutes=5)
OLDEST = datetime(1970, 1, 1, tzinfo=UTC)


class Arrival(NamedTuple):
    """A decoded row on its way: where it stood, whose it is, what it says (a hash), and its values."""

    position: int
    id: Fingerprint
    content: int
    values: tuple[Any, ...]

    @property
    def time(self) -> datetime:
        time: datetime = self.values[1]
        return time


@dataclass
class _Sorted:
    """Rows by what is to be done with them."""

    new: dict[str, Arrival] = field(default_factory=dict)
    duplicates: int = 0
    bad: list[quarantine.Bad] = field(default_factory=list)


def take(
    session: Session,
    model: Model,
    version: Version,
    rows: Sequence[msgspec.Raw],
    *,
    logged_at: datetime,
    source: str,
    first_position: int = 0,
) -> Outcome:
    """Store new rows, count duplicates, quarantine the rest; all in the session's transaction.

    `logged_at` is fixed at receipt, so that a replay decides alike. (source, position) names a row for the quarantine.
    """
    storage.lock_model(session, model, shared=True)
    sorted_ = _sort(model, version, rows, logged_at, first_position)
    _claim(session, model, version, sorted_, rows, first_position)
    arrivals = list(sorted_.new.values())
    if arrivals:
        storage.ensure_partitions(session, "samples", version.relation, (a.time for a in arrivals))
        _copy(session, model, version, arrivals, logged_at)
        _touch(session, version, arrivals, logged_at)
        labels.adopt(session, model, version, [(a.id, a.time) for a in arrivals], logged_at)
        _advance(session, version, arrivals, logged_at)
    quarantine.put(session, model, version, "samples", sorted_.bad, source, logged_at)
    return Outcome(len(rows), len(arrivals), sorted_.duplicates, len(sorted_.bad))


def _sort(
    model: Model, version: Version, rows: Sequence[msgspec.Raw], logged_at: datetime, first_position: int
) -> _Sorted:
    shape, found = sample_shape(storage.columns(model, version)), _Sorted()
    for position, row in enumerate(rows, first_position):
        try:
            arrival = _arrival(position, shape.decode(row), logged_at)
        except Rejected as why:
            found.bad.append(quarantine.Bad(position, bytes(row), why.reason, why.field, why.detail))
            continue
        first = found.new.setdefault(arrival.id.key, arrival)
        if first is not arrival and first.content == arrival.content:
            found.duplicates += 1
        elif first is not arrival:
            found.bad.append(_conflict(position, bytes(row)))
    return found


def _arrival(position: int, values: tuple[Any, ...], logged_at: datetime) -> Arrival:
    sample_id, time = values[0], values[1]
    if not sample_id or len(sample_id) > LONGEST_ID:
        raise Rejected("too_long" if sample_id else "wrong_type", SAMPLE_ID, f"An id has 1 to {LONGEST_ID} characters.")
    if time > logged_at + CLOCK_SKEW:
        raise Rejected("future_timestamp", TIME, f"{time.isoformat()} is more than 5 minutes after receipt.")
    if time < OLDEST:
        raise Rejected("out_of_range", TIME, f"{time.isoformat()} is before 1970.")
    content = int.from_bytes(blake2b(msgspec.msgpack.encode(values), digest_size=8).digest(), signed=True)
    return Arrival(position, fingerprint(sample_id), content, values)


def _claim(
    session: Session,
    model: Model,
    version: Version,
    sorted_: _Sorted,
    rows: Sequence[msgspec.Raw],
    first_position: int,
) -> None:
    """Keep as new only what the id map did not have; the rest are duplicates or conflicts."""
    wanted = sorted(sorted_.new)
    if not wanted:
        return
    arrivals = [sorted_.new[key] for key in wanted]
    claimed = session.scalars(
        text(
            f"insert into ids_{model.relation} (k, version_id, ts, content)"
            " select k\\:\\:uuid, :version, ts, content"
            " from unnest(cast(:k as text[]), cast(:ts as timestamptz[]), cast(:content as int8[])) t(k, ts, content)"
            " on conflict do nothing returning replace(k\\:\\:text, '-', '')"
        ),
        {
            "version": version.id,
            "k": wanted,
            "ts": [arrival.time for arrival in arrivals],
            "content": [arrival.content for arrival in arrivals],
        },
    )
    lost = set(wanted).difference(claimed)
    for key, content in _known(session, model, version, lost).items():
        arrival = sorted_.new.pop(key)
        if arrival.content == content:
            sorted_.duplicates += 1
        else:
            sorted_.bad.append(_conflict(arrival.position, bytes(rows[arrival.position - first_position])))


def _known(session: Session, model: Model, version: Version, keys: set[str]) -> dict[str, int]:
    if not keys:
        return {}
    found = session.execute(
        text(
            f"select replace(k\\:\\:text, '-', ''), content from ids_{model.relation}"
            " where version_id = :version and k = any(cast(cast(:k as text[]) as uuid[]))"
        ),
        {"version": version.id, "k": sorted(keys)},
    )
    return {row[0]: row[1] for row in found}


def _conflict(position: int, row: bytes) -> quarantine.Bad:
    return quarantine.Bad(position, row, "conflict", SAMPLE_ID, "Another row with this id is stored already.")


def _copy(session: Session, model: Model, version: Version, arrivals: Sequence[Arrival], logged_at: datetime) -> None:
    """COPY the rows in binary: 0.4 µs a row where an INSERT takes ten times as much (docs/performance.md)."""
    shape = storage.columns(model, version)
    fields = sample_shape(shape).fields
    names = ", ".join(quoted(field.name) for field in fields)
    into = f"copy samples_{version.relation} ({KEY}, {HASH}, {LEVEL}, {names}, {LOGGED_AT}) from stdin (format binary)"
    # A uuid's binary form is its 16 bytes: sent as bytea, no object is made for each.
    types = ["bytea", "int4", "int2", *(TYPES[field.kind].sql for field in fields), "timestamptz"]
    with db.copy(session, into) as copy:
        copy.set_types(types)
        for arrival in arrivals:
            key, hash_, level = arrival.id
            copy.write_row((bytes.fromhex(key), hash_, level, *arrival.values, logged_at))


def _touch(session: Session, version: Version, arrivals: Sequence[Arrival], logged_at: datetime) -> None:
    counts = Counter(quarter_hour(arrival.time) for arrival in arrivals)
    quarters = sorted(counts)
    session.execute(
        text(
            "insert into quarter_hours as q (version_id, at, n, rows_revision, logged_at, is_touched)"
            " select :version, at, n, n, :logged_at, true"
            " from unnest(cast(:at as timestamptz[]), cast(:n as int[])) t(at, n)"
            " on conflict (version_id, at) do update set n = q.n + excluded.n, is_touched = true,"
            " rows_revision = q.rows_revision + excluded.n, logged_at = greatest(q.logged_at, excluded.logged_at)"
        ),
        {"version": version.id, "logged_at": logged_at, "at": quarters, "n": [counts[at] for at in quarters]},
    )


def _advance(session: Session, version: Version, arrivals: Sequence[Arrival], logged_at: datetime) -> None:
    """Widen the version's span; last in the transaction, because its row is the hottest."""
    times = [arrival.time for arrival in arrivals]
    session.execute(
        text(
            "update versions set earliest = least(earliest, :first), watermark = greatest(watermark, :last),"
            " newest_logged_at = case when watermark is null or watermark <= :last"
            " then :logged_at else newest_logged_at end where id = :id"
        ),
        {"first": min(times), "last": max(times), "logged_at": logged_at, "id": version.id},
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
