"""Organizations: their schemas, tokens, rate limits and retention terms."""
