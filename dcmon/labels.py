"""Labels: kept per sample id, before, with or long after the sample; the last one by logging time wins."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import db, quarantine, storage
from dcmon.arrivals import Delivery, Fingerprint, Outcome, fingerprint
from dcmon.quarantine import Bad
from dcmon.rows import Rejected, label_shape
from dcmon.tables.org import Model, Version

Value = str | float | None


class Said(NamedTuple):
    """A label on its way: whose it is, what it says, and when that was logged."""

    id: Fingerprint
    label: Value
    logged_at: datetime


class Known(NamedTuple):
    """A label whose sample is there, at this time."""

    said: Said
    time: datetime


@dataclass
class Sorted:
    """The last label of each id, and the rows that are none. Made without a session."""

    taken: int = 0
    last: dict[bytes, Said] = field(default_factory=dict)
    conflicts: int = 0
    bad: list[Bad] = field(default_factory=list)


def take(session: Session, model: Model, deliveries: Sequence[Delivery]) -> Outcome:
    """Keep labels: at their samples, or waiting for them. A label that is there already is a duplicate."""
    return store(session, model, sort(model.task_type == "regression", deliveries))


def sort(is_regression: bool, deliveries: Sequence[Delivery]) -> Sorted:
    """Decode rows; of several labels of one id the last by logging time is kept, then the last by position."""
    found = Sorted(sum(len(delivery.rows) for delivery in deliveries))
    decode = label_shape(is_regression).decode
    for rows, logged_at, source, first_position in deliveries:
        for position, row in enumerate(rows, first_position):
            try:
                sample_id, label = decode(row)
                said = Said(fingerprint(sample_id), _value(label, is_regression), logged_at)
            except Rejected as why:
                found.bad.append(Bad(source, position, logged_at, bytes(row), why.reason, why.field, why.detail))
                continue
            before = found.last.setdefault(said.id.key, said)
            if before is not said:
                found.conflicts += before.label != said.label
                if before.logged_at <= logged_at:
                    found.last[said.id.key] = said
    return found


def _value(label: Any, is_regression: bool) -> Value:
    """Classes are text: 1 and 1.0 are "1", as the SDK has it."""
    if label is None or is_regression:
        return None if label is None else float(label)
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def store(session: Session, model: Model, rows: Sorted) -> Outcome:
    """Store sorted labels in the session's transaction.

    Holds the model's lock exclusively: a label and its sample that commit together would never meet.
    """
    storage.lock_model(session, model)
    changed, conflicts, found = 0, rows.conflicts, set[bytes]()
    for version_id, known in _meet(session, model, rows.last).items():
        of_version = _write(session, model, session.get_one(Version, version_id), known)
        changed, conflicts = changed + of_version[0], conflicts + of_version[1]
        found.update(each.said.id.key for each in known)
    waiting = [said for key, said in rows.last.items() if key not in found]
    changed += _wait(session, model, waiting)
    quarantine.put(session, model, None, "labels", rows.bad)
    stored = min(changed, len(rows.last))
    return Outcome(rows.taken, stored, rows.taken - stored - len(rows.bad), len(rows.bad), conflicts)


def adopt(
    session: Session, model: Model, version: Version, arrivals: Mapping[bytes, tuple[Fingerprint, datetime]]
) -> None:
    """Give new samples the labels that waited for them, or that the same sample of another version has."""
    last: dict[bytes, Known] = {}
    keys = sorted(arrivals)
    for at, label, logged_at in [*_orphans(session, model, keys), *_of_siblings(session, model, version, keys)]:
        key = keys[at - 1]
        if key not in last or last[key].said.logged_at < logged_at:
            print_, time = arrivals[key]
            last[key] = Known(Said(print_, label, logged_at), time)
    _write(session, model, version, list(last.values()))


def _orphans(session: Session, model: Model, keys: Sequence[bytes]) -> Sequence[Any]:
    orphans = f"orphan_labels_{model.relation}"
    if not session.scalar(text(f"select exists (select 1 from {orphans})")):
        return []
    return db.fetch(
        session,
        "select t.at, o.label, o.logged_at from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" join {orphans} o on o.k = t.k",
        {"k": db.Uuids(keys)},
    )


def _of_siblings(session: Session, model: Model, version: Version, keys: Sequence[bytes]) -> Sequence[Any]:
    """The labels of these samples in other versions of the model."""
    others = select(Version).where(
        Version.model_id == model.id, Version.id != version.id, Version.watermark.is_not(None)
    )
    found: list[Any] = []
    for other in session.scalars(others.order_by(Version.id)).all():
        places = db.fetch(
            session,
            "select t.at, i.ts from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
            f" join ids_{model.relation} i on i.k = t.k and i.version_id = %(version)b",
            {"k": db.Uuids(keys), "version": other.id},
        )
        found += _said_there(session, other, keys, places)
    return found


def _said_there(session: Session, version: Version, keys: Sequence[bytes], places: Sequence[Any]) -> Sequence[Any]:
    if not places:
        return []
    times = [time for _, time in places]
    return db.fetch(
        session,
        "select t.at, l.label, l.logged_at"
        " from unnest(%(at)b::int8[], %(k)b::uuid[], %(ts)b::timestamptz[]) t(at, k, ts)"
        f" join labels_{version.relation} l on l.k = t.k and l.ts = t.ts"
        " where l.ts between %(first)b and %(last)b",
        {
            "at": [at for at, _ in places],
            "k": db.Uuids([keys[at - 1] for at, _ in places]),
            "ts": times,
            "first": min(times),
            "last": max(times),
        },
    )


def _meet(session: Session, model: Model, last: Mapping[bytes, Said]) -> dict[int, list[Known]]:
    """The labels whose samples are there, by version, in order of key."""
    keys = sorted(last)
    found = db.fetch(
        session,
        "select t.at, i.version_id, i.ts from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" join ids_{model.relation} i on i.k = t.k order by i.version_id, t.at",
        {"k": db.Uuids(keys)},
    )
    known: dict[int, list[Known]] = defaultdict(list)
    for at, version_id, time in found:
        known[version_id].append(Known(last[keys[at - 1]], time))
    return known


def _write(session: Session, model: Model, version: Version, known: Sequence[Known]) -> tuple[int, int]:
    """Keep labels of a version's samples, count them by quarter of an hour; how many changed, how many differed."""
    if not known:
        return 0, 0
    storage.ensure_partitions(session, "labels", version.relation, (each.time for each in known))
    there = _add(session, model, version, known)
    if not there:
        return len(known), 0
    changed, differing = _replace(session, model, version, [known[at - 1] for at in there])
    return len(known) - len(there) + changed, differing


