"""Labels: kept per sample id, before, with or long after the sample; the last one by logging time wins."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import quarantine, storage
from dcmon.arrivals import Fingerprint, Outcome, fingerprint
from dcmon.rows import Rejected, label_shape
from dcmon.tables.org import Model, Version

Value = str | float | None
Known = tuple[str, int, int, datetime, Value]  # key, hash, level, the sample's time, label


def take(
    session: Session,
    model: Model,
    rows: Sequence[msgspec.Raw],
    *,
    logged_at: datetime,
    source: str,
    first_position: int = 0,
) -> Outcome:
    """Keep labels: at their samples, or waiting for them. A label that is there already is a duplicate.

    Holds the model's lock exclusively: a label and its sample that commit together would never meet.
    """
    storage.lock_model(session, model)
    good, bad = _sort(model, rows, first_position)
    prints = {fingerprint(sample_id).key: (fingerprint(sample_id), label) for sample_id, label in good.items()}
    changed, found = 0, set[str]()
    for version_id, known in _meet(session, model, prints).items():
        version = session.get_one(Version, version_id)
        changed += _write(session, model, version, known, logged_at)
        found.update(each[0] for each in known)
    waiting = {key: label for key, (_, label) in prints.items() if key not in found}
    changed += _wait(session, model, waiting, logged_at)
    quarantine.put(session, model, None, "labels", bad, source, logged_at)
    stored = min(changed, len(prints))
    return Outcome(len(rows), stored, len(rows) - stored - len(bad), len(bad))


def adopt(
    session: Session,
    model: Model,
    version: Version,
    arrivals: Iterable[tuple[Fingerprint, datetime]],
    logged_at: datetime,
) -> None:
    """Give new samples the labels that waited for them, or that the same sample of another version has."""
    by_key = {print_.key: (print_, time) for print_, time in arrivals}
    prints = {key: print_ for key, (print_, _) in by_key.items()}
    last: dict[str, tuple[datetime, Value]] = {}
    for key, label, said_at in [*_orphans(session, model, prints), *_of_siblings(session, model, version, prints)]:
        if key not in last or last[key][0] < said_at:
            last[key] = (said_at, label)
    by_time: dict[datetime, list[Known]] = defaultdict(list)
    for key, (said_at, label) in last.items():
        print_, time = by_key[key]
        by_time[said_at].append((key, print_.hash, print_.level, time, label))
    for said_at, known in sorted(by_time.items()):
        _write(session, model, version, known, said_at)


def _orphans(session: Session, model: Model, prints: Mapping[str, Fingerprint]) -> Sequence[Any]:
    orphans = f"orphan_labels_{model.relation}"
    if not session.scalar(text(f"select exists (select 1 from {orphans})")):
        return []
    found = session.execute(
        text(
            f"select replace(k\\:\\:text, '-', ''), label, logged_at from {orphans}"
            " where k = any(cast(cast(:k as text[]) as uuid[]))"
        ),
        {"k": sorted(prints)},
    )
    return found.all()


def _of_siblings(session: Session, model: Model, version: Version, prints: Mapping[str, Fingerprint]) -> Sequence[Any]:
    """The labels of these samples in other versions of the model."""
    others = select(Version).where(
        Version.model_id == model.id, Version.id != version.id, Version.watermark.is_not(None)
    )
    found: list[Any] = []
    for other in session.scalars(others.order_by(Version.id)).all():
        places = session.execute(
            text(
                f"select replace(k\\:\\:text, '-', ''), ts from ids_{model.relation}"
                " where version_id = :version and k = any(cast(cast(:k as text[]) as uuid[]))"
            ),
            {"version": other.id, "k": sorted(prints)},
        ).all()
        found += _said_there(session, other, [(prints[key], time) for key, time in places])
    return found


def _said_there(session: Session, version: Version, places: Sequence[tuple[Fingerprint, datetime]]) -> Sequence[Any]:
    if not places:
        return []
    times = [time for _, time in places]
    found = session.execute(
        text(
            f"select replace(l.k\\:\\:text, '-', ''), l.label, l.logged_at from labels_{version.relation} l"
            " join (select cast(k as uuid) as k, h, lvl, ts from unnest(cast(:k as text[]), cast(:h as int4[]),"
            "       cast(:lvl as int2[]), cast(:ts as timestamptz[])) t(k, h, lvl, ts)) i"
            "   on (l.lvl, l.ts, l.h, l.k) = (i.lvl, i.ts, i.h, i.k)"
            " where l.ts between :first and :last"
        ),
        {
            "k": [print_.key for print_, _ in places],
            "h": [print_.hash for print_, _ in places],
            "lvl": [print_.level for print_, _ in places],
            "ts": times,
            "first": min(times),
            "last": max(times),
        },
    )
    return found.all()


def _sort(
    model: Model, rows: Sequence[msgspec.Raw], first_position: int
) -> tuple[dict[str, Value], list[quarantine.Bad]]:
    """The last label of each id, and the rows that are none."""
    shape, good, bad = label_shape(model.task_type == "regression"), {}, []
    for position, row in enumerate(rows, first_position):
        try:
            sample_id, label = shape.decode(row)
            good[sample_id] = _value(label, model)
        except Rejected as why:
            bad.append(quarantine.Bad(position, bytes(row), why.reason, why.field, why.detail))
    return good, bad


def _value(label: Any, model: Model) -> Value:
    """Classes are text: 1 and 1.0 are "1", as the SDK has it."""
    if label is None or model.task_type == "regression":
        return None if label is None else float(label)
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def _meet(session: Session, model: Model, prints: dict[str, tuple[Fingerprint, Value]]) -> dict[int, list[Known]]:
    """The samples that the labels belong to, by version."""
    found = session.execute(
        text(
            f"select replace(k\\:\\:text, '-', ''), version_id, ts from ids_{model.relation}"
            " where k = any(cast(cast(:k as text[]) as uuid[])) order by version_id, k"
        ),
        {"k": sorted(prints)},
    )
    known: dict[int, list[Known]] = defaultdict(list)
    for key, version_id, time in found:
        print_, label = prints[key]
        known[version_id].append((key, print_.hash, print_.level, time, label))
    return known


def _write(session: Session, model: Model, version: Version, known: Sequence[Known], logged_at: datetime) -> int:
    """Upsert labels of a version's samples, count what changed by quarter of an hour; returns how many changed."""
    if not known:
        return 0
    storage.ensure_partitions(session, "labels", version.relation, (each[3] for each in known))
    keys, hashes, levels, times, values = zip(*sorted(known), strict=True)
    sql = "float8" if model.task_type == "regression" else "text"
    changed = session.scalar(
        text(
            f"""
            with incoming as (
                select cast(k as uuid) as k, h, lvl, ts, label
                  from unnest(cast(:k as text[]), cast(:h as int4[]), cast(:lvl as int2[]),
                              cast(:ts as timestamptz[]), cast(:label as {sql}[])) t(k, h, lvl, ts, label)
            ), before as (
                select i.k, l.label from incoming i
                  join labels_{version.relation} l on (l.lvl, l.ts, l.h, l.k) = (i.lvl, i.ts, i.h, i.k)
                 where l.ts between :first and :last
            ), changed as (
                insert into labels_{version.relation} as l (lvl, ts, h, k, label, logged_at)
                select lvl, ts, h, k, label, :logged_at from incoming
                on conflict (lvl, ts, h, k) do update set label = excluded.label, logged_at = excluded.logged_at
                 where l.logged_at < excluded.logged_at
                    or (l.logged_at = excluded.logged_at and l.label is distinct from excluded.label)
                returning k, ts, label
            ), quarters as (
                select date_bin('15 minutes', c.ts, timestamptz '2000-01-01 00:00+00') as at, count(*) as changed,
                       sum((c.label is not null)\\:\\:int - (b.label is not null)\\:\\:int) as gained
                  from changed c left join before b using (k)
                 where b.k is null or b.label is distinct from c.label group by 1
            ), touched as (
                update quarter_hours q
                   set n_labelled = q.n_labelled + gained, labels_revision = q.labels_revision + changed,
                       is_touched = true
                  from quarters where q.version_id = :version and q.at = quarters.at
            )
            select coalesce(sum(changed), 0) from quarters
            """
        ),
        {
            "k": list(keys),
            "h": list(hashes),
            "lvl": list(levels),
            "ts": list(times),
            "label": list(values),
            "first": min(times),
            "last": max(times),
            "logged_at": logged_at,
            "version": version.id,
        },
    )
    return int(changed or 0)


def _wait(session: Session, model: Model, waiting: dict[str, Value], logged_at: datetime) -> int:
    """Keep labels whose sample has not come yet; returns how many are new or changed."""
    if not waiting:
        return 0
    sql = "float8" if model.task_type == "regression" else "text"
    keys = sorted(waiting)
    changed = session.scalar(
        text(
            f"with incoming as (select cast(k as uuid) as k, label"
            f"  from unnest(cast(:k as text[]), cast(:label as {sql}[])) t(k, label)),"
            f" before as (select k, o.label from orphan_labels_{model.relation} o join incoming using (k)),"
            f" kept as (insert into orphan_labels_{model.relation} as o (k, label, logged_at)"
            " select k, label, :logged_at from incoming"
            " on conflict (k) do update set label = excluded.label, logged_at = excluded.logged_at"
            " where o.logged_at < excluded.logged_at"
            " or (o.logged_at = excluded.logged_at and o.label is distinct from excluded.label) returning k, label)"
            " select count(*) from kept left join before b using (k)"
            " where b.k is null or b.label is distinct from kept.label"
        ),
        {"k": keys, "label": [waiting[key] for key in keys], "logged_at": logged_at},
    )
    return int(changed or 0)
