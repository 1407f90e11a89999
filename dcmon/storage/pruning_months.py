"""Delete months of samples and labels that are past their retention.

The order of the steps makes a crash harmless: after each step the tables are consistent, and the next prune continues.

1. One transaction detaches a month's partitions, deletes its quarter hours and writes the line in the ledger.
2. Ids are deleted in batches of limited size, found by the keys in the detached partition.
3. The partition is dropped.

Between 1 and 3 an id may have no sample. It then only refuses rows that are too old anyway. A sample always has its id.
A label that arrives for such an id starts to wait for its sample at step 3, as if it had arrived after the prune.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import sql
from dcmon.db.tables.org import Model, Version
from dcmon.states import RowKind
from dcmon.storage import expiry, ledger, pruning_transactions, sample_tables, versions
from dcmon.storage.columns import KEY, TIME
from dcmon.storage.expiry import Counts, TableOfVersion
from dcmon.storage.ledger import Correction, LedgerAction
from dcmon.storage.pruning_transactions import SHORT_WAIT, WAIT, Prune
from dcmon.storage.sample_tables import Detached, Month
from dcmon.storage.versions import ModelVersion

SQL = sql.read(__name__)


def detach_expired(prune: Prune, model: Model, removed: Counts) -> None:
    """Detach the months of a model that are past its retention, one transaction each."""
    if (before := prune.terms.samples_begin(model)) is None:
        return
    with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
        expired = [
            (version.id, month)
            for version in expiry.versions_of(session, model)
            for month in expiry.months(session, version, before)
        ]
    for version_id, month in expired:
        if not prune.is_over():
            work = partial(_detach_month, by=prune.by, version_id=version_id, month=month, before=before)
            removed += prune.in_transaction(work, SHORT_WAIT)


def _detach_month(session: Session, by: str, version_id: int, month: Month, before: datetime) -> Counts:
    """Detach a month of a version and delete its quarter hours."""
    if (version := session.get(Version, version_id)) is None:
        return Counts()
    model = session.get_one(Model, version.model_id)
    # Waits for transactions that have created or found the partition and are about to fill it.
    sample_tables.lock_model(session, model)
    values = {"version": version.id, "start": month.span.start, "end": month.span.end, "before": before}
    # A window that has lost some of its rows must not be evaluated on the other rows.
    session.execute(text("delete from due_windows where version_id = :version and window_start < :before"), values)
    quarter_hours = session.scalars(
        text("delete from quarter_hours where version_id = :version and at >= :start and at < :end returning n"),
        values,
    ).all()
    samples = sum(quarter_hours)
    correction = Correction(
        LedgerAction.PRUNE, RowKind.SAMPLES, by, _note(month), model.id, version.id, stored=-samples, removed=samples
    )
    ledger.record_correction(session, correction)
    versions.refresh_time_range(session, version)
    for partition in sample_tables.detached(session):
        if (partition.kind, partition.relation, partition.month) == (RowKind.SAMPLES, version.relation, month):
            _keep_labels_without_sample(session, model, version, partition)
    for kind in RowKind:
        sample_tables.detach_partition(session, kind, version.relation, month)
    return Counts(
        {
            TableOfVersion(model.name, version.name, "samples"): samples,
            TableOfVersion(model.name, version.name, "quarter_hours"): len(quarter_hours),
        }
    )


def drop_detached(prune: Prune, removed: Counts) -> None:
    """Delete the ids of detached months, then drop the partitions.

    These include partitions that an interrupted prune has detached.
    """
    with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
        partitions: Sequence[Detached] = sample_tables.detached(session)
    for partition in partitions:
        if partition.kind == RowKind.LABELS or _delete_ids(prune, partition, removed):
            removed += prune.in_transaction(partial(_drop, by=prune.by, partition=partition), SHORT_WAIT)


def _delete_ids(prune: Prune, partition: Detached, removed: Counts) -> bool:
    """Delete the ids of a month in batches; return True when all are deleted.

    The comment of the detached table has the number of pages that are done, so that the next prune continues there.
    """
    with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
        statement = text(SQL.statement("detached_pages", table=partition.name))
        pages, rows, pages_done = session.execute(statement, {"name": partition.name}).one()
    step = max(1, pruning_transactions.ROWS_AT_ONCE * pages // max(1, rows))
    for page in range(pages_done, pages, step):
        if prune.is_over():
            return False
        removed += prune.in_transaction(partial(_delete_ids_of, partition=partition, page=page, after=page + step))
    return True


def _delete_ids_of(session: Session, partition: Detached, page: int, after: int) -> Counts:
    """Delete the ids of the rows in some pages of the detached partition.

    An id stays if its sample was logged again since then, and so is in a new partition of the month. An id and its
    sample are committed together, so one statement sees both or neither.
    """
    if (owner := _owner(session, partition)) is None:
        return Counts()
    model, version = owner
    span = partition.month.span
    statement = SQL.statement(
        "delete_ids", model=model.relation, version=version.relation, table=partition.name, key=KEY, time=TIME
    )
    deleted = session.execute(
        text(statement),
        {"version": version.id, "page": f"({page},0)", "after": f"({after},0)", "start": span.start, "end": span.end},
    )
    session.execute(text(f"comment on table {partition.name} is '{after}'"))
    return Counts({TableOfVersion(model.name, version.name, "ids"): pruning_transactions.rowcount(deleted)})


def _drop(session: Session, by: str, partition: Detached) -> Counts:
    """Drop a detached partition, and record how many labels it had.

    Labels are counted here and not when they are detached, because no other transaction waits for this count.
    """
    owner, removed = _owner(session, partition, shared=partition.kind == RowKind.LABELS), Counts()
    if owner is not None and partition.kind == RowKind.SAMPLES:
        _keep_labels_without_sample(session, *owner, partition)
    if owner is not None and partition.kind == RowKind.LABELS:
        model, version = owner
        labels = int(session.scalar(text(f"select count(*) from {partition.name}")) or 0)
        note = _note(partition.month)
        correction = Correction(
            LedgerAction.PRUNE, RowKind.LABELS, by, note, model.id, version.id, stored=-labels, removed=labels
        )
        ledger.record_correction(session, correction)
        removed[TableOfVersion(model.name, version.name, "labels")] = labels
    session.execute(text(f"drop table {partition.name}"))
    return removed


def _owner(session: Session, partition: Detached, *, shared: bool = True) -> ModelVersion | None:
    """Lock and return the model and version of a partition; None when they are deleted.

    While the model is locked, neither can be deleted.
    """
    version = session.scalar(select(Version).where(Version.relation == partition.relation))
    if version is None:
        return None
    model = session.get_one(Model, version.model_id)
    sample_tables.lock_model(session, model, shared=shared)
    return ModelVersion(model, version)


def _keep_labels_without_sample(session: Session, model: Model, version: Version, partition: Detached) -> None:
    """Make labels of a detached month wait if they have no sample.

    The labels with a sample are counted in the quarter hours.
    """
    span = partition.month.span
    values = {"version": version.id, "start": span.start, "end": span.end}
    for name in ("move_labels_without_sample", "count_labels"):
        statement = SQL.statement(name, model=model.relation, version=version.relation, key=KEY, time=TIME)
        session.execute(text(statement), values)


def _note(month: Month) -> str:
    return f"{month} is past its retention"
