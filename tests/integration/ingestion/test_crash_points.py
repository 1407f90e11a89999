"""A process that dies at any statement loses no row, and repeated rows are stored once."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from dcmon.app import App
from dcmon.ingestion import kafka, message_batches, message_format
from dcmon.ingestion.message_batches import MessageBatch
from dcmon.ingestion.offsets import LastSeek
from dcmon.ingestion.target_cache import TargetCache
from dcmon.output import Output
from dcmon.settings import Settings
from dcmon.storage.ledger import TopicPartition
from tests.conftest import copied_database
from tests.integration.conftest import Target, labels, rows

NOW = datetime(2026, 4, 1, tzinfo=UTC)
EVERY = [4, pytest.param(1, marks=pytest.mark.thorough)]  # how far apart the steps are at which a process dies


def messages_of(target: Target) -> list[kafka.ConsumerRecord]:
    """Return messages with a bad sample, repeated samples, waiting labels, and one that is unreadable."""
    bad = rows(20, 1)[0].replace(b'"age": 20', b'"age": "old"')
    pack = message_format.pack
    samples = [
        *pack(target.org.id, "samples", target.version_id, NOW, [*rows(0, 20), bad], 30),
        *pack(target.org.id, "samples", target.version_id, NOW, rows(10, 20), 30),
        b"poison",
    ]
    message = pack(target.org.id, "labels", target.model_id, NOW, labels(0, 40), 50)
    return [
        kafka.ConsumerRecord(kafka.RecordPosition(topic, 0, offset), value, offset or None, NOW)
        for topic, values in (("samples", samples), ("labels", message))
        for offset, value in enumerate(values)
    ]


def take(app: App, topics: dict[str, uuid.UUID], received: list[kafka.ConsumerRecord]) -> None:
    """Store messages as a worker does."""
    batch, targets = MessageBatch(), TargetCache(app.engine)
    for record in received:
        batch.add(TopicPartition(topics[record.position.topic], 0), record, LastSeek())
    message_batches.decode(targets, batch)
    message_batches.store(app.engine, targets, batch)


def in_a_process_that_dies(settings: Settings, work: Callable[[App], None], at: int) -> bool:
    """Work in a forked process that kills itself before step number `at`. Return True if it reached that step."""
    child = os.fork()
    if child == 0:
        steps_left = iter(range(at, -1, -1))
        for kind, name in ((psycopg.Cursor, "execute"), (psycopg.Cursor, "copy"), (psycopg.Connection, "commit")):
            setattr(kind, name, _dying(getattr(kind, name), steps_left))
        try:
            with App(settings, Output(quiet=True)) as app:
                work(app)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _dying(step: Callable[..., Any], steps_left: Iterator[int]) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        if next(steps_left, -1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **named)

    return counted


def state(app: App, target: Target, topics: dict[str, uuid.UUID]) -> dict[str, object]:
    """Return all data that must be equal, no matter how often the work began."""
    named = {"topics": list(topics.values())}

    def public(statement: str) -> object:
        with app.public() as session:
            return session.scalar(text(f"{statement} where topic_id = any(:topics)"), named)

    relation = target.scalar("select relation from models")
    return {
        "samples": target.samples,
        "labels": target.labels,
        "waiting labels": target.scalar(f"select count(*) from orphan_labels_{relation}"),
        "quarantined": target.scalar("select count(*) from quarantine"),
        "counted": target.scalar("select array[sum(n), sum(n_labelled)] from quarter_hours"),
        "ledger": target.scalar("select array[sum(taken), sum(stored), sum(duplicates), sum(messages)] from batches"),
        "dead": public("select count(*) from dead_letters"),
        "floors": public("select sum(next_offset) from committed_offsets"),
        "spans": public("select array[count(*), sum(dead)] from ingest_spans"),
    }


WANTED = {
    "samples": 30, "labels": 30, "waiting labels": 10, "quarantined": 1, "counted": [30, 30],
    "ledger": [81, 70, 10, 3], "dead": 1, "floors": 4, "spans": [2, 1],
}  # fmt: skip


@pytest.mark.parametrize("every", EVERY)
def test_worker_killed_at_any_step_stores_exactly_once(
    server_url: str, engine: Engine, target: Target, data_dir: Path, every: int
) -> None:
    """A first process dies at a step, and a second process completes the work, in a database of its own."""
    prepared = engine.url.database
    assert prepared is not None
    engine.dispose()  # a database that is copied has no connections
    step = 0
    while True:
        topics, received = {"samples": uuid.uuid4(), "labels": uuid.uuid4()}, messages_of(target)
        with copied_database(server_url, prepared) as url:
            settings = Settings(database_url=SecretStr(url), data_dir=data_dir)
            died = in_a_process_that_dies(settings, lambda child_app: take(child_app, topics, received), step)  # noqa: B023
            with App(settings, Output(quiet=True)) as app:
                take(app, topics, received)
                assert state(app, replace(target, engine=app.engine), topics) == WANTED, f"dead before step {step}"
        if not died:
            break
        step += every

    assert step > 30


@pytest.mark.parametrize("every", EVERY)
def test_worker_killed_repeatedly_reaches_the_end(app: App, target: Target, every: int) -> None:
    topics, received, step = {"samples": uuid.uuid4(), "labels": uuid.uuid4()}, messages_of(target), 0
    while in_a_process_that_dies(app.settings, lambda child_app: take(child_app, topics, received), step):
        step += every

    assert state(app, target, topics) == WANTED
