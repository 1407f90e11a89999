"""How a column differs between two sides, in the column's own units."""

from typing import Any

import numpy as np

from dcmon.statistics.columns import Column, CountedColumn, NumericColumn

MAX_CATEGORIES = 3  # of a description


def describe_change(before: Column, now: Column, n_before: int, n_now: int) -> dict[str, Any]:
    """Return what changed from `before` to `now`, as JSON: each pair is [before, now].

    "nulls": the shares of nulls. Of numbers "mean" and "deviation" (the population standard deviation), null without
    values. Of categories "shares": the shares of all rows of the categories whose share changed most, by name;
    "came" and "went": how many categories only one side has.
    """
    change: dict[str, Any] = {"nulls": [_share(before.n_null, n_before), _share(now.n_null, n_now)]}
    if isinstance(before, NumericColumn) and isinstance(now, NumericColumn):
        return change | _numeric_change(before, now)
    if isinstance(before, CountedColumn) and isinstance(now, CountedColumn):
        return change | _categorical_change(before, now, n_before, n_now)
    return change


def _numeric_change(before: NumericColumn, now: NumericColumn) -> dict[str, Any]:
    sides = (before.sorted, now.sorted)
    with np.errstate(all="ignore"):
        means = [float(np.mean(values)) if len(values) else None for values in sides]
        deviations = [float(np.std(values)) if len(values) else None for values in sides]
    return {"mean": list(map(_finite, means)), "deviation": list(map(_finite, deviations))}


def _categorical_change(before: CountedColumn, now: CountedColumn, n_before: int, n_now: int) -> dict[str, Any]:
    shares = {
        str(name): [_share(before.counts.get(name, 0), n_before), _share(now.counts.get(name, 0), n_now)]
        for name in {**before.counts, **now.counts}
    }
    largest = sorted(shares, key=lambda name: (-abs(shares[name][1] - shares[name][0]), name))[:MAX_CATEGORIES]
    return {
        "shares": {name: shares[name] for name in largest if shares[name][0] != shares[name][1]},
        "came": sum(name not in before.counts for name in now.counts),
        "went": sum(name not in now.counts for name in before.counts),
    }


def _share(part: int, total: int) -> float:
    return part / total if total else 0.0


def _finite(number: float | None) -> float | None:
    return number if number is not None and np.isfinite(number) else None
