"""Store rows from HTTP, Kafka and files exactly once, or quarantine them. Correct and audit stored rows."""