def _add(session: Session, model: Model, version: Version, known: Sequence[Known]) -> list[int]:
    """Add labels of samples that have none; returns which, counted from 1, have one."""
    found = db.fetch(
        session,
        f"""
        with incoming as ({_incoming(model)}), fresh as (
            insert into labels_{version.relation} (lvl, ts, h, k, label, logged_at)
            select lvl, ts, h, k, label, logged_at from incoming on conflict do nothing returning ts, k, label
        ), quarters as (
            select date_bin('15 minutes', ts, timestamptz '2000-01-01 00:00+00') as at,
                   count(*) as added, count(label) as gained from fresh group by 1
        ), touched as (
            update quarter_hours q
               set n_labelled = q.n_labelled + gained, labels_revision = q.labels_revision + added, is_touched = true
              from quarters where q.version_id = %(version)b and q.at = quarters.at
        )
        select i.at from incoming i left join fresh on fresh.k = i.k where fresh.k is null order by i.at
        """,
        _columns(known, version),
    )
    return [at for (at,) in found]


def _replace(session: Session, model: Model, version: Version, known: Sequence[Known]) -> tuple[int, int]:
    """Let the last label by logging time win where there is one; how many changed, how many differed."""
    found = db.fetch(
        session,
        f"""
        with incoming as ({_incoming(model)}), before as (
            select i.k, l.label, i.label is distinct from l.label as differs from incoming i
              join labels_{version.relation} l on (l.lvl, l.ts, l.h, l.k) = (i.lvl, i.ts, i.h, i.k)
             where l.ts between %(first)b and %(last)b
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
        _columns(known, version),
    )
    changed, differing = found[0]
    return int(changed), int(differing)


def _incoming(model: Model) -> str:
    sql = "float8" if model.task_type == "regression" else "text"
    return (
        "select * from unnest(%(k)b::uuid[], %(h)b::int4[], %(lvl)b::int2[], %(ts)b::timestamptz[],"
        f" %(label)b::{sql}[], %(logged_at)b::timestamptz[]) with ordinality t(k, h, lvl, ts, label, logged_at, at)"
    )


def _columns(known: Sequence[Known], version: Version) -> dict[str, Any]:
    said, times = zip(*known, strict=True)
    prints, labels, logged = zip(*said, strict=True)
    keys, hashes, levels = zip(*prints, strict=True)
    return {
        "k": db.Uuids(keys),
        "h": list(hashes),
        "lvl": list(levels),
        "ts": list(times),
        "label": list(labels),
        "logged_at": list(logged),
        "first": min(times),
        "last": max(times),
        "version": version.id,
    }


def _wait(session: Session, model: Model, waiting: Iterable[Said]) -> int:
    """Keep labels whose sample has not come yet; returns how many are new or changed."""
    ordered = sorted(waiting, key=lambda said: said.id.key)
    if not ordered:
        return 0
    sql, orphans = "float8" if model.task_type == "regression" else "text", f"orphan_labels_{model.relation}"
    found = db.fetch(
        session,
        f"""
        with incoming as (
            select * from unnest(%(k)b::uuid[], %(label)b::{sql}[], %(logged_at)b::timestamptz[]) t(k, label, logged_at)
        ), before as (select k, o.label from {orphans} o join incoming using (k)), kept as (
            insert into {orphans} as o (k, label, logged_at) select k, label, logged_at from incoming
            on conflict (k) do update set label = excluded.label, logged_at = excluded.logged_at
             where o.logged_at < excluded.logged_at
                or (o.logged_at = excluded.logged_at and o.label is distinct from excluded.label)
            returning k, label
        )
        select count(*) from kept left join before b using (k) where b.k is null or b.label is distinct from kept.label
        """,
        {
            "k": db.Uuids([said.id.key for said in ordered]),
            "label": [said.label for said in ordered],
            "logged_at": [said.logged_at for said in ordered],
        },
    )
    return int(found[0][0])
