"""Labels: kept per sample id, before, with or long after the sample; the last one by logging time wins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion import quarantine
from dcmon.ingestion.quarantine import Bad
from dcmon.ingestion.row_batch import Delivery
from dcmon.ingestion.row_decoder import Rejected
from dcmon.ingestion.row_types import label_shape
from dcmon.storage import pg_binary, pg_copy, sample_tables
from dcmon.storage.ledger import Outcome
from dcmon.storage.sample_ids import key_of, levels_of
from dcmon.windows import QUARTER_HOUR_SECONDS

Value = str | float | None


@dataclass
class Sorted:
    """The last label of each id, and the rows that are none. Made without a session.

    `last` has for each key its label and when that was logged, in microseconds since 2000.
    """

    taken: int = 0
    last: dict[bytes, tuple[Value, int]] = field(default_factory=dict)
    conflicts: int = 0
    bad: list[Bad] = field(default_factory=list)


@dataclass(frozen=True)
class Said:
    """Labels in columns, in order of key: what they say and when that was logged."""

    keys: Sequence[bytes]
    labels: Sequence[Value]
    logged: Any

    def at(self, places: Any) -> "Said":
        """Those at these places."""
        chosen = places.tolist()
        return Said([self.keys[at] for at in chosen], [self.labels[at] for at in chosen], self.logged[places])


def take(session: Session, model: Model, deliveries: Sequence[Delivery]) -> Outcome:
    """Keep labels: at their samples, or waiting for them. A label that is there already is a duplicate."""
    return store(session, model, sort(model.task_type == "regression", deliveries))


def sort(is_regression: bool, deliveries: Sequence[Delivery]) -> Sorted:
    """Decode rows; of several labels of one id the last by logging time is kept, then the last by position."""
    found = Sorted()
    for delivery in deliveries:
        _sort(found, delivery, is_regression)
    return found


def _sort(found: Sorted, delivery: Delivery, is_regression: bool) -> None:
    last, logged_at = found.last, pg_binary.micros(delivery.logged_at)
    for position, row in enumerate(chain.from_iterable(label_shape(is_regression).decode_all(delivery.rows))):
        found.taken += 1
        if position in delivery.refused:
            row = Rejected("refused", None, delivery.refused[position])
        if isinstance(row, Rejected):
            found.bad.append(quarantine.bad(delivery, position, row))
            continue
        sample_id, label = row
        said = (label if type(label) is str or label is None else _value(label, is_regression), logged_at)
        key = key_of(sample_id)
        before = last.setdefault(key, said)
        if before is not said:
            found.conflicts += before[0] != said[0]
            if before[1] <= logged_at:
                last[key] = said


def _value(label: Any, is_regression: bool) -> Value:
    """Classes are text: 1 and 1.0 are "1", as the SDK has it."""
    if is_regression:
        return float(label)
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def store(session: Session, model: Model, rows: Sorted) -> Outcome:
    """Store sorted labels in the session's transaction.

    Holds the model's lock exclusively: a label and its sample that commit together would never meet.
    """
    sample_tables.lock_model(session, model, to_store=True)
    keys = sorted(rows.last)
    labels, logged = zip(*map(rows.last.__getitem__, keys), strict=True) if keys else ((), ())
    said = Said(keys, labels, np.array(logged, np.int64))
    changed, conflicts, waits = 0, rows.conflicts, np.ones(len(keys), bool)
    for version_id, places, times in _meet(session, model, keys):
        version = session.get_one(Version, version_id)
        of_version = _write(session, model, version, said.at(places), times)
        changed, conflicts = changed + of_version[0], conflicts + of_version[1]
        waits[places] = False
    changed += _wait(session, model, said.at(np.flatnonzero(waits)))
    kept = quarantine.put(session, model, None, "labels", rows.bad)
    stored = min(changed, len(keys))
    return Outcome(rows.taken, stored, rows.taken - stored - kept, kept, conflicts)


def adopt(session: Session, model: Model, version: Version, keys: Sequence[bytes], times: Any) -> None:
    """Give new samples the labels that waited for them, or that the same sample of another version has."""
    has_orphans, others = _elsewhere(session, model, version)
    found: list[Any] = _orphans(session, model, keys) if has_orphans else []
    for other in others:
        found += _of_sibling(session, model, other, keys)
    if not found:
        return
    # Sorted by place, then by time of logging: of several labels of a place the last one stays.
    last = {at - 1: (label, logged_at) for at, label, logged_at in sorted(found, key=lambda row: (row[0], row[2]))}
    places = np.array(list(last), np.int64)
    labels, logged = zip(*last.values(), strict=True)
    said = Said([keys[at] for at in last], labels, np.array([pg_binary.micros(at) for at in logged], np.int64))
    _write(session, model, version, said, times[places])


def _elsewhere(session: Session, model: Model, version: Version) -> tuple[bool, Sequence[Version]]:
    """Whether labels of the model wait for samples, and the model's other versions that have samples."""
    statement = (
        f"select exists (select 1 from orphan_labels_{model.relation}), array(select id from versions"
        " where model_id = %(model)b and id <> %(version)b and watermark is not null order by id)"
    )
    ((has_orphans, others),) = db.fetch(session, statement, {"model": model.id, "version": version.id})
    if not others:
        return has_orphans, ()
    return has_orphans, session.scalars(select(Version).where(Version.id.in_(others)).order_by(Version.id)).all()


