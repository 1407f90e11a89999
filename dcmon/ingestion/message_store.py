"""Store messages in one organization. Handle conflicts of locks, rows that PostgreSQL refuses, and other errors."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon import db, errors
from dcmon.db import Organization
from dcmon.ingestion import dead_letters, message_groups, refused_rows, store
from dcmon.ingestion.dead_letters import NewDeadLetter
from dcmon.ingestion.message_groups import MessageGroup, group_by_target
from dcmon.ingestion.offsets import ReadRange
from dcmon.ingestion.parked_messages import InboundMessage
from dcmon.ingestion.target_cache import RowTarget, TargetCache
from dcmon.storage import sample_tables
from dcmon.storage.ledger import TopicPartition

log = logging.getLogger(__name__)

# The organization can't be entered now: it is being migrated or locked, or PostgreSQL has no memory for more locks.
NOT_NOW = (errors.SchemaOutOfDate, errors.SchemaTooNew, errors.Locked, errors.OutOfMemory)


@dataclass(frozen=True)
class MessageStore:
    """Stores messages in one organization. `read` says how the messages of each partition were read."""

    engine: Engine
    targets: TargetCache
    org: Organization
    read: Mapping[TopicPartition, ReadRange]
    lock_wait: timedelta

    def store(self, groups: Sequence[MessageGroup]) -> str | None:
        """Store messages. Return the reason if the organization can't be written now, else None. Raises OffsetReset."""
        try:
            self._store_or_halve(groups)
        except errors.OrganizationNotFound:
            log.warning("dropped messages of organization %s: it was deleted", self.org.name)
        except NOT_NOW as error:
            return str(error)
        except DBAPIError as error:
            # An unknown error that the rows did not cause. The caller parks the messages: no message is lost, and other
            # organizations do not wait for this one.
            log.error("organization %s could not be written", self.org.name, exc_info=error)
            return str(getattr(error, "orig", error)).strip()
        return None

    def _store_or_halve(self, groups: Sequence[MessageGroup]) -> None:
        """Store the messages, except messages whose content PostgreSQL refuses. Find these by halving.

        Also halve messages that need more locks than PostgreSQL has: each table partition that gets rows takes some.
        """
        try:
            self.store_once(groups)
        except Exception as error:
            messages = sorted((message for group in groups for message in group.messages), key=_log_position)
            needs_too_many_locks = isinstance(error, errors.OutOfMemory) and len(messages) > 1
            if not refused_rows.is_content_error(error) and not needs_too_many_locks:
                raise
            if len(messages) == 1:
                self._store_without_refused_rows(messages[0], error)
                return
            half = len(messages) // 2
            for part in (messages[:half], messages[half:]):
                self._store_or_halve(group_by_target(part))

    def _store_without_refused_rows(self, message: InboundMessage, error: Exception) -> None:
        """Quarantine the rows that PostgreSQL refuses, and store the others. Add a dead letter if that fails too."""
        (group,) = group_by_target([message])
        try:
            target = RowTarget(self.org, group.kind, group.target)
            group.refused = refused_rows.find(self.engine, self.targets, target, group.batches[0], self.lock_wait)
            if group.refused:
                self.store_once([group])
                return
        except Exception as second_error:
            if not refused_rows.is_content_error(second_error) and not isinstance(second_error, errors.NotFound):
                raise
        self._add_dead_letter(message, str(getattr(error, "orig", error)).strip())

    def _add_dead_letter(self, message: InboundMessage, reason: str) -> None:
        """Add the dead letter, then advance the offset past it. After a crash in between, both are repeated."""
        log.warning("dead letter: organization %s, message %s: %s", self.org.name, message.source, reason)
        with db.public_session(self.engine) as session:
            dead_letters.add(session, NewDeadLetter(message.partition, message.offset, message.value, reason))
        with db.org_session(self.engine, self.org) as session:
            message_groups.skip_dead_letter(session, message, self.read[message.partition], reason)

    def store_once(self, groups: Sequence[MessageGroup]) -> None:
        """Store all groups in one transaction, which is repeated after conflicts with others. Raises Locked."""

        def transaction() -> set[str]:
            with db.org_session(self.engine, self.org, wait=self.lock_wait) as session:
                return message_groups.store_groups(session, self.org, groups, self.read)

        def forget_targets() -> None:
            """Forget the version or model, which may have been deleted. The transaction looks it up again."""
            self.targets.forget(self.org)
            for group in groups:
                group.prepared = None

        # Safe to repeat: the offsets advance in the same transaction, so messages that are stored already are dropped.
        deleted = store.retry_transaction(
            self.org,
            lambda: sample_tables.with_partitions(self.engine, self.org, transaction, self.lock_wait),
            forget_targets,
        )
        for reason in sorted(deleted):
            log.warning("dropped messages of organization %s: %s", self.org.name, reason)


def _log_position(message: InboundMessage) -> tuple[TopicPartition, int]:
    return message.partition, message.offset
