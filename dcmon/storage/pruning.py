"""Pruning: what is past its retention goes, in transactions that hold nobody up.

A month of samples and labels goes at once, when its last row is too old. In this order, so that a crash anywhere leaves
tables that agree, and work that the next prune finds: (1) one transaction takes the partitions off, forgets their
quarter hours and writes the ledger's line; (2) ids go in bounded batches, found by the keys in the partition; (3) the
partition is dropped. An id without a sample refuses only rows that are too old anyway; never the other way about.
Labels that came meanwhile for such an id wait for its sample from (3) on, as if they had come later.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, locks, transactions
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Model, Version
from dcmon.db.transactions import CONTENTION, RetryPolicy
from dcmon.storage import expiry, ledger, sample_tables, versions
from dcmon.storage.columns import KEY, TIME
from dcmon.storage.expiry import Counts, TableOfVersion, Terms
from dcmon.storage.sample_tables import Detached, Month

T = TypeVar("T")
# Few rows at once, and pauses between: whoever logs meanwhile is then slowed by a few milliseconds at most.
ROWS_AT_ONCE, PAUSES, LONGEST_PAUSE = 1_000, 9, 1.0  # a pause is so many times what the work before it took; seconds
# A transaction that waits for a table's lock makes all later transactions wait behind it: wait shortly, and try again.
SHORTEST_WAIT, WAIT = timedelta(milliseconds=50), timedelta(seconds=1)
RETRY_POLICY = RetryPolicy(CONTENTION, max_tries=150, pause=lambda _: random.uniform(0.05, 0.25))


@dataclass(frozen=True)
class Prune:
    """A prune of one organization: by whom, and what is past its term; asked between transactions whether to stop.

    A fast one makes no pauses: for a disk that is full.
    """

    engine: Engine
    org: Organization
    terms: Terms
    by: str
    is_over: Callable[[], bool] = lambda: False
    is_fast: bool = False

    def in_transaction(self, work: Callable[[Session], T], wait: timedelta = WAIT) -> T:
        """Do work in a transaction that waits at most `wait` for a lock; repeat it until it succeeds.

        A pause follows, in which others get at what the work had locked. Raises Locked after the last try.
        """

        def transaction() -> T:
            started_at = time.monotonic()
            with db.org_session(self.engine, self.org, wait=wait) as session:
                # What a crash of the server takes back is done again.
                session.execute(text("set local synchronous_commit = off"))
                result = work(session)
            if not self.is_fast:
                time.sleep(min(LONGEST_PAUSE, PAUSES * (time.monotonic() - started_at)))
            return result

        return transactions.retry(transaction, RETRY_POLICY, give_up=lambda _: self._gave_up_error())

    def _gave_up_error(self) -> errors.Locked:
        return errors.Locked(
            f"Organization {self.org.name!r}: a table is read without a pause. What is left goes with the next prune."
        )


def exclusive(engine: Engine, org: Organization) -> AbstractContextManager[None]:
    """Hold the lock of the organization's prune; it ends with the process, also by kill -9. Raises Locked."""
    refusal = f"Another prune of organization {org.name!r} runs. Nothing was done in it."
    return locks.exclusive(engine, LockSpace.PRUNE, org.id, refusal=refusal)


def run(prune: Prune) -> Counts:
    """Prune an organization; returns what went. Safe to interrupt anywhere. Raises what db.org_session does."""
    removed = Counts()
    with exclusive(prune.engine, prune.org):
        for work in (_months, _detached, _waiting_labels, _quarantine, _receipts, _history, _of_no_model):
            work(prune, removed)
    return +removed


def _models(prune: Prune) -> Sequence[Model]:
    with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
        return session.scalars(select(Model).order_by(Model.id)).all()