def _orphans(session: Session, model: Model, keys: Sequence[bytes]) -> list[Any]:
    return db.fetch(
        session,
        "select t.at, o.label, o.logged_at from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" {db.for_each(f'select label, logged_at from orphan_labels_{model.relation} where k = t.k')} o",
        {"k": pg_binary.uuids(keys)},
    )


def _of_sibling(session: Session, model: Model, other: Version, keys: Sequence[bytes]) -> list[Any]:
    """The labels that these samples have in another version of the model."""
    places = db.fetch(
        session,
        "select t.at, i.ts from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" {db.for_each(f'select ts from ids_{model.relation} where k = t.k and version_id = %(version)b')} i",
        {"k": pg_binary.uuids(keys), "version": other.id},
    )
    if not places:
        return []
    times = np.array([pg_binary.micros(time) for _, time in places], np.int64)
    return db.fetch(
        session,
        f"select t.at, l.label, l.logged_at from {PLACES}, %(at)b::int8[]) t(k, h, lvl, ts, at)"
        f" {db.for_each(_at_place(other, 'label, logged_at'))} l",
        {**_places([keys[at - 1] for at, _ in places], times), "at": pg_binary.int8s([at for at, _ in places])},
    )


def _meet(session: Session, model: Model, keys: Sequence[bytes]) -> list[tuple[int, Any, Any]]:
    """By version: which of the keys, which are in order, have their sample there; when, in microseconds since 2000."""
    if not keys:
        return []
    found = db.fetch(
        session,
        "select version_id, string_agg(uuid_send(k), '' order by k), string_agg(timestamptz_send(ts), '' order by k)"
        f" from ids_{model.relation} where k = any(%(k)b::uuid[]) group by 1 order by 1",
        {"k": pg_binary.uuids(keys)},
    )
    # Both are sent as columns: no object for each sample.
    ordered = np.frombuffer(b"".join(keys), "S16")
    return [
        (number, np.searchsorted(ordered, np.frombuffer(met, "S16")), np.frombuffer(times, ">i8"))
        for number, met, times in found
    ]


def _write(session: Session, model: Model, version: Version, said: Said, times: Any) -> tuple[int, int]:
    """Keep labels of a version's samples, count them by quarter of an hour; how many changed, how many differed."""
    if not said.keys:
        return 0, 0
    sample_tables.ensure_partitions(session, "labels", version.relation, times)
    there = _labelled(session, version, said, times)
    fresh = np.ones(len(said.keys), bool)
    fresh[there] = False
    if fresh.any():
        _add(session, model, version, said.at(np.flatnonzero(fresh)), times[fresh])
    if not there:
        return len(said.keys), 0
    changed, differing = _replace(session, model, version, said.at(np.array(there)), times[there])
    return len(said.keys) - len(there) + changed, differing


def _labelled(session: Session, version: Version, said: Said, times: Any) -> list[int]:
    """The places of those whose samples have a label. Nobody adds one meanwhile: who does holds the model's lock
    exclusively, or stores the sample itself."""
    found = db.fetch(
        session,
        f"select t.at - 1 from {PLACES}) with ordinality t(k, h, lvl, ts, at)"
        f" {db.for_each(_at_place(version, ''))} l order by 1",
        _places(said.keys, times),
    )
    return [at for (at,) in found]


