"""Distances between the distributions of two columns of numbers.

The formulas and their rules on ties are those of deepchecks 0.19 (deepchecks.utils.distribution.drift), so that values
can be compared with those of the library.
"""

import numpy as np

from dcmon.statistics.columns import Numbers
from dcmon.statistics.errors import InvalidParameter, Undefined


def kolmogorov_smirnov(first: Numbers, second: Numbers) -> float:
    """Return the Kolmogorov-Smirnov statistic: the largest distance between two distribution functions, 0 to 1.

    D = max over x of |F1(x) - F2(x)|, where F(x) is the share of values <= x (Smirnov 1939; scipy.stats.ks_2samp).

    `first`, `second`: sorted, without NaN, not empty. Only the values of the shorter side are looked up in the longer
    one: F1 rises and F2 stays between two values of the second side, so that D is reached at one of its values, or
    just before one.
    """
    long, short = (first, second) if len(first) >= len(second) else (second, first)
    n_long, n_short = len(long), len(short)
    n_at_or_below = np.searchsorted(long, short, "right")
    # The two numbers differ only where the sides have an equal value. (Before the first value stands the last one,
    # which is larger.)
    has_equal = bool((long[n_at_or_below - 1] == short).any())
    n_below = np.searchsorted(long, short, "left") if has_equal else n_at_or_below
    at_or_below, below = n_at_or_below / n_long, n_below / n_long
    position = np.arange(n_short)
    after, before = position + 1, position
    if n_short > 1 and (short[1:] == short[:-1]).any():
        after, before = np.searchsorted(short, short, "right"), np.searchsorted(short, short, "left")
    return float(max(0.0, (after / n_short - at_or_below).max(), (below - before / n_short).max()))


def earth_movers_distance(first: Numbers, second: Numbers, margin: float) -> float:
    """Return the Wasserstein distance of two columns whose common range is scaled to 1.

    W = integral of |F1(x) - F2(x)| dx over the scaled range (scipy.stats.wasserstein_distance), after the values
    outside of the quantiles `margin` and 1 - `margin` of each side are removed.

    `first`, `second`: sorted, without NaN, not empty. Raises InvalidParameter if margin is not in [0, 0.5), and
    Undefined if no value of a side is left: two different values are both outside of any quantiles.
    """
    if not isinstance(margin, int | float) or not 0 <= margin < 0.5:
        raise InvalidParameter(f"margin_quantile_filter is a number from 0 up to, not including, 0.5, not {margin!r}.")
    if margin:
        first, second = _without_margins(first, margin), _without_margins(second, margin)
    if not len(first) or not len(second):
        raise Undefined("No value of one side is left between the quantiles of margin_quantile_filter.")
    largest, smallest = max(first[-1], second[-1]), min(first[0], second[0])
    if largest == smallest:
        return 0.0
    first, second = (first - smallest) / (largest - smallest), (second - smallest) / (largest - smallest)
    together = np.sort(np.concatenate((first, second)), kind="stable")
    distance = np.searchsorted(first, together[:-1], "right") / len(first) - np.searchsorted(
        second, together[:-1], "right"
    ) / len(second)
    return float(np.sum(np.abs(distance) * np.diff(together)))


def _without_margins(values: Numbers, margin: float) -> Numbers:
    low, high = np.quantile(values, [margin, 1 - margin])
    return values[np.searchsorted(values, low, "left") : np.searchsorted(values, high, "right")]
