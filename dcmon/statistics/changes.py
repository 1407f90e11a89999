"""How far the features of a window are from those of the reference, measured against noise.

Each function returns a number for each feature: how many times its limit a change is. The limit is the larger one of
two numbers: what noise may do at this number of rows and of features, and the smallest change that matters. So one
threshold, 1, fits all models. None stands for a feature with too few values.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics import neighbours, noise
from dcmon.statistics.columns import Column, CountedColumn, Numbers, NumericColumn, Rows, UnreadColumn, n_values
from dcmon.statistics.features import Values
from dcmon.statistics.neighbours import INDEPENDENT, Days
from dcmon.statistics.noise import MIN_ROWS, ErrorBudget, Share
from dcmon.statistics.numeric_drift import kolmogorov_smirnov

ERROR_RATE = 0.001  # the probability that noise changes any feature, for one check and window
# The smallest changes that matter, as shares of rows.
LEAST_DISTANCE, LEAST_MEAN_DISTANCE, LEAST_RISE, LEAST_REPEATED_RISE = 0.15, 0.04, 0.02, 0.1
RARE_SHARE, RARE_RISE = 0.02, 0.05  # a value that was rarer: the smallest rise of its share that matters
MIN_CATEGORY_SHARE = 0.01  # rarer categories of the reference are counted together
MIN_EXPECTED = 5  # rows of a category in the window, for chi-squared
CERTAIN, MOST = 0.99, 50.0  # the largest limit of a distance, and the number of a distance of 1 that has this limit
MIN_EFFECTIVE = 10  # independent rows that say something about new values
MAX_NOISE = 0.35  # a distance that noise alone reaches: beyond, a feature has too few values
MAX_DISTANCE = 0.25  # that one feature adds to the mean: a broken feature is no drift of many
N_BLOCKS, MIN_BLOCK = 25, 8
BLOCK_DEVIATIONS = 4.0  # Student's t of 24 degrees of freedom at 0.0003
SEED = 20260101


class Rise(NamedTuple):
    """A share of rows now, and before. `days`: how much it differs between blocks of the reference."""

    now: Share
    before: Share
    days: Days = INDEPENDENT

    def ratio(self, least: float, limit: Callable[[Share, Share], float]) -> float:
        """Return the rise in limits; 0 if the share fell.

        `least`: the smallest rise that matters. `limit`: returns that of noise for shares of independent rows.
        """
        difference = self.now.value - self.before.value
        if difference <= 0:
            return 0.0
        n, m = self.days.effective(self.now.n_rows), self.days.effective_reference(self.before.n_rows)
        of_noise = limit(Share(self.now.value * n, n), Share(self.before.value * m, m))
        return difference / max(least, self.days.limit(of_noise))


class Distance(NamedTuple):
    """How far a window's values of a feature are from the reference's: 0 to 1. `n`, `m`: the values of each side.

    `noise`: the limit of what noise does; inf if a side has too few values. `inflation`: how many times the noise of
    independent rows it is.
    """

    value: float
    noise: float
    n: int
    m: int
    inflation: float = 1.0

    @property
    def ratio(self) -> float | None:
        """The distance in limits; None with too few values."""
        return None if self.noise == math.inf else _in_limits(self.value, max(LEAST_DISTANCE, self.noise))


def _in_limits(distance: float, limit: float) -> float:
    """Return a distance of 0 to 1 in limits.

    No limit is above CERTAIN. Instead of it, the number says how close the distance is to 1, so that it grows.
    """
    return distance / limit if limit < CERTAIN else min(MOST, (1 - CERTAIN) / max(1e-9, 1 - distance))


def distances(
    current: Rows, reference: Rows, features: Iterable[str], error_rate: float = ERROR_RATE
) -> dict[str, Distance]:
    """Return the distance of each feature's distribution from the reference's.

    Numbers: Kolmogorov-Smirnov. Categories: total variation, half the sum of the differences of shares.
    """
    names = readable(reference, features)
    budget = ErrorBudget(max(1, len(names)), error_rate)
    scale = neighbours.scale(current, reference)
    return {
        name: distance(
            current.features[name],
            reference.features[name],
            budget,
            neighbours.of_column(reference, name, reference.features[name], scale * n_values(current.features[name])),
        )
        for name in names
    }


def readable(reference: Rows, features: Iterable[str]) -> list[str]:
    """Return the features whose values can be compared."""
    return [name for name in features if not isinstance(reference.features[name], UnreadColumn)]


def distance(now: Column, before: Column, budget: ErrorBudget, days: Days = INDEPENDENT) -> Distance:
    """Return the distance of two columns of one type."""
    n, m = n_values(now), n_values(before)
    if not min(n, m):
        return Distance(0.0, math.inf, n, m)
    inflation = noise.spread(days.effective(n), days.effective_reference(m)) / noise.spread(n, m)
    is_enough = min(n, m) >= MIN_ROWS and noise.largest_distance(n, m, budget) <= MAX_NOISE
    if isinstance(now, NumericColumn) and isinstance(before, NumericColumn):
        value = kolmogorov_smirnov(before.sorted, now.sorted)
        limit = days.limit(inflation * noise.largest_distance(n, m, budget))
    else:
        x, y = common_categories(before, now)
        value, times_noise = total_variation(x, y), noise.category_ratio(x, y, budget)
        limit = days.limit(inflation * value / times_noise) if times_noise else 0.0
    return Distance(value, limit if is_enough else math.inf, n, m, inflation)


def common_categories(before: Column, now: Column, n: int | None = None) -> tuple[Numbers, Numbers]:
    """Return the counts of the same categories on both sides: shape (categories,).

    The last one counts the categories together that are rare in the reference, or are not in it. Which categories are
    counted alone depends on the reference only, so that the counts of the window are unbiased. `n`: how many rows
    the window is taken to have.
    """
    assert isinstance(now, CountedColumn)
    assert isinstance(before, CountedColumn)
    n_now, m = n_values(now), n_values(before)
    least = max(MIN_CATEGORY_SHARE, MIN_EXPECTED / (n or n_now)) * m
    common = [name for name, count in before.counts.items() if count >= least]
    x = [before.counts[name] for name in common]
    y = [now.counts.get(name, 0) for name in common]
    return np.array([*x, m - sum(x)], float), np.array([*y, n_now - sum(y)], float)


def total_variation(x: Numbers, y: Numbers) -> float:
    """Return half the sum of the differences of shares: the share of rows that have another category, 0 to 1."""
    return float(np.abs(x / x.sum() - y / y.sum()).sum() / 2)


def null_rises(current: Rows, reference: Rows, features: Iterable[str], error_rate: float = ERROR_RATE) -> Values:
    """Return the rise of each feature's share of nulls since the reference, in limits; 0 where it fell."""
    names = list(features)

    scale = neighbours.scale(current, reference)

    def shares(name: str) -> Rise:
        now, before = current.features[name], reference.features[name]
        days = neighbours.of_nulls(reference, name, scale * len(current))
        return Rise(Share(now.n_null, current.n), Share(before.n_null, reference.n), days)

    return _rises(shares, names, LEAST_RISE, error_rate) if min(current.n, reference.n) >= MIN_ROWS else {}


