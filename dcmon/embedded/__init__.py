"""PostgreSQL and Valkey from Python wheels, and the supervisor that keeps them and dcmon running."""
