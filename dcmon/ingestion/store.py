"""Store samples of a version, or labels of a model, with their ledger line."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, TypeVar

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, transactions
from dcmon.db.tables.org import Model, Version
from dcmon.db.transactions import CONTENTION, RetryPolicy
from dcmon.ingestion import label_decoder, labels, sample_decoder, samples
from dcmon.ingestion.label_decoder import DecodedLabels
from dcmon.ingestion.quarantine import BadRow
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.sample_decoder import DecodedSamples
from dcmon.ingestion.target_cache import ResolvedTarget, RowTarget, TargetCache
from dcmon.states import RowKind, TaskType
from dcmon.storage import ledger, models, sample_tables, versions
from dcmon.storage.ledger import LedgerEntry, OffsetMove, Outcome

T = TypeVar("T")

# Besides contention: a table (42P01) or a referenced row (23503) was deleted a moment ago, or another transaction has
# added the same id or label (23505). Each failed try means that another transaction stored rows, so there is progress.
RETRY_POLICY = RetryPolicy(
    CONTENTION | {"42P01", "23503", "23505"}, max_tries=10, pause=lambda tries: 0.05 * (tries - 1)
)


def retry_transaction(
    org: Organization, transaction: Callable[[], T], after_failure: Callable[[], object] = lambda: None
) -> T:
    """Run a transaction that stores rows; repeat it after conflicts with others.

    `after_failure` is called after each failed try, to clear caches. Raises Locked if every try failed.
    """

    def locked_error(last_error: DBAPIError) -> errors.Locked:
        tries = RETRY_POLICY.max_tries
        return errors.Locked(f"Organization {org.name!r} could not be written in {tries} tries: {last_error.orig}")

    return transactions.retry(transaction, RETRY_POLICY, after_failure=after_failure, give_up=locked_error)


@dataclass(frozen=True)
class PreparedRows:
    """Samples of one version, or labels of one model, decoded and sorted before the transaction."""

    kind: RowKind
    model: Model
    version: Version | None  # None for labels
    rows: DecodedSamples | DecodedLabels
    source: str


def prepare(targets: TargetCache, target: RowTarget, batches: Sequence[RowBatch]) -> PreparedRows:
    """Decode and sort samples for a version, or labels for a model. Raises NotFound."""
    model, version = targets.find(target)
    return _prepare_labels(model, batches) if version is None else _prepare_samples(target.org, model, version, batches)


def _prepare_samples(org: Organization, model: Model, version: Version, batches: Sequence[RowBatch]) -> PreparedRows:
    columns = sample_tables.columns(model, version)
    decoded = sample_decoder.decode(columns, batches, model.retention or org.retention)
    return PreparedRows(RowKind.SAMPLES, model, version, decoded, batches[0].source)


def _prepare_labels(model: Model, batches: Sequence[RowBatch]) -> PreparedRows:
    decoded = label_decoder.decode(model.task_type == TaskType.REGRESSION, batches)
    return PreparedRows(RowKind.LABELS, model, None, decoded, batches[0].source)


def find_bad_rows(org: Organization, target: ResolvedTarget, batch: RowBatch) -> Sequence[BadRow]:
    """Return the rows of a batch that can't be stored, as far as this is known without the stored rows."""
    model, version = target
    if version is None:
        return _prepare_labels(model, [batch]).rows.bad
    columns = sample_tables.columns(model, version)
    return sample_decoder.find_bad_rows(columns, batch, model.retention or org.retention)


class StoreResult(NamedTuple):
    """The counts of a batch, and all its rows that could not be stored, also those that were in quarantine before."""

    outcome: Outcome
    bad: Sequence[BadRow]


class _DryRunEnded(Exception):
    """Rolls back the transaction of a dry run. It has the result that was not committed."""

    def __init__(self, result: StoreResult) -> None:
        super().__init__()
        self.result = result


