"""Judge results by alert rules, keep alerts and their history, and describe them to receivers."""
