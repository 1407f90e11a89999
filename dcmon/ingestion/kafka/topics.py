"""Create missing topics, and identify topics by ids. A recreated topic has another id."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from dcmon.ingestion.kafka.client import (
    DEAD_LETTERS,
    METADATA_SECONDS,
    open_client,
    topic_name,
    unreachable_error,
)
from dcmon.settings import Kafka
from dcmon.states import RowKind

NEW_TOPIC_SECONDS = 5.0  # the longest time until every broker knows a new topic


def ensure_topics(settings: Kafka) -> dict[str, uuid.UUID]:
    """Create missing topics, and return the ids of the sample and label topics by name.

    Raises Unreachable or KafkaMisconfigured.
    """
    admin = open_client(AdminClient, settings)
    names = [topic_name(settings, kind) for kind in (*RowKind, DEAD_LETTERS)]
    try:
        existing = admin.list_topics(timeout=METADATA_SECONDS).topics
        missing = [name for name in names if name not in existing]
        new_topics = [NewTopic(name, settings.partitions, settings.replication_factor) for name in missing]
        for creation in admin.create_topics(new_topics).values() if new_topics else ():
            _ignore_error(creation.result, ck.KafkaError.TOPIC_ALREADY_EXISTS)
        return {name: _topic_id(admin, name) for name in names[: len(RowKind)]}
    except ck.KafkaException as error:
        raise unreachable_error(settings, error.args[0]) from error


def partition_counts(settings: Kafka) -> dict[str, int]:
    """Return the number of partitions of each of dcmon's topics, 0 for a missing one; nothing is created.

    Raises Unreachable or KafkaMisconfigured.
    """
    try:
        existing = open_client(AdminClient, settings).list_topics(timeout=METADATA_SECONDS).topics
    except ck.KafkaException as error:
        raise unreachable_error(settings, error.args[0]) from error
    names = [topic_name(settings, kind) for kind in (*RowKind, DEAD_LETTERS)]
    return {name: len(existing[name].partitions) if name in existing else 0 for name in names}


def _topic_id(admin: AdminClient, name: str) -> uuid.UUID:
    """Return the topic's id. If the broker has no ids, make one from the topic's name.

    The id may be made from the name only if the broker's response has no id. If it were made after a failure, it would
    look like the id of a recreated topic.
    """
    deadline = time.monotonic() + NEW_TOPIC_SECONDS
    while True:
        try:
            described = admin.describe_topics(ck.TopicCollection([name]), request_timeout=10)[name].result()
            break
        except ck.KafkaException as error:
            if error.args[0].code() != ck.KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    topic_id = uuid.UUID(bytes=_bytes(described.topic_id)) if described.topic_id is not None else uuid.UUID(int=0)
    return topic_id if topic_id.int else uuid.uuid5(uuid.NAMESPACE_URL, f"kafka:{name}")


def _bytes(topic_id: Any) -> bytes:
    most, least = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    both = int((most << 64 | least & (2**64 - 1)) & (2**128 - 1))
    return both.to_bytes(16)


def _ignore_error(call: Callable[[], object], code: int) -> None:
    try:
        call()
    except ck.KafkaException as error:
        if error.args[0].code() != code:
            raise
