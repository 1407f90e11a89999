"""Store dead letters after all, when the reason is mended: a model was created, or dcmon can read the message now.

A row that was stored already is a duplicate, so that each row is stored once, also if a retry is interrupted between
the organization's transaction and that of the dead letter, and is repeated.
"""

from dataclasses import dataclass

from sqlalchemy import Engine

from dcmon import db, errors
from dcmon.db import work_queue
from dcmon.db.tables.public import DeadLetter
from dcmon.ingestion import dead_letters, message_format, refused_rows, store
from dcmon.ingestion.dead_letters import Resolution
from dcmon.ingestion.message_format import Message, UnreadableMessage
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.store import StoreResult
from dcmon.ingestion.target_cache import RowTarget, TargetCache
from dcmon.tenancy import organizations


@dataclass(frozen=True)
class RetriedDeadLetter:
    """What became of a dead letter. `reason`: why it can't be stored; then no row of it is."""

    id: int
    state: str
    rows: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Retry:
    """A retry of dead letters. A dry run changes nothing."""

    engine: Engine
    targets: TargetCache
    by: str
    dry_run: bool = False

    def retry(self, dead_letter_id: int) -> RetriedDeadLetter:
        """Store the rows of a dead letter in one transaction, then resolve it.

        The letter is locked meanwhile: of two operators, the second finds it stored. Raises NotFound.
        """
        with db.public_session(self.engine) as session:
            dead_letter = dead_letters.find(session, dead_letter_id, is_locked=True)
            if dead_letter.resolution is not None:
                return RetriedDeadLetter(
                    dead_letter_id, dead_letter.resolution, reason=f"It was {dead_letter.resolution} before."
                )
            try:
                message = message_format.unpack(dead_letter.body, dead_letter.created_at)
                message = message_format.validate(message, dead_letter.body or b"")
                result = self._store(dead_letter, message)
            except (UnreadableMessage, errors.NotFound, errors.InvalidInput) as error:
                if not self.dry_run:
                    dead_letter.reason = str(error)[: dead_letters.MAX_REASON_LENGTH]
                return RetriedDeadLetter(dead_letter_id, "refused", reason=str(error))
            if not self.dry_run:
                dead_letters.resolve(session, dead_letter, Resolution.STORED, self.by)
        outcome = result.outcome
        return RetriedDeadLetter(
            dead_letter_id, Resolution.STORED, len(message.rows), outcome.stored, outcome.duplicates,
            outcome.quarantined,
        )  # fmt: skip

    def _store(self, dead_letter: DeadLetter, message: Message) -> StoreResult:
        with db.public_session(self.engine) as session:
            org = organizations.by_id(session, message.org)
        if org is None:
            raise errors.InvalidInput(f"there is no organization {message.org}")
        target = RowTarget(org, message.kind, message.target)
        batch = RowBatch(message.rows, message.received_at, f"dead-letter/{dead_letter.id}")
        try:
            result = self._in_transaction(target, batch)
        except Exception as error:
            if not refused_rows.is_content_error(error):
                raise
            refused = refused_rows.find(self.engine, self.targets, target, batch)
            result = self._in_transaction(target, batch._replace(refused=refused))
        if not self.dry_run:
            work_queue.enqueue_now(self.engine, org.id, work_queue.Work.evaluate)
        return result

    def _in_transaction(self, target: RowTarget, batch: RowBatch) -> StoreResult:
        def transaction() -> StoreResult:
            prepared = store.prepare(self.targets, target, [batch])
            return store.store_in_transaction(self.engine, target.org, prepared, dry_run=self.dry_run)

        return store.retry_transaction(target.org, transaction, lambda: self.targets.forget(target.org))