def repeated_value_rises(
    current: Rows, reference: Rows, features: Iterable[str], error_rate: float = ERROR_RATE
) -> Values:
    """Return the largest rise of the share of a value of each feature since the reference, in limits.

    It is large if a feature is constant now and was not, because its source is frozen, and if a default stands for
    missing values. Nulls are no values.
    """
    names, scale = readable(reference, features), neighbours.scale(current, reference)

    def rise(name: str) -> float | None:
        now, before = current.features[name], reference.features[name]
        if min(n_values(now), n_values(before)) < MIN_ROWS:
            return None
        rises = _frequent_values(now, before)
        days = neighbours.of_repeated_value(reference, name, scale * n_values(now))
        limit = partial(noise.rise_limit, budget=ErrorBudget(max(1, len(names)) * max(1, len(rises)), error_rate))
        leasts = (RARE_RISE if item.before.value < RARE_SHARE else LEAST_REPEATED_RISE for item in rises)
        pairs = zip(rises, leasts, strict=True)
        return max((item._replace(days=days).ratio(least, limit) for item, least in pairs), default=0.0)

    return {name: rise(name) for name in names}


def new_value_rises(current: Rows, reference: Rows, features: Iterable[str], error_rate: float = ERROR_RATE) -> Values:
    """Return the share of rows with values that the reference does not explain, for each feature, in limits.

    For categories: the share of categories that the reference does not have, less the share that other rows of the
    reference's world would have: N1 / m, where N1 categories occur once among the reference's m rows (Good 1953). For
    numbers: the share outside of the reference's range, less 2 / (m + 1), which holds for any distribution. None for a
    feature whose rows are so alike within a day that a new value is one draw: its drift says the same.
    """
    scale = neighbours.scale(current, reference)

    def shares(name: str) -> Rise | None:
        column = reference.features[name]
        rise = _unseen(current.features[name], column)
        if rise is None:
            return None
        # How far blocks are from each other says nothing about values that no block has.
        days = neighbours.of_column(reference, name, column, scale * rise.now.n_rows)._replace(farthest=1.0)
        return rise._replace(days=days) if days.effective(rise.now.n_rows) >= MIN_EFFECTIVE else None

    return _rises(
        shares,
        readable(reference, features),
        LEAST_RISE,
        error_rate,
    )


