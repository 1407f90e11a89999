"""dcmon's own health: collect it, find its problems, store and report these, ping the dead man's switch."""
