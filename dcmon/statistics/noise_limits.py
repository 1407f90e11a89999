"""How large a difference between two samples of the same world may be by chance alone.

Each limit is exceeded with at most the probability `error_rate`, if `tests` such limits are looked at together
(Bonferroni). None of them assumes a shape of the distribution.
"""

import math
from typing import NamedTuple

import numpy as np

from dcmon.statistics import intervals
from dcmon.statistics.columns import Numbers

MIN_ROWS = 30  # no side of a comparison has fewer
_BISECTIONS = 25


class Share(NamedTuple):
    """So many rows of all rows."""

    n: float
    n_rows: float

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.n / self.n_rows


class ErrorBudget(NamedTuple):
    """How often noise may exceed a limit: with probability `error_rate` in any of `tests` comparisons."""

    tests: int
    error_rate: float

    @property
    def exponent(self) -> float:
        """The exponent x of exp(-x), the probability of one comparison."""
        return math.log(self.tests / self.error_rate)


def spread(n: float, m: float) -> float:
    """Return sqrt(1/n + 1/m), in which the noise of a comparison of n rows with m rows is measured."""
    return math.sqrt(1 / n + 1 / m)


def largest_distance(n: int, m: int, budget: ErrorBudget) -> float:
    """Return the limit of the Kolmogorov-Smirnov distance of n and m rows of the same distribution.

    sqrt(ln(2/a) / 2) sqrt(1/n + 1/m), where P(D > limit) <= a (Smirnov 1948; Wei and Dudley 2012 for finite samples).
    """
    return math.sqrt((budget.exponent + math.log(2)) / 2) * spread(n, m)


def needed_rows(m: int, budget: ErrorBudget, distance: float) -> int | None:
    """Return how many rows a window needs, so that noise stays below a distance; None if the other side has too few."""
    share = distance**2 / ((budget.exponent + math.log(2)) / 2) - 1 / m
    return max(MIN_ROWS, math.ceil(1 / share)) if share > 0 else None


def category_ratio(x: Numbers, y: Numbers, budget: ErrorBudget) -> float:
    """Return how often the difference of two sides' categories is as large as noise may make it; above 1 it is real.

    sqrt(chi2 / limit) of Pearson's chi-squared of the 2 x k table, with the limit k' + 2 sqrt(k' t) + 2 t for
    k' = k - 1 degrees of freedom, which noise exceeds with at most exp(-t) (Laurent and Massart 2000). `x`, `y`: shape
    (categories,), the counts of each side.
    """
    table = np.array([x, y])[:, x + y > 0]
    degrees = table.shape[1] - 1
    if degrees < 1:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    chi_squared = ((table - expected) ** 2 / expected).sum()
    t = budget.exponent
    return math.sqrt(chi_squared / (degrees + 2 * math.sqrt(degrees * t) + 2 * t))


def lower_limit(share: Share, exponent: float) -> float:
    """Return the smallest true share that is compatible with an observed one.

    The q < p with n KL(p, q) = exponent; P(q > true share) <= exp(-exponent) (Chernoff 1952, Hoeffding 1963).
    """
    return _limit(share, exponent, 0.0)


def upper_limit(share: Share, exponent: float) -> float:
    """Return the largest true share that is compatible with an observed one; see `lower_limit`."""
    return _limit(share, exponent, 1.0)


def _limit(share: Share, exponent: float, end: float) -> float:
    inside, outside = share.value, end
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        if share.n_rows * _divergence(share.value, middle) > exponent:
            outside = middle
        else:
            inside = middle
    return (inside + outside) / 2


def _divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence of two shares: p ln(p/q) + (1-p) ln((1-p)/(1-q))."""
    if (p > 0 and q <= 0) or (p < 1 and q >= 1):
        return math.inf
    first = p * math.log(p / q) if p > 0 else 0.0
    return first + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def rise_limit(now: Share, before: Share, budget: ErrorBudget) -> float:
    """Return by how much a share may seem to rise by chance.

    sqrt((p - l)^2 + (u - q)^2), where l is the lower limit of the new share p, and u the upper limit of the old share q
    (Newcombe 1998, method 10, with Chernoff's limits).
    """
    below = now.value - lower_limit(now, budget.exponent)
    above = upper_limit(before, budget.exponent) - before.value
    return math.hypot(below, above)


def normal_rise_limit(now: Share, before: Share, error_rate: float) -> float:
    """Return by how much a share may seem to rise by chance, for error rates that are not tiny.

    As `rise_limit`, with Wilson's limits (statistics.intervals), which are narrower than Chernoff's.
    """
    level = 1 - 2 * error_rate
    below = now.value - float(intervals.share(now.n, now.n_rows, level).low)
    above = float(intervals.share(before.n, before.n_rows, level).high) - before.value
    return math.hypot(below, above)
