"""Propose a model from a file: task, features with types, classes, and the columns of ids, times and predictions."""
