"""How far apart two samples of the same world are by chance alone: their noise.

Two questions have two answers. `Noise` is for a reader of one value: what a distance without drift usually is. A limit
is for a rule that looks at many values: noise exceeds it with at most the probability `error_rate` in any of `tests`
comparisons (Bonferroni). No limit assumes a shape of the distribution.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from dcmon.statistics import intervals, quantiles
from dcmon.statistics.columns import Numbers
from dcmon.statistics.intervals import LEVEL

MIN_ROWS = 30  # no side of a comparison has fewer
_BISECTIONS = 25
_STEPS = 200  # of the mean over quantiles


class Noise(NamedTuple):
    """The distance of samples without drift: never negative, and so above 0 also without drift.

    `usual`: the value that 95 of 100 windows without drift do not exceed, or as many as a given level says.
    """

    expected: float
    usual: float


def kolmogorov_smirnov(n_first: int, n_second: int, level: float = LEVEL) -> Noise:
    """Return the noise of the Kolmogorov-Smirnov distance of two samples.

    The mean is sqrt(pi/2) ln(2) sqrt(1/n + 1/m), the quantile that of `largest_distance` (Smirnov 1939). Columns with
    few different values stay below them.
    """
    mean = math.sqrt(math.pi / 2) * math.log(2) * spread(n_first, n_second)
    usual = largest_distance(n_first, n_second, ErrorBudget(1, 1 - level))
    return Noise(min(1.0, mean), min(1.0, usual))


def population_stability_index(n_first: int, n_second: int, n_categories: int, level: float = LEVEL) -> Noise:
    """Return the noise of the population stability index.

    PSI of two samples without drift is (1/n + 1/m) times a chi-squared number with categories - 1 degrees of freedom
    (Yurdakul 2018).
    """
    scale = 1 / n_first + 1 / n_second
    return Noise(scale * (n_categories - 1), scale * quantiles.chi_squared(level, n_categories - 1))


def cramers_v(first: Numbers, second: Numbers, level: float = LEVEL) -> Noise:
    """Return the noise of Cramer's V with the correction for bias that categorical_drift.cramers_v makes.

    `first`, `second`: shape (categories,), the counts of the same categories on both sides. That function scales the
    larger side to the s rows of the smaller one, so that chi-squared without drift is (1 + s/l)/2 times a chi-squared
    number with categories - 1 degrees of freedom, where l are the rows of the larger side; V follows from it as V does
    from the chi-squared of the table. For two categories Yates' correction is made too.
    """
    pooled = (first / first.sum() + second / second.sum()) / 2
    shares = pooled[pooled > 0]
    if len(shares) < 2:
        return Noise(0.0, 0.0)
    smaller, larger = sorted((float(first.sum()), float(second.sum())))
    statistics = (1 + smaller / larger) / 2 * _chi_squared_quantiles(len(shares) - 1, level)
    if len(shares) == 2:
        statistics = _with_yates_correction(statistics, shares, smaller)
    values = _v(statistics, smaller, len(shares))
    return Noise(float(values[:-1].mean()), float(values[-1]))


@cache
def _chi_squared_quantiles(degrees_of_freedom: int, level: float) -> Numbers:
    """Return quantiles of even probabilities, whose mean is that of the distribution, and last that of the level."""
    probabilities = [*((step + 0.5) / _STEPS for step in range(_STEPS)), level]
    return np.array([quantiles.chi_squared(probability, degrees_of_freedom) for probability in probabilities])


def _with_yates_correction(statistics: Numbers, shares: Numbers, smaller: float) -> Numbers:
    """Return chi-squared of 2 x 2 tables with equal rows: d^2 2/(s p (1-p)), with d = |observed - expected| - 1/2."""
    scale = 2 / (smaller * float(shares.prod()))
    return np.asarray(np.maximum(0.0, np.sqrt(statistics / scale) - 0.5) ** 2 * scale)


def _v(statistics: Numbers, smaller: float, n_categories: int) -> Numbers:
    n = 2 * smaller
    phi2 = np.maximum(0.0, statistics / n - (n_categories - 1) / (n - 1))
    smallest = min(2 - 1 / (n - 1), n_categories - (n_categories - 1) ** 2 / (n - 1)) - 1
    return np.sqrt(phi2 / smallest) if smallest > 0 else np.zeros(len(statistics))


def level_per_value(n_values: int, level: float = LEVEL) -> float:
    """Return the level of each of several values at which none of them exceeds its noise with `level`.

    level^(1/n), Sidak (1967): exact for values that do not depend on each other, on the safe side for the largest of
    values that move together.
    """
    return float(level ** (1 / max(1, n_values)))


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
