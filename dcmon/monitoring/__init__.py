"""What is watched and what was found: monitors, due windows, evaluation, results and reports."""
