"""Faults: rows are sent while whatever takes them is killed; then each that was taken must be there, once."""
