"""dcmon's own health: snapshot, problems, their notifications, and the dead man's switch ping."""