def _rises(shares: Callable[[str], Rise | None], names: list[str], least: float, error_rate: float) -> Values:
    budget = ErrorBudget(max(1, len(names)), error_rate)
    values: Values = {}
    for name in names:
        rise = shares(name)
        values[name] = None if rise is None else rise.ratio(least, partial(noise.rise_limit, budget=budget))
    return values


def _frequent_values(now: Column, before: Column) -> list[Rise]:
    """Return the share of each value that is not rare in the window, now and in the reference."""
    n, m = n_values(now), n_values(before)
    if isinstance(now, NumericColumn) and isinstance(before, NumericColumn):
        starts = np.flatnonzero(np.r_[True, now.sorted[1:] != now.sorted[:-1]])
        lengths = np.diff(np.r_[starts, n])
        values, counts = now.sorted[starts[lengths >= RARE_RISE * n]], lengths[lengths >= RARE_RISE * n]
        earlier = np.searchsorted(before.sorted, values, "right") - np.searchsorted(before.sorted, values, "left")
        pairs = zip(counts.tolist(), earlier.tolist(), strict=True)
        return [Rise(Share(count, n), Share(count_before, m)) for count, count_before in pairs]
    assert isinstance(now, CountedColumn)
    assert isinstance(before, CountedColumn)
    frequent = {name: count for name, count in now.counts.items() if count >= RARE_RISE * n}
    return [Rise(Share(count, n), Share(before.counts.get(name, 0), m)) for name, count in frequent.items()]


def _unseen(now: Column, before: Column) -> Rise | None:
    """Return the share of new values, and the share that is expected; None with too few values."""
    n, m = n_values(now), n_values(before)
    if min(n, m) < MIN_ROWS:
        return None
    if isinstance(now, NumericColumn) and isinstance(before, NumericColumn):
        below = np.searchsorted(now.sorted, before.sorted[0], "left")
        above = n - np.searchsorted(now.sorted, before.sorted[-1], "right")
        return Rise(Share(int(below + above), n), Share(2, m + 1))
    assert isinstance(now, CountedColumn)
    assert isinstance(before, CountedColumn)
    unseen = sum(count for name, count in now.counts.items() if name not in before.counts)
    return Rise(Share(unseen, n), expected_unseen(before))


