"""Messages reach PostgreSQL exactly once, whichever process is killed."""

import json
import signal
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import confluent_kafka as ck
import psycopg
import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.db import Organization
from dcmon.db.tables.org import Version
from dcmon.errors import TooLarge, Unreachable
from dcmon.ingestion import kafka as door
from dcmon.ingestion import message_format
from dcmon.ingestion.kafka import topics
from dcmon.jobs import ingest
from dcmon.monitoring import lifecycle
from dcmon.settings import Kafka
from dcmon.storage import versions
from dcmon.tenancy import deletion, organizations, provisioning
from tests.helpers.ingestion import END_SESSIONS, command, consumer_of, public_scalar, worker
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, labels, new_target, rows, running

pytestmark = pytest.mark.kafka


def another_organization(target: Target) -> Organization:
    return provisioning.create_organization(target.engine, "other", "o@other.example").organization


def test_samples_and_labels_reach_postgresql_through_kafka(buffered: App, target: Target) -> None:
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 500))
    buffered.ingestion.ingest_labels(target.org, target.model_id, labels(0, 500))

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 500 and target.labels == 500)

    assert public_scalar(buffered, "select count(*) from work_queue where kind = 0 and due_at is not null") == 1


def test_replay_of_the_topic_stores_nothing_twice(buffered: App, target: Target) -> None:
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 300))
    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 300)
    counted = target.scalar("select sum(taken) from batches")
    with buffered.public() as session:
        session.execute(text("delete from committed_offsets"))

    again = buffered.settings.kafka.model_copy(update={"group_id": "another-group"})
    with (
        App(buffered.settings.model_copy(update={"kafka": again}), buffered.output) as second_app,
        running(ingest.run, second_app),
    ):
        assert eventually(lambda: public_scalar(second_app, "select sum(next_offset) from committed_offsets") == 6)

    assert (target.samples, target.scalar("select sum(taken) from batches")) == (300, counted)


def test_killed_worker_loses_and_duplicates_nothing(buffered: App, target: Target) -> None:
    for first in range(0, 6000, 1000):
        buffered.ingestion.ingest_samples(target.org, target.version_id, rows(first, 1000))

    with worker(buffered) as first_worker:
        assert eventually(lambda: target.samples > 0)
        first_worker.send_signal(signal.SIGKILL)
        first_worker.wait()
    with worker(buffered):
        assert eventually(lambda: target.samples >= 6000)

    assert target.samples == 6000
    assert target.scalar("select sum(taken) from batches") == 6000
    assert target.scalar("select sum(n) from quarter_hours") == 6000


def test_stopped_worker_stores_its_messages_and_leaves_group(buffered: App, target: Target) -> None:
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 100))
    with worker(buffered) as process:
        assert eventually(lambda: target.samples == 100)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0


def test_two_workers_share_a_topic(buffered: App, target: Target) -> None:
    with (
        running(ingest.run, buffered),
        App(buffered.settings, buffered.output) as second_app,
        running(ingest.run, second_app),
    ):
        for first in range(0, 2000, 200):
            buffered.ingestion.ingest_samples(target.org, target.version_id, rows(first, 200))
        assert eventually(lambda: target.samples >= 2000)

    assert target.samples == 2000


def test_poison_message_becomes_one_dead_letter(buffered: App, target: Target) -> None:
    samples = door.topic_name(buffered.settings.kafka, "samples")
    door.ensure_topics(buffered.settings.kafka)
    producer = door.Producer(buffered.settings.kafka)
    producer.send(samples, [b"\xff not JSON", b'{"v": 2}'])
    producer.close()
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 100))

    with running(ingest.run, buffered):
        assert eventually(
            lambda: target.samples == 100 and public_scalar(buffered, "select count(*) from dead_letters") == 2
        )


def test_poison_row_quarantines_only_itself(buffered: App, target: Target) -> None:
    bad = rows(50, 1)[0].replace(b'"age": 50', b'"age": "old"')
    buffered.ingestion.ingest_samples(target.org, target.version_id, [*rows(0, 50), bad, *rows(51, 49)])

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 99)

    assert target.scalar("select reason || ' ' || field from quarantine") == "wrong_type age"


def test_organizations_in_one_topic_get_their_own(buffered: App, target: Target) -> None:
    other_target = new_target(
        target.engine, provisioning.create_organization(target.engine, "other", "o@other.example").organization
    )
    for receiving_target, count in ((target, 120), (other_target, 80)):
        buffered.ingestion.ingest_samples(receiving_target.org, receiving_target.version_id, rows(0, count))

    with running(ingest.run, buffered):
        assert eventually(lambda: (target.samples, other_target.samples) == (120, 80))


