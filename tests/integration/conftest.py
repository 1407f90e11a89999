"""Fixtures for integration tests: a Kafka broker and a model to log to."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from dcmon import db, redis_scripts
from dcmon.app import App
from dcmon.checks import plugins
from dcmon.db import Organization
from dcmon.embedded import valkey
from dcmon.ingestion import message_batches
from dcmon.ingestion.kafka import consumer, topics, watermarks
from dcmon.output import Output
from dcmon.settings import Kafka, Settings
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.helpers.kafka_broker import SESSION_SECONDS, broker
from tests.helpers.waiting import PATIENCE
from tests.helpers.waiting import eventually as eventually


@pytest.fixture(scope="session")
def broker_address() -> Iterator[str]:
    """Yield the address of a Kafka broker for the session."""
    with broker() as address:
        yield address


@pytest.fixture(autouse=True)
def _short_bounds_are_generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """What dcmon gives up, or does otherwise, after a moment is waited for on a busy machine."""
    monkeypatch.setattr(redis_scripts, "TIMEOUT", PATIENCE)
    monkeypatch.setattr(valkey, "START_SECONDS", PATIENCE)
    monkeypatch.setattr(message_batches, "PARKED_SECONDS", PATIENCE)
    monkeypatch.setattr(plugins, "LOADING_TIMEOUT", PATIENCE)


@pytest.fixture
def kafka(broker_address: str, monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """Return settings with topics and a consumer group of this test's own."""
    for module in (topics, consumer, watermarks):
        monkeypatch.setattr(module, "METADATA_SECONDS", PATIENCE)
    monkeypatch.setattr(topics, "NEW_TOPIC_SECONDS", PATIENCE)
    monkeypatch.setattr(consumer, "SESSION_SECONDS", SESSION_SECONDS)
    name = f"test-{uuid.uuid4().hex[:8]}"
    return Kafka(
        bootstrap_servers=broker_address, topic_prefix=name, group_id=name, partitions=2, rows_per_message=50,
        ack_wait=timedelta(seconds=PATIENCE),
    )  # fmt: skip


@pytest.fixture
def buffered(database_url: str, data_dir: Path, kafka: Kafka) -> Iterator[App]:
    """Yield an App that sends samples through Kafka."""
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, kafka=kafka)
    with App(settings, Output(quiet=True)) as new_app:
        yield new_app


@dataclass(frozen=True)
class Target:
    """A model version to log to, with the number of its stored rows."""

    engine: Engine
    org: Organization
    model_id: int
    version_id: int

    def scalar(self, statement: str, **values: object) -> Any:
        with db.org_session(self.engine, self.org) as session:
            return session.scalar(text(statement), values)

    @property
    def samples(self) -> int:
        with db.org_session(self.engine, self.org) as session:
            _, version = versions.get(session, self.version_id)
            return int(session.scalar(text(f"select count(*) from samples_{version.relation}")) or 0)

    @property
    def labels(self) -> int:
        with db.org_session(self.engine, self.org) as session:
            _, version = versions.get(session, self.version_id)
            return int(session.scalar(text(f"select count(*) from labels_{version.relation}")) or 0)


def new_target(engine: Engine, org: Organization) -> Target:
    """Create a binary model with one version of two features."""
    with db.org_session(engine, org) as session:
        model = models.create(session, NewModel("credit", "binary"))
        columns = NewVersion("v1", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        version = versions.create(session, model, columns)
        return Target(engine, org, model.id, version.id)


@pytest.fixture
def target(engine: Engine, org: Organization) -> Target:
    """Return a model version of organization acme."""
    return new_target(engine, org)


def rows(first: int, count: int) -> list[bytes]:
    """Return samples as a service sends them; the same numbers give the same rows."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return [_encoded(_row(number, start)) for number in range(first, first + count)]


def labels(first: int, count: int) -> list[bytes]:
    """Return the labels of these samples."""
    return [
        _encoded({"_dc_sample_id": f"s{number}", "_dc_label": number % 2}) for number in range(first, first + count)
    ]


def _row(number: int, start: datetime) -> Mapping[str, Any]:
    time = start + timedelta(seconds=30 * number)
    return {
        "_dc_sample_id": f"s{number}",
        "age": number % 90,
        "job": f"j{number % 4}",
        "_dc_time": time.isoformat(),
        "_dc_prediction_probabilities": [0.5, 0.5],
        "_dc_prediction": str(number % 2),
    }


def _encoded(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode()


@contextmanager
def running(job: Callable[[App, threading.Event], None], app: App) -> Iterator[threading.Thread]:
    """Run a job on a thread; an error of the job is raised at the end."""
    stop, raised = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            job(app, stop)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(300)
    if raised:
        raise raised[0]


def single(items: Sequence[Any]) -> Any:
    """Return the only item of a sequence."""
    assert len(items) == 1
    return items[0]
