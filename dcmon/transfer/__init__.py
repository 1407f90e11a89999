"""Move organizations between databases: files of one organization, backups of all, and their checks."""
