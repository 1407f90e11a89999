"""Store labels, which may come before their samples or later. The label that was logged last wins."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import sql
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion import quarantine
from dcmon.ingestion.label_decoder import DecodedLabels, LabelValue
from dcmon.ingestion.quarantine import QuarantineTarget
from dcmon.states import RowKind, TaskType
from dcmon.storage import pg_binary, pg_copy, sample_tables
from dcmon.storage.columns import TYPES, label_type_of
from dcmon.storage.ledger import Outcome
from dcmon.storage.pg_copy import FixedColumn
from dcmon.storage.sample_ids import levels_of
from dcmon.windows import QUARTER_HOUR_SECONDS

SQL = sql.read(__name__)
# The columns that locate the labels of samples: key, hash and level of the id, and the sample's time.
LOCATIONS = "unnest(%(k)b::uuid[], %(h)b::int4[], %(lvl)b::int2[], %(ts)b::timestamptz[]"


@dataclass(frozen=True)
class LabelColumns:
    """Labels as columns, in order of key."""

    keys: Sequence[bytes]
    labels: Sequence[LabelValue]
    logged: Any  # numpy int64: times of logging, microseconds since 2000

    def select(self, indexes: Any) -> "LabelColumns":
        """Return the labels at these indexes (a numpy array)."""
        chosen = indexes.tolist()
        keys, labels = [self.keys[index] for index in chosen], [self.labels[index] for index in chosen]
        return LabelColumns(keys, labels, self.logged[indexes])


class SamplesOfVersion(NamedTuple):
    """The keys that have samples in one version. `times` are in microseconds since 2000."""

    version_id: int
    indexes: Any
    times: Any


class Changes(NamedTuple):
    """How many labels were changed or added, and how many differ from the stored label."""

    changed: int
    differing: int


class _LabelSources(NamedTuple):
    """Where labels of new samples may be stored already.

    `has_waiting` is True if labels wait for samples. `versions` are the other versions with samples.
    """

    has_waiting: bool
    versions: Sequence[Version]


def store(session: Session, model: Model, rows: DecodedLabels) -> Outcome:
    """Store decoded labels in the session's transaction.

    Locks the model exclusively. Otherwise two transactions that store a label and its sample at the same time would not
    see each other, and the label would wait forever.
    """
    sample_tables.lock_model(session, model, to_store=True)
    keys = sorted(rows.last)
    values, logged = zip(*map(rows.last.__getitem__, keys), strict=True) if keys else ((), ())
    labels = LabelColumns(keys, values, np.array(logged, np.int64))
    changed, conflicts, has_no_sample = 0, rows.conflicts, np.ones(len(keys), bool)
    for version_id, indexes, times in _samples_by_version(session, model, keys):
        version = session.get_one(Version, version_id)
        changes = _write(session, model, version, labels.select(indexes), times)
        changed, conflicts = changed + changes.changed, conflicts + changes.differing
        has_no_sample[indexes] = False
    changed += _keep_waiting(session, model, labels.select(np.flatnonzero(has_no_sample)))
    quarantined = quarantine.add(session, QuarantineTarget(RowKind.LABELS, model.id, None), rows.bad)
    stored = min(changed, len(keys))
    duplicates, waiting = rows.row_count - stored - quarantined, int(np.count_nonzero(has_no_sample))
    return Outcome(rows.row_count, stored, duplicates, quarantined, conflicts, waiting, rows.replaced)


def attach(session: Session, model: Model, version: Version, keys: Sequence[bytes], times: Any) -> None:
    """Store the labels of new samples that wait for them, or that other versions have.

    `keys` and `times` (numpy, microseconds since 2000) belong to samples that this transaction inserted.
    """
    sources = _label_sources(session, model, version)
    rows: list[Any] = _waiting_labels(session, model, keys) if sources.has_waiting else []
    for other_version in sources.versions:
        rows += _labels_of_version(session, model, other_version, keys)
    if not rows:
        return
    # Sorted by position, then by time of logging: of several labels of a sample the last one is kept.
    last = {at - 1: (label, logged_at) for at, label, logged_at in sorted(rows, key=lambda row: (row[0], row[2]))}
    indexes = np.array(list(last), np.int64)
    values, logged = zip(*last.values(), strict=True)
    logged_micros = np.array([pg_binary.micros(at) for at in logged], np.int64)
    labels = LabelColumns([keys[index] for index in last], values, logged_micros)
    _write(session, model, version, labels, times[indexes])


def _label_sources(session: Session, model: Model, version: Version) -> _LabelSources:
    """Return whether labels wait for samples, and the model's other versions with samples."""
    statement = (
        f"select exists (select 1 from orphan_labels_{model.relation}), array(select id from versions"
        " where model_id = %(model)b and id <> %(version)b and watermark is not null order by id)"
    )
    ((has_waiting, version_ids),) = db.fetch(session, statement, {"model": model.id, "version": version.id})
    if not version_ids:
        return _LabelSources(has_waiting, ())
    with_samples = select(Version).where(Version.id.in_(version_ids)).order_by(Version.id)
    return _LabelSources(has_waiting, session.scalars(with_samples).all())


