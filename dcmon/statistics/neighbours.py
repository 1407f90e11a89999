"""How alike neighbouring rows of a reference are, and so how much two windows of one world differ.

Rows of one day share its weekday, its weather, or a failing source: they are no independent draws, and a window of them
says less than its number of rows. The rows of a reference are in the order in which they were loaded, which often is
that of time: blocks of rows that take as long as a window show how much days of the reference differ. In shuffled rows,
blocks differ as independent rows do, and nothing changes.
"""

import math
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.columns import ClassColumn, Column, CountedColumn, Mask, Numbers, NumericColumn, Rows, n_values
from dcmon.statistics.numeric_drift import kolmogorov_smirnov

MIN_BLOCKS, MIN_BLOCK = 20, 2
# Blocks differ if their variance is so many standard errors above that of independent rows, and if they cross their
# mean so often: rows that are sorted by a column, or by groups, have few such spells, and say nothing about days.
DEVIATIONS, MIN_SPELLS = 5.0, 8
MARGIN = 1.5  # how many times as far as the farthest block of the reference a window must be
MAX_CATEGORIES = 20  # the most frequent ones are compared
CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)  # of numbers: the shares of rows below these quantiles are compared


def scale(current: Rows, reference: Rows) -> float:
    """Return how many rows of the reference take as long as a row of the window: both may be samples of more rows."""
    share_now, share_before = len(current) / max(1, current.n_stored), len(reference) / max(1, reference.n_stored)
    return share_before / share_now if share_now else 1.0


def block_size(as_long: float, m: int) -> int:
    """Return how many of m values of a reference make a block that is about `as_long`: a power of 2, 0 for no block.

    A reference of few values has smaller blocks, which differ more.
    """
    size = min(as_long, m / MIN_BLOCKS)
    return int(2 ** round(math.log2(size))) if size >= MIN_BLOCK else 0


class Days(NamedTuple):
    """How much blocks of rows of a reference differ, in something that is compared.

    `correlation`: of rows in a block, 0 to 1. `size`: rows of a block. `farthest`: how far the farthest block is from
    all rows.
    """

    correlation: float = 0.0
    size: int = 1
    farthest: float = 0.0

    def effective(self, n: float) -> float:
        """Return how many independent rows say as much as n rows of a window: n / (1 + (n - 1) correlation).

        The design effect (Kish 1965).
        """
        return n / (1 + max(0.0, n - 1) * self.correlation)

    def effective_reference(self, m: float) -> float:
        """Return how many independent rows say as much as m rows of the reference, which has many blocks."""
        return m / (1 + (self.size - 1) * self.correlation)

    def limit(self, of_rows: float) -> float:
        """Return the limit of a change, given that of so many independent rows.

        Few rows can't exclude a large change. But a window that is MARGIN times as far as the farthest block of the
        reference is different.
        """
        return min(of_rows, MARGIN * self.farthest) if self.correlation else of_rows


INDEPENDENT = Days()


def of_column(reference: Rows, key: Hashable, column: Column, as_long: float) -> Days:
    """Return how much the distribution of a column differs between blocks.

    `key`: names the column. `as_long`: how many values of the reference take as long as the window's.
    """
    size = block_size(as_long, n_values(column))
    return reference.derived((of_column, key, size), lambda: _of_column(column, size))


def of_repeated_value(reference: Rows, name: str, as_long: float) -> Days:
    """Return the same for a feature's most frequent value: `farthest` is the largest share of one value in a block."""
    column = reference.features[name]
    days = of_column(reference, name, column, as_long)
    if not days.correlation:
        return days
    key = (of_repeated_value, name, days.size)
    return reference.derived(key, lambda: days._replace(farthest=_largest_share(column, days.size)))


def of_nulls(reference: Rows, name: str, as_long: float) -> Days:
    """Return how much the share of nulls of a feature differs between blocks."""
    is_null, size = _is_null(reference.features[name]), block_size(as_long, len(reference))
    if is_null is None:
        return INDEPENDENT
    return reference.derived((of_nulls, name, size), lambda: of_indicator(is_null, size))


