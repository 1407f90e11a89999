"""Faults of Kafka's topics; that Kafka does not answer, and lags, are problems of the health."""

from collections.abc import Iterator

from sqlalchemy import select

from dcmon import db, errors
from dcmon.db.tables.public import IngestTopic
from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.settings import Kafka
from dcmon.severity import Severity


@fault("topic-missing", "A topic is missing in Kafka", Part.KAFKA, Severity.HIGH)
def missing_topics(installation: Installation) -> Iterator[Fact]:
    """Workers create missing topics at their start; a topic that is deleted later stays missing."""
    for name, partitions in _partitions(installation).items():
        if not partitions:
            servers = installation.known.kafka.bootstrap_servers
            yield Fact(f"Kafka at {servers} has no topic {name}.", "dcmon worker start ingest")


@fault("partitions-fewer", "A topic has fewer partitions than wanted", Part.KAFKA, Severity.MEDIUM)
def fewer_partitions(installation: Installation) -> Iterator[Fact]:
    """Not more ingest workers than partitions work at a time."""
    settings = installation.known.kafka
    for name, partitions in _partitions(installation).items():
        if 0 < partitions < settings.partitions:
            sentence = f"Topic {name} has {partitions}, DCMON_KAFKA__PARTITIONS is {settings.partitions}."
            broker = str(settings.bootstrap_servers).partition(",")[0]
            command = (
                f"kafka-topics.sh --bootstrap-server {broker} --alter --topic {name} --partitions {settings.partitions}"
            )
            yield Fact(sentence, command)


@fault("topic-recreated", "A topic was created again", Part.KAFKA, Severity.CRITICAL)
def recreated_topics(installation: Installation) -> Iterator[Fact]:
    """Offsets of the former topic are stored: the ingest worker stops until it is told where to go on."""
    partitions = _partitions(installation)
    if not partitions or not all(partitions.values()):
        return
    from dcmon.ingestion import kafka  # confluent_kafka is loaded only where Kafka is used

    current = kafka.ensure_topics(installation.known.kafka)  # all exist: none is created
    with db.public_session(installation.engine) as session:
        remembered = {row.name: row.topic_id for row in session.execute(select(IngestTopic.name, IngestTopic.topic_id))}
    for name, topic_id in current.items():
        if remembered.get(name, topic_id) != topic_id:
            sentence = (
                f"Topic {name} has id {topic_id}, and offsets of the topic with id {remembered[name]} are stored."
            )
            yield Fact(sentence, "dcmon ingest seek --to beginning")


def _partitions(installation: Installation) -> dict[str, int]:
    """Return the numbers of partitions of dcmon's topics; empty without Kafka, or if it does not answer.

    It is asked once: where it does not answer, each question takes seconds.
    """
    if installation.partitions is None:
        installation.partitions = _read_partitions(installation.known.kafka)
    return installation.partitions


def _read_partitions(settings: Kafka) -> dict[str, int]:
    if not settings.bootstrap_servers:
        return {}
    from dcmon.ingestion import kafka  # confluent_kafka is loaded only where Kafka is used

    try:
        return kafka.partition_counts(settings)
    except errors.DcmonError:
        return {}