def test_messages_to_deleted_targets_do_not_block_others(buffered: App, target: Target) -> None:
    deleted = provisioning.create_organization(target.engine, "gone", "g@gone.example").organization
    with db.org_session(target.engine, target.org) as session:
        model, _ = versions.get(session, target.version_id)
        deleted_version = versions.create(session, model, versions.NewVersion("gone", {"age": "numeric"}))
    buffered.ingestion.ingest_samples(deleted, 1, rows(0, 10))
    buffered.ingestion.ingest_samples(target.org, deleted_version.id, rows(0, 10))
    deletion.delete(target.engine, deleted)
    with db.org_session(target.engine, target.org) as session:
        lifecycle.delete_version(session, model, session.get_one(Version, deleted_version.id))
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 10))

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 10)
        assert eventually(lambda: target.scalar("select sum(dropped) from batches") == 10)

    assert public_scalar(buffered, "select count(*) from dead_letters") == 0


def test_messages_of_an_organization_behind_are_parked(buffered: App, target: Target) -> None:
    """Messages of an organization with an old schema are parked and stored later."""
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update alembic_version set version_num = '0000'"))
    other_target = new_target(
        target.engine, provisioning.create_organization(target.engine, "other", "o@other.example").organization
    )
    for logged_target in (target, other_target):
        buffered.ingestion.ingest_samples(logged_target.org, logged_target.version_id, rows(0, 100))

    with running(ingest.run, buffered):
        assert eventually(lambda: other_target.samples == 100)
        assert eventually(lambda: public_scalar(buffered, "select count(*) from parked_messages") == 2)
        with target.engine.begin() as connection:
            connection.execute(text(f"update {target.org.schema}.alembic_version set version_num = '{db.head('org')}'"))
        assert eventually(lambda: target.samples == 100)

    assert public_scalar(buffered, "select count(*) from parked_messages") == 0


def test_message_of_a_custom_producer_is_stored(buffered: App, target: Target) -> None:
    packed = message_format.pack(target.org.id, "samples", target.version_id, datetime.now(UTC), rows(0, 1), 1)
    door.ensure_topics(buffered.settings.kafka)
    producer = door.Producer(buffered.settings.kafka)
    producer.send(door.topic_name(buffered.settings.kafka, "samples"), packed)
    producer.close()

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 1)


def test_message_is_stored_after_an_outage_of_postgresql(kafka: Kafka) -> None:
    """The message arrives while PostgreSQL is unavailable."""
    door.ensure_topics(kafka)
    producer = door.Producer(kafka)
    producer.send(door.topic_name(kafka, "samples"), [b"1", b"2", b"3"])
    producer.close()
    collected = list[bytes | None]()
    with closing(door.Consumer(kafka, lambda *_: None)) as consumer:
        for _ in range(8):
            consumer.idle(1)  # the partitions are assigned in one of these

        def has_all() -> bool:
            collected.extend(record.value for record in consumer.read(10, 0.1))
            return len(collected) >= 3

        assert eventually(has_all)

    assert sorted(map(str, collected)) == ["b'1'", "b'2'", "b'3'"]


def test_partition_lost_while_postgresql_is_away_is_read_again(kafka: Kafka) -> None:
    """Another worker comes during the outage and takes partitions, then it ends: they come back, and are not paused."""
    door.ensure_topics(kafka)
    name, sent = door.topic_name(kafka, "samples"), {b"0", b"1"}
    producer = ck.Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for value in sent:
        producer.produce(name, value, partition=int(value))
    assert producer.flush(PATIENCE) == 0
    assigned, collected = (list[door.NamedPartition](), list[door.NamedPartition]()), set[bytes | None]()
    with closing(door.Consumer(kafka, assigned[0].append)) as waiting:
        assert eventually(lambda: (waiting.idle(0.2), len(assigned[0]) == 4)[1])
        with closing(door.Consumer(kafka, assigned[1].append)) as other:
            assert eventually(lambda: (waiting.idle(0.2), other.idle(0.2), len(assigned[1]) == 2)[2])

        def has_all() -> bool:
            collected.update(record.value for record in waiting.read(10, 0.1))
            return collected == sent

        assert eventually(has_all)


def test_worker_waits_for_an_unavailable_postgresql(
    buffered: App, target: Target, server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    name, connect = target.engine.url.database, f"{server_url.rsplit('/', 1)[0]}/postgres"
    with running(ingest.run, buffered), psycopg.connect(connect, autocommit=True) as admin:
        buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 100))
        assert eventually(lambda: target.samples == 100)
        admin.execute(f"alter database {name} allow_connections false".encode())
        admin.execute(END_SESSIONS, [name])
        admin.execute(f"alter database {name} rename to {name}_away".encode())
        buffered.ingestion.ingest_samples(target.org, target.version_id, rows(100, 100))
        assert eventually(lambda: "waiting: PostgreSQL" in caplog.text)
        admin.execute(f"alter database {name}_away rename to {name}".encode())
        admin.execute(f"alter database {name} allow_connections true".encode())
        assert eventually(lambda: target.samples == 200)

    assert caplog.text.count("waiting: PostgreSQL") == 1
    assert target.scalar("select sum(taken) from batches") == 200


