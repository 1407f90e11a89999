"""Deviations from earlier windows: in standard deviations, with limits that know how much is looked at.

The threshold k of a condition is that of one value whose mean and standard deviation are known: a normal number is
above 3 in 1 of 741 windows. Two things make more false alarms than that, and the limit makes up for both:

- mean and standard deviation come from few windows. The next of m normal numbers is within t s sqrt(1 + 1/m) of their
  mean, with Student's t of m - 1 degrees of freedom (the prediction interval; Hahn and Meeker, Statistical Intervals,
  1991, section 4.7);
- the condition looks at many values at once. Each of F values has the level 1 - (1 - p)^(1/F), so that any of them
  exceeds its limit with p (Sidak 1967): exact for independent values, on the safe side for values that move together.

Drift, shares and errors are no normal numbers: they are never negative, and skewed. Their cube roots are nearly normal
(Wilson and Hilferty 1931, for chi-squared and gamma numbers), so that the upper limit is the larger one of both scales.
Where the noise of a drift is known, the limit is not below it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cbrt, cos, expm1, fsum, hypot, inf, log, log1p, pi, sin, sqrt, tan
from statistics import NormalDist
from typing import NamedTuple

MAX_LEVEL = 4.0  # thresholds above it are in proportion: how rare 10 standard deviations are is unknown
NOISE_LEVEL = 0.05  # the probability that a drift is above its noise when nothing drifted
_NORMAL = NormalDist()
_BISECTIONS = 60


@dataclass(frozen=True)
class Spread:
    """The earlier values of a metric or entry: at least two.

    `mean`, `deviation`: their mean, and their standard deviation with the smallest value that counts. `noise`: the
    noise of the value that is judged, where it is known.
    """

    earlier: Sequence[float]
    mean: float
    deviation: float
    noise: "KnownNoise | None" = None

    @classmethod
    def of(cls, earlier: Sequence[float], floor: float, noise: "KnownNoise | None" = None) -> "Spread":
        """Return the spread of values. The deviation is the sample's, but at least `floor` and 1 % of the mean.

        Otherwise each value after nearly equal windows would be an outlier.
        """
        # Divide first: the sum of large values may overflow a float. The sum of their squares, too: hence hypot.
        mean = fsum(value / len(earlier) for value in earlier)
        return cls(earlier, mean, max(_deviation(earlier, mean), floor, 0.01 * abs(mean)), noise)

    def deviations(self, value: float) -> float:
        """Return how many standard deviations a value is above the mean; negative below it."""
        difference = value - self.mean
        if not self.deviation:
            return inf if difference > 0 else -inf if difference else 0.0
        return difference / self.deviation

    def upper_limit(self, threshold: float, looks_at: "LooksAt") -> float:
        """Return how many standard deviations above the mean a value may be, for a positive threshold."""
        width = normal_limit(threshold, len(self.earlier), looks_at)
        limits = [width]
        if self.deviation and self.noise is not None:
            is_often_zero = min(self.earlier) == 0
            limits.append(self.deviations(self.noise.limit(threshold, looks_at) if is_often_zero else self.noise.usual))
        if self.deviation and min(self.earlier) >= 0:
            roots = [cbrt(value) for value in self.earlier]
            mean = fsum(roots) / len(roots)
            root = mean + width * _deviation(roots, mean)
            limits.append((root * root * root - self.mean) / self.deviation)
        return max(limits)

    def lower_limit(self, threshold: float, looks_at: "LooksAt") -> float:
        """Return how many standard deviations below the mean a value may be, for a positive threshold."""
        return normal_limit(threshold, len(self.earlier), looks_at)


def before_outliers(
    earlier: Sequence[float], min_n: int, is_outlier: Callable[[Sequence[float], float], bool]
) -> Sequence[float]:
    """Return earlier values without the outliers right before now, of which each is one against all older values.

    Otherwise the first window of a fault would hide the next ones: against 14 values with one outlier, the same value
    again is only 3.5 standard deviations off. At least `min_n` values are left, so that a level that stays becomes
    usual. `is_outlier`: of older values and a value.
    """
    for end in range(min_n, len(earlier)):
        older, last = earlier[:end], earlier[end:]
        low, high = min(older), max(older)
        if all(not low <= value <= high for value in last) and all(is_outlier(older, value) for value in last):
            return older
    return earlier


@dataclass(frozen=True)
class LooksAt:
    """What a condition looks at in a window: so many values, in one direction or in both."""

    n_values: int = 1
    is_two_sided: bool = False

    def level(self, threshold: float) -> float:
        """Return with which probability one of the values may be beyond its limit, on one side.

        So any of them is beyond it as rarely as one normal number is beyond the threshold.
        """
        tails = 2 if self.is_two_sided else 1
        of_any = tails * _NORMAL.cdf(-min(threshold, MAX_LEVEL))
        return -expm1(log1p(-of_any) / self.n_values) / tails if of_any < 1 else 1 / tails


class KnownNoise(NamedTuple):
    """The noise of a drift of `n` rows: 95 of 100 windows without drift do not exceed `usual`."""

    usual: float
    n: int

    def limit(self, threshold: float, looks_at: LooksAt) -> float:
        """Return the drift that noise exceeds as rarely as the level of the threshold asks.

        For values that are often 0, such as Cramer's V with its correction for bias, because earlier values then say
        little about their spread. Squares of such distances have tails of exp(-n x) or shorter: P(V^2 > usual^2 + x) =
        0.05 exp(-n x).
        """
        beyond = log(NOISE_LEVEL / min(looks_at.level(threshold), NOISE_LEVEL)) / max(1, self.n)
        return sqrt(self.usual**2 + beyond)


@lru_cache(maxsize=4096)
def normal_limit(threshold: float, n_earlier: int, looks_at: LooksAt) -> float:
    """Return how many standard deviations of `n_earlier` normal numbers the next one may be from their mean.

    A value beyond it is as rare as one beyond `threshold` where mean and deviation are known; `n_earlier` >= 2.
    """
    width = students_t(2 * looks_at.level(threshold), n_earlier - 1) * sqrt(1 + 1 / n_earlier)
    return width * threshold / min(threshold, MAX_LEVEL)


def students_t(probability: float, degrees_of_freedom: int) -> float:
    """Return t such that a number of Student's distribution is outside [-t, t] with this probability; 0 from 1 on.

    Bisection of the closed form for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
    """
    low, high = 0.0, pi / 2
    for _ in range(_BISECTIONS):
        angle = (low + high) / 2
        low, high = (angle, high) if _outside(angle, degrees_of_freedom) > probability else (low, angle)
    return sqrt(degrees_of_freedom) * tan(low)


def _outside(angle: float, degrees_of_freedom: int) -> float:
    """Return the probability outside of +-t, where angle = atan(t / sqrt(degrees of freedom))."""
    sine, cosine = sin(angle), cos(angle)
    if degrees_of_freedom == 1:
        return 1 - 2 * angle / pi
    is_odd = degrees_of_freedom % 2
    total = term = cosine if is_odd else 1.0
    for step in range(3 if is_odd else 2, degrees_of_freedom - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 1 - 2 / pi * (angle + sine * total) if is_odd else 1 - sine * total


def _deviation(values: Sequence[float], mean: float) -> float:
    return hypot(*(value - mean for value in values)) / sqrt(len(values) - 1)
