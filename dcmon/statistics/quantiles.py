"""Quantiles of the normal, Student's, chi-squared and Poisson distributions, without scipy."""

from functools import cache
from math import exp, factorial, log
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_DEGREES_OF_FREEDOM = 2.0
_NORMAL = NormalDist()


@cache
def normal(probability: float) -> float:
    """Return the quantile of the standard normal distribution."""
    return _NORMAL.inv_cdf(probability)


def two_sided(level: float) -> float:
    """Return z such that a standard normal number is in [-z, z] with the probability `level`: 1.96 for 0.95."""
    return normal((1 + level) / 2)


def students_t(probability: float, degrees_of_freedom: ArrayLike) -> NDArray[np.float64]:
    """Return quantiles of Student's distribution, of the shape of `degrees_of_freedom`.

    Cornish and Fisher's expansion to the fourth term (Abramowitz and Stegun 1964, 26.7.5): 0.1 % off at 3 degrees of
    freedom. Fewer than 2 count as 2.
    """
    z = normal(probability)
    nu = np.maximum(np.asarray(degrees_of_freedom, dtype=np.float64), MIN_DEGREES_OF_FREEDOM)
    return np.asarray(
        z
        + (z**3 + z) / (4 * nu)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * nu**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * nu**4)
    )


def chi_squared(probability: float, degrees_of_freedom: int) -> float:
    """Return the quantile of the chi-squared distribution; 0 for 0 degrees of freedom.

    Exact for 1 and 2 degrees of freedom; from 3 on the approximation of Wilson and Hilferty (1931), which is 0.5 % off
    at 3 and closer beyond.
    """
    if degrees_of_freedom < 1:
        return 0.0
    if degrees_of_freedom == 1:
        return normal((1 + probability) / 2) ** 2
    if degrees_of_freedom == 2:
        return -2 * log(1 - probability)
    spread = 2 / (9 * degrees_of_freedom)
    return float(degrees_of_freedom * max(0.0, 1 - spread + normal(probability) * spread**0.5) ** 3)


@cache
def poisson_mean(count: int, probability: float) -> float:
    """Return the mean of a Poisson distribution that reaches `count` or more with this probability."""
    low, high = 0.0, count + 40.0
    for _ in range(80):
        mean = (low + high) / 2
        below = exp(-mean) * sum(mean**number / factorial(number) for number in range(count))
        low, high = (mean, high) if 1 - below < probability else (low, mean)
    return (low + high) / 2
