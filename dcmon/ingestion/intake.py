"""Accept rows from the HTTP endpoint: store them in PostgreSQL, or send them to Kafka."""

import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon import errors
from dcmon.db import Organization, work_queue
from dcmon.ingestion import message_format, refused_rows, store
from dcmon.ingestion.raw_rows import Raw, RowArray, truncate_long_rows
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.target_cache import RowTarget, TargetCache
from dcmon.settings import Kafka
from dcmon.states import RowKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcmon.ingestion.kafka import Producer

log = logging.getLogger(__name__)


class Intake(Protocol):
    """Accepts rows. When a method returns without raising, no row is lost."""

    def ingest_samples(self, org: Organization, version_id: int, rows: "Sequence[Raw]") -> None: ...
    def ingest_labels(self, org: Organization, model_id: int, rows: "Sequence[Raw]") -> None: ...


class Direct:
    """Stores rows in PostgreSQL, in one transaction: acknowledged means committed."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.targets = engine, TargetCache(engine)

    def ingest_samples(self, org: Organization, version_id: int, rows: "Sequence[Raw]") -> None:
        """Store samples of a version. Raises NotFound when the version was deleted."""
        self._ingest(RowTarget(org, RowKind.SAMPLES, version_id), rows)

    def ingest_labels(self, org: Organization, model_id: int, rows: "Sequence[Raw]") -> None:
        """Store labels of a model. Raises NotFound when the model was deleted."""
        self._ingest(RowTarget(org, RowKind.LABELS, model_id), rows)

    def _ingest(self, target: RowTarget, rows: "Sequence[Raw]") -> None:
        batch = RowBatch(rows, datetime.now(UTC), f"request/{uuid.uuid4()}")
        try:
            self._store(target, batch)
        except Exception as error:
            if not refused_rows.is_content_error(error) or (isinstance(rows, RowArray) and not rows.is_validated):
                raise
            refused = refused_rows.find(self.engine, self.targets, target, batch)
            self._store(target, batch._replace(refused=refused))
        try:
            work_queue.enqueue_now(self.engine, target.org.id, work_queue.Work.evaluate)
        except (errors.DcmonError, DBAPIError) as error:
            log.warning("evaluation could not be queued, the scheduler will find the new rows: %s", error)

    def _store(self, target: RowTarget, batch: RowBatch) -> None:
        def transaction() -> None:
            # Decode before the transaction begins, because the transaction holds locks.
            prepared = store.prepare(self.targets, target, [batch])
            store.store_in_transaction(self.engine, target.org, prepared)

        # The model or version may have been deleted, so each new try looks it up again.
        store.retry_transaction(target.org, transaction, lambda: self.targets.forget(target.org))


class Buffered:
    """Sends rows to Kafka, from which `dcmon worker start ingest` stores them.

    Acknowledged means that all in-sync replicas have the rows.
    """

    def __init__(self, producer: "Producer", settings: Kafka) -> None:
        self.producer, self.settings = producer, settings

    def ingest_samples(self, org: Organization, version_id: int, rows: "Sequence[Raw]") -> None:
        """Send samples of a version. Raises Unreachable or TooLarge."""
        self._send(RowTarget(org, RowKind.SAMPLES, version_id), rows)

    def ingest_labels(self, org: Organization, model_id: int, rows: "Sequence[Raw]") -> None:
        """Send labels of a model. Raises Unreachable or TooLarge."""
        self._send(RowTarget(org, RowKind.LABELS, model_id), rows)

    def _send(self, target: RowTarget, rows: "Sequence[Raw]") -> None:
        packed = message_format.pack(
            target.org.id,
            target.kind,
            target.target_id,
            datetime.now(UTC),
            truncate_long_rows(rows),
            self.settings.rows_per_message,
        )
        self.producer.send(f"{self.settings.topic_prefix}.{target.kind}", packed)
