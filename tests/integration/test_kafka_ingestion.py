"""From the broker into PostgreSQL: exactly once, whatever dies in between."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from dcmon import db, messages, organizations, provision
from dcmon import kafka as door
from dcmon.app import App
from dcmon.db import Organization
from dcmon.embedded.supervisor import environment
from dcmon.jobs import ingest
from tests.integration.conftest import Target, eventually, labels, new_target, rows, running

pytestmark = pytest.mark.kafka


def public(app: App, statement: str) -> object:
    with app.public() as session:
        return session.scalar(text(statement))


def another_organization(target: Target) -> Organization:
    return provision.create_organization(target.engine, "other", "o@other.example").organization


@contextmanager
def worker(app: App) -> Iterator["subprocess.Popen[bytes]"]:
    """`dcmon worker start ingest` as a process."""
    command = [sys.executable, "-m", "dcmon", "worker", "start", "ingest"]
    process = subprocess.Popen(command, env=environment(app.settings), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_samples_and_labels_travel_through_the_broker_into_postgresql(buffered: App, target: Target) -> None:
    buffered.ingestion.take_samples(target.org, target.version_id, rows(0, 500))
    buffered.ingestion.take_labels(target.org, target.model_id, labels(0, 500))

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 500 and target.labels == 500)

    assert public(buffered, "select count(*) from wake where kind = 0 and wake_at is not null") == 1


def test_a_replay_of_the_whole_topic_stores_nothing_twice(buffered: App, target: Target) -> None:
    buffered.ingestion.take_samples(target.org, target.version_id, rows(0, 300))
    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 300)
    taken = target.scalar("select sum(taken) from batches")
    with buffered.public() as session:
        session.execute(text("delete from ingest_floor"))

    again = buffered.settings.kafka.model_copy(update={"group_id": "another-group"})
    with (
        App(buffered.settings.model_copy(update={"kafka": again}), buffered.output) as other,
        running(ingest.run, other),
    ):
        assert eventually(lambda: public(other, "select sum(next_offset) from ingest_floor") == 6)

    assert (target.samples, target.scalar("select sum(taken) from batches")) == (300, taken)


def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(buffered: App, target: Target) -> None:
    for first in range(0, 6000, 1000):
        buffered.ingestion.take_samples(target.org, target.version_id, rows(first, 1000))

    with worker(buffered) as first_worker:
        assert eventually(lambda: target.samples > 0)
        first_worker.send_signal(signal.SIGKILL)
        first_worker.wait()
    with worker(buffered):
        assert eventually(lambda: target.samples >= 6000, 60)

    assert target.samples == 6000
    assert target.scalar("select sum(taken) from batches") == 6000
    assert target.scalar("select sum(n) from quarter_hours") == 6000


def test_a_worker_drains_and_leaves_when_it_is_asked_to(buffered: App, target: Target) -> None:
    buffered.ingestion.take_samples(target.org, target.version_id, rows(0, 100))
    with worker(buffered) as process:
        assert eventually(lambda: target.samples == 100)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_two_workers_share_a_topic(buffered: App, target: Target) -> None:
    with running(ingest.run, buffered), App(buffered.settings, buffered.output) as other, running(ingest.run, other):
        for first in range(0, 2000, 200):
            buffered.ingestion.take_samples(target.org, target.version_id, rows(first, 200))
        assert eventually(lambda: target.samples >= 2000, 60)

    assert target.samples == 2000


def test_a_poison_message_costs_one_dead_letter(buffered: App, target: Target) -> None:
    samples = door.topic(buffered.settings.kafka, "samples")
    door.ensure_topics(buffered.settings.kafka)
    producer = door.Producer(buffered.settings.kafka)
    producer.send(samples, [b"\xff not JSON", b'{"v": 2}'])
    producer.close()
    buffered.ingestion.take_samples(target.org, target.version_id, rows(0, 100))

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 100 and public(buffered, "select count(*) from dead_letters") == 2)


def test_a_poison_row_costs_one_quarantined_row(buffered: App, target: Target) -> None:
    bad = rows(50, 1)[0].replace(b'"age": 50', b'"age": "old"')
    buffered.ingestion.take_samples(target.org, target.version_id, [*rows(0, 50), bad, *rows(51, 49)])

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 99)

    assert target.scalar("select reason || ' ' || field from quarantine") == "wrong_type age"


def test_organizations_in_one_topic_get_their_own(buffered: App, target: Target) -> None:
    other = new_target(
        target.engine, provision.create_organization(target.engine, "other", "o@other.example").organization
    )
    for each, count in ((target, 120), (other, 80)):
        buffered.ingestion.take_samples(each.org, each.version_id, rows(0, count))

    with running(ingest.run, buffered):
        assert eventually(lambda: (target.samples, other.samples) == (120, 80))


def test_messages_of_what_is_gone_are_dropped_and_nobody_waits(buffered: App, target: Target) -> None:
    gone = provision.create_organization(target.engine, "gone", "g@gone.example").organization
    buffered.ingestion.take_samples(gone, 1, rows(0, 10))
    buffered.ingestion.take_samples(target.org, 999, rows(0, 10))
    provision.delete_organization(target.engine, gone)
    buffered.ingestion.take_samples(target.org, target.version_id, rows(0, 10))

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 10)


def test_an_organization_that_is_behind_is_parked_and_stored_later(buffered: App, target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update alembic_version set version_num = '0000'"))
    other = new_target(
        target.engine, provision.create_organization(target.engine, "other", "o@other.example").organization
    )
    for each in (target, other):
        buffered.ingestion.take_samples(each.org, each.version_id, rows(0, 100))

    with running(ingest.run, buffered):
        assert eventually(lambda: other.samples == 100)
        assert eventually(lambda: public(buffered, "select count(*) from parked_messages") == 2)
        with target.engine.begin() as connection:
            connection.execute(text(f"update {target.org.schema}.alembic_version set version_num = '{db.head('org')}'"))
        assert eventually(lambda: target.samples == 100)

    assert public(buffered, "select count(*) from parked_messages") == 0


def test_a_message_of_a_users_own_producer_is_stored(buffered: App, target: Target) -> None:
    packed = messages.pack(target.org.id, "samples", target.version_id, datetime.now(UTC), rows(0, 1), 1)
    door.ensure_topics(buffered.settings.kafka)
    producer = door.Producer(buffered.settings.kafka)
    producer.send(door.topic(buffered.settings.kafka, "samples"), packed)
    producer.close()

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 1)


def test_without_a_broker_nothing_is_acknowledged(buffered: App, target: Target) -> None:
    from dcmon.errors import Unreachable

    away = buffered.settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with (
        App(buffered.settings.model_copy(update={"kafka": away}), buffered.output) as app,
        pytest.raises(Unreachable, match="Kafka"),
    ):
        app.ingestion.take_samples(target.org, target.version_id, rows(0, 1))


def test_the_ingest_worker_says_when_it_is_not_needed(app: App, target: Target) -> None:
    with app.public() as session:
        assert organizations.entries(session) == [target.org]
    command = [sys.executable, "-m", "dcmon", "worker", "start", "ingest"]
    done = subprocess.run(command, env=environment(app.settings), capture_output=True, check=False)

    assert done.returncode == 2
    assert b"no ingest worker is needed" in done.stderr
