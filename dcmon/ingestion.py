"""What the endpoint does with rows: straight into PostgreSQL, or to Kafka. The same function stores them either way."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dcmon import db, errors, labels, messages, samples, versions, wake
from dcmon.arrivals import Outcome
from dcmon.db import Organization
from dcmon.settings import Kafka
from dcmon.tables.org import Batch, Model

if TYPE_CHECKING:
    from dcmon.kafka import Producer

Rows = Sequence[msgspec.Raw]


@dataclass(frozen=True)
class Source:
    """Where rows came from: a name that a replay repeats, and the span of offsets when it was a topic."""

    name: str
    first_offset: int | None = None
    next_offset: int | None = None


class Ingestion(Protocol):
    """Takes rows in; what it returns without raising is not lost."""

    def take_samples(self, org: Organization, version_id: int, rows: Rows) -> None: ...
    def take_labels(self, org: Organization, model_id: int, rows: Rows) -> None: ...


class Direct:
    """Into PostgreSQL, in one transaction: acknowledged means committed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def take_samples(self, org: Organization, version_id: int, rows: Rows) -> None:
        """Raises NotFound when the version is gone."""
        with db.org_session(self.engine, org) as session:
            store_samples(session, version_id, rows, datetime.now(UTC), Source(f"request/{uuid.uuid4()}"))
        self._ring(org)

    def take_labels(self, org: Organization, model_id: int, rows: Rows) -> None:
        """Raises NotFound when the model is gone."""
        with db.org_session(self.engine, org) as session:
            store_labels(session, model_id, rows, datetime.now(UTC), Source(f"request/{uuid.uuid4()}"))
        self._ring(org)

    def _ring(self, org: Organization) -> None:
        with db.public_session(self.engine) as session:
            wake.ring(session, org.id, wake.Work.evaluate)


class Buffered:
    """Into Kafka: acknowledged means that all replicas in sync have it. `dcmon worker start ingest` stores it."""

    def __init__(self, producer: "Producer", settings: Kafka) -> None:
        self.producer, self.settings = producer, settings

    def take_samples(self, org: Organization, version_id: int, rows: Rows) -> None:
        """Raises Unreachable or TooLarge."""
        self._send(org, "samples", version_id, rows)

    def take_labels(self, org: Organization, model_id: int, rows: Rows) -> None:
        """Raises Unreachable or TooLarge."""
        self._send(org, "labels", model_id, rows)

    def _send(self, org: Organization, kind: messages.Kind, target: int, rows: Rows) -> None:
        packed = messages.pack(org.id, kind, target, datetime.now(UTC), rows, self.settings.rows_per_message)
        self.producer.send(f"{self.settings.topic_prefix}.{kind}", packed)


def store_samples(
    session: Session, version_id: int, rows: Rows, logged_at: datetime, source: Source, first_position: int = 0
) -> Outcome:
    """Store rows of a version and write the ledger's line, in the session's transaction."""
    model, version = versions.get(session, version_id)
    outcome = samples.take(
        session, model, version, rows, logged_at=logged_at, source=source.name, first_position=first_position
    )
    _enter(session, "samples", model, version_id, source, outcome)
    return outcome


def store_labels(
    session: Session, model_id: int, rows: Rows, logged_at: datetime, source: Source, first_position: int = 0
) -> Outcome:
    """Store labels of a model and write the ledger's line, in the session's transaction."""
    model = session.get(Model, model_id)
    if model is None:
        raise errors.NotFound(what="model", name=model_id)
    outcome = labels.take(session, model, rows, logged_at=logged_at, source=source.name, first_position=first_position)
    _enter(session, "labels", model, None, source, outcome)
    return outcome


def _enter(session: Session, kind: str, model: Model, version_id: int | None, source: Source, outcome: Outcome) -> None:
    session.add(
        Batch(
            kind=kind,
            source=source.name,
            model_id=model.id,
            version_id=version_id,
            first_offset=source.first_offset,
            next_offset=source.next_offset,
            taken=outcome.taken,
            stored=outcome.stored,
            duplicates=outcome.duplicates,
            quarantined=outcome.quarantined,
        )
    )
    session.flush()