def _add(session: Session, model: Model, version: Version, said: Said, times: Any) -> None:
    """COPY labels of samples that have none, in the order of the index, and count them by quarter of an hour."""
    hashes, levels = levels_of(said.keys)
    order = np.lexsort((times, levels))
    keys = np.frombuffer(b"".join(said.keys), "V16")
    columns = {
        "k": ("V16", keys[order]), "h": (">i4", hashes[order]), "lvl": (">i2", levels[order]),
        "ts": (">i8", times[order]), "logged_at": (">i8", said.logged[order]),
    }  # fmt: skip
    heads = pg_copy.heads(columns, len(order), len(columns) + 1)
    kind = "numeric" if model.task_type == "regression" else "categorical"
    labels = pg_copy.Encoder([kind]).encode([(said.labels[at],) for at in order.tolist()])
    into = f"copy labels_{version.relation} ({', '.join(columns)}, label) from stdin (format binary)"
    with db.copy(session, into) as copy:
        copy.write(b"".join([pg_copy.BEGIN, *chain.from_iterable(zip(heads, labels, strict=True)), pg_copy.END]))
    quarters, which = np.unique(times // (QUARTER_HOUR_SECONDS * 1_000_000), return_inverse=True)
    added = np.bincount(which)
    gained = np.bincount(which, weights=[label is not None for label in said.labels]).astype(np.int64)
    db.run(
        session,
        "update quarter_hours q set n_labelled = q.n_labelled + t.gained,"
        " labels_revision = q.labels_revision + t.added, is_touched = true"
        " from unnest(%(at)b::timestamptz[], %(added)b::int4[], %(gained)b::int4[]) t(at, added, gained)"
        " where q.version_id = %(version)b and q.at = t.at",
        {
            "version": version.id,
            "at": pg_binary.times(quarters * (QUARTER_HOUR_SECONDS * 1_000_000)),
            "added": pg_binary.int4s(added),
            "gained": pg_binary.int4s(gained),
        },
    )


def _replace(session: Session, model: Model, version: Version, said: Said, times: Any) -> tuple[int, int]:
    """Let the last label by logging time win where there is one; how many changed, how many differed."""
    found = db.fetch(
        session,
        f"""
        with incoming as ({_incoming(model)}), before as (
            select t.k, l.label, t.label is distinct from l.label as differs from incoming t
            {db.for_each(_at_place(version, "label"))} l
        ), written as (
            insert into labels_{version.relation} as l (lvl, ts, h, k, label, logged_at)
            select lvl, ts, h, k, label, logged_at from incoming
            on conflict (lvl, ts, h, k) do update set label = excluded.label, logged_at = excluded.logged_at
             where l.logged_at < excluded.logged_at
                or (l.logged_at = excluded.logged_at and l.label is distinct from excluded.label)
            returning k, ts, label
        ), quarters as (
            select date_bin('15 minutes', w.ts, timestamptz '2000-01-01 00:00+00') as at, count(*) as changed,
                   sum((w.label is not null)::int - (b.label is not null)::int) as gained
              from written w join before b using (k) where b.differs group by 1
        ), touched as (
            update quarter_hours q
               set n_labelled = q.n_labelled + gained, labels_revision = q.labels_revision + changed, is_touched = true
              from quarters where q.version_id = %(version)b and q.at = quarters.at
        )
        select coalesce((select sum(changed) from quarters), 0)::int8, (select count(*) from before where differs)
        """,
        _columns(model, version, said, times),
    )
    changed, differing = found[0]
    return int(changed), int(differing)


def _incoming(model: Model) -> str:
    sql = "float8" if model.task_type == "regression" else "text"
    return (
        f"select * from {PLACES}, %(label)b::{sql}[], %(logged_at)b::timestamptz[])"
        " with ordinality t(k, h, lvl, ts, label, logged_at, at)"
    )


def _at_place(version: Version, columns: str) -> str:
    """The label of a sample `t`; months in which there is none of them are not looked at."""
    return (
        f"select {columns} from labels_{version.relation} where (lvl, ts, h, k) = (t.lvl, t.ts, t.h, t.k)"
        " and ts between %(first)b and %(last)b"
    )


PLACES = "unnest(%(k)b::uuid[], %(h)b::int4[], %(lvl)b::int2[], %(ts)b::timestamptz[]"


def _places(keys: Sequence[bytes], times: Any) -> dict[str, Any]:
    """The values of `PLACES` and `_at_place`."""
    hashes, levels = levels_of(keys)
    return {
        "k": pg_binary.uuids(keys),
        "h": pg_binary.int4s(hashes),
        "lvl": pg_binary.int2s(levels),
        "ts": pg_binary.times(times),
        "first": pg_binary.time(times.min()),
        "last": pg_binary.time(times.max()),
    }


def _columns(model: Model, version: Version, said: Said, times: Any) -> dict[str, Any]:
    return {
        **_places(said.keys, times),
        "label": _array(model, said.labels),
        "logged_at": pg_binary.times(said.logged),
        "version": version.id,
    }


def _array(model: Model, labels: Sequence[Any]) -> db.Array:
    return pg_binary.float8s(labels) if model.task_type == "regression" else pg_binary.texts(labels)


def _wait(session: Session, model: Model, said: Said) -> int:
    """Keep labels whose sample has not come yet; returns how many are new or changed."""
    if not said.keys:
        return 0
    sql, orphans = "float8" if model.task_type == "regression" else "text", f"orphan_labels_{model.relation}"
    found = db.fetch(
        session,
        f"""
        with incoming as (
            select * from unnest(%(k)b::uuid[], %(label)b::{sql}[], %(logged_at)b::timestamptz[]) t(k, label, logged_at)
        ), before as (
            select t.k, o.label from incoming t {db.for_each(f"select label from {orphans} where k = t.k")} o
        ), kept as (
            insert into {orphans} as o (k, label, logged_at) select k, label, logged_at from incoming
            on conflict (k) do update set label = excluded.label, logged_at = excluded.logged_at
             where o.logged_at < excluded.logged_at
                or (o.logged_at = excluded.logged_at and o.label is distinct from excluded.label)
            returning k, label
        )
        select count(*) from kept left join before b using (k) where b.k is null or b.label is distinct from kept.label
        """,
        {
            "k": pg_binary.uuids(said.keys),
            "label": _array(model, said.labels),
            "logged_at": pg_binary.times(said.logged),
        },
    )
    return int(found[0][0])