def of_indicator(is_one: Mask, size: int) -> Days:
    """Return how much a share of rows differs between blocks. `is_one`: shape (rows,)."""
    shared = correlation(is_one[None, :], size)
    if not shared:
        return INDEPENDENT
    shares = _blocks(is_one, size).mean(axis=1)
    return Days(shared, size, float(shares.max() - is_one.mean()))


def correlation(indicators: Mask, size: int) -> float:
    """Return the correlation of rows in blocks of `size` rows.

    (F - 1) / (size - 1), where F is the variance of blocks in units of that of independent rows (Kish 1965),
    of all indicators together. `indicators`: shape (indicators, rows).
    """
    n_blocks = indicators.shape[1] // size if size > 1 else 0
    if n_blocks < MIN_BLOCKS:
        return 0.0
    shares = indicators[:, : n_blocks * size].reshape(len(indicators), n_blocks, size).mean(axis=2)
    means = shares.mean(axis=1, keepdims=True)
    is_used = np.diff(shares > means, axis=1).sum(axis=1) >= MIN_SPELLS
    independent = float((means * (1 - means))[is_used].sum()) / size
    if not independent:
        return 0.0
    ratio = float(shares[is_used].var(axis=1, ddof=1).sum()) / independent
    is_significant = ratio > 1 + DEVIATIONS * math.sqrt(2 / (n_blocks - 1))
    return min(1.0, (ratio - 1) / (size - 1)) if is_significant else 0.0


def _blocks(values: NDArray[Any], size: int) -> NDArray[Any]:
    return values[: len(values) // size * size].reshape(-1, size)


def _of_column(column: Column, size: int) -> Days:
    """Return how much a distribution differs: numbers by being below quantiles, others by their categories."""
    if isinstance(column, NumericColumn):
        return _of_numbers(column, size)
    in_order = _in_order(column)
    return INDEPENDENT if in_order is None else _of_classes(in_order.codes[in_order.is_present], size)


def _of_numbers(column: NumericColumn, size: int) -> Days:
    if not len(column.sorted):
        return INDEPENDENT
    values = _present(column)
    cuts: Numbers = np.unique(np.quantile(column.sorted, CUTS, method="inverted_cdf"))
    shared = correlation(values[None, :] <= cuts[:, None], size)
    if not shared:
        return INDEPENDENT
    farthest = max(kolmogorov_smirnov(column.sorted, np.sort(block)) for block in _blocks(values, size))
    return Days(shared, size, farthest)


def _of_classes(codes: NDArray[np.int64], size: int) -> Days:
    if not len(codes):
        return INDEPENDENT
    frequent = np.argsort(-np.bincount(codes), kind="stable")[:MAX_CATEGORIES]
    is_category = codes[None, :] == frequent[:, None]
    shared = correlation(is_category, size)
    if not shared:
        return INDEPENDENT
    shares = np.array([_blocks(row, size).mean(axis=1) for row in is_category])
    means = is_category.mean(axis=1)[:, None]
    others = np.abs(shares.sum(axis=0) - means.sum())
    return Days(shared, size, float(((np.abs(shares - means).sum(axis=0) + others) / 2).max()))


def _largest_share(column: Column, size: int) -> float:
    """Return the largest share that one value has in a block."""
    in_order = _in_order(column)
    values: NDArray[Any]
    if isinstance(column, NumericColumn):
        values = _present(column)
    else:
        values = np.array([]) if in_order is None else in_order.codes[in_order.is_present]
    counts = (np.unique(block, return_counts=True)[1].max() for block in _blocks(values, size))
    return float(max(counts, default=0)) / size


def _present(column: NumericColumn) -> Numbers:
    return column.values[~np.isnan(column.values)] if column.n_null else column.values


def _is_null(column: Column) -> Mask | None:
    if isinstance(column, NumericColumn):
        return np.isnan(column.values) if column.n_null else None
    in_order = _in_order(column) if isinstance(column, CountedColumn) and column.n_null else None
    return None if in_order is None else ~in_order.is_present


def _in_order(column: Column) -> ClassColumn | None:
    return column.in_order() if isinstance(column, CountedColumn) and column.in_order is not None else None
