"""Draw a row of numbers as a row of block characters."""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Draw one character for each value, at most `width` characters.

    Several values that share a character are drawn as the largest of them. A value that is missing or not finite is a
    blank. The lowest value is the lowest block, and the highest value the highest block.
    """
    values = resampled([value if value is not None and isfinite(value) else None for value in values], width)
    known = [value for value in values if value is not None]
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    return "".join(" " if value is None else _block(value, low, high) for value in values)


def resampled(values: Sequence[float | None], width: int) -> list[float | None]:
    """Return at most `width` values, each the largest of its group."""
    if len(values) <= width:
        return list(values)
    edges = [index * len(values) // width for index in range(width + 1)] if width > 0 else []
    groups = [values[start:end] for start, end in pairwise(edges)]
    return [max((value for value in group if value is not None), default=None) for group in groups]


def _block(value: float, low: float, high: float) -> str:
    # Numbers near the largest float are halved first, so that the span stays finite.
    span = high / 2 - low / 2
    share = (value / 2 - low / 2) / span if span > 0 else 0.0
    return _BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))]
