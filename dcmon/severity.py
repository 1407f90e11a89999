SEVERITIES = ("low", "medium", "high", "critical")
