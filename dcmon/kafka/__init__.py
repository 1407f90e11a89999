"""The door to Kafka: a producer that waits for acknowledgements, a consumer that starts where it is told."""

from dcmon.kafka.client import DEAD, KINDS, answers, topic
from dcmon.kafka.consumer import Consumer, Place, Received
from dcmon.kafka.extents import Extent, Sent, extents, offset_at, peek
from dcmon.kafka.producer import LARGEST, Producer
from dcmon.kafka.topics import ensure_topics

__all__ = [
    "DEAD", "KINDS", "LARGEST", "Consumer", "Extent", "Place", "Producer", "Received", "Sent",
    "answers", "ensure_topics", "extents", "offset_at", "peek", "topic",
]  # fmt: skip
