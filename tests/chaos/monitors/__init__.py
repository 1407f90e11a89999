"""Faults: windows are evaluated, alerts told, while whatever does it is killed; then each is there, once, in order."""
