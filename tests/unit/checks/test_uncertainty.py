"""Values of checks have intervals and noise, by the names of metrics and entries."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dcmon.checks.catalogue import for_config
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.defaults import for_task
from dcmon.checks.runner import run
from dcmon.statistics import intervals, noise
from dcmon.statistics.scorer_names import scorers
from tests.helpers.check_rows import IMPORTANCE, TASKS, make_layout, make_rows
from tests.helpers.packed_rows import decoded

N, N_REFERENCE = 800, 2_000
# Scorers without a closed form of their interval.
WITHOUT_INTERVAL = ("average_precision", "max_error", "deepchecks_")


def value(
    class_name: str, task: str, params: dict[str, Any] | None = None, *, current: pd.DataFrame | None = None,
    importance: dict[str, float] | None = None,
) -> CheckValue:  # fmt: skip
    layout = make_layout(task, importance)
    rows = [make_rows(task, N, 8) if current is None else current, make_rows(task, N_REFERENCE, 1)]
    kind = for_config("deepchecks.tabular.checks", class_name)
    window, reference = (decoded(side, layout) for side in rows)
    return run(CheckSetup(kind, params or {}, {}, layout), window, reference if kind.needs_reference else None)


@pytest.mark.parametrize(
    ("task", "scorer"),
    [(task, scorer) for task in TASKS for scorer in scorers(task) if not scorer.startswith(WITHOUT_INTERVAL)],
)
def test_score_is_in_its_interval(task: str, scorer: str) -> None:
    """Each scorer that has a closed form has the interval of each of its metrics."""
    result = value("SingleDatasetPerformance", task, {"scorers": [scorer]})
    assert result.metrics.keys() == result.intervals.keys()
    for name, (low, high) in result.intervals.items():
        assert low < result.metrics[name] < high, name


def test_accuracy_has_wilsons_interval() -> None:
    rows = make_rows("binary", N, 8)
    n_right = int((rows["_dc_label"] == rows["_dc_prediction"]).sum())
    result = value("SingleDatasetPerformance", "binary", {"scorers": ["accuracy"]}, current=rows)
    assert result.intervals["accuracy"] == pytest.approx([float(end) for end in intervals.share(n_right, N)], rel=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("class_name", [check.kind.class_name for check in for_task("binary")])
def test_interval_belongs_to_a_metric_or_entry_and_has_it_inside(task: str, class_name: str) -> None:
    result = value(class_name, task)
    numbers = {**result.entries, **result.metrics}
    assert {*result.intervals, *result.noise} <= numbers.keys()
    for name, (low, high) in result.intervals.items():
        assert low <= numbers[name] <= high, name
    assert all(np.isfinite(number) and number >= 0 for number in result.noise.values())


def test_drift_of_each_feature_has_its_noise() -> None:
    """Numbers have an interval too; the noise knows how many rows have a value."""
    rows = make_rows("binary", N, 8)
    result = value("FeatureDrift", "binary", current=rows)
    n, n_reference = (int(side["amount"].notna().sum()) for side in (rows, make_rows("binary", N_REFERENCE, 1)))
    assert result.noise.keys() == {*result.entries, *result.metrics}
    assert result.noise["amount"] == pytest.approx(noise.kolmogorov_smirnov(n_reference, n).usual, rel=1e-5)
    assert result.intervals.keys() == {"age", "amount", "big"}


@pytest.mark.parametrize("method", ["mean", "max", "weighted", "l3_weighted", "none"])
def test_aggregate_of_drift_has_noise(method: str) -> None:
    """The largest of several drifts has more noise than each of them, a mean at most the largest noise."""
    result = value("FeatureDrift", "binary", {"aggregation_method": method}, importance=IMPORTANCE)
    of_features = [result.noise[name] for name in result.entries]
    of_metrics = [result.noise[name] for name in result.metrics]
    if method == "max":
        assert of_metrics[0] > max(of_features)
    else:
        assert max(of_metrics) <= max(of_features) + 1e-9


def test_aggregate_of_one_feature_has_its_interval() -> None:
    result = value("FeatureDrift", "binary", {"columns": ["amount"]})
    name = next(iter(result.metrics))
    assert result.intervals[name] == result.intervals["amount"]
    assert value("PercentOfNulls", "binary", {"columns": ["amount"]}).intervals.keys() == {"amount", "Max Null Ratio"}


@pytest.mark.parametrize(
    "params",
    [{"numerical_drift_method": "EMD", "categorical_drift_method": "PSI"}, {"categorical_drift_method": "PSI"}],
)
def test_distance_without_a_known_noise_has_none(params: dict[str, Any]) -> None:
    """The earth mover's distance depends on the values; the aggregate with it has no noise either."""
    result = value("FeatureDrift", "binary", params)
    is_unknown = "numerical_drift_method" in params
    assert ("amount" in result.noise) == (not is_unknown)
    assert ("city" in result.noise) is True
    assert (next(iter(result.metrics)) in result.noise) == (not is_unknown)


def test_same_rows_have_a_drift_below_the_noise() -> None:
    rows = make_rows("multiclass", N_REFERENCE, 1)
    for class_name in ("FeatureDrift", "LabelDrift", "PredictionDrift"):
        result = value(class_name, "multiclass", current=rows)
        assert all(result.metrics[name] < result.noise[name] for name in result.metrics)


@pytest.mark.parametrize("method", ["max", "mean", "weighted", "none"])
def test_drift_of_probabilities_has_noise_by_class(method: str) -> None:
    params = {"drift_mode": "proba", "aggregation_method": method}
    result = value("PredictionDrift", "multiclass", params)
    assert result.noise.keys() == {*result.entries, *result.metrics}
    assert result.intervals.keys() == {*result.entries, *(result.metrics if method == "none" else ())}


def test_balanced_classes_have_no_noise() -> None:
    """All classes then have the same weight, for any number of rows."""
    result = value("LabelDrift", "binary", {"balance_classes": True})
    assert result.noise == {}


def test_check_that_counts_has_no_interval() -> None:
    """The number of rows with new labels is exact."""
    result = value("NewLabelTrainTest", "multiclass")
    assert result.metrics
    assert (result.intervals, result.noise) == ({}, {})
