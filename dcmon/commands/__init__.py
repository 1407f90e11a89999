"""What a person types: each command parses, makes one call and prints once.

The first line of a command's docstring is its help. A module whose name begins with `_` is a part of a command.
"""
