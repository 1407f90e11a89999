"""Move organizations of the old system into dcmon; its database is only read."""
