"""A report on the monitors of a model: one HTML file with plotly charts."""
