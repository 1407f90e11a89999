"""Compute statistics of columns with numpy alone: drift, shares of rows, scores of a model's output."""
