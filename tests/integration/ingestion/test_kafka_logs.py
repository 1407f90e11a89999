"""Logs that were recreated, truncated, or are read again from the beginning."""

import os
import threading
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.errors import LogTruncated, TopicRemade
from dcmon.ingestion import kafka as door
from dcmon.ingestion import message_format
from dcmon.jobs import ingest
from dcmon.settings import Kafka
from dcmon.storage import versions
from tests.helpers.ingestion import public_scalar, seek
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, rows, running

pytestmark = pytest.mark.kafka


def _made_again(kafka: Kafka, target: Target) -> None:
    """Delete and recreate the topic of samples, and send 100 samples to the new one."""
    samples, before = door.topic_name(kafka, "samples"), door.ensure_topics(kafka)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.delete_topics([samples])[samples].result()
    assert eventually(lambda: door.ensure_topics(kafka)[samples] != before[samples])
    producer = door.Producer(kafka)  # the other producer does not know yet that the topic was recreated
    packed = message_format.pack(target.org.id, "samples", target.version_id, datetime.now(UTC), rows(500, 100), 10)
    producer.send(samples, packed)
    producer.close()


def fails(app: App) -> bool:
    """Run the worker until it ends with an error, and raise the error here."""
    ingest.run(app, threading.Event())
    return False


def test_recreated_topic_stops_worker_until_a_seek(buffered: App, target: Target) -> None:
    """If the worker continued by itself, the loss of unread messages would stay hidden."""
    with running(ingest.run, buffered):
        buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 500))
        assert eventually(lambda: target.samples == 500)
    _made_again(buffered.settings.kafka, target)

    with pytest.raises(TopicRemade, match=r"was deleted and created again.*dcmon ingest seek --to beginning"):
        fails(buffered)
    assert target.samples == 500

    seek(buffered, "--to", "beginning", "--yes")
    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 600)


@pytest.mark.skipif(
    not os.environ.get("DCMON_TEST_KAFKA"),
    reason="Tansu answers a fetch from a topic that is gone with no name and no id, and librdkafka 2.16 dies of that",
)
def test_topic_recreated_under_running_worker_stops_it(
    buffered: App, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "TOPICS_INTERVAL", 1.0)

    def made_again_under_a_worker() -> None:
        with running(ingest.run, buffered) as worker:
            buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 500))
            assert eventually(lambda: target.samples == 500)
            _made_again(buffered.settings.kafka, target)
            assert eventually(lambda: not worker.is_alive())

    with pytest.raises(TopicRemade):
        made_again_under_a_worker()


def test_truncated_log_stops_worker_until_a_seek(
    buffered: App, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise new messages at earlier offsets would be mistaken for stored ones, and dropped."""
    monkeypatch.setattr(ingest, "TOPICS_INTERVAL", 1.0)
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 500))
    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 500)
    with buffered.public() as session:
        session.execute(text("update committed_offsets set next_offset = 1000"))

    with pytest.raises(LogTruncated, match=r"but dcmon read up to 1000.*dcmon ingest seek"):
        fails(buffered)

    seek(buffered, "--to", "beginning", "--yes")
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(500, 100))
    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 600)


def test_partition_assigned_again_is_no_truncated_log(kafka: Kafka) -> None:
    """librdkafka remembers an older end of a partition than the offset at which it is assigned again."""
    samples, committed = door.topic_name(kafka, "samples"), [0, 0]
    place = TopicPartition(samples, 0)
    door.ensure_topics(kafka)

    def send(count: int) -> None:
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        for _ in range(count):
            producer.produce(samples, b"1", partition=0)
        assert producer.flush(PATIENCE) == 0

    send(100)
    with closing(door.Consumer(kafka, lambda partition: committed[partition.partition])) as consumer:
        read = list[door.ConsumerRecord]()
        assert eventually(lambda: read.extend(consumer.read(100, 1)) or len(read) == 100)
        consumer.require_not_truncated()

        consumer._consumer.pause([place])  # as if it belonged to another member
        time.sleep(1)  # for the fetch that has been sent
        send(400)
        committed[0] = 500
        consumer._on_assign(consumer._consumer, [place])
        consumer.require_not_truncated()


def test_seek_reads_again_and_stores_nothing_twice(buffered: App, target: Target) -> None:
    buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 500))
    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 500)
    with db.org_session(target.engine, target.org) as session:  # as after a restore of an older backup
        model, version = versions.get(session, target.version_id)
        session.execute(text(f"delete from ids_{model.relation} where ts < '2026-03-01 01:00+00'"))
        session.execute(text(f"delete from samples_{version.relation} where _dc_time < '2026-03-01 01:00+00'"))
    assert target.samples == 380

    seek(buffered, "--to", "beginning", "--dry-run")
    assert public_scalar(buffered, "select sum(next_offset) from committed_offsets") == 10

    seek(buffered, "--to", "beginning", "--yes")
    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 500)
        assert eventually(lambda: public_scalar(buffered, "select sum(next_offset) from committed_offsets") == 10)

    assert target.scalar("select sum(duplicates) from batches") == 380
