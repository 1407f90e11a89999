"""Words for values that have none."""

# A retention term without an end.
NO_END = {"samples_kept": "for ever", "results_kept": "for ever"}
