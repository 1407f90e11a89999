"""Organizations: schemas, members, tokens, limits, retention terms, idempotency keys, the audit log."""
