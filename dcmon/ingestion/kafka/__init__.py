"""The door to Kafka: a producer that waits for acknowledgements, a consumer that starts where it is told."""

from dcmon.ingestion.kafka.client import DEAD, KINDS, answers, topic
from dcmon.ingestion.kafka.consumer import Consumer, Place, Received
from dcmon.ingestion.kafka.producer import LARGEST, Producer
from dcmon.ingestion.kafka.topics import ensure_topics
from dcmon.ingestion.kafka.watermarks import Extent, Sent, extents, offset_at, peek

__all__ = [
    "DEAD", "KINDS", "LARGEST", "Consumer", "Extent", "Place", "Producer", "Received", "Sent",
    "answers", "ensure_topics", "extents", "offset_at", "peek", "topic",
]  # fmt: skip
