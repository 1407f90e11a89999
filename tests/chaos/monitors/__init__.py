"""Faults: windows are evaluated and alerts told while whatever does it is killed; then each is there, once, in order."""
