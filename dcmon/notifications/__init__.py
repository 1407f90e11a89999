"""Tell receivers: who wants to hear, what is held back, the outbox, and delivery."""