def store_in_transaction(
    engine: Engine,
    org: Organization,
    prepared: PreparedRows,
    lock_wait: timedelta | None = None,
    *,
    dry_run: bool = False,
) -> StoreResult:
    """Store prepared rows in one transaction. A dry run is rolled back."""

    def transaction() -> StoreResult:
        with db.org_session(engine, org, wait=lock_wait) as session:
            result = store_rows(session, prepared)
            if dry_run:
                raise _DryRunEnded(result)
            return result

    try:
        return sample_tables.with_partitions(engine, org, transaction, lock_wait)
    except _DryRunEnded as ended:
        return ended.result


def store_rows(session: Session, prepared: PreparedRows, moves: Sequence[OffsetMove] = ()) -> StoreResult:
    """Store prepared rows and write their line in the ledger, in the session's transaction."""
    model, version = prepared.model, prepared.version
    if isinstance(prepared.rows, DecodedLabels):
        result = StoreResult(labels.store(session, model, prepared.rows), prepared.rows.bad)
    else:
        assert version is not None
        result = _store_decoded(session, model, version, prepared.rows)
    entry = LedgerEntry(prepared.kind, prepared.source, result.outcome, model.id, version.id if version else None)
    ledger.record(session, entry, moves)
    return result


def _store_decoded(
    session: Session, model: Model, version: Version, rows: DecodedSamples, *, is_retry: bool = False
) -> StoreResult:
    """Store samples, and the labels that came before them."""
    inserted = samples.insert(session, model, version, rows)
    new = inserted.new
    if new.keys:
        labels.attach(session, model, version, new.keys, new.times)
    outcome = samples.finish(session, model, version, rows, inserted, is_retry=is_retry)
    return StoreResult(outcome, [*rows.bad, *inserted.conflicts])


def store_samples(
    session: Session, org: Organization, version_id: int, batches: Sequence[RowBatch], moves: Sequence[OffsetMove] = ()
) -> Outcome:
    """Decode and store samples with their line in the ledger, in the session's transaction. Raises NotFound."""
    return store_rows(session, _prepare_samples(org, *versions.get(session, version_id), batches), moves).outcome


def store_labels(
    session: Session, model_id: int, batches: Sequence[RowBatch], moves: Sequence[OffsetMove] = ()
) -> Outcome:
    """Decode and store labels with their line in the ledger, in the session's transaction. Raises NotFound."""
    return store_rows(session, _prepare_labels(models.get(session, model_id), batches), moves).outcome


def restore_samples(
    session: Session,
    model: Model,
    version: Version,
    batches: Sequence[RowBatch],
    *,
    retention: timedelta | None = None,
) -> Outcome:
    """Store samples that were received before.

    They are not counted as received again, and the ledger gets no line. A batch keeps its time of receipt, so that a
    repetition has the same result.
    """
    decoded = sample_decoder.decode(sample_tables.columns(model, version), batches, retention)
    return _store_decoded(session, model, version, decoded, is_retry=True).outcome


def restore_labels(session: Session, model: Model, batches: Sequence[RowBatch]) -> Outcome:
    """Store labels without a line in the ledger. A label that is stored already is a duplicate."""
    return labels.store(session, model, label_decoder.decode(model.task_type == TaskType.REGRESSION, batches))


def lock_models(session: Session, version_ids: Iterable[int], model_ids: Iterable[int]) -> None:
    """Lock the models of these versions for samples, and these models for labels. Each once, in order of id.

    If two workers locked the same model first for samples and then for labels, they would deadlock.
    """
    for_labels = set(model_ids)
    for_samples = select(Version.model_id).where(Version.id.in_(set(version_ids)))
    locked = select(Model).where(Model.id.in_(for_labels) | Model.id.in_(for_samples)).order_by(Model.id)
    for model in session.scalars(locked).all():
        sample_tables.lock_model(session, model, shared=model.id not in for_labels)
