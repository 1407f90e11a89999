"""Store rows from HTTP, Kafka and files exactly once or quarantine them, and correct and audit stored rows."""
