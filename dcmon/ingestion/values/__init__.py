"""What a value means in a column of each type, whatever brought it: HTTP, Kafka, CSV, Parquet or JSON lines."""
