"""Confidence intervals of the values of checks, in closed forms: how sure a value of this many rows is.

An interval of the level 95 % contains the true value, that of endless rows from the same source, in 95 of 100 windows.
`python -m benchmarks.coverage` measures how often it does. All functions take arrays, and return limits of their shape;
limits are NaN where the rows are too few for the form.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dcmon.statistics import quantiles
from dcmon.statistics.columns import Numbers

LEVEL = 0.95
MIN_ROWS = 10  # of a mean of errors, and of each class of an average or an area
# Counts of the rarer outcome for which Wilson's limit is replaced, as Brown, Cai and DasGupta (2001) recommend.
_RARE_COUNTS = (1, 2, 3)


class Interval(NamedTuple):
    """The limits of a confidence interval, each of the shape of the value."""

    low: Numbers
    high: Numbers


def share(count: ArrayLike, n: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the interval of a share of rows, such as accuracy, precision, or a share of nulls.

    Wilson's interval (1927): (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), p = count / n. Where 1 to 3
    rows are of the rarer outcome, the limit next to that end is the Poisson limit, -ln(level)/n for one row: Wilson's
    own contains a true value near 0 or 1 too seldom (Brown, Cai and DasGupta, Interval Estimation for a Binomial
    Proportion, 2001, section 4.1.1). Coverage: 93 to 97 % if 5 or more rows of the rarer outcome are expected; with
    fewer it moves between 93 and 99 %, because counts are whole numbers. NaN for n = 0.
    """
    count, n = np.broadcast_arrays(np.asarray(count, float), np.asarray(n, float))
    low, high = _wilson(_ratio(count, n), np.where(n > 0, n, np.nan), quantiles.two_sided(level))
    for rare in _RARE_COUNTS:
        limit = quantiles.poisson_mean(rare, 1 - level) / np.where(n > 0, n, np.nan)
        is_small = n <= 2 * rare  # such a count is not the rarer one
        low = np.where((count == rare) & ~is_small, limit, low)
        high = np.where((n - count == rare) & ~is_small, 1 - limit, high)
    return Interval(np.where(count == 0, 0.0 * low, low), np.where(count == n, 1.0 + 0.0 * high, high))


def share_of_effective_rows(
    value: ArrayLike, n: ArrayLike, degrees: ArrayLike = np.inf, level: float = LEVEL
) -> Interval:
    """Return the interval of a number from 0 to 1 with the variance of a share of n rows, n not whole.

    Wilson's interval for n = p(1-p)/variance, the effective number of rows (Korn and Graubard 1998, for shares of
    surveys), with Student's t of the degrees of freedom of that variance in place of z. It stays inside 0 to 1.
    """
    return _wilson(np.asarray(value, float), np.asarray(n, float), quantiles.students_t((1 + level) / 2, degrees))


