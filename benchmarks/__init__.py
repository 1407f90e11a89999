"""Benchmarks: each module measures one area and prints figures beside their limits; `make bench` runs them."""
