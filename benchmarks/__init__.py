"""Figures: each module measures what it is named after, beside its limit, in one run; `make bench` runs all."""
