"""Requests are checked by the cache, also while PostgreSQL or the broker does not respond."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import urllib3
from pydantic import SecretStr
from sqlalchemy import event, text

from dcmon import db
from dcmon.app import App
from dcmon.db import migrations
from dcmon.embedded import postgres
from dcmon.jobs import ingest
from dcmon.output import Output
from dcmon.settings import Http, Kafka, Settings
from dcmon.storage import versions
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning, tokens
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.helpers.kafka_broker import tansu
from tests.helpers.ports import free_port
from tests.integration.conftest import Target, eventually, labels, new_target, rows, running

SHORT = Http(fresh=timedelta(milliseconds=300), stale=timedelta(minutes=10))


def refused_for_now(response: urllib3.BaseHTTPResponse) -> bool:
    return response.status == 503 and int(response.headers["retry-after"]) > 0


@contextmanager
def app_on(url: str, data_dir: Path, kafka: Kafka | None = None, http: Http = SHORT) -> Iterator[App]:
    settings = Settings(database_url=SecretStr(url), data_dir=data_dir, kafka=kafka or Kafka(), http=http)
    with App(settings, Output(quiet=True)) as new_app:
        yield new_app


@dataclass
class Place:
    """A separate PostgreSQL that can be stopped and started, with a model to log to."""

    data_dir: Path
    server: postgres.Server
    target: Target
    token: str

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        url = self.server.url
        self.server = postgres.start(self.data_dir)
        assert self.server.url == url


@pytest.fixture
def place(data_dir: Path) -> Iterator[Place]:
    server = postgres.start(data_dir)
    engine = db.engine(server.url)
    migrations.upgrade_public(engine)
    created = provisioning.create_organization(engine, "acme", "owner@acme.example")
    new_place = Place(data_dir, server, new_target(engine, created.organization), created.token)
    yield new_place
    engine.dispose()
    new_place.stop()


def test_request_with_cached_token_sends_no_query(
    database_url: str, data_dir: Path, kafka: Kafka, acme: Acme, target: Target
) -> None:
    asked: list[str] = []
    with (
        app_on(database_url, data_dir, kafka, Http(fresh=timedelta(hours=1))) as app,
        serving(app, acme.token) as client,
    ):
        assert client.samples(target.version_id, rows(0, 10)).status == 200
        assert client.labels(target.model_id, labels(0, 10)).status == 200
        event.listen(app.engine, "before_cursor_execute", lambda *all_: asked.append(all_[2]))
        assert client.samples(target.version_id, rows(10, 10)).status == 200
        assert client.labels(target.model_id, labels(10, 10)).status == 200
        assert asked == []
        assert client.request("GET", f"model-versions/{target.version_id}").status == 200
        assert asked != []


def test_batches_during_outage_of_postgresql_are_stored_later(place: Place, kafka: Kafka) -> None:
    never_fresh = Http(fresh=timedelta(0), stale=timedelta(minutes=10))
    with app_on(place.server.url, place.data_dir, kafka, never_fresh) as app, serving(app, place.token) as client:
        assert client.samples(place.target.version_id, rows(0, 50)).status == 200
        assert client.labels(place.target.model_id, labels(0, 50)).status == 200
        place.stop()
        assert [client.samples(place.target.version_id, rows(first, 50)).status for first in (50, 100)] == [200, 200]
        assert client.labels(place.target.model_id, labels(50, 50)).status == 200
        assert refused_for_now(client.request("GET", f"model-versions/{place.target.version_id}"))
        assert refused_for_now(client.samples(place.target.version_id + 1, rows(0, 1)))
        place.start()
        with running(ingest.run, app):
            assert eventually(lambda: (place.target.samples, place.target.labels) == (150, 100))
        assert client.samples(place.target.version_id + 1, rows(0, 1)).status == 404


def test_cached_answer_past_stale_age_is_not_used(place: Place, kafka: Kafka) -> None:
    http = Http(fresh=timedelta(milliseconds=1), stale=timedelta(seconds=3))
    with app_on(place.server.url, place.data_dir, kafka, http) as app, serving(app, place.token) as client:
        asked_at = time.monotonic()
        assert client.samples(place.target.version_id, rows(0, 1)).status == 200
        place.stop()
        assert eventually(lambda: refused_for_now(client.samples(place.target.version_id, rows(0, 1))))
        assert time.monotonic() - asked_at >= 3
        place.start()
        assert eventually(lambda: client.samples(place.target.version_id, rows(0, 1)).status == 200)


def test_unknown_token_during_outage_is_refused(place: Place, kafka: Kafka) -> None:
    with app_on(place.server.url, place.data_dir, kafka) as app, serving(app, place.token) as client:
        assert client.samples(place.target.version_id, rows(0, 1)).status == 200
        place.stop()
        other = Endpoint(client.url, place.token[:-4] + "AAAA", client.pool)
        assert refused_for_now(other.samples(place.target.version_id, rows(0, 1)))
        assert client.samples(place.target.version_id, rows(0, 1)).status == 200
        place.start()
        assert eventually(lambda: other.samples(place.target.version_id, rows(0, 1)).status == 401)


def test_direct_intake_during_outage_stores_nothing(place: Place) -> None:
    with app_on(place.server.url, place.data_dir) as app, serving(app, place.token) as client:
        assert client.samples(place.target.version_id, rows(0, 50)).status == 200
        place.stop()
        assert refused_for_now(client.samples(place.target.version_id, rows(50, 50)))
        assert refused_for_now(client.labels(place.target.model_id, labels(0, 50)))
        place.start()
        assert client.samples(place.target.version_id, rows(50, 50)).status == 200
        assert place.target.samples == 100
        assert place.target.scalar("select sum(taken) from batches") == 100


def test_revoked_token_is_refused_at_once(
    database_url: str, data_dir: Path, kafka: Kafka, acme: Acme, target: Target
) -> None:
    """PostgreSQL announces the change: the age of the entry does not matter."""
    http = Http(fresh=timedelta(hours=1), stale=timedelta(hours=2))
    with app_on(database_url, data_dir, kafka, http) as app, serving(app, acme.token) as client:
        assert client.samples(target.version_id, rows(0, 1)).status == 200
        with app.public() as session:
            tokens.revoke(session, acme.org.id, acme.token)
        assert eventually(lambda: client.samples(target.version_id, rows(0, 1)).status == 401)


def test_expired_token_is_refused_at_once(
    database_url: str, data_dir: Path, kafka: Kafka, acme: Acme, target: Target
) -> None:
    with app_on(database_url, data_dir, kafka, Http(fresh=timedelta(hours=1))) as app:
        for seconds in (2, 20, 200):  # with a short time, an entry could expire before a busy machine responds once
            with app.public() as session:
                token = tokens.create(session, acme.org.id, 1, "short", timedelta(seconds=seconds))
            with serving(app, token) as client:
                is_accepted = client.samples(target.version_id, rows(0, 1)).status == 200
                assert eventually(lambda: client.samples(target.version_id, rows(0, 1)).status == 401)
            if is_accepted:
                break
        assert is_accepted


def test_unknown_version_is_not_cached(
    database_url: str, data_dir: Path, kafka: Kafka, acme: Acme, target: Target
) -> None:
    http, next_id = Http(fresh=timedelta(hours=1)), target.version_id + 1
    with app_on(database_url, data_dir, kafka, http) as app, serving(app, acme.token) as client:
        assert client.samples(next_id, rows(0, 1)).status == 404
        with app.org(acme.org) as session:
            model, _ = versions.get(session, target.version_id)
            assert versions.create(session, model, NewVersion("v2", {"age": "numeric"})).id == next_id
        assert client.samples(next_id, rows(0, 1)).status == 200


def test_deleted_version_is_404_within_fresh_age(
    database_url: str, data_dir: Path, kafka: Kafka, acme: Acme, target: Target
) -> None:
    """Rows that were acknowledged before are dropped, and counted in the ledger."""
    with app_on(database_url, data_dir, kafka) as app, serving(app, acme.token) as client:
        statuses = [client.samples(target.version_id, rows(0, 20)).status]
        assert client.request("DELETE", f"model-versions/{target.version_id}").status == 200

        def is_refused() -> bool:
            statuses.append(client.samples(target.version_id, rows(20, 20)).status)
            return statuses[-1] == 404

        assert eventually(is_refused)
        assert (statuses[0], set(statuses)) == (200, {200, 404})
        dropped = 20 * statuses.count(200)
        with running(ingest.run, app):
            assert eventually(lambda: target.scalar("select coalesce(sum(dropped), 0) from batches") == dropped)


def own_broker_settings(port: int, wait: float = 2) -> Kafka:
    name = f"test-{uuid.uuid4().hex[:8]}"
    return Kafka(
        bootstrap_servers=f"127.0.0.1:{port}", topic_prefix=name, group_id=name, partitions=2, rows_per_message=5,
        ack_wait=timedelta(seconds=wait),
    )  # fmt: skip


@pytest.mark.kafka
def test_request_without_broker_is_503_in_bounded_time(
    database_url: str, data_dir: Path, acme: Acme, target: Target
) -> None:
    """The same request is accepted as soon as the broker responds."""
    port = free_port()
    with app_on(database_url, data_dir, own_broker_settings(port)) as app, serving(app, acme.token) as client:
        for _ in range(3):
            started_at = time.monotonic()
            assert refused_for_now(client.samples(target.version_id, rows(0, 10)))
            assert time.monotonic() - started_at < 60  # by default, the client of Kafka tries for five minutes
        assert client.request("GET", "health-check").status == 200
        with tansu(port):
            assert eventually(lambda: client.samples(target.version_id, rows(0, 10)).status == 200)
            with running(ingest.run, app):
                assert eventually(lambda: target.samples == 10)


@pytest.mark.kafka
def test_request_repeated_after_timeout_is_stored_once(
    database_url: str, data_dir: Path, acme: Acme, target: Target
) -> None:
    """The suspended broker reads the request from its socket when it continues, after the 503."""
    port = free_port()
    with db.org_session(target.engine, target.org) as session:
        model, _ = versions.get(session, target.version_id)
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        other_version = versions.create(session, model, columns).id
    with (
        tansu(port),
        app_on(database_url, data_dir, own_broker_settings(port)) as app,
        serving(app, acme.token) as client,
    ):
        assert eventually(lambda: client.samples(other_version, rows(0, 10)).status == 200)
        broker = next(
            process for process in psutil.Process().children() if f"tcp://127.0.0.1:{port}" in process.cmdline()
        )
        broker.suspend()
        refused = refused_for_now(client.samples(target.version_id, rows(10, 100)))
        broker.resume()
        assert refused
        assert eventually(lambda: client.samples(target.version_id, rows(10, 100)).status == 200)
        duplicates = f"select sum(duplicates) from batches where version_id = {target.version_id}"
        with running(ingest.run, app):
            assert eventually(lambda: target.samples == 100)
            # On a busy machine, the repeated request may time out too.
            assert eventually(lambda: (target.scalar(duplicates) or 0) >= 100)


def test_serve_started_before_its_servers_answers_later(place: Place) -> None:
    """PostgreSQL and the broker do not respond when the endpoint starts."""
    broker_port, port = free_port(), free_port()
    place.stop()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
    settings = {"DATABASE_URL": place.server.url, "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{broker_port}",
             "HTTP__PORT": str(port), "KAFKA__ACK_WAIT": "2"}  # fmt: skip
    command, environment = [sys.executable, "-m", "dcmon", "serve"], {f"DCMON_{k}": v for k, v in settings.items()}
    process = subprocess.Popen(command, env=inherited | environment, stderr=subprocess.PIPE, text=True)
    try:
        with urllib3.PoolManager() as pool:
            client = Endpoint(f"http://127.0.0.1:{port}", place.token, pool)
            assert eventually(lambda: answers(client))
            assert refused_for_now(client.samples(place.target.version_id, rows(0, 1)))
            place.start()
            assert eventually(lambda: "Kafka" in error_message(client.samples(place.target.version_id, rows(0, 1))))
            with tansu(broker_port):
                assert eventually(lambda: client.samples(place.target.version_id, rows(0, 1)).status == 200)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "responds with 503 until" in stderr
    assert "Traceback" not in stderr


def answers(client: Endpoint) -> bool:
    try:
        return bool(client.request("GET", "health-check").data == b"ok")
    except urllib3.exceptions.HTTPError:
        return False


def test_errors_have_the_common_json_form(place: Place) -> None:
    with app_on(place.server.url, place.data_dir) as app, serving(app, place.token) as client:
        place.stop()
        response = client.samples(place.target.version_id, rows(0, 1))
        assert set(json.loads(response.data)) == {"error_message", "additional_information"}
        assert "PostgreSQL can't be reached" in error_message(response)
        place.start()


def test_time_of_token_use_is_recorded_with_cache(
    database_url: str, data_dir: Path, acme: Acme, target: Target
) -> None:
    with app_on(database_url, data_dir) as app, serving(app, acme.token) as client:
        assert client.samples(target.version_id, rows(0, 1)).status == 200
        with app.public() as session:
            assert session.scalar(text("select last_used_at is not null from tokens"))


def test_client_that_disconnects_while_sending_logs_no_error(
    app: App, target: Target, acme: Acme, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/api/v1/model-versions/{target.version_id}/data"
    head = f"POST {path} HTTP/1.1\r\nHost: dcmon\r\nAuthorization: Basic {acme.token}\r\nContent-Length: 1000\r\n\r\n["
    caplog.set_level("DEBUG", "dcmon.http")
    with serving(app, acme.token) as endpoint:
        port = int(endpoint.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head.encode())
        assert eventually(lambda: "client disconnected" in caplog.text)
        assert endpoint.samples(target.version_id, rows(0, 1)).status == 200
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
    assert target.samples == 1
