"""Changes that need several calls into the domain, some in transactions of their own."""
