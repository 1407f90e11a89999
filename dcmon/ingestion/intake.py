"""Accept rows from the HTTP endpoint: store them in PostgreSQL, or send them to Kafka."""

import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon import errors
from dcmon.db import Organization, work_queue
from dcmon.ingestion import intake_results, message_format, refused_rows, store
from dcmon.ingestion.intake_results import AcceptedRows, CheckOfFirstRows, IntakeResult, StoredRows
from dcmon.ingestion.raw_rows import Raw, RowArray, truncate_long_rows
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.target_cache import RowTarget, TargetCache
from dcmon.settings import Kafka
from dcmon.states import RowKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dcmon.ingestion.kafka import Producer
    from dcmon.ingestion.target_cache import ResolvedTarget

log = logging.getLogger(__name__)
CHECKED_ROWS = 20  # the rows of a request for Kafka that are decoded here, too


class Intake(Protocol):
    """Accepts rows, and says what became of them. When a method returns without raising, no row is lost."""

    def ingest_samples(self, org: Organization, version_id: int, rows: "Sequence[Raw]") -> IntakeResult: ...
    def ingest_labels(self, org: Organization, model_id: int, rows: "Sequence[Raw]") -> IntakeResult: ...


class Direct:
    """Stores rows in PostgreSQL, in one transaction: acknowledged means committed."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.targets = engine, TargetCache(engine)

    def ingest_samples(self, org: Organization, version_id: int, rows: "Sequence[Raw]") -> StoredRows:
        """Store samples of a version. Raises NotFound when the version was deleted."""
        return self._ingest(RowTarget(org, RowKind.SAMPLES, version_id), rows)

    def ingest_labels(self, org: Organization, model_id: int, rows: "Sequence[Raw]") -> StoredRows:
        """Store labels of a model. Raises NotFound when the model was deleted."""
        return self._ingest(RowTarget(org, RowKind.LABELS, model_id), rows)

    def _ingest(self, target: RowTarget, rows: "Sequence[Raw]") -> StoredRows:
        batch = RowBatch(rows, datetime.now(UTC), f"request/{uuid.uuid4()}")
        try:
            result = self._store(target, batch)
        except Exception as error:
            if not refused_rows.is_content_error(error) or (isinstance(rows, RowArray) and not rows.is_validated):
                raise
            refused = refused_rows.find(self.engine, self.targets, target, batch)
            result = self._store(target, batch._replace(refused=refused))
        try:
            work_queue.enqueue_now(self.engine, target.org.id, work_queue.Work.evaluate)
        except (errors.DcmonError, DBAPIError) as error:
            log.warning("evaluation could not be queued, the scheduler will find the new rows: %s", error)
        return intake_results.stored_rows(result.outcome, result.bad)

    def _store(self, target: RowTarget, batch: RowBatch) -> store.StoreResult:
        def transaction() -> store.StoreResult:
            # Decode before the transaction begins, because the transaction holds locks.
            prepared = store.prepare(self.targets, target, [batch])
            return store.store_in_transaction(self.engine, target.org, prepared)

        # The model or version may have been deleted, so each new try looks it up again.
        return store.retry_transaction(target.org, transaction, lambda: self.targets.forget(target.org))


class Buffered:
    """Sends rows to Kafka, from which `dcmon worker start ingest` stores them.

    Acknowledged means that all in-sync replicas have the rows. `known_target` returns a target that is cached: only its
    rows can be checked here, because a query would fail while PostgreSQL can't be reached.
    """

    def __init__(
        self, producer: "Producer", settings: Kafka, known_target: "Callable[[RowTarget], ResolvedTarget | None]"
    ) -> None:
        self.producer, self.settings, self.known_target = producer, settings, known_target

    def ingest_samples(self, org: Organization, version_id: int, rows: "Sequence[Raw]") -> AcceptedRows:
        """Send samples of a version. Raises Unreachable or TooLarge."""
        return self._send(RowTarget(org, RowKind.SAMPLES, version_id), rows)

    def ingest_labels(self, org: Organization, model_id: int, rows: "Sequence[Raw]") -> AcceptedRows:
        """Send labels of a model. Raises Unreachable or TooLarge."""
        return self._send(RowTarget(org, RowKind.LABELS, model_id), rows)

    def _send(self, target: RowTarget, rows: "Sequence[Raw]") -> AcceptedRows:
        received_at, sent_rows = datetime.now(UTC), truncate_long_rows(rows)
        packed = message_format.pack(
            target.org.id,
            target.kind,
            target.target_id,
            received_at,
            sent_rows,
            self.settings.rows_per_message,
        )
        self.producer.send(f"{self.settings.topic_prefix}.{target.kind}", packed)
        check = self._check(target, RowBatch(sent_rows[:CHECKED_ROWS], received_at, "request"))
        return AcceptedRows(len(sent_rows), len(sent_rows), check)

    def _check(self, target: RowTarget, batch: RowBatch) -> CheckOfFirstRows | None:
        """Decode the first rows of a request as a worker will do. The cost does not grow with the request."""
        resolved = self.known_target(target)
        if resolved is None:
            return None
        try:
            bad = store.find_bad_rows(target.org, resolved, batch)
        except Exception:  # The rows are in Kafka: a failed check must not fail the request.
            log.warning("the first rows of a request could not be checked", exc_info=True)
            return None
        return intake_results.checked_rows(len(batch.rows), bad)
