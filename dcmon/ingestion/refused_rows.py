"""Find the rows of a batch that PostgreSQL refuses although they can be decoded."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dcmon import db, errors
from dcmon.ingestion import store
from dcmon.ingestion.offsets import OffsetReset
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.target_cache import RowTarget, TargetCache

# PostgreSQL's error classes: invalid value (22), violated constraint (23), exceeded limit, such as a row's size (54).
CONTENT_ERROR_CLASSES = {"22", "23", "54"}
MAX_REASON_LENGTH = 500

T = TypeVar("T")


def is_content_error(error: Exception) -> bool:
    """Return True if the content of the rows caused the error. A retry can't succeed then."""
    if isinstance(error, DBAPIError):
        sqlstate = db.sqlstate(error) or ""
        return sqlstate[:2] in CONTENT_ERROR_CLASSES and sqlstate not in store.RETRY_POLICY.sqlstates
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

    def refusal(positions: Sequence[int]) -> str | None:
        part = batch
        if len(positions) < len(batch.rows):
            rows, first = batch.rows[positions[0] : positions[-1] + 1], batch.first_position + positions[0]
            part = batch._replace(rows=rows, first_position=first)
        return _refusal(engine, targets, target, part, lock_wait)

    return find_by_halving(range(len(batch.rows)), refusal)


def find_by_halving(items: Sequence[T], refusal: Callable[[Sequence[T]], str | None]) -> dict[T, str]:
    """Return the items that PostgreSQL refuses, each with the reason.

    `refusal` tries items together in one transaction, and returns the reason if PostgreSQL refuses them, else None.
    Because one bad item makes the whole transaction fail, items that are refused are tried again in two halves.
    """
    reason = refusal(items)
    if reason is None:
        return {}
    if len(items) <= 1:
        return dict.fromkeys(items, reason)
    half = len(items) // 2
    return find_by_halving(items[:half], refusal) | find_by_halving(items[half:], refusal)


def _refusal(
    engine: Engine, targets: TargetCache, target: RowTarget, batch: RowBatch, lock_wait: timedelta | None
) -> str | None:
    """Return why a batch can't be stored in one transaction; None if it can. Nothing is stored."""
    try:
        prepared = store.prepare(targets, target, [batch])
        # A conflict with another transaction says nothing about the rows, so it must not count as a refusal.
        store.retry_transaction(
            target.org, lambda: store.store_in_transaction(engine, target.org, prepared, lock_wait, dry_run=True)
        )
    except Exception as error:
        if not is_content_error(error):
            raise
        return str(getattr(error, "orig", error)).strip()[:MAX_REASON_LENGTH]
    return None
