"""A report on the monitors of a model, as one HTML file with charts."""
