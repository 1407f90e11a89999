"""Find the rows of a batch that PostgreSQL refuses although they can be decoded."""

from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dcmon import db, errors
from dcmon.db import transactions
from dcmon.ingestion import store
from dcmon.ingestion.offsets import OffsetReset
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.store import RETRY_POLICY
from dcmon.ingestion.target_cache import RowTarget, TargetCache

# PostgreSQL's error classes: invalid value (22), violated constraint (23), exceeded limit, such as a row's size (54).
CONTENT_ERROR_CLASSES = {"22", "23", "54"}
MAX_REASON_LENGTH = 500


def is_content_error(error: Exception) -> bool:
    """True if the content of the rows caused the error. A retry can't succeed then."""
    if isinstance(error, DBAPIError):
        sqlstate = db.sqlstate(error) or ""
        return sqlstate[:2] in CONTENT_ERROR_CLASSES and sqlstate not in RETRY_POLICY.sqlstates
    if isinstance(error, errors.DcmonError | OSError | MemoryError | SQLAlchemyError | OffsetReset):
        return type(error) is errors.InvalidInput
    return True  # Python's own errors, such as ValueError, come from the values


def find(
    engine: Engine, targets: TargetCache, target: RowTarget, batch: RowBatch, lock_wait: timedelta | None = None
) -> dict[int, str]:
    """Return the positions of the rows that PostgreSQL refuses, each with the reason.

    The rows are found by halving the batch, in transactions that are rolled back. An error that the content of the rows
    did not cause is raised.
    """
    reason = _refusal(engine, targets, target, batch, lock_wait)
    if reason is None:
        return {}
    if len(batch.rows) <= 1:
        return {0: reason} if batch.rows else {}
    half, refused = len(batch.rows) // 2, dict[int, str]()
    for first, rows in ((0, batch.rows[:half]), (half, batch.rows[half:])):
        part = batch._replace(rows=rows, first_position=batch.first_position + first)
        refused_in_part = find(engine, targets, target, part, lock_wait)
        refused |= {first + position: reason for position, reason in refused_in_part.items()}
    return refused


def _refusal(
    engine: Engine, targets: TargetCache, target: RowTarget, batch: RowBatch, lock_wait: timedelta | None
) -> str | None:
    """Return why a batch can't be stored in one transaction; None if it can. Nothing is stored."""
    try:
        prepared = store.prepare(targets, target, [batch])
        transactions.retry(
            lambda: store.store_in_transaction(engine, target.org, prepared, lock_wait, dry_run=True), RETRY_POLICY
        )
    except Exception as error:
        if not is_content_error(error):
            raise
        return str(getattr(error, "orig", error)).strip()[:MAX_REASON_LENGTH]
    return None
