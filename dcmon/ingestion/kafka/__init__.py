"""Kafka's clients: a producer that waits for acknowledgements, a consumer that starts at given offsets."""

from dcmon.ingestion.kafka.client import DEAD_LETTERS, is_reachable, topic_name
from dcmon.ingestion.kafka.consumer import Consumer, ConsumerRecord, NamedPartition, RecordPosition
from dcmon.ingestion.kafka.producer import MAX_MESSAGE_BYTES, Producer
from dcmon.ingestion.kafka.topics import ensure_topics, partition_counts
from dcmon.ingestion.kafka.watermarks import PeekedMessage, Watermarks, offset_at, peek, read_watermarks

__all__ = [
    "DEAD_LETTERS", "MAX_MESSAGE_BYTES", "Consumer", "ConsumerRecord", "NamedPartition", "PeekedMessage", "Producer",
    "RecordPosition", "Watermarks", "ensure_topics", "is_reachable", "offset_at", "partition_counts", "peek",
    "read_watermarks", "topic_name",
]  # fmt: skip