def _months(prune: Prune, removed: Counts) -> None:
    """Take off every month that is past its retention."""
    for model in _models(prune):
        if (before := prune.terms.samples_begin(model)) is None:
            continue
        with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
            wanted = [
                (each.id, month)
                for each in expiry.versions_of(session, model)
                for month in expiry.months(session, each, before)
            ]
        for version_id, month in wanted:
            if not prune.is_over():
                work = partial(_take_off, by=prune.by, version_id=version_id, month=month, before=before)
                removed += prune.in_transaction(work, SHORTEST_WAIT)


def _take_off(session: Session, by: str, version_id: int, month: Month, before: datetime) -> Counts:
    """One month of a version. The model's lock keeps out whoever made sure of the partition and is about to fill it."""
    if (version := session.get(Version, version_id)) is None:
        return Counts()
    model = session.get_one(Model, version.model_id)
    sample_tables.lock_model(session, model)
    first, after = sample_tables.span(month)
    of = {"version": version.id, "first": first, "after": after, "before": before}
    # A window that lost rows would be evaluated on the rest.
    session.execute(text("delete from due_windows where version_id = :version and window_start < :before"), of)
    counted = session.scalars(
        text("delete from quarter_hours where version_id = :version and at >= :first and at < :after returning n"), of
    ).all()
    note = f"{month[0]}-{month[1]:02d} is past its retention"
    ledger.correct(
        session, "prune", "samples", by, note, model_id=model.id, version_id=version.id,
        stored=-sum(counted), removed=sum(counted),
    )  # fmt: skip
    versions.refresh_time_range(session, version)
    for each in sample_tables.detached(session):
        if (each.kind, each.relation, each.month) == ("samples", version.relation, month):
            _let_labels_wait(session, model, version, each)
    for kind in ("samples", "labels"):
        sample_tables.detach_partition(session, kind, version.relation, month)
    return Counts(
        {
            TableOfVersion(model.name, version.name, "samples"): sum(counted),
            TableOfVersion(model.name, version.name, "quarter_hours"): len(counted),
        }
    )


def _detached(prune: Prune, removed: Counts) -> None:
    """Delete the ids of months that were taken off, then drop these; also what an interrupted prune left."""
    with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
        left = sample_tables.detached(session)
    for each in left:
        if each.kind == "labels" or _delete_ids(prune, each, removed):
            removed += prune.in_transaction(partial(_drop, by=prune.by, each=each), SHORTEST_WAIT)


