"""Text that people read in place of empty values."""

# A retention term of None keeps rows for ever.
NO_END = {"samples_kept": "for ever", "results_kept": "for ever"}
