"""Faults of Kafka's topics, on a real broker."""

import time

from confluent_kafka import Producer

from dcmon.db import engine as open_engine
from dcmon.ingestion import kafka as client
from dcmon.ingestion import topic_registry
from dcmon.settings import Kafka
from tests.helpers.waiting import PATIENCE
from tests.integration.doctor.conftest import Healthy


def test_missing_topics_are_found(healthy: Healthy, kafka: Kafka) -> None:
    installation = healthy.with_settings(kafka=kafka)

    # To ask for the lag of a topic needs it, too: the health creates none.
    findings = [finding for finding in installation.findings() if finding.fault.code == "topic-missing"]

    names = {f"{kafka.topic_prefix}.{kind}" for kind in ("samples", "labels", "dead")}
    assert {finding.fact.sentence.rpartition(" ")[2].rstrip(".") for finding in findings} == names


def test_topics_with_fewer_partitions_are_found(healthy: Healthy, kafka: Kafka) -> None:
    client.ensure_topics(kafka)

    installation = healthy.with_settings(kafka=kafka.model_copy(update={"partitions": 9}))

    assert installation.codes() == ["partitions-fewer"]


def test_topics_that_are_as_they_should_be_are_no_finding(healthy: Healthy, kafka: Kafka) -> None:
    client.ensure_topics(kafka)

    assert healthy.with_settings(kafka=kafka).codes() == []


def test_recreated_topic_is_found(healthy: Healthy, kafka: Kafka) -> None:
    engine = open_engine(healthy.url)
    topic_registry.resolve_ids(engine, kafka)
    engine.dispose()
    healthy.execute("update public.ingest_topics set topic_id = gen_random_uuid() where name like '%.labels'")

    assert "topic-recreated" in healthy.with_settings(kafka=kafka).codes()


def test_messages_that_wait_are_found(healthy: Healthy, kafka: Kafka) -> None:
    client.ensure_topics(kafka)
    engine = open_engine(healthy.url)
    topic_registry.resolve_ids(engine, kafka)
    engine.dispose()
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    an_hour_ago = int((time.time() - 3600) * 1000)
    producer.produce(f"{kafka.topic_prefix}.samples", b"{}", partition=0, timestamp=an_hour_ago)
    producer.flush(PATIENCE)

    (finding,) = healthy.with_settings(kafka=kafka).findings()

    assert finding.fault.code == "ingestion-behind"
    assert "1 unread message" in finding.fact.sentence
