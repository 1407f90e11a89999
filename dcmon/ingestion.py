"""What the endpoint does with rows: straight into PostgreSQL, or to Kafka. The same function stores them either way."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dcmon import db, errors, labels, ledger, messages, models, offsets, samples, storage, versions, wake
from dcmon.arrivals import Delivery, Outcome
from dcmon.db import Organization
from dcmon.ledger import Span
from dcmon.letters import Letter
from dcmon.offsets import Partition
from dcmon.rows import carried
from dcmon.settings import Kafka
from dcmon.tables.org import Model, Version

if TYPE_CHECKING:
    from dcmon.kafka import Producer

Rows = Sequence[msgspec.Raw]


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
            store_samples(session, org, version_id, [self._delivery(rows)])
        self._ring(org)

    def take_labels(self, org: Organization, model_id: int, rows: Rows) -> None:
        """Raises NotFound when the model is gone."""
        with db.org_session(self.engine, org) as session:
            store_labels(session, model_id, [self._delivery(rows)])
        self._ring(org)

    def _delivery(self, rows: Rows) -> Delivery:
        return Delivery(rows, datetime.now(UTC), f"request/{uuid.uuid4()}")

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
        given = carried(rows)
        packed = messages.pack(org.id, kind, target, datetime.now(UTC), given, self.settings.rows_per_message)
        self.producer.send(f"{self.settings.topic_prefix}.{kind}", packed)


def store_samples(
    session: Session, org: Organization, version_id: int, deliveries: Sequence[Delivery], span: Span | None = None
) -> Outcome:
    """Store rows of a version and write the ledger's line, in the session's transaction. Raises NotFound."""
    model, version = versions.get(session, version_id)
    retention = model.retention or org.retention
    outcome = samples.take(session, model, version, deliveries, retention=retention)
    source = deliveries[0].source
    ledger.enter(session, "samples", source, outcome, model_id=model.id, version_id=version_id, span=span)
    return outcome


def store_labels(session: Session, model_id: int, deliveries: Sequence[Delivery], span: Span | None = None) -> Outcome:
    """Store labels of a model and write the ledger's line, in the session's transaction. Raises NotFound."""
    model = models.get(session, model_id)
    outcome = labels.take(session, model, deliveries)
    ledger.enter(session, "labels", deliveries[0].source, outcome, model_id=model.id, span=span)
    return outcome


def store_letters(session: Session, org: Organization, letters: Sequence[Letter]) -> set[str]:
    """Store the messages that the organization does not have yet; returns what is gone, whose messages are dropped.

    Locks in one order everywhere: offsets, models, rows, versions.
    """
    fresh, spans = list[Letter](), dict[Partition, Span]()
    for partition in sorted({letter.partition for letter in letters}):
        known = offsets.lock(session, partition)
        mine = [each for each in letters if each.partition == partition and each.offset >= known]
        if mine:
            spans[partition] = Span(partition, known, 1 + max(each.offset for each in mine), 0)
            offsets.move(session, partition, spans[partition].next_offset)
            fresh += mine
    lock_models(
        session,
        (each.message.target for each in fresh if each.message.kind == "samples"),
        (each.message.target for each in fresh if each.message.kind == "labels"),
    )
    return {why for group in _groups(fresh) if (why := _store_group(session, org, group, spans))}


def _groups(letters: Iterable[Letter]) -> list[list[Letter]]:
    """Messages that are stored together: of one target and partition, targets in order of id."""
    groups: dict[tuple[Any, ...], list[Letter]] = defaultdict(list)
    for letter in letters:
        groups[letter.message.kind, letter.message.target, letter.partition].append(letter)
    # Samples before labels: labels then find them at once.
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0] == "labels", *key[1:]))]


def _store_group(
    session: Session, org: Organization, letters: Sequence[Letter], spans: Mapping[Partition, Span]
) -> str:
    """Store messages of one target; says what is gone, when it is."""
    kind, target = letters[0].message.kind, letters[0].message.target
    span = replace(spans[letters[0].partition], messages=len(letters))
    deliveries = [Delivery(each.message.rows, each.message.logged_at, each.place) for each in letters]
    try:
        if kind == "samples":
            store_samples(session, org, target, deliveries, span)
        else:
            store_labels(session, target, deliveries, span)
    except errors.NotFound as gone:
        drop(session, kind, deliveries, span, str(gone))
        return str(gone)
    return ""


def drop(session: Session, kind: str, deliveries: Sequence[Delivery], span: Span, why: str) -> None:
    """Write the ledger's line of rows that nobody can store any more."""
    rows = sum(len(delivery.rows) for delivery in deliveries)
    source = deliveries[0].source
    ledger.enter(session, kind, source, Outcome(taken=rows), model_id=None, span=span, dropped=rows, note=why)


def lock_models(session: Session, version_ids: Iterable[int], model_ids: Iterable[int]) -> None:
    """Lock the models of these versions for samples, these models for labels; in order of id, and none twice.

    A worker that held a model for samples and then wanted it for labels would wait for another one that does the same.
    """
    labelled = set(model_ids)
    sampled = select(Version.model_id).where(Version.id.in_(set(version_ids)))
    chosen = select(Model).where(Model.id.in_(labelled) | Model.id.in_(sampled)).order_by(Model.id)
    for model in session.scalars(chosen).all():
        storage.lock_model(session, model, shared=model.id not in labelled)