def _waiting_labels(session: Session, model: Model, keys: Sequence[bytes]) -> list[Any]:
    """Return the labels that wait for these samples.

    Each has the sample's position (from 1), the label, and its time of logging.
    """
    return db.fetch(
        session,
        "select t.at, o.label, o.logged_at from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" {db.for_each(f'select label, logged_at from orphan_labels_{model.relation} where k = t.k')} o",
        {"k": pg_binary.uuids(keys)},
    )


def _labels_of_version(session: Session, model: Model, version: Version, keys: Sequence[bytes]) -> list[Any]:
    """Return the labels of these samples in a version.

    Each has the sample's position (from 1), the label, and its time of logging.
    """
    locations = db.fetch(
        session,
        "select t.at, i.ts from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" {db.for_each(f'select ts from ids_{model.relation} where k = t.k and version_id = %(version)b')} i",
        {"k": pg_binary.uuids(keys), "version": version.id},
    )
    if not locations:
        return []
    times = np.array([pg_binary.micros(time) for _, time in locations], np.int64)
    positions = pg_binary.int8s([at for at, _ in locations])
    return db.fetch(
        session,
        f"select t.at, l.label, l.logged_at from {LOCATIONS}, %(at)b::int8[]) t(k, h, lvl, ts, at)"
        f" {db.for_each(_stored_label(version, 'label, logged_at'))} l",
        {**_locations([keys[at - 1] for at, _ in locations], times), "at": positions},
    )


def _samples_by_version(session: Session, model: Model, keys: Sequence[bytes]) -> list[SamplesOfVersion]:
    """Return, for each version, which of these sorted keys have samples in it."""
    if not keys:
        return []
    rows = db.fetch(
        session,
        "select version_id, string_agg(uuid_send(k), '' order by k), string_agg(timestamptz_send(ts), '' order by k)"
        f" from ids_{model.relation} where k = any(%(k)b::uuid[]) group by 1 order by 1",
        {"k": pg_binary.uuids(keys)},
    )
    # PostgreSQL returns keys and times as two byte strings, so that Python makes no object for each sample.
    sorted_keys = np.frombuffer(b"".join(keys), "S16")
    return [
        SamplesOfVersion(
            version_id, np.searchsorted(sorted_keys, np.frombuffer(version_keys, "S16")), np.frombuffer(times, ">i8")
        )
        for version_id, version_keys, times in rows
    ]


def _write(session: Session, model: Model, version: Version, labels: LabelColumns, times: Any) -> Changes:
    """Store labels of a version's samples, and count them by quarter of an hour."""
    if not labels.keys:
        return Changes(0, 0)
    sample_tables.ensure_partitions(session, RowKind.LABELS, version.relation, times)
    labelled = _labelled(session, version, labels, times)
    is_new = np.ones(len(labels.keys), bool)
    is_new[labelled] = False
    if is_new.any():
        _add(session, model, version, labels.select(np.flatnonzero(is_new)), times[is_new])
    if not labelled:
        return Changes(len(labels.keys), 0)
    changes = _replace(session, model, version, labels.select(np.array(labelled)), times[labelled])
    return Changes(len(labels.keys) - len(labelled) + changes.changed, changes.differing)


def _labelled(session: Session, version: Version, labels: LabelColumns, times: Any) -> list[int]:
    """Return the indexes of the labels whose sample has a label already.

    The result stays true until the transaction ends. Another transaction that adds a label to one of these samples
    would need the model's exclusive lock, or would have to store the sample itself.
    """
    rows = db.fetch(
        session,
        f"select t.at - 1 from {LOCATIONS}) with ordinality t(k, h, lvl, ts, at)"
        f" {db.for_each(_stored_label(version, ''))} l order by 1",
        _locations(labels.keys, times),
    )
    return [index for (index,) in rows]


