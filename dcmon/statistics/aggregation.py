"""One number of the numbers of many features.

The formulas and the names of the results are those of deepchecks 0.19 (deepchecks.core.reduce_classes).
"""

from collections.abc import Mapping

import numpy as np

from dcmon.statistics.errors import InvalidParameter

POWERS: Mapping[str, int] = {"weighted": 1, "l3_weighted": 3, "l5_weighted": 5}


def aggregate(
    method: str | None, values: Mapping[str, float | None], importance: Mapping[str, float] | None, name: str
) -> dict[str, float | None]:
    """Return the aggregate of the values of features, by the name that the library gives it.

    `method`: "none" or None (all values), "mean", "max", or one of POWERS. With the power p, the value x
    and the importance w of each feature, it is (sum of w x^p)^(1/p), without features that have no value. Without
    `importance` it is the mean, under the same name. Raises InvalidParameter for another method, and if a feature
    that has an importance was not read.
    """
    if method is None or method == "none":
        return dict(values)
    known = [value for value in values.values() if value is not None and not np.isnan(value)]
    if method == "mean":
        return {f"Mean {name}": _mean(known)}
    if method == "max":
        return {f"Max {name}": max(known, default=None)}
    if method not in POWERS:
        raise InvalidParameter(f"There is no aggregation method {method!r}. Use none, mean, max, {', '.join(POWERS)}.")
    title = f"{method.replace('_', ' ').title()} {name}"
    if importance is None:
        return {title: _mean(known)}
    return {title: _weighted(values, importance, POWERS[method])}


def _mean(known: list[float]) -> float | None:
    return float(np.mean(known)) if known else None


def _weighted(values: Mapping[str, float | None], importance: Mapping[str, float], power: int) -> float:
    if unread := [feature for feature in importance if feature not in values]:
        raise InvalidParameter(
            f"The features can't be weighted, because the check does not read {unread[0]!r}, which has an importance."
            " Use the aggregation method mean or max."
        )
    pairs = [(values[feature], weight) for feature, weight in importance.items()]
    known = [(value, weight) for value, weight in pairs if value is not None and not np.isnan(value)]
    x, w = np.array([value for value, _ in known], float), np.array([weight for _, weight in known], float)
    return float(np.sum(x**power * w) ** (1.0 / power))


def normalized_importance(importance: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """Return importances that add up to 1; None if they are None or all 0.

    The library scales them only if their sum differs from 1 by 0.001 or more.
    """
    total = sum(importance.values()) if importance else 0
    if not importance or not total:
        return None
    if 0.999 < total < 1.001:
        return importance
    return {feature: weight / total for feature, weight in importance.items()}
