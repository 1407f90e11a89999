"""Helpers that several tests share: servers, rows, models and paths of the project."""
