"""What a value means in a column of each type, for all senders: HTTP, Kafka, CSV, Parquet or JSON lines."""
