"""Rows at rest: models, versions, sample tables, deterministic samples, retention and the ledger."""
