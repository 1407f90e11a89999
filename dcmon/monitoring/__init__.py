"""What is watched and what was found: monitors, due windows, evaluation and results."""
