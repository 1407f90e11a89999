"""How sure the values of checks on features, labels and predictions are: intervals, and the noise without drift."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dcmon.checks.check_run import Reduced
from dcmon.statistics import drift_uncertainty, intervals, noise
from dcmon.statistics.columns import Rows
from dcmon.statistics.drift import DriftParameters
from dcmon.statistics.features import Values
from dcmon.statistics.intervals import Interval
from dcmon.statistics.outputs import OutputSides, ProbabilityDrift

Aggregate = Callable[[Values], Mapping[str, float | None]]


def with_share_intervals(reduced: Reduced, n: int) -> Reduced:
    """Add the intervals of shares of n rows; an aggregate of several features has none."""
    names = list(reduced.entries)
    low, high = intervals.share(np.round(np.array([reduced.entries[name] for name in names], float) * n), n)
    by_name = {name: Interval(*limits) for name, *limits in zip(names, low, high, strict=True)}
    return replace(reduced, intervals=by_name | _of_only(reduced, by_name))


def with_drift_uncertainty(
    reduced: Reduced, current: Rows, compared: Rows, parameters: DriftParameters, aggregate: Aggregate
) -> Reduced:
    """Add the intervals and the noise of the drift of features, and the noise of the aggregate.

    The noise of an aggregate is the aggregate of the features' noise, as if all features moved together: with many
    features that don't, a mean stays below it. The noise of the largest drift is at a level that none of the features
    exceeds in 95 of 100 windows.
    """
    values = {name: value for name, value in reduced.entries.items() if value is not None}
    by_name = drift_uncertainty.feature_intervals(current, compared, values, parameters)
    levels = drift_uncertainty.feature_noise(current, compared, list(values), parameters)
    with_intervals = by_name | _of_only(reduced, by_name)
    if len(levels) < len(values):
        return replace(reduced, intervals=with_intervals, noise=levels)
    of_features = levels
    if _is_largest(reduced):
        level = noise.level_per_value(len(values))
        of_features = drift_uncertainty.feature_noise(current, compared, list(values), parameters, level)
    aggregated = aggregate({name: of_features.get(name) for name in reduced.entries})
    known = {name: number for name, number in aggregated.items() if number is not None}
    return replace(reduced, intervals=with_intervals, noise=levels | known)


def with_output_uncertainty(reduced: Reduced, sides: OutputSides, parameters: DriftParameters) -> Reduced:
    """Add the interval and the noise of the drift of labels or predictions, the only metric."""
    name, value = next(iter(reduced.metrics.items()))
    interval = drift_uncertainty.output_interval(value, sides, parameters)
    level = drift_uncertainty.output_noise(sides, parameters)
    return replace(
        reduced,
        intervals={} if interval is None else {name: interval},
        noise={} if level is None else {name: level.usual},
    )


def with_probability_uncertainty(reduced: Reduced, drifts: ProbabilityDrift, parameters: DriftParameters) -> Reduced:
    """Add the intervals and the noise of the drift of probabilities by class; of an aggregate only the noise."""
    sizes = drifts.n_compared, drifts.n_current
    level = drift_uncertainty.numeric_noise(*sizes, parameters)
    if level is None:
        return reduced
    limits = {name: intervals.kolmogorov_smirnov(value, *sizes) for name, value in drifts.values.items()}
    # One class, or no aggregation: the metrics are those of the classes, in the same order.
    has_all = len(reduced.metrics) == len(limits)
    of_metrics = dict(zip(reduced.metrics, limits.values(), strict=True)) if has_all else {}
    of_metric = level
    if _is_largest(reduced):
        of_metric = drift_uncertainty.numeric_noise(*sizes, parameters, noise.level_per_value(len(limits))) or level
    levels = dict.fromkeys(drifts.values, level.usual) | dict.fromkeys(reduced.metrics, of_metric.usual)
    return replace(reduced, intervals=limits | of_metrics, noise=levels)


def _is_largest(reduced: Reduced) -> bool:
    return set(reduced.metrics) == {"Max Drift Score"}


def _of_only(reduced: Reduced, by_name: Mapping[str, Interval]) -> dict[Any, Interval]:
    """Return the interval of an aggregate of one feature, which is that of the feature."""
    known = [name for name, value in reduced.entries.items() if value is not None]
    if len(known) != 1 or len(reduced.metrics) != 1 or known[0] not in by_name:
        return {}
    return dict.fromkeys(reduced.metrics, by_name[known[0]])
