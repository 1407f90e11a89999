"""Benchmarks: each module measures one area and prints its figures beside their limits. `make bench` runs them."""
