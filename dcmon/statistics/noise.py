"""What the distance between two samples is when nothing has drifted, from the numbers of their rows alone.

A distance is never negative, so that samples of one source have a distance above 0: its noise. `usual` is the distance
that 95 of 100 windows without drift do not exceed.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from dcmon.statistics import quantiles
from dcmon.statistics.columns import Numbers
from dcmon.statistics.intervals import LEVEL

_STEPS = 200  # of the mean over quantiles


class Noise(NamedTuple):
    """The distance of samples without drift: its expected value, and the value it does not exceed at the level."""

    expected: float
    usual: float


def kolmogorov_smirnov(n_first: int, n_second: int, level: float = LEVEL) -> Noise:
    """Return the noise of the Kolmogorov-Smirnov distance of two samples.

    Smirnov's limit (1939) with N = nm/(n+m): the mean is sqrt(pi/2) ln(2) / sqrt(N), the quantile
    sqrt(ln(2/(1-level))/(2N)), the first term of the series. Columns with few different values stay below it.
    """
    size = n_first * n_second / (n_first + n_second)
    return Noise(
        min(1.0, float(np.sqrt(np.pi / 2 / size) * np.log(2))),
        min(1.0, float(np.sqrt(np.log(2 / (1 - level)) / (2 * size)))),
    )


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
