"""Distances between the counts of categories on two sides.

The formulas, and the rules on rare categories, are those of deepchecks 0.19 (deepchecks.utils.distribution). The
library adds up in the order of a set, which differs from process to process; here categories are in a fixed order. Its
balanced Cramer's V of more than two classes cuts such a sum to an integer, so that it has several values for the same
rows: dcmon always returns the one of sorted classes.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dcmon.statistics.columns import Counts, Numbers
from dcmon.statistics.errors import Undefined

OTHER = "Other rare categories"  # the name under which the library counts rare categories
MIN_SHARE = 0.01  # PSI: a smaller share counts as this one, because its logarithm would be infinite


class CategoryOrder(StrEnum):
    """By what the largest categories are chosen if there are too many."""

    DIFFERENCE = "difference"
    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True)
class CategoryRules:
    """Which categories are counted together, as the other rare categories.

    `min_share`: those with a smaller share of the first side. `max_categories`: all but so many; None: no limit.
    """

    min_share: float = 0.01
    max_categories: int | None = None
    order: CategoryOrder = CategoryOrder.DIFFERENCE


def cramers_v(first: Counts, second: Counts, rules: CategoryRules, *, balance: bool = False) -> float:
    """Return Cramer's V of a category and its side, corrected for bias: 0 to 1.

    V = sqrt(max(0, chi2/n - (k-1)(r-1)/(n-1)) / min(k' - 1, r' - 1)), with r' = r - (r-1)^2/(n-1) and k' alike
    (Bergsma 2013), of the table of r = 2 sides and k categories, after the larger side is scaled to the size of the
    smaller one. `balance`: all categories get the same weight, and none is rare.

    Returns 0 for one category, and NaN if one category or one row is left after scaling. Raises Undefined if a side
    has no row left.
    """
    bin_rules = CategoryRules(0, rules.max_categories, rules.order) if balance else rules
    x, y = aligned_counts(first, second, bin_rules)
    if len(x) == 1:
        return 0.0
    x, y = _balanced(x, y) if balance else tuple(map(np.round, _same_size(x, y)))
    table = np.array([x, y]).astype(int).astype(float)
    table = table[:, (table != 0).any(axis=0)]
    n, (r, k) = table.sum(), table.shape
    with np.errstate(all="ignore"):
        phi2 = max(0, np.float64(_chi_squared(table)) / n - (k - 1) * (r - 1) / (n - 1))
        r_corrected, k_corrected = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
        return float(np.sqrt(np.float64(phi2) / np.float64(min(k_corrected - 1, r_corrected - 1))))


def _chi_squared(table: Numbers) -> float:
    """Return Pearson's chi-squared of a table, with Yates' correction for 2 x 2 (scipy.stats.chi2_contingency)."""
    expected = table.sum(axis=1, keepdims=True) @ table.sum(axis=0, keepdims=True) / table.sum()
    if not table.size or (expected == 0).any():
        raise Undefined("After rare categories are left out and sides are scaled to one size, one side has no row.")
    n_columns = table.shape[1]
    if n_columns == 1:
        return 0.0
    if n_columns == 2:
        difference = expected - table
        table = table + np.minimum(0.5, np.abs(difference)) * np.sign(difference)
    return float(((table - expected) ** 2 / expected).sum())


def population_stability_index(first: Counts, second: Counts, rules: CategoryRules) -> float:
    """Return the population stability index: 0 if the shares of all categories are equal.

    PSI = sum over categories of (p - q) ln(p / q), where p and q are the shares of the sides, at least 0.01 each
    (Yurdakul 2018).
    """
    x, y = aligned_counts(first, second, rules)
    with np.errstate(all="ignore"):
        p, q = np.maximum(x / x.sum(), MIN_SHARE), np.maximum(y / y.sum(), MIN_SHARE)
    return float(((p - q) * np.log(p / q)).sum())


def aligned_counts(first: Counts, second: Counts, rules: CategoryRules) -> tuple[Numbers, Numbers]:
    """Return the counts of the same categories on both sides, those of the rare ones together at the end."""
    n_first, n_second = sum(first.values()), sum(second.values())
    x, y = Counter(dict(first)), Counter(dict(second))
    names = sorted(x.keys() | y.keys(), key=_sort_key)
    if rules.max_categories is not None and len(names) > rules.max_categories:
        names = _largest(names, x, y, rules)
        x, y = Counter({name: x[name] for name in names}), Counter({name: y[name] for name in names})
        x[OTHER], y[OTHER] = n_first - x.total(), n_second - y.total()
    frequent = []
    for name in names:
        if x[name] < n_first * rules.min_share:
            x[OTHER] += x[name]
            y[OTHER] += y[name]
        else:
            frequent.append(name)
    if x[OTHER] > rules.min_share * n_first or y[OTHER] > rules.min_share * n_second:
        frequent.append(OTHER)
    return np.array([x[name] for name in frequent], float), np.array([y[name] for name in frequent], float)


def _largest(
    names: Sequence[Hashable], x: Counter[Hashable], y: Counter[Hashable], rules: CategoryRules
) -> list[Hashable]:
    if rules.order == CategoryOrder.DIFFERENCE:
        sizes: Counts = {name: abs(x[name] - y[name]) for name in names}
    else:
        # A category that the chosen side does not have is never among the largest.
        sizes = x if rules.order == CategoryOrder.FIRST else y
    return sorted(sizes, key=lambda name: (-sizes[name], _sort_key(name)))[: rules.max_categories]


def _sort_key(name: Hashable) -> tuple[bool, Hashable]:
    """Sort null before all categories; the categories of a column are of one type."""
    return name is not None, "" if name is None else name


def _same_size(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Scale the counts of the larger side to the size of the smaller side."""
    n_x, n_y = x.sum(), y.sum()
    if n_x > n_y:
        return x * (n_y / n_x), y
    return (x, y * (n_x / n_y)) if n_x < n_y else (x, y)


def _balanced(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Give all categories the same count on the first side, and the second side the same ratios as before."""
    x, y = _same_size(x, y)
    ratios = (y + 1) / (x + 1)
    x = np.full(len(y), int(np.sum(y + 1) / len(y)), dtype=float)
    y = np.round(x * ratios)
    with np.errstate(all="ignore"):
        return x, np.round(y * (x.sum() / y.sum()))
