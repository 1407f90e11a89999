"""What a person types: each module `name.py` is a command, which parses, makes one call and prints once."""
