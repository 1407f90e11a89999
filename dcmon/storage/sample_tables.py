"""Tables made at run time: samples, labels and reference of a version, the id map of a model.

Why they look so: docs/decisions.md, "Sample tables". Samples and labels are partitioned by month of the sample's time.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Model, Version
from dcmon.storage.columns import HASH, KEY, LABEL, LEVEL, LOGGED_AT, SAMPLE_ID, TIME, TYPES, Columns, quoted

T = TypeVar("T")

SINCE_1970 = (datetime(2000, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
PARTITION_LOCKS = {"samples": LockSpace.SAMPLE_PARTITIONS, "labels": LockSpace.LABEL_PARTITIONS}

DETACHED = re.compile(r"^(samples|labels)_([0-9]+)_([0-9]{4})_([0-9]{2})_pruned[0-9]+$")

Month = tuple[int, int]
MONTHS_AT_ONCE = 24  # each new one takes some five locks, of the some thousand that all transactions have together


class PartitionsMissing(Exception):
    """A transaction needs too many new partitions: `with_partitions` makes them and repeats the transaction."""

    def __init__(self, kind: str, number: int, months: list[Month]) -> None:
        super().__init__(f"{kind}_{number} has no partitions yet for {len(months)} months")
        self.kind, self.number, self.months = kind, number, months


class Detached(NamedTuple):
    """A partition that was taken off its table, to be dropped: its name, and what it was."""

    name: str
    kind: str
    relation: int
    month: Month


def columns(model: Model, version: Version) -> Columns:
    """The columns of a version."""
    return Columns(model.task_type, version.features, version.additional, version.classes)


def next_relation(session: Session) -> int:
    """A number for the names of run-time tables; no two organizations share one."""
    number: int = session.scalar(text("select nextval('public.relation_numbers')"))
    return number


def lock_naming(session: Session, what: str) -> None:
    """One at a time may give a name: two that create the same thing at once end with one of it."""
    locks.acquire_named(session, LockSpace.NAMES, [what])


def lock_model(session: Session, model: Model, *, shared: bool = False, to_store: bool = False) -> None:
    """Nobody else stores labels of the model until the transaction ends; nor samples, unless the lock is shared.

    `to_store`: from here to its end rows are looked up by an index, however many (dcmon.db.LOOK_UP).
    """
    lock = locks.call(LockSpace.MODEL, "%(model)b::int4", shared=shared)
    statement = f"select {lock}, {db.LOOK_UP}" if to_store else f"select {lock}"
    db.run(session, statement, {"model": model.relation})


def create_model_tables(session: Session, model: Model) -> None:
    """The id map, which decides what is a duplicate, and the labels that came before their sample."""
    label = _label_type(model)
    session.execute(
        text(
            f"create table ids_{model.relation} (k uuid, version_id int, ts timestamptz not null,"
            f" content int8 not null, primary key (k, version_id))"
        )
    )
    session.execute(
        text(
            f"create table orphan_labels_{model.relation} (k uuid primary key, label {label},"
            f" logged_at timestamptz not null)"
        )
    )


def create_version_tables(session: Session, model: Model, version: Version) -> None:
    """Samples and labels, partitioned, and the reference."""
    number, shape = version.relation, columns(model, version)
    said = ", ".join(f"{quoted(name)} {TYPES[kind].sql}" for name, kind in {**shape.model, **shape.own}.items())
    session.execute(
        text(
            _literal(
                f"create table samples_{number} ({KEY} uuid not null, {HASH} int4 not null, {LEVEL} int2 not null,"
                f" {SAMPLE_ID} text not null, {TIME} timestamptz not null, {said}, {LOGGED_AT} timestamptz not null)"
                f" partition by range ({TIME})"
            )
        )
    )
    session.execute(text(f"create index on samples_{number} ({LEVEL}, {TIME}, {HASH})"))
    session.execute(
        text(
            f"create table labels_{number} (lvl int2, ts timestamptz, h int4, k uuid, label {_label_type(model)},"
            f" logged_at timestamptz not null, unique (lvl, ts, h, k)) partition by range (ts)"
        )
    )
    session.execute(
        text(
            _literal(
                f"create table reference_{number} (revision int not null, _dc_position int not null,"
                f" {HASH} int4 not null, {said}, {LABEL} {_label_type(model)}, primary key (revision, _dc_position))"
            )
        )
    )
    session.execute(text(f"create index on reference_{number} (revision, {HASH})"))


def drop_version_tables(session: Session, version: Version) -> None:
    """Drop what a version stored."""
    for each in detached(session):
        if each.relation == version.relation:
            session.execute(text(f"drop table {each.name}"))
    for kind in ("samples", "labels", "reference"):
        session.execute(text(f"drop table if exists {kind}_{version.relation}"))


def drop_model_tables(session: Session, model: Model) -> None:
    """Drop a model's id map and waiting labels; its versions' tables are dropped before."""
    for kind in ("ids", "orphan_labels"):
        session.execute(text(f"drop table if exists {kind}_{model.relation}"))


def with_partitions(engine: Engine, org: Organization, work: Callable[[], T], wait: timedelta | None = None) -> T:
    """What `work` returns, which stores rows in a transaction; partitions for years of rows are made before it.

    `wait`: for locks, as `work` does.
    """
    while True:
        try:
            return work()
        except PartitionsMissing as missing:
            for at in range(0, len(missing.months), MONTHS_AT_ONCE):
                with db.org_session(engine, org, wait=wait) as session:
                    _make_partitions(session, missing.kind, missing.number, missing.months[at : at + MONTHS_AT_ONCE])


def ensure_partitions(session: Session, kind: str, number: int, times: Any) -> None:
    """Make the monthly partitions of `samples` or `labels` that these times, microseconds since 2000, need.

    Raises PartitionsMissing when they are too many for one transaction.
    """
    months = {_partition(kind, number, month): month for month in _months(times)}
    found = db.fetch(
        session,
        "select name from unnest(%(names)b::text[]) name where to_regclass(name) is null",
        {"names": list(months)},
    )
    missing = [months[name] for (name,) in found]
    if len(missing) > MONTHS_AT_ONCE:
        raise PartitionsMissing(kind, number, missing)
    if missing:
        _make_partitions(session, kind, number, missing)


def _make_partitions(session: Session, kind: str, number: int, months: Sequence[Month]) -> None:
    """LIKE and ATTACH, because CREATE … PARTITION OF would lock out whoever writes to the table."""
    locks.acquire(session, PARTITION_LOCKS[kind], number)
    # Asked of pg_class: to_regclass may answer from before the wait for the lock, out of the backend's cache.
    there = session.scalars(
        text(
            "select relname from pg_class where relnamespace = cast(current_schema() as regnamespace)"
            " and relname = any(:names)"
        ),
        {"names": [_partition(kind, number, month) for month in months]},
    ).all()
    for month in months:
        if _partition(kind, number, month) not in there:
            _create_partition(session, kind, number, month)


def _months(times: Any) -> list[Month]:
    """The months that times lie in, in order: year and month in UTC."""
    import numpy as np  # most commands store no rows: they start without it

    found = np.unique((np.asarray(times) + SINCE_1970).astype("datetime64[us]").astype("datetime64[M]").astype(int))
    return [(1970 + month // 12, month % 12 + 1) for month in found.tolist()]


def _create_partition(session: Session, kind: str, number: int, month: Month) -> None:
    parent, name = f"{kind}_{number}", _partition(kind, number, month)
    first, after = span(month)
    session.execute(text(f"create table {name} (like {parent} including defaults including constraints)"))
    session.execute(text(f"alter table {parent} attach partition {name} for values from ('{first}') to ('{after}')"))


def span(month: Month) -> tuple[datetime, datetime]:
    """The first moment of a month, and of the next one."""
    year, number = month
    return datetime(year, number, 1, tzinfo=UTC), datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def months(session: Session, kind: str, number: int) -> list[Month]:
    """The months that there are partitions of, oldest first."""
    found = session.scalars(
        text(
            "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
            " where i.inhparent = cast(:parent as regclass) order by 1"
        ),
        {"parent": f"{kind}_{number}"},
    )
    return [(int(name.split("_")[2]), int(name.split("_")[3])) for name in found]


def detach_partition(session: Session, kind: str, number: int, month: Month) -> None:
    """Take a month off its table, where it is there: it keeps its rows under another name until it is dropped.

    Nobody may write to the table or read it until the transaction ends: do this last.
    """
    name = _partition(kind, number, month)
    if not _exists(session, name):
        return
    session.execute(text(f"alter table {kind}_{number} detach partition {name}"))
    # Numbered, because a late row may make the month anew before this one is dropped.
    session.execute(text(f"alter table {name} rename to {name}_pruned{next_relation(session)}"))


def detached(session: Session) -> list[Detached]:
    """The partitions that wait to be dropped."""
    names = session.scalars(
        text(
            "select relname from pg_class where relnamespace = cast(current_schema() as regnamespace)"
            " and relkind = 'r' and relname ~ :pattern order by 1"
        ),
        {"pattern": DETACHED.pattern},
    )
    found = [match for name in names if (match := DETACHED.match(name))]
    return [Detached(m[0], m[1], int(m[2]), (int(m[3]), int(m[4]))) for m in found]


def _partition(kind: str, number: int, month: Month) -> str:
    return f"{kind}_{number}_{month[0]:04d}_{month[1]:02d}"


def _exists(session: Session, table: str) -> bool:
    return session.scalar(text("select to_regclass(:table)"), {"table": table}) is not None


def _label_type(model: Model) -> str:
    return TYPES["numeric" if model.task_type == "regression" else "categorical"].sql


def _literal(statement: str) -> str:
    """Keep colons in users' column names from being taken for parameters."""
    return statement.replace(":", "\\:")
