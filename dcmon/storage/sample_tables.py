"""Tables that are created at run time, for each model and each version.

A version has a table of samples, one of labels and one of its reference. A model has an id map and a table of labels
that wait for their sample. Samples and labels are partitioned by the month of the sample's time. The reasons for this
design: docs/decisions.md, "Sample tables".
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
from dcmon.states import RowKind
from dcmon.storage import table_layout
from dcmon.storage.columns import (
    HASH,
    KEY,
    LABEL,
    LEVEL,
    LOGGED_AT,
    SAMPLE_ID,
    TIME,
    TYPES,
    Columns,
    escaped,
    label_type_of,
)
from dcmon.windows import Window

T = TypeVar("T")

SINCE_1970 = (datetime(2000, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
PARTITION_LOCKS = {RowKind.SAMPLES: LockSpace.SAMPLE_PARTITIONS, RowKind.LABELS: LockSpace.LABEL_PARTITIONS}

DETACHED = re.compile(r"^(samples|labels)_([0-9]+)_([0-9]{4})_([0-9]{2})_pruned[0-9]+$")

# A new partition takes about five locks, and all transactions share about a thousand.
MONTHS_AT_ONCE = 24


class Month(NamedTuple):
    """A calendar month in UTC, whose samples or labels share a partition."""

    year: int
    number: int

    @property
    def span(self) -> Window:
        """Return the month as a span of time."""
        start = datetime(self.year, self.number, 1, tzinfo=UTC)
        return Window(start, datetime(self.year + self.number // 12, self.number % 12 + 1, 1, tzinfo=UTC))

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


class PartitionsMissing(Exception):
    """A transaction needs too many new partitions.

    `with_partitions` catches it, creates the partitions and repeats the transaction.
    """

    def __init__(self, kind: RowKind, relation: int, months: list[Month]) -> None:
        super().__init__(f"{kind}_{relation} has no partitions yet for {len(months)} months")
        self.kind, self.relation, self.months = kind, relation, months


class Detached(NamedTuple):
    """A partition that was detached from its table and will be dropped.

    `kind`, `relation` and `month` are those of the rows that it holds.
    """

    name: str
    kind: RowKind
    relation: int
    month: Month


def columns(model: Model, version: Version) -> Columns:
    """Return the columns of a version."""
    return Columns(
        model.task_type, version.features, version.additional, version.classes, version.layout,
        version.file_columns or {},
    )  # fmt: skip


def next_relation(session: Session) -> int:
    """Return a new number for the names of run-time tables.

    Organizations do not share numbers, so that a wrong search_path finds no table.
    """
    number: int = session.scalar(text("select nextval('public.relation_numbers')"))
    return number


def lock_naming(session: Session, kind: str) -> None:
    """Wait until no other transaction creates an object of this kind.

    The lock is held until the transaction ends, so that no two objects get the same name.
    """
    locks.acquire_named(session, LockSpace.NAMES, [kind])


def lock_model(session: Session, model: Model, *, shared: bool = False, to_store: bool = False) -> None:
    """Lock a model until the transaction ends, so that no other transaction stores its labels.

    Other transactions can store samples of the model only if the lock is shared. `to_store`: from now on, the
    transaction looks rows up by an index, also when they are many (dcmon.db.LOOK_UP).
    """
    lock = locks.call(LockSpace.MODEL, "%(model)b::int4", shared=shared)
    statement = f"select {lock}, {db.LOOK_UP}" if to_store else f"select {lock}"
    db.run(session, statement, {"model": model.relation})


def create_model_tables(session: Session, model: Model) -> None:
    """Create the id map of a model and its table of waiting labels.

    The id map decides which rows are duplicates. Labels wait if they arrive before their sample.
    """
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
    """Create the partitioned tables of samples and labels, and the table of the reference."""
    relation, layout = version.relation, table_layout.of(columns(model, version))
    declarations = layout.declarations
    session.execute(
        text(
            escaped(
                f"create table samples_{relation} ({KEY} uuid not null, {HASH} int4 not null, {LEVEL} int2 not null,"
                f" {SAMPLE_ID} text not null, {TIME} timestamptz not null, {declarations},"
                f" {LOGGED_AT} timestamptz not null)"
                f" partition by range ({TIME})"
            )
        )
    )
    session.execute(text(f"create index on samples_{relation} ({LEVEL}, {TIME}, {HASH})"))
    session.execute(
        text(
            f"create table labels_{relation} (lvl int2, ts timestamptz, h int4, k uuid, label {_label_type(model)},"
            f" logged_at timestamptz not null, unique (lvl, ts, h, k)) partition by range (ts)"
        )
    )
    session.execute(
        text(
            escaped(
                f"create table reference_{relation} (revision int not null, _dc_position int not null,"
                f" {HASH} int4 not null, {declarations}, {LABEL} {_label_type(model)},"
                f" primary key (revision, _dc_position))"
            )
        )
    )
    session.execute(text(f"create index on reference_{relation} (revision, {HASH})"))
    for table in (f"samples_{relation}", f"reference_{relation}"):
        for array in layout.array_columns:
            # Numbers are stored as they are: to compress them costs more than to read them.
            if array.name == table_layout.NUMBERS:
                session.execute(text(f"alter table {table} alter column {array.name} set storage external"))


def drop_version_tables(session: Session, version: Version) -> None:
    """Drop the tables of a version, and its detached partitions."""
    for partition in detached(session):
        if partition.relation == version.relation:
            session.execute(text(f"drop table {partition.name}"))
    for kind in (*RowKind, "reference"):
        session.execute(text(f"drop table if exists {kind}_{version.relation}"))


def drop_model_tables(session: Session, model: Model) -> None:
    """Drop a model's id map and waiting labels. Drop its versions' tables first."""
    for kind in ("ids", "orphan_labels"):
        session.execute(text(f"drop table if exists {kind}_{model.relation}"))


def with_partitions(engine: Engine, org: Organization, work: Callable[[], T], wait: timedelta | None = None) -> T:
    """Call `work`, which stores rows in a transaction, and return its result.

    If `work` needs many new partitions, create them in transactions of their own and call `work` again. `wait`: the
    longest wait for a lock, the same as in `work`.
    """
    while True:
        try:
            return work()
        except PartitionsMissing as missing:
            for at in range(0, len(missing.months), MONTHS_AT_ONCE):
                with db.org_session(engine, org, wait=wait) as session:
                    _make_partitions(session, missing.kind, missing.relation, missing.months[at : at + MONTHS_AT_ONCE])


def create_partitions(engine: Engine, org: Organization, kind: RowKind, relation: int, months: Sequence[Month]) -> None:
    """Create the monthly partitions that do not exist yet, in as many transactions as they need."""
    for at in range(0, len(months), MONTHS_AT_ONCE):
        with db.org_session(engine, org) as session:
            _make_partitions(session, kind, relation, months[at : at + MONTHS_AT_ONCE])


def ensure_partitions(session: Session, kind: RowKind, relation: int, times: Any) -> None:
    """Create the missing monthly partitions of `samples` or `labels` for these times.

    Times are in microseconds since 2000. Raises PartitionsMissing when they are too many for one transaction.
    """
    months = {_partition(kind, relation, month): month for month in _months(times)}
    rows = db.fetch(
        session,
        "select name from unnest(%(names)b::text[]) name where to_regclass(name) is null",
        {"names": list(months)},
    )
    missing = [months[name] for (name,) in rows]
    if len(missing) > MONTHS_AT_ONCE:
        raise PartitionsMissing(kind, relation, missing)
    if missing:
        _make_partitions(session, kind, relation, missing)


def _make_partitions(session: Session, kind: RowKind, relation: int, months: Sequence[Month]) -> None:
    """Create the partitions that do not exist yet."""
    # Another transaction may create the same partitions now: wait for it, then look which ones are still missing.
    locks.acquire(session, PARTITION_LOCKS[kind], relation)
    # Read pg_class: to_regclass uses the session's cache, which may be older than the wait for the lock.
    existing = session.scalars(
        text(
            "select relname from pg_class where relnamespace = cast(current_schema() as regnamespace)"
            " and relname = any(:names)"
        ),
        {"names": [_partition(kind, relation, month) for month in months]},
    ).all()
    for month in months:
        if _partition(kind, relation, month) not in existing:
            _create_partition(session, kind, relation, month)


def _months(times: Any) -> list[Month]:
    """Return the months that contain these times, in order: year and month in UTC."""
    import numpy as np  # most commands store no rows and start faster without numpy

    numbers = np.unique((np.asarray(times) + SINCE_1970).astype("datetime64[us]").astype("datetime64[M]").astype(int))
    return [Month(1970 + number // 12, number % 12 + 1) for number in numbers.tolist()]


def _create_partition(session: Session, kind: RowKind, relation: int, month: Month) -> None:
    parent, name = f"{kind}_{relation}", _partition(kind, relation, month)
    start, end = month.span.start, month.span.end
    # LIKE and ATTACH, because CREATE TABLE … PARTITION OF would block all writes to the table.
    including = " including ".join(("", "defaults", "constraints", "storage"))
    session.execute(text(f"create table {name} (like {parent}{including})"))
    session.execute(text(f"alter table {parent} attach partition {name} for values from ('{start}') to ('{end}')"))


def months(session: Session, kind: RowKind, relation: int) -> list[Month]:
    """Return the months that have a partition, oldest first."""
    names = session.scalars(
        text(
            "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
            " where i.inhparent = cast(:parent as regclass) order by 1"
        ),
        {"parent": f"{kind}_{relation}"},
    )
    return [Month(int(name.split("_")[2]), int(name.split("_")[3])) for name in names]


def detach_partition(session: Session, kind: RowKind, relation: int, month: Month) -> None:
    """Detach and rename a month's partition if it exists.

    The detached table keeps its rows until it is dropped. This blocks all reads and writes of the partitioned table
    until the transaction ends, so call it last.
    """
    name = _partition(kind, relation, month)
    if not _exists(session, name):
        return
    session.execute(text(f"alter table {kind}_{relation} detach partition {name}"))
    # The new name has a number, because a late row may create the month again before this partition is dropped.
    session.execute(text(f"alter table {name} rename to {name}_pruned{next_relation(session)}"))


def detached(session: Session) -> list[Detached]:
    """Return the partitions that are detached and not yet dropped."""
    names = session.scalars(
        text(
            "select relname from pg_class where relnamespace = cast(current_schema() as regnamespace)"
            " and relkind = 'r' and relname ~ :pattern order by 1"
        ),
        {"pattern": DETACHED.pattern},
    )
    matches = [match for name in names if (match := DETACHED.match(name))]
    return [Detached(m[0], RowKind(m[1]), int(m[2]), Month(int(m[3]), int(m[4]))) for m in matches]


def _partition(kind: RowKind, relation: int, month: Month) -> str:
    return f"{kind}_{relation}_{month.year:04d}_{month.number:02d}"


def _exists(session: Session, table: str) -> bool:
    return session.scalar(text("select to_regclass(:table)"), {"table": table}) is not None


def _label_type(model: Model) -> str:
    return TYPES[label_type_of(model.task_type)].sql