def expected_unseen(before: CountedColumn) -> Share:
    """Return the share of rows that would have a category which these rows do not have (Good and Turing's estimate).

    Its variance is (N1 + 2 N2) / m^2, where N2 categories occur twice (Esty 1983): larger than that of a share of m
    rows by the factor (N1 + 2 N2) / N1, so that it counts as a share of so many rows fewer.
    """
    m = sum(before.counts.values())
    once = sum(1 for count in before.counts.values() if count == 1)
    twice = sum(1 for count in before.counts.values() if count == 2)
    factor = max(1.0, (once + 2 * twice) / max(once, 1))
    return Share(once / factor, m / factor)


@dataclass(frozen=True)
class BlockNoise:
    """What noise does to the mean distance of many features, seen in blocks of the reference's own rows.

    Features that depend on each other drift together by chance, so that the variance of the mean can't be computed from
    one feature. The reference's rows are shuffled (always in the same way) and cut into blocks. The distance of a block
    of b rows from all m rows is measured in sqrt(1/b - 1/m), so that it does not depend on the number of rows.
    `means`: the mean of each feature. `deviation`: the standard deviation of the mean of all features.
    """

    means: Mapping[str, float]
    deviation: float


def block_noise(reference: Rows, features: Iterable[str]) -> BlockNoise | None:
    """Measure the noise of the mean distance, once for a reference; None if it has too few rows for blocks."""
    names = tuple(readable(reference, features))
    return reference.derived((block_noise, names), lambda: _block_noise(reference, names))


def _block_noise(reference: Rows, names: tuple[str, ...]) -> BlockNoise | None:
    size = reference.n // N_BLOCKS
    if size < MIN_BLOCK or not names:
        return None
    random = np.random.default_rng(SEED)
    order = random.permutation(reference.n)[: N_BLOCKS * size].reshape(N_BLOCKS, size)
    distances = np.array([_block_distances(reference.features[name], order, random) for name in names])
    distances /= math.sqrt(1 / size - 1 / reference.n)
    return BlockNoise(
        dict(zip(names, distances.mean(axis=1).tolist(), strict=True)), float(distances.mean(axis=0).std(ddof=1))
    )


def _block_distances(column: Column, order: NDArray[np.int64], random: np.random.Generator) -> list[float]:
    """Return the distance of each block from all values of the column.

    `order`: shape (blocks, size), the rows of each block. Of categories only the counts are known, so that their blocks
    are drawn independently of other features.
    """
    if isinstance(column, NumericColumn):
        blocks = np.sort(column.values[order], axis=1)
        n_values = order.shape[1] - np.isnan(blocks).sum(axis=1)
        return [
            kolmogorov_smirnov(column.sorted, block[:n]) if n else 0.0
            for block, n in zip(blocks, n_values, strict=True)
        ]
    assert isinstance(column, CountedColumn)
    m = sum(column.counts.values())
    size = min(order.shape[1], m)
    if not size:
        return [0.0] * len(order)
    column_counts, _ = common_categories(column, column, size)
    draws = random.multivariate_hypergeometric(column_counts.astype(np.int64), size, len(order))
    return [total_variation(column_counts, draw) for draw in draws.astype(float)]


def mean_drift(distances: Mapping[str, Distance], blocks: BlockNoise, n: int, m: int) -> float | None:
    """Return the mean distance of all features in limits: many small changes together are no noise.

    The mean over features of min(D, 0.25) - e s, where e is the feature's mean noise in blocks and
    s = sqrt(1/n + 1/m), times the inflation of its noise by days. The mean's noise is below 4 standard deviations of
    the blocks' means. 0 if the mean is below that of noise; None if no feature has enough values. `n`, `m`: the rows of
    the window and of the reference.
    """
    used = {name: item for name, item in distances.items() if min(item.n, item.m) >= MIN_ROWS and name in blocks.means}
    if not used:
        return None
    excesses = [
        min(item.value, MAX_DISTANCE) - item.inflation * blocks.means[name] * noise.spread(item.n, item.m)
        for name, item in used.items()
    ]
    inflation = math.sqrt(float(np.mean([item.inflation**2 for item in used.values()])))
    limit = BLOCK_DEVIATIONS * inflation * blocks.deviation * noise.spread(n, m)
    return max(0.0, float(np.mean(excesses))) / max(LEAST_MEAN_DISTANCE, limit)
