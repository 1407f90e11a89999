"""How sure the drift of a column is: its interval, and what the drift would be without drift (noise)."""

from collections.abc import Mapping, Sequence

import numpy as np

from dcmon.statistics import intervals, noise
from dcmon.statistics.categorical_drift import aligned_counts
from dcmon.statistics.columns import ClassColumn, CountedColumn, Counts, NumericColumn, Rows
from dcmon.statistics.drift import DriftParameters
from dcmon.statistics.intervals import LEVEL, Interval
from dcmon.statistics.noise import Noise
from dcmon.statistics.outputs import OutputSides

_KOLMOGOROV_SMIRNOV, _CRAMERS_V = ("ks", "kolmogorov-smirnov"), ("cramer_v", "cramers_v")


def feature_intervals(
    current: Rows, compared: Rows, values: Mapping[str, float | None], parameters: DriftParameters
) -> dict[str, Interval]:
    """Return the intervals of the drifts of numeric features; other distances have none."""
    names = [
        name
        for name, value in values.items()
        if value is not None and isinstance(current.features[name], NumericColumn)
    ]
    if not names or not _is_kolmogorov_smirnov(parameters):
        return {}
    distances = [values[name] for name in names]
    n, m = ([rows.n - rows.features[name].n_null for name in names] for rows in (compared, current))
    low, high = intervals.kolmogorov_smirnov(np.array(distances, float), n, m)
    return {name: Interval(*limits) for name, *limits in zip(names, low, high, strict=True)}


def feature_noise(
    current: Rows, compared: Rows, names: Sequence[str], parameters: DriftParameters, level: float = LEVEL
) -> dict[str, float]:
    """Return the noise of the drift of each feature, for the distances whose noise is known."""
    known = {}
    for name in names:
        before, now = compared.features[name], current.features[name]
        if isinstance(before, NumericColumn) and isinstance(now, NumericColumn):
            known[name] = numeric_noise(compared.n - before.n_null, current.n - now.n_null, parameters, level)
        elif isinstance(before, CountedColumn) and isinstance(now, CountedColumn):
            counts = [
                column.counts if parameters.ignore_na is not False else column.counts_with_null
                for column in (before, now)
            ]
            known[name] = categorical_noise(counts[0], counts[1], parameters, level)
    return {name: values.usual for name, values in known.items() if values is not None}


def numeric_interval(value: float, n_compared: int, n_current: int, parameters: DriftParameters) -> Interval | None:
    """Return the interval of the drift of numbers; None for the earth mover's distance."""
    if not _is_kolmogorov_smirnov(parameters):
        return None
    return intervals.kolmogorov_smirnov(value, n_compared, n_current)


def numeric_noise(n_compared: int, n_current: int, parameters: DriftParameters, level: float = LEVEL) -> Noise | None:
    """Return the noise of the drift of numbers; None for the earth mover's distance."""
    if not _is_kolmogorov_smirnov(parameters) or not min(n_compared, n_current):
        return None
    return noise.kolmogorov_smirnov(n_compared, n_current, level)


def categorical_noise(
    compared: Counts, current: Counts, parameters: DriftParameters, level: float = LEVEL
) -> Noise | None:
    """Return the noise of the drift of categories; None for balanced classes."""
    if parameters.balance_classes is True or not compared or not current:
        return None
    first, second = aligned_counts(compared, current, parameters.category_rules)
    if not first.sum() or not second.sum():
        return None
    method = parameters.categorical_drift_method.lower()
    if method in _CRAMERS_V:
        return noise.cramers_v(first, second, level)
    if method == "psi":
        return noise.population_stability_index(sum(compared.values()), sum(current.values()), len(first), level)
    return None


def output_interval(value: float, sides: OutputSides, parameters: DriftParameters) -> Interval | None:
    """Return the interval of the drift of labels or predictions that are numbers; None for classes."""
    if not isinstance(sides.compared, NumericColumn):
        return None
    return numeric_interval(value, int(sides.is_compared.sum()), int(sides.is_current.sum()), parameters)


def output_noise(sides: OutputSides, parameters: DriftParameters) -> Noise | None:
    """Return the noise of the drift of labels or predictions."""
    if isinstance(sides.compared, ClassColumn) and isinstance(sides.current, ClassColumn):
        before, now = sides.compared.counts(sides.is_compared), sides.current.counts(sides.is_current)
        return categorical_noise(before, now, parameters)
    return numeric_noise(int(sides.is_compared.sum()), int(sides.is_current.sum()), parameters)


def _is_kolmogorov_smirnov(parameters: DriftParameters) -> bool:
    return parameters.numerical_drift_method.lower() in _KOLMOGOROV_SMIRNOV
