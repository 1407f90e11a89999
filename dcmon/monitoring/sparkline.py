"""A row of numbers as a row of blocks."""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """One character a value, at most `width` of them; more values share a character, which shows their largest.

    Values that are missing or not finite are blanks. The lowest value is the lowest block, the highest the highest.
    """
    kept = resampled([value if value is not None and isfinite(value) else None for value in values], width)
    known = [value for value in kept if value is not None]
    if not known:
        return " " * len(kept)
    low, high = min(known), max(known)
    return "".join(" " if value is None else _block(value, low, high) for value in kept)


def resampled(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most `width` values, each the largest of its share, so that a peak is never hidden."""
    if len(values) <= width:
        return list(values)
    edges = [index * len(values) // width for index in range(width + 1)] if width > 0 else []
    shares = [values[start:end] for start, end in pairwise(edges)]
    return [max((value for value in share if value is not None), default=None) for share in shares]


def _block(value: float, low: float, high: float) -> str:
    # Halves keep the span finite for numbers near the largest float.
    span = high / 2 - low / 2
    share = (value / 2 - low / 2) / span if span > 0 else 0.0
    return _BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))]
