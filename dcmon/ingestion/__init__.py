"""Rows in, exactly once: decode, store or quarantine them, from HTTP, Kafka and files; correct and audit them."""
