"""Monitoring as code: read and check files that declare it, plan the changes, apply them, and export it."""
