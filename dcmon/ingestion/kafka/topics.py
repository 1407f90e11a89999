"""Topics: made when they are missing, known by ids that a deleted and recreated one changes."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from dcmon.ingestion.kafka.client import (
    DEAD_LETTERS,
    KINDS,
    METADATA_SECONDS,
    open_client,
    topic_name,
    unreachable_error,
)
from dcmon.settings import Kafka

NEW_TOPIC_SECONDS = 5.0  # until each broker knows a new topic


def ensure_topics(settings: Kafka) -> dict[str, uuid.UUID]:
    """Create topics that are missing; returns the ids of those of `KINDS`. Raises Unreachable or KafkaMisconfigured."""
    admin = open_client(AdminClient, settings)
    names = [topic_name(settings, kind) for kind in (*KINDS, DEAD_LETTERS)]
    try:
        there = admin.list_topics(timeout=METADATA_SECONDS).topics
        missing = [name for name in names if name not in there]
        wanted = [NewTopic(name, settings.partitions, settings.replication_factor) for name in missing]
        for made in admin.create_topics(wanted).values() if wanted else ():
            _ignoring(made.result, ck.KafkaError.TOPIC_ALREADY_EXISTS)
        return {name: _topic_id(admin, name) for name in names[: len(KINDS)]}
    except ck.KafkaException as error:
        raise unreachable_error(settings, error.args[0]) from error


def _topic_id(admin: AdminClient, name: str) -> uuid.UUID:
    """The id that a topic gets anew when it is deleted and made again; brokers without ids get one of the name.

    Only the broker's own answer says that it has none: after any failure another id would begin at offset 0 again.
    """
    ends = time.monotonic() + NEW_TOPIC_SECONDS
    while True:
        try:
            described = admin.describe_topics(ck.TopicCollection([name]), request_timeout=10)[name].result()
            break
        except ck.KafkaException as error:
            if error.args[0].code() != ck.KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > ends:
                raise
            time.sleep(0.1)
    number = uuid.UUID(bytes=_bytes(described.topic_id)) if described.topic_id is not None else uuid.UUID(int=0)
    return number if number.int else uuid.uuid5(uuid.NAMESPACE_URL, f"kafka:{name}")


def _bytes(number: Any) -> bytes:
    most, least = number.get_most_significant_bits(), number.get_least_significant_bits()
    both = int((most << 64 | least & (2**64 - 1)) & (2**128 - 1))
    return both.to_bytes(16)


def _ignoring(call: Callable[[], object], code: int) -> None:
    try:
        call()
    except ck.KafkaException as error:
        if error.args[0].code() != code:
            raise