def test_dead_letters_go_to_their_own_topic_with_the_reason(buffered: App, target: Target) -> None:
    settings = buffered.settings.kafka
    samples = door.topic_name(settings, "samples")
    never = message_format.pack(target.org.id, "samples", 999, datetime.now(UTC), rows(0, 1), 1)
    nobody = message_format.pack(4711, "samples", 1, datetime.now(UTC), rows(0, 1), 1)
    door.ensure_topics(settings)
    with closing(door.Producer(settings)) as producer:
        producer.send(samples, [b"poison", *never, *nobody])

    with running(ingest.run, buffered):
        assert eventually(
            lambda: public_scalar(buffered, "select count(*) from dead_letters where sent_at is not null") == 3
        )

    collected = dict[bytes, dict[str, bytes]]()
    with closing(consumer_of(settings, door.topic_name(settings, door.DEAD_LETTERS))) as consumer:

        def has_all() -> bool:
            for message in consumer.consume(10, 0.5):
                collected[message.value()] = dict(message.headers())
            return len(collected) == 3

        assert eventually(has_all)

    assert collected[b"poison"]["dcmon.topic"] == samples.encode()
    assert collected[b"poison"]["dcmon.reason"].startswith(b"not a message of version 1")
    assert collected[never[0]]["dcmon.reason"] == b"there has never been a version 999 in this organization"
    assert collected[nobody[0]]["dcmon.reason"] == b"there has never been an organization 4711"


def test_lag_is_shown_by_partition_and_by_organization(buffered: App, target: Target) -> None:
    provisioning.create_organization(target.engine, "idle", "i@idle.example")
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 500))

    def measured() -> tuple[int, dict[str, Any]]:
        done = command(buffered, "-o", "json", "ingest", "lag", "--longest", "1s")
        return done.returncode, {
            organization["organization"]: organization for organization in json.loads(done.stdout)["organizations"]
        }

    assert eventually(lambda: measured()[0] == 1)
    _, lag_by_org = measured()
    assert (lag_by_org["acme"]["unread"] > 0, lag_by_org["idle"]["unread"], lag_by_org["acme"]["rows_per_second"]) == (
        True,
        0,
        0,
    )

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 500)
        assert eventually(lambda: public_scalar(buffered, "select sum(next_offset) from committed_offsets") == 10)
    code, lag_by_org = measured()

    assert code == 0
    assert (lag_by_org["acme"]["unread"], lag_by_org["acme"]["parked"], lag_by_org["acme"]["rows_per_second"]) == (
        0,
        0,
        1.7,
    )


def test_row_too_large_for_kafka_is_quarantined_in_part(buffered: App, target: Target) -> None:
    """A row too large for Kafka is quarantined with its first bytes."""
    large = rows(60, 1)[0].replace(b'"j0"', b'"' + b"j" * 1_100_000 + b'"')
    buffered.ingestion.ingest_samples(target.org, target.version_id, [*rows(0, 60), large])

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples > 0)

    assert target.samples == 60
    reason, stored_text = target.scalar("select (reason, convert_from(row, 'utf8')) from quarantine")
    assert reason == "too_long"
    assert str(len(large)) in stored_text
    assert "s60" in stored_text


def test_message_too_large_for_kafka_is_refused_unsent(buffered: App) -> None:
    """A message too large for Kafka is refused before anything is sent."""
    producer = door.Producer(buffered.settings.kafka)
    with closing(producer), pytest.raises(TooLarge, match="Nothing was sent"):
        producer.send(door.topic_name(buffered.settings.kafka, "samples"), [b"{}", b"x" * 1_100_000])


def test_ingestion_without_broker_acknowledges_nothing(
    buffered: App, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = buffered.settings.kafka.model_copy(
        update={"bootstrap_servers": "127.0.0.1:1", "ack_wait": timedelta(seconds=1)}
    )
    monkeypatch.setattr(topics, "METADATA_SECONDS", 1.0)
    with (
        App(buffered.settings.model_copy(update={"kafka": away}), buffered.output) as app,
        pytest.raises(Unreachable, match="Kafka"),
    ):
        app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 1))


def test_ingest_worker_reports_that_it_is_not_needed(app: App, target: Target) -> None:
    with app.public() as session:
        assert organizations.entries(session) == [target.org]
    done = command(app, "worker", "start", "ingest")

    assert done.returncode == 2
    assert "no ingest worker is needed" in done.stderr
