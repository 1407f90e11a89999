"""Clients of librdkafka, made from the settings, and what their errors mean to dcmon."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient

from dcmon import errors
from dcmon.settings import Kafka

T = TypeVar("T")

KINDS = ("samples", "labels")
DEAD_LETTERS = "dead"  # the topic of messages that nobody can store
METADATA_SECONDS = 5.0  # a stop must not wait longer for a broker that is away


def topic_name(settings: Kafka, kind: str) -> str:
    """The topic of samples or labels."""
    return f"{settings.topic_prefix}.{kind}"


def is_reachable(settings: Kafka) -> bool:
    """Whether a broker answers within two seconds."""
    try:
        return bool(AdminClient(connection(settings)).list_topics(timeout=2).brokers)
    except (ck.KafkaException, errors.DcmonError):
        return False


def open_client(kind: Callable[[dict[str, Any]], T], settings: Kafka, options: dict[str, Any] | None = None) -> T:
    """A client of librdkafka. Raises KafkaMisconfigured: a client checks its settings when it is made."""
    try:
        return kind({**connection(settings), **(options or {})})
    except ck.KafkaException as error:
        raise errors.KafkaMisconfigured(why=error.args[0].str()) from error


def connection(settings: Kafka) -> dict[str, Any]:
    """How librdkafka reaches the brokers, in its own words."""
    given = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.username,
        "sasl.password": settings.password.get_secret_value() if settings.password else None,
        "client.id": "dcmon",
        "log_level": 2,
    }
    return {name: value for name, value in given.items() if value is not None}


def delivery_error(settings: Kafka, why: ck.KafkaError) -> errors.DcmonError:
    """The error for a message that was not taken: TooLarge where its size is why, else Unreachable."""
    if why.code() == ck.KafkaError.MSG_SIZE_TOO_LARGE:
        return errors.TooLarge(
            "Kafka's topic takes no message of this size. Raise its max.message.bytes, or lower"
            " DCMON_KAFKA__ROWS_PER_MESSAGE."
        )
    return unreachable_error(settings, why)


def unreachable_error(settings: Kafka, why: Any) -> errors.Unreachable:
    """The error for brokers that do not answer, or not as they should."""
    said = why.str() if isinstance(why, ck.KafkaError) else str(why)
    return errors.Unreachable(what="Kafka", where=settings.bootstrap_servers, why=said)


def sent_at(message: Any) -> datetime:
    """Kafka's time of a message; now, where the log has none, none that is possible, or one to come.

    Producers set it: one whose clock is ahead would otherwise have the last word on each label.
    """
    (_, milliseconds), now = message.timestamp(), datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if 0 < milliseconds < now.timestamp() * 1000 else now