def _delete_ids(prune: Prune, each: Detached, removed: Counts) -> bool:
    """Delete the ids of a month; whether all are. The table's comment says how many pages are done."""
    with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
        pages, rows, done = session.execute(
            text(
                "select pg_relation_size(cast(:name as regclass)) / cast(current_setting('block_size') as int),"
                f" (select count(*) from {each.name}),"
                " coalesce(cast(obj_description(cast(:name as regclass), 'pg_class') as int), 0)"
            ),
            {"name": each.name},
        ).one()
    step = max(1, ROWS_AT_ONCE * pages // max(1, rows))
    for page in range(done, pages, step):
        if prune.is_over():
            return False
        removed += prune.in_transaction(partial(_delete_ids_of, each=each, page=page, after=page + step))
    return True


def _owner(session: Session, each: Detached, *, shared: bool = True) -> tuple[Model, Version] | None:
    """The model and version that a partition was of, held against deletion; None when they are gone."""
    version = session.scalar(select(Version).where(Version.relation == each.relation))
    if version is None:
        return None
    model = session.get_one(Model, version.model_id)
    sample_tables.lock_model(session, model, shared=shared)
    return model, version


def _delete_ids_of(session: Session, each: Detached, page: int, after: int) -> Counts:
    """Delete the ids of the rows in some pages; not of one that was logged again since, with a sample in a new month.

    An id and its sample are committed together, so one statement sees both or neither.
    """
    if (owner := _owner(session, each)) is None:
        return Counts()
    model, version = owner
    first, end = sample_tables.span(each.month)
    found = session.execute(
        text(
            f"delete from ids_{model.relation} i where i.version_id = :version and i.k = any (array("
            f" select {KEY} from {each.name} where ctid >= cast(:page as tid) and ctid < cast(:after as tid)))"
            f" and not exists (select 1 from samples_{version.relation} s"
            f" where s.{TIME} >= :first and s.{TIME} < :end and s.{TIME} = i.ts and s.{KEY} = i.k)"
        ),
        {"version": version.id, "page": f"({page},0)", "after": f"({after},0)", "first": first, "end": end},
    )
    session.execute(text(f"comment on table {each.name} is '{after}'"))
    return Counts({TableOfVersion(model.name, version.name, "ids"): _rowcount(found)})


def _drop(session: Session, by: str, each: Detached) -> Counts:
    """Drop a month that was taken off. Labels are counted in the ledger now, when nobody waits for the count."""
    owner, removed = _owner(session, each, shared=each.kind == "labels"), Counts()
    if owner is not None and each.kind == "samples":
        _let_labels_wait(session, *owner, each)
    if owner is not None and each.kind == "labels":
        model, version = owner
        rows = int(session.scalar(text(f"select count(*) from {each.name}")) or 0)
        note = f"{each.month[0]}-{each.month[1]:02d} is past its retention"
        ledger.correct(
            session, "prune", "labels", by, note, model_id=model.id, version_id=version.id, stored=-rows, removed=rows
        )
        removed[TableOfVersion(model.name, version.name, "labels")] = rows
    session.execute(text(f"drop table {each.name}"))
    return removed


def _let_labels_wait(session: Session, model: Model, version: Version, each: Detached) -> None:
    """Labels of a month that have no sample in it wait for one; the quarter hours that are there count the others."""
    first, after = sample_tables.span(each.month)
    of = {"version": version.id, "first": first, "after": after}
    labels = f"labels_{version.relation} l where l.ts >= :first and l.ts < :after"
    session.execute(
        text(
            f"with alone as (delete from {labels} and not exists (select 1 from samples_{version.relation} s"
            f" where s.{TIME} = l.ts and s.{KEY} = l.k and s.{TIME} >= :first and s.{TIME} < :after)"
            " returning k, label, logged_at)"
            f" insert into orphan_labels_{model.relation} as o (k, label, logged_at)"
            " select distinct on (k) k, label, logged_at from alone order by k, logged_at desc"
            " on conflict (k) do update set label = excluded.label, logged_at = excluded.logged_at"
            " where o.logged_at < excluded.logged_at"
        ),
        of,
    )
    session.execute(
        text(
            "update quarter_hours q set n_labelled = t.n from (select q.at, count(l.label) as n from quarter_hours q"
            f" left join labels_{version.relation} l on l.ts >= q.at and l.ts < q.at + interval '15 minutes'"
            " and l.ts >= :first and l.ts < :after"
            " where q.version_id = :version and q.at >= :first and q.at < :after group by 1) t"
            " where q.version_id = :version and q.at = t.at and q.n_labelled <> t.n"
        ),
        of,
    )


def _in_batches(prune: Prune, removed: Counts, work: Callable[..., Counts]) -> None:
    """Do work for each model, again until nothing is left to do."""
    for model in _models(prune):
        while (before := prune.terms.samples_begin(model)) is not None and not prune.is_over():
            if not (counts := prune.in_transaction(partial(work, by=prune.by, model_id=model.id, before=before))):
                break
            removed += counts


def _waiting_labels(prune: Prune, removed: Counts) -> None:
    """Labels whose sample did not come within the retention."""
    _in_batches(prune, removed, _delete_waiting)


def _delete_waiting(session: Session, by: str, model_id: int, before: datetime) -> Counts:
    model = session.get(Model, model_id)
    if model is None:
        return Counts()
    sample_tables.lock_model(session, model, shared=True)
    table = f"orphan_labels_{model.relation}"
    found = session.execute(
        text(
            f"delete from {table} where k in (select k from {table} where logged_at < :before order by k"
            " limit :limit for update)"
        ),
        {"before": before, "limit": ROWS_AT_ONCE},
    )
    if not (rows := _rowcount(found)):
        return Counts()
    note = f"waited for a sample since before {before:%Y-%m-%d}"
    ledger.correct(session, "prune", "labels", by, note, model_id=model.id, stored=-rows, removed=rows)
    return Counts({TableOfVersion(model.name, "", "waiting_labels"): rows})


def _quarantine(prune: Prune, removed: Counts) -> None:
    """Quarantined rows that were logged before the retention begins."""
    _in_batches(prune, removed, _delete_quarantined)


def _delete_quarantined(session: Session, by: str, model_id: int, before: datetime) -> Counts:
    found = session.execute(
        text(
            "with gone as (delete from quarantine where id in (select id from quarantine where model_id = :model"
            " and logged_at < :before order by id limit :limit for update) returning kind, version_id)"
            " select m.name as model, coalesce(v.name, '') as version, g.kind, g.version_id, count(*) as rows"
            " from gone g join models m on m.id = :model left join versions v on v.id = g.version_id"
            " group by 1, 2, 3, 4"
        ),
        {"model": model_id, "before": before, "limit": ROWS_AT_ONCE},
    ).all()
    counts = Counts()
    for row in found:
        note = f"logged before {before:%Y-%m-%d}"
        ledger.correct(
            session, "prune", row.kind, by, note, model_id=model_id, version_id=row.version_id,
            quarantined=-row.rows, removed=row.rows,
        )  # fmt: skip
        counts[TableOfVersion(row.model, row.version, "quarantine")] += row.rows
    return counts


def _receipts(prune: Prune, removed: Counts) -> None:
    """What was counted when rows came that are past the retention by now."""
    for model in _models(prune):
        if (before := prune.terms.samples_begin(model)) is not None:
            values = {"model": model.id, "before": before}
            rows = _delete_in_batches(prune, "receipts", expiry.RECEIPTS, values, "ctid")
            removed[TableOfVersion(model.name, "", "receipts")] += rows


def _of_no_model(prune: Prune, removed: Counts) -> None:
    """Messages about dcmon itself and silences that are over, on the term of results."""
    if (before := prune.terms.told_begin()) is not None:
        for table, which in expiry.OF_NO_MODEL.items():
            removed[TableOfVersion("", "", table)] += _delete_in_batches(
                prune, table, which, {"before": before}, "ctid"
            )


def _history(prune: Prune, removed: Counts) -> None:
    """Alerts that are over, then results, on their own, longer term."""
    for model in _models(prune):
        if (before := prune.terms.results_begin(model)) is None:
            continue
        with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
            there = expiry.versions_of(session, model)
        for version in there:
            for table, which in (("alerts", expiry.ALERTS), ("results", expiry.RESULTS)):
                place = TableOfVersion(model.name, version.name, table)
                removed[place] += _delete_in_batches(prune, table, which, {"version": version.id, "before": before})
            values = {"version": version.id, "before": before}  # after the results, which need them
            rows = _delete_in_batches(prune, "baselines", expiry.BASELINES, values, "ctid")
            removed[TableOfVersion(model.name, version.name, "baselines")] += rows


def _delete_in_batches(prune: Prune, table: str, which: str, values: dict[str, Any], key: str = "id") -> int:
    statement = text(f"delete from {table} where {key} = any (array({which} order by 1 limit :limit))")
    parameters, total = {**values, "limit": ROWS_AT_ONCE}, 0
    while not prune.is_over():
        rows = prune.in_transaction(lambda session: _rowcount(session.execute(statement, parameters)))
        total += rows
        if rows < ROWS_AT_ONCE:
            break
    return total


def _rowcount(done: Any) -> int:
    return int(done.rowcount)
