"""What a person reads in a browser: a model's monitors, alerts and data, live or as one file."""