def _add(session: Session, model: Model, version: Version, labels: LabelColumns, times: Any) -> None:
    """COPY labels of samples without a label, in the order of the index. Count them by quarter of an hour."""
    hashes, levels = levels_of(labels.keys)
    order = np.lexsort((times, levels))
    keys = np.frombuffer(b"".join(labels.keys), "V16")
    columns = {
        "k": FixedColumn("V16", keys[order]), "h": FixedColumn(">i4", hashes[order]),
        "lvl": FixedColumn(">i2", levels[order]), "ts": FixedColumn(">i8", times[order]),
        "logged_at": FixedColumn(">i8", labels.logged[order]),
    }  # fmt: skip
    heads = pg_copy.encode_fixed_columns(columns, len(order), len(columns) + 1)
    encoder = pg_copy.Encoder([label_type_of(model.task_type)])
    lines = encoder.encode([(labels.labels[index],) for index in order.tolist()])
    target = f"copy labels_{version.relation} ({', '.join(columns)}, label) from stdin (format binary)"
    with db.copy(session, target) as copy:
        copy.write(b"".join([pg_copy.BEGIN, *chain.from_iterable(zip(heads, lines, strict=True)), pg_copy.END]))
    quarters, quarter_indexes = np.unique(times // (QUARTER_HOUR_SECONDS * 1_000_000), return_inverse=True)
    added = np.bincount(quarter_indexes)
    gained = np.bincount(quarter_indexes, weights=[label is not None for label in labels.labels]).astype(np.int64)
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


def _replace(session: Session, model: Model, version: Version, labels: LabelColumns, times: Any) -> Changes:
    """Replace stored labels by labels that were logged later."""
    statement = SQL.statement(
        "replace",
        version=version.relation,
        incoming=_incoming(model),
        stored_label=db.for_each(_stored_label(version, "label")),
    )
    values = {
        **_locations(labels.keys, times),
        "label": _label_array(model, labels.labels),
        "logged_at": pg_binary.times(labels.logged),
        "version": version.id,
    }
    ((changed, differing),) = db.fetch(session, statement, values)
    return Changes(int(changed), int(differing))


def _incoming(model: Model) -> str:
    return (
        f"select * from {LOCATIONS}, %(label)b::{_label_type(model)}[], %(logged_at)b::timestamptz[])"
        " with ordinality t(k, h, lvl, ts, label, logged_at, at)"
    )


def _label_type(model: Model) -> str:
    return TYPES[label_type_of(model.task_type)].sql


def _stored_label(version: Version, columns: str) -> str:
    """Return a query for the stored label of a sample `t`. The bounds of `ts` let PostgreSQL skip other months."""
    return (
        f"select {columns} from labels_{version.relation} where (lvl, ts, h, k) = (t.lvl, t.ts, t.h, t.k)"
        " and ts between %(first)b and %(last)b"
    )


def _locations(keys: Sequence[bytes], times: Any) -> dict[str, Any]:
    """Return the parameters of `LOCATIONS` and `_stored_label`."""
    hashes, levels = levels_of(keys)
    return {
        "k": pg_binary.uuids(keys),
        "h": pg_binary.int4s(hashes),
        "lvl": pg_binary.int2s(levels),
        "ts": pg_binary.times(times),
        "first": pg_binary.time(times.min()),
        "last": pg_binary.time(times.max()),
    }


def _label_array(model: Model, labels: Sequence[Any]) -> db.Array:
    return pg_binary.float8s(labels) if model.task_type == TaskType.REGRESSION else pg_binary.texts(labels)


def _keep_waiting(session: Session, model: Model, labels: LabelColumns) -> int:
    """Keep labels whose sample is not stored yet. Return how many are new or changed."""
    if not labels.keys:
        return 0
    waiting_label = f"select label from orphan_labels_{model.relation} where k = t.k"
    statement = SQL.statement(
        "keep_waiting", model=model.relation, type=_label_type(model), waiting_label=db.for_each(waiting_label)
    )
    values = {
        "k": pg_binary.uuids(labels.keys),
        "label": _label_array(model, labels.labels),
        "logged_at": pg_binary.times(labels.logged),
    }
    return int(db.fetch(session, statement, values)[0][0])
