"""Open clients of librdkafka with the settings, and translate their errors."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient

from dcmon import errors
from dcmon.settings import Kafka

T = TypeVar("T")

DEAD_LETTERS = "dead"  # the kind of the topic for messages that can't be stored
METADATA_SECONDS = 5.0  # a worker that was told to stop must not wait longer for a broker that does not respond


def topic_name(settings: Kafka, kind: str) -> str:
    """Return the name of a topic. `kind` is a RowKind or DEAD_LETTERS."""
    return f"{settings.topic_prefix}.{kind}"


def is_reachable(settings: Kafka) -> bool:
    """True if a broker responds within two seconds."""
    try:
        return bool(AdminClient(connection(settings)).list_topics(timeout=2).brokers)
    except (ck.KafkaException, errors.DcmonError):
        return False


def open_client(
    client_class: Callable[[dict[str, Any]], T], settings: Kafka, options: dict[str, Any] | None = None
) -> T:
    """Open a client of librdkafka, which checks the settings. Raises KafkaMisconfigured."""
    try:
        return client_class({**connection(settings), **(options or {})})
    except ck.KafkaException as error:
        raise errors.KafkaMisconfigured(reason=error.args[0].str()) from error


def connection(settings: Kafka) -> dict[str, Any]:
    """Return librdkafka's options for reaching the brokers."""
    options = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.username,
        "sasl.password": settings.password.get_secret_value() if settings.password else None,
        "client.id": "dcmon",
        "log_level": 2,
    }
    return {name: value for name, value in options.items() if value is not None}


def delivery_error(settings: Kafka, error: ck.KafkaError) -> errors.DcmonError:
    """Return the error for a message that was not delivered: TooLarge or Unreachable."""
    if error.code() == ck.KafkaError.MSG_SIZE_TOO_LARGE:
        return errors.TooLarge(
            "Kafka's topic does not accept a message of this size. Raise max.message.bytes of the topic, or lower"
            " DCMON_KAFKA__ROWS_PER_MESSAGE."
        )
    return unreachable_error(settings, error)


def unreachable_error(settings: Kafka, reason: Any) -> errors.Unreachable:
    """Return the error for brokers that do not respond, or respond with an error."""
    text = reason.str() if isinstance(reason, ck.KafkaError) else str(reason)
    return errors.Unreachable(what="Kafka", where=settings.bootstrap_servers, reason=text)


def sent_at(message: Any) -> datetime:
    """Return Kafka's time of a message. The current time if that is missing, impossible or in the future.

    Producers set Kafka's time. Without this limit, labels of a producer whose clock is ahead would always be the last.
    """
    (_, milliseconds), now = message.timestamp(), datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if 0 < milliseconds < now.timestamp() * 1000 else now
