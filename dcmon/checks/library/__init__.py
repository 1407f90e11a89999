"""The door to deepchecks, an optional package: users' own checks, and the library's values to compare with."""
