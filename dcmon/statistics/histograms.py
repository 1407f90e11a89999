"""The distributions of a column on several sides, in the column's own units: shares of rows by bin or category."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dcmon.statistics.columns import Column, CountedColumn, Numbers, NumericColumn

MAX_BINS, MAX_CATEGORIES = 24, 12
TAIL = 0.005  # the share of values at either end of a side that may be beyond the bins
BULK = 0.05  # the share of values at either end that says nothing about where most values are
REACH = 3.0  # a side's values are in bins if they are at most so many times the width of its bulk away from this
NEAR = 0.5  # the last values of a side are in bins, too, if these get no wider than this
BEYOND = 2.0  # how far other sides may widen the bins of the first, in widths of it
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # the widths of bins, times a power of ten


class Side(NamedTuple):
    """A column of one side, and the number of the side's rows."""

    column: Column
    n: int


@dataclass(frozen=True)
class Distribution:
    """The share of one side's rows in each bin or category, and of the rows without a value.

    `n`: the number of rows. `mean`, `low`, `high`: of numbers, None without a value. `values`: how many different
    categories there are. `below`, `above`: the shares of the rows whose numbers are beyond the bins.
    """

    n: int
    null_share: float
    shares: tuple[float, ...]
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    values: int | None = None
    below: float = 0.0
    above: float = 0.0


@dataclass(frozen=True)
class Distributions:
    """The distributions of all sides over the same bins or categories.

    `edges`: of bins of numbers, one more than there are bins; far values are beyond them. `names`: of categories, the
    most frequent first; `n_others`: how many further categories are left out.
    """

    sides: tuple[Distribution, ...]
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    n_others: int = 0

    @property
    def is_numeric(self) -> bool:
        """True for bins of numbers, False for categories."""
        return bool(self.edges)


def compare(sides: Sequence[Side]) -> Distributions:
    """Return the distributions of a column. A column that no check reads has only shares of nulls."""
    columns = [side.column for side in sides]
    if all(isinstance(column, NumericColumn) for column in columns):
        return _numeric(sides)
    if all(isinstance(column, CountedColumn) for column in columns):
        return _categorical(sides)
    return Distributions(tuple(Distribution(n, _share(column.n_null, n), ()) for column, n in sides))


def _numeric(sides: Sequence[Side]) -> Distributions:
    finite = [_finite(side.column) for side in sides]
    edges = bin_edges(finite)
    return Distributions(
        tuple(_of_numbers(side, values, edges) for side, values in zip(sides, finite, strict=True)), edges
    )


def _finite(column: Column) -> Numbers:
    assert isinstance(column, NumericColumn)
    return np.asarray(column.sorted[np.isfinite(column.sorted)], dtype=np.float64)


def _of_numbers(side: Side, values: Numbers, edges: tuple[float, ...]) -> Distribution:
    null_share = _share(side.column.n_null, side.n)
    if not len(values):
        return Distribution(side.n, null_share, (0.0,) * max(len(edges) - 1, 0))
    first_at = np.searchsorted(values, np.asarray(edges), side="left")
    shares = tuple(_share(int(count), side.n) for count in np.diff(first_at))
    with np.errstate(all="ignore"):
        mean = float(np.mean(values))
    return Distribution(
        side.n, null_share, shares, mean if math.isfinite(mean) else None, float(values[0]), float(values[-1]),
        below=_share(int(first_at[0]), side.n), above=_share(len(values) - int(first_at[-1]), side.n),
    )  # fmt: skip


def bin_edges(sides: Sequence[Numbers]) -> tuple[float, ...]:
    """Return the edges of at most 24 bins of one round width; empty without values.

    `sides`: sorted. The bins fit the first side with several values, the reference as a rule, and are wide enough for
    others that are not far from it: neither a few extreme values nor a side in other units squeeze it into one bin.
    """
    sides = [values for values in sides if len(values)]
    if not sides:
        return ()
    low, high = _common_range(sides)
    width = _width(low, high)
    if 0 < width < 1 and all(bool((values == np.floor(values)).all()) for values in sides):
        width = 1.0  # of whole numbers
    if not width:
        half = abs(low) * 0.05 or 0.5
        return (low - half, low + half)
    first, last = math.floor(low / width), math.floor(high / width) + 1
    # Rounding may put an edge on the wrong side of the value next to it.
    first -= first * width > low
    last += last * width <= high
    return tuple(number * width for number in range(first, last + 1))


def _range(values: Numbers) -> tuple[float, float]:
    """Return the range of one side's values without those that are rare and far from the others."""
    low, high = _middle(values, TAIL)
    first, last = _middle(values, BULK)
    if (reach := REACH * (last - first)) > 0:
        low, high = max(low, first - reach), min(high, last + reach)
    near = NEAR * (high - low)
    return _within(values, low - near, high + near)


def _within(values: Numbers, low: float, high: float) -> tuple[float, float]:
    """Return the first and the last value of a range; the range itself where no value is in it."""
    inside = values[np.searchsorted(values, low) : np.searchsorted(values, high, side="right")]
    return (float(inside[0]), float(inside[-1])) if len(inside) else (low, high)


def _middle(values: Numbers, tail: float) -> tuple[float, float]:
    left_out = int(tail * len(values))
    return float(values[left_out]), float(values[-1 - left_out])


def _common_range(sides: Sequence[Numbers]) -> tuple[float, float]:
    """Return the range of all sides, no further from that of the first than BEYOND says."""
    ranges = [_range(values) for values in sides]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    first, last = next(((first, last) for first, last in ranges if last > first), (low, high))
    reach = BEYOND * (last - first)
    limits = max(low, first - reach), min(high, last + reach)
    inside = [_within(values, *limits) for values in sides if values[-1] >= limits[0] and values[0] <= limits[1]]
    return min(low for low, _ in inside), max(high for _, high in inside)


def _width(low: float, high: float) -> float:
    """Return the round width of bins; 0 where numbers are too near to each other, or too large, for any."""
    span = high / MAX_BINS - low / MAX_BINS
    if not (math.isfinite(span) and span > max(abs(low), abs(high)) * 1e-12):
        return 0.0
    magnitude = 10.0 ** math.floor(math.log10(span))
    width = next(step * magnitude for step in STEPS if step * magnitude >= span * (1 - 1e-9))
    return width if math.isfinite(width) and width > 0 else 0.0


def _categorical(sides: Sequence[Side]) -> Distributions:
    counted = [_counts(side.column) for side in sides]
    weights = Counter[Hashable]()
    for (_, n), counts in zip(sides, counted, strict=True):
        for value, count in counts.items():
            weights[value] = max(weights[value], _share(count, n))  # type: ignore[assignment]
    ordered = sorted(weights, key=lambda value: (-weights[value], str(value)))
    shown = ordered[:MAX_CATEGORIES]
    distributions = tuple(
        Distribution(
            side.n, _share(side.column.n_null, side.n),
            tuple(_share(counts.get(value, 0), side.n) for value in shown), values=len(counts),
        )
        for side, counts in zip(sides, counted, strict=True)
    )  # fmt: skip
    return Distributions(distributions, names=tuple(map(_name, shown)), n_others=len(ordered) - len(shown))


def _counts(column: Column) -> dict[Hashable, int]:
    assert isinstance(column, CountedColumn)
    return dict(column.counts)


def _name(value: Hashable) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _share(part: int, total: int) -> float:
    return part / total if total else 0.0
