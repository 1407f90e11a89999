"""Receivers, subscriptions, silences, the outbox and delivery; alerts are known here only as rows."""