def f1(true_positives: ArrayLike, wrong: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the interval of the F1 of a class.

    `wrong`: false positives and false negatives together. Of the TP + FP + FN rows that concern the class, each is a
    true positive with the probability J, the Jaccard index, for any number of them: the interval of this share is
    transformed by F1 = 2J/(1+J), which rises with J. Coverage as that of `share` with n = TP + FP + FN.
    """
    true_positives = np.asarray(true_positives, float)
    low, high = share(true_positives, true_positives + np.asarray(wrong, float), level)
    return Interval(2 * low / (1 + low), 2 * high / (1 + high))


def mean_loss(losses: Numbers, level: float = LEVEL) -> Interval:
    """Return the interval of the mean of numbers that are not negative, such as squared or absolute errors.

    `losses`: shape (..., rows). m exp(+- t s / (m sqrt(n))), the delta method on the logarithm, where m and s are mean
    and standard deviation. The degrees of freedom of t are those that the estimated variance has, (sum d^2)^2 / sum d^4
    - 1 with d the deviations from m (Satterthwaite 1946): few, if few rows make most of it. Coverage 93 to 97 % for
    errors with tails like Laplace's or Student's with 5 degrees of freedom; heavier tails, whose squares have no
    variance, cover less (86 % for the squares of Student's with 3). NaN for fewer than 10 rows or a mean of 0.
    """
    n = losses.shape[-1]
    mean = losses.mean(axis=-1)
    if n < MIN_ROWS:
        return Interval(np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    with np.errstate(all="ignore"):
        # Relative to the mean, because the fourth power of a small loss is 0 in floating point.
        width = np.where(mean > 0, _half_width_of_mean(losses / mean[..., None] - 1, level), np.nan)
        return Interval(mean * np.exp(-width), mean * np.exp(width))


def root_mean_square(errors: Numbers, level: float = LEVEL) -> Interval:
    """Return the interval of sqrt(mean(errors^2)), such as the RMSE: the root of that of the mean of squares."""
    low, high = mean_loss(errors**2, level)
    return Interval(np.sqrt(low), np.sqrt(high))


def median(values: Numbers, level: float = LEVEL) -> Interval:
    """Return the interval of the median of numbers: two of these numbers.

    `values`: shape (..., rows). A number of n is below the median with the probability 1/2, so that the sorted numbers
    of the ranks n/2 -+ z sqrt(n)/2, rounded outwards, contain it (Hollander and Wolfe, Nonparametric Statistical
    Methods, 1999, section 3.6). Coverage 95 to 97 % for numbers without ties. NaN for fewer than 10 rows.
    """
    n = values.shape[-1]
    if n < MIN_ROWS:
        return Interval(np.full(values.shape[:-1], np.nan), np.full(values.shape[:-1], np.nan))
    below = int(np.floor((n - quantiles.two_sided(level) * np.sqrt(n)) / 2))
    ranked = np.sort(values, axis=-1)
    return Interval(ranked[..., max(below, 1) - 1], ranked[..., n - max(below, 1)])


def r2(labels: Numbers, predictions: Numbers, level: float = LEVEL) -> Interval:
    """Return the interval of R2 = 1 - SSE/SST.

    `labels`, `predictions`: shape (..., rows). The delta method on ln(1 - R2) = ln SSE - ln SST: a row adds
    e^2/mean(e^2) - (y - mean(y))^2/var(y) to it, whose variance gives the standard error, with the degrees of freedom
    of `mean_loss`. NaN for fewer than 10 rows, equal labels, or predictions without an error.
    """
    squares = (labels - predictions) ** 2
    spread = (labels - labels.mean(axis=-1, keepdims=True)) ** 2
    mean_square, variance = squares.mean(axis=-1, keepdims=True), spread.mean(axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        half_width = _half_width_of_mean(squares / mean_square - spread / variance, level)
        unexplained = (mean_square / variance)[..., 0]
        is_defined = (unexplained > 0) & np.isfinite(unexplained) & (labels.shape[-1] >= MIN_ROWS)
        unexplained = np.where(is_defined, unexplained, np.nan)
        return Interval(1 - unexplained * np.exp(half_width), 1 - unexplained * np.exp(-half_width))


def kolmogorov_smirnov(distance: ArrayLike, n_first: ArrayLike, n_second: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the interval of the Kolmogorov-Smirnov distance of two samples.

    Low: D - sqrt(ln(2/a)/2 (1/n + 1/m)), a = 1 - level, the band of Dvoretzky, Kiefer and Wolfowitz with Massart's
    constant (1990): it is above 0 exactly if the two-sided test rejects that there is no drift. High: D + z s, where z
    is the one-sided normal quantile and s^2 the largest variance F(1-F)/n + G(1-G)/m of the distance |F - G| = D at one
    point, because the sup of two empirical functions is rarely too small. Coverage 95 % without drift, 95 to 99 % with
    drift: the interval is on the safe side.
    """
    distance, n, m = np.broadcast_arrays(*(np.asarray(x, float) for x in (distance, n_first, n_second)))
    band = np.sqrt(np.log(2 / (1 - level)) / 2 * (1 / n + 1 / m))
    first = np.clip(0.5 + distance * n / (n + m), distance, 1.0)  # F that has the largest variance
    second = first - distance
    deviation = np.sqrt(first * (1 - first) / n + second * (1 - second) / m)
    high = distance + quantiles.normal(level) * deviation
    return Interval(np.maximum(distance - band, 0.0), np.minimum(high, 1.0))


def effective_degrees(deviations: Numbers) -> Numbers:
    """Return the degrees of freedom of a variance that is estimated from deviations: shape (..., rows) to (...).

    (sum d^2)^2 / sum d^4 - 1: almost n - 1 if all rows add alike, about 0 if one row makes all of it.
    """
    squares = deviations**2
    return np.asarray(_ratio(squares.sum(axis=-1) ** 2, (squares**2).sum(axis=-1)) - 1)


def _half_width_of_mean(deviations: Numbers, level: float) -> Numbers:
    n = deviations.shape[-1]
    error = np.sqrt((deviations**2).sum(axis=-1) / (n * (n - 1.0)))
    return np.asarray(quantiles.students_t((1 + level) / 2, effective_degrees(deviations)) * error)


def _wilson(p: Numbers, n: Numbers, z: Numbers | float) -> Interval:
    z2 = z**2
    with np.errstate(all="ignore"):
        center, scale = p + z2 / (2 * n), 1 + z2 / n
        half_width = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n**2)))
        # Rounding could put a limit 1e-16 outside.
        return Interval(np.maximum((center - half_width) / scale, 0.0), np.minimum((center + half_width) / scale, 1.0))


def _ratio(top: Numbers, bottom: Numbers) -> Numbers:
    """Return top / bottom, NaN where bottom is 0."""
    with np.errstate(all="ignore"):
        return np.asarray(top / np.where(bottom == 0, np.nan, bottom))
