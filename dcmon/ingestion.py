"""What the endpoint does with rows: straight into PostgreSQL, or to Kafka. The same function stores them either way."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dcmon import db, errors, labels, messages, offsets, samples, storage, versions, wake
from dcmon.arrivals import Outcome
from dcmon.db import Organization
from dcmon.letters import Letter
from dcmon.settings import Kafka
from dcmon.tables.org import Batch, Model, Version

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


def store_letters(session: Session, letters: Sequence[Letter]) -> set[str]:
    """Store the messages that the organization does not have yet; returns what is gone, whose messages are dropped.

    Locks in one order everywhere: offsets, models, rows, versions.
    """
    fresh = list(letters)
    for partition in sorted({letter.partition for letter in letters}):
        known = offsets.lock(session, partition)
        fresh = [each for each in fresh if each.partition != partition or each.offset >= known]
        offsets.move(session, partition, 1 + max(each.offset for each in letters if each.partition == partition))
    found = [letter.message for letter in fresh]
    lock_models(
        session,
        (message.target for message in found if message.kind == "samples"),
        (message.target for message in found if message.kind == "labels"),
    )
    return {why for group in _groups(fresh) if (why := _store_group(session, group))}


def _groups(letters: Iterable[Letter]) -> list[list[Letter]]:
    """Messages that are stored together: of one target and one time of receipt, targets in order of id."""
    groups: dict[tuple[Any, ...], list[Letter]] = defaultdict(list)
    for letter in letters:
        message = letter.message
        groups[message.kind, message.target, message.logged_at, letter.partition].append(letter)
    # Samples before labels: labels then find them at once.
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0] == "labels", *key[1:]))]


def _store_group(session: Session, letters: Sequence[Letter]) -> str:
    """Store messages of one target; says what is gone, when it is."""
    first, last = letters[0], letters[-1]
    source = Source(first.place, first.offset, last.offset + 1)
    rows = [row for letter in letters for row in letter.message.rows]
    store = store_samples if first.message.kind == "samples" else store_labels
    try:
        store(session, first.message.target, rows, first.message.logged_at, source)
    except errors.NotFound as gone:
        return str(gone)
    return ""


def lock_models(session: Session, version_ids: Iterable[int], model_ids: Iterable[int]) -> None:
    """Lock the models of these versions for samples, these models for labels; in order of id, and none twice.

    A worker that held a model for samples and then wanted it for labels would wait for another one that does the same.
    """
    labelled = set(model_ids)
    sampled = select(Version.model_id).where(Version.id.in_(set(version_ids)))
    chosen = select(Model).where(Model.id.in_(labelled) | Model.id.in_(sampled)).order_by(Model.id)
    for model in session.scalars(chosen).all():
        storage.lock_model(session, model, shared=model.id not in labelled)


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
