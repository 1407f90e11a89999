"""Pruning: delete rows that are past their retention, in small transactions.

Months of samples and labels are deleted as partitions (dcmon.storage.pruning_months), all other rows in batches. Small
transactions hardly slow down other work (dcmon.storage.pruning_transactions).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import Organization, locks, sql
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Model
from dcmon.states import RowKind
from dcmon.storage import expiry, ledger, pruning_months, pruning_transactions, sample_tables
from dcmon.storage.expiry import Counts, TableOfVersion
from dcmon.storage.ledger import Correction, LedgerAction
from dcmon.storage.pruning_transactions import WAIT, Prune

SQL = sql.read(__name__)


def exclusive(engine: Engine, org: Organization) -> AbstractContextManager[None]:
    """Hold the organization's prune lock. Raises Locked if another process holds it.

    The lock ends with the process, also after kill -9.
    """
    refusal = f"Another prune of organization {org.name!r} is running. Nothing was deleted."
    return locks.exclusive(engine, LockSpace.PRUNE, org.id, refusal=refusal)


def run(prune: Prune) -> Counts:
    """Prune an organization, and return how many rows were removed.

    It can be interrupted at any point: the next prune continues. Raises Locked, and what db.org_session raises.
    """
    removed = Counts()
    with exclusive(prune.engine, prune.org):
        for model in _models(prune):
            pruning_months.detach_expired(prune, model, removed)
        pruning_months.drop_detached(prune, removed)
        for work in (
            _prune_waiting_labels,
            _prune_quarantine,
            _prune_receipts,
            _prune_history,
            _prune_rows_of_no_model,
        ):
            work(prune, removed)
    return +removed


def _models(prune: Prune) -> Sequence[Model]:
    with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
        return session.scalars(select(Model).order_by(Model.id)).all()


def _in_batches(prune: Prune, removed: Counts, delete_batch: Callable[..., Counts]) -> None:
    """Delete batches of each model until a batch is empty."""
    for model in _models(prune):
        while (before := prune.terms.samples_begin(model)) is not None and not prune.is_over():
            counts = prune.in_transaction(partial(delete_batch, by=prune.by, model_id=model.id, before=before))
            if not counts:
                break
            removed += counts


def _prune_waiting_labels(prune: Prune, removed: Counts) -> None:
    """Delete labels whose sample did not arrive within the retention."""
    _in_batches(prune, removed, _delete_waiting)


def _delete_waiting(session: Session, by: str, model_id: int, before: datetime) -> Counts:
    model = session.get(Model, model_id)
    if model is None:
        return Counts()
    # A shared lock is enough: transactions that store labels lock the model exclusively, so none of them writes this
    # table meanwhile. Transactions that store samples only read it, and need not wait.
    sample_tables.lock_model(session, model, shared=True)
    table = f"orphan_labels_{model.relation}"
    deleted = session.execute(
        text(
            f"delete from {table} where k in (select k from {table} where logged_at < :before order by k"
            " limit :limit for update)"
        ),
        {"before": before, "limit": pruning_transactions.ROWS_AT_ONCE},
    )
    if not (rows := pruning_transactions.rowcount(deleted)):
        return Counts()
    note = f"waited for a sample since before {before:%Y-%m-%d}"
    correction = Correction(LedgerAction.PRUNE, RowKind.LABELS, by, note, model.id, stored=-rows, removed=rows)
    ledger.record_correction(session, correction)
    return Counts({TableOfVersion(model.name, "", "waiting_labels"): rows})


def _prune_quarantine(prune: Prune, removed: Counts) -> None:
    """Delete quarantined rows that were logged before the retention begins."""
    _in_batches(prune, removed, _delete_quarantined)


def _delete_quarantined(session: Session, by: str, model_id: int, before: datetime) -> Counts:
    deleted = session.execute(
        text(SQL.statement("delete_quarantined")),
        {"model": model_id, "before": before, "limit": pruning_transactions.ROWS_AT_ONCE},
    ).all()
    counts, note = Counts(), f"logged before {before:%Y-%m-%d}"
    for row in deleted:
        correction = Correction(
            LedgerAction.PRUNE, row.kind, by, note, model_id, row.version_id, quarantined=-row.rows, removed=row.rows
        )
        ledger.record_correction(session, correction)
        counts[TableOfVersion(row.model, row.version, "quarantine")] += row.rows
    return counts


def _prune_receipts(prune: Prune, removed: Counts) -> None:
    """Delete the receipts that are past the retention of samples."""
    for model in _models(prune):
        if (before := prune.terms.samples_begin(model)) is not None:
            values = {"model": model.id, "before": before}
            rows = _delete_in_batches(prune, "receipts", expiry.RECEIPTS, values, "ctid")
            removed[TableOfVersion(model.name, "", "receipts")] += rows


def _prune_rows_of_no_model(prune: Prune, removed: Counts) -> None:
    """Delete notifications about dcmon itself and silences that have ended, by the term of results."""
    if (before := prune.terms.organization_rows_begin()) is not None:
        for table, expired in expiry.OF_NO_MODEL.items():
            rows = _delete_in_batches(prune, table, expired, {"before": before}, "ctid")
            removed[TableOfVersion("", "", table)] += rows


def _prune_history(prune: Prune, removed: Counts) -> None:
    """Delete resolved alerts, then results, by the longer term of results."""
    for model in _models(prune):
        if (before := prune.terms.results_begin(model)) is None:
            continue
        with db.org_session(prune.engine, prune.org, wait=WAIT) as session:
            versions = expiry.versions_of(session, model)
        for version in versions:
            values = {"version": version.id, "before": before}
            # Alerts first, because the results of an alert stay as long as the alert. Baselines last, because they stay
            # as long as a result needs them.
            for table, expired, key in (
                ("alerts", expiry.ALERTS, "id"),
                ("results", expiry.RESULTS, "id"),
                ("baselines", expiry.BASELINES, "ctid"),
            ):
                rows = _delete_in_batches(prune, table, expired, values, key)
                removed[TableOfVersion(model.name, version.name, table)] += rows


def _delete_in_batches(prune: Prune, table: str, expired: str, values: dict[str, Any], key: str) -> int:
    """Delete the rows whose `key` the statement `expired` selects; return how many."""
    statement = text(f"delete from {table} where {key} = any (array({expired} order by 1 limit :limit))")
    limit = pruning_transactions.ROWS_AT_ONCE
    parameters, total = {**values, "limit": limit}, 0
    while not prune.is_over():
        rows = prune.in_transaction(
            lambda session: pruning_transactions.rowcount(session.execute(statement, parameters))
        )
        total += rows
        if rows < limit:
            break
    return total
