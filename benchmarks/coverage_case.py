"""A metric whose interval is tried, and a source of rows whose true value is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.intervals import Interval

LEAST, MOST, CERTAIN = 0.93, 0.97, 1.0
MIN_RARER = 5

Generator = np.random.Generator
Covered = NDArray[np.float64]  # shape (replications,): 1 or 0, NaN for no interval


@dataclass(frozen=True)
class Case:
    """A metric and a source of rows. `draw`: from a generator, a number of rows and of replications to `Covered`.

    `least`, `most`: what the metric promises. `rarer`: the smallest expected number of rows of the rarer outcome, from
    which `most` holds, a share of all rows; without it `most` holds for all numbers of rows. `divisor`: of a slow
    case, how many times fewer replications are drawn.
    """

    metric: str
    source: str
    true: float
    draw: Callable[[Generator, int, int], Covered]
    least: float = LEAST
    most: float = MOST
    rarer: float | None = None
    divisor: int = 1

    def promises(self, n: int) -> tuple[float, float]:
        """Return the least and the most coverage that the metric promises for n rows."""
        is_rare = self.rarer is not None and self.rarer * n < MIN_RARER
        return self.least, CERTAIN if is_rare else self.most


def is_covered(interval: Interval, true: float) -> Covered:
    """Return 1 where the interval contains the true value, NaN where there is no interval."""
    low, high = np.atleast_1d(interval.low), np.atleast_1d(interval.high)
    return np.where(np.isnan(low), np.nan, (low <= true) & (true <= high))
