"""Messages of other programs: transactions, compression, tombstones, and partitions that are added later."""

import json
import os
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from dcmon.app import App
from dcmon.ingestion import audit_reader, message_format
from dcmon.ingestion import kafka as door
from dcmon.jobs import ingest
from tests.helpers.ingestion import command, consumer_of, public_scalar
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, rows, running

pytestmark = pytest.mark.kafka
only_apache = pytest.mark.skipif(
    not os.environ.get("DCMON_TEST_KAFKA"), reason="Tansu keeps no transactions, and adds no partitions"
)


def packed(target: Target, first: int, count: int) -> list[bytes]:
    return message_format.pack(target.org.id, "samples", target.version_id, datetime.now(UTC), rows(first, count), 50)


def lag(app: App) -> list[dict[str, Any]]:
    done = command(app, "-o", "json", "ingest", "lag")
    assert done.returncode == 0, done.stderr
    document: list[dict[str, Any]] = json.loads(done.stdout)["partitions"]
    return [partition for partition in document if partition["topic"].endswith(".samples")]


def findings(app: App) -> list[object]:
    results = audit_reader.run_audit(app.engine, app.organizations())
    return [finding for result in results for finding in result.findings]


@only_apache
def test_transaction_is_stored_once_committed(buffered: App, target: Target) -> None:
    """Transaction markers are no lag."""
    settings = buffered.settings.kafka
    samples = door.topic_name(settings, "samples")
    door.ensure_topics(settings)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": settings.group_id})
    producer.init_transactions(PATIENCE)

    def send(first: int) -> None:
        producer.begin_transaction()
        for value in packed(target, first, 100):
            producer.produce(samples, value, partition=0)
        producer.flush(PATIENCE)

    with running(ingest.run, buffered):
        for first in range(0, 400, 100):
            send(first)
            producer.commit_transaction() if first != 200 else producer.abort_transaction()
        assert eventually(lambda: target.samples == 300)
        send(400)
        producer.abort_transaction()
        send(500)
        committed = f"select coalesce(sum(next_offset), 0) from committed_offsets where next_offset >= {4 * 3 - 1}"
        assert eventually(lambda: bool(public_scalar(buffered, committed)))
        assert [partition["lag"] for partition in lag(buffered)] == [0, 0]
        producer.commit_transaction()
        assert eventually(lambda: target.samples == 400)

    assert [(partition["lag"], partition["oldest_unread"]) for partition in lag(buffered)] == [(0, None)] * 2
    with running(ingest.run, buffered):
        send(600)
        producer.commit_transaction()
        assert eventually(lambda: target.samples == 500)
    assert eventually(lambda: findings(buffered) == [])


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compression_keys_and_headers_do_not_matter(buffered: App, target: Target, compression: str) -> None:
    settings = buffered.settings.kafka
    door.ensure_topics(settings)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "compression.type": compression})
    for value in packed(target, 0, 100):
        producer.produce(
            door.topic_name(settings, "samples"), value, key="käy", headers={"trace": b"\xff", "none": None}
        )
    assert producer.flush(PATIENCE) == 0

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 100)


def test_invalid_messages_are_dead_letters_alone(buffered: App, target: Target) -> None:
    settings = buffered.settings.kafka
    samples, (good,) = door.topic_name(settings, "samples"), packed(target, 0, 50)
    door.ensure_topics(settings)
    deep = b'{"v":1,"org":1,"kind":"samples","target":1,"rows":' + b"[" * 400_000
    poison = [
        None, b"", b"\x00\x00\x00\x00\x07" + good, good.decode().encode("utf-16"), good[:-1], good + good,
        deep, b"[" * 900_000, b'"' * 900_000, b"9" * 900_000, b'{"rows":[' + b"\\" * 500_000,
        good.replace(b'"org":1', b'"org":9223372036854775808'), good.replace(b'"org":1', b'"org":-1'),
        good.replace(b'"org":1', b'"org":1e308'), good.replace(b'"v":1', b'"v":true'),
        good.replace(b'"rows"', b'"rows":[],"\\ud800"'),
    ]  # fmt: skip
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for value in [*poison, good]:
        producer.produce(samples, value, partition=0)
        assert producer.flush(PATIENCE) == 0

    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 50)
        sent_dead_letters = "select count(*) from dead_letters where sent_at is not null"
        assert eventually(lambda: public_scalar(buffered, sent_dead_letters) == len(poison))

    assert public_scalar(buffered, "select count(*) from dead_letters") == len(poison)
    with closing(consumer_of(settings, door.topic_name(settings, door.DEAD_LETTERS))) as consumer:
        collected = list[Any]()
        assert eventually(lambda: collected.extend(consumer.consume(10, 0.5)) or len(collected) >= len(poison))
    assert {message.value() for message in collected if len(message.value()) < 100_000} >= {b"", good[:-1], good + good}
    assert findings(buffered) == []


@only_apache
def test_new_partition_is_read_soon(buffered: App, target: Target) -> None:
    settings = buffered.settings.kafka
    samples = door.topic_name(settings, "samples")
    with running(ingest.run, buffered):
        buffered.ingestion.ingest_samples(target.org, target.version_id, rows(0, 100))
        assert eventually(lambda: target.samples == 100)
        admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
        admin.create_partitions([NewPartitions(samples, 3)])[samples].result()
        producer = Producer({"bootstrap.servers": settings.bootstrap_servers})

        def is_sent() -> bool:
            producer.produce(samples, packed(target, 100, 50)[0], partition=2)
            return producer.flush(PATIENCE) == 0

        assert eventually(is_sent)
        assert eventually(lambda: target.samples == 150)

    assert [partition["lag"] for partition in lag(buffered)] == [0, 0, 0]
    assert findings(buffered) == []
