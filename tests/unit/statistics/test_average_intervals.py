"""Intervals of averages over classes: the variance of the delta method."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from dcmon.statistics import average_intervals, intervals
from dcmon.statistics.average_intervals import Ratio
from tests.helpers.examples import examples

TABLES = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.integers(0, 60), min_size=k * k, max_size=k * k).map(
        lambda counts: np.array(counts, float).reshape(k, k) + 12 * np.eye(k)
    )
)


def _score(table: np.ndarray, ratio: Ratio) -> np.ndarray:
    """Return a score of each class, by its textbook formula."""
    tp, labels, predictions = np.diag(table), table.sum(1), table.sum(0)
    fp, fn = predictions - tp, labels - tp
    tn = table.sum() - tp - fp - fn
    return {
        Ratio.PRECISION: tp / (tp + fp), Ratio.RECALL: tp / (tp + fn), Ratio.F1: 2 * tp / (2 * tp + fp + fn),
        Ratio.JACCARD: tp / (tp + fp + fn), Ratio.FALSE_POSITIVE_RATE: fp / (fp + tn),
        Ratio.FALSE_NEGATIVE_RATE: fn / (fn + tp), Ratio.TRUE_NEGATIVE_RATE: tn / (tn + fp),
    }[ratio]  # fmt: skip


def _average(table: np.ndarray, ratio: Ratio, is_weighted: bool) -> float:
    return float(np.average(_score(table, ratio), weights=table.sum(1) if is_weighted else None))


def _numeric_variance(table: np.ndarray, ratio: Ratio, is_weighted: bool) -> tuple[float, float]:
    """Return variance and degrees of freedom of the delta method, with derivatives taken by small steps."""
    gradient = np.zeros_like(table)
    for cell in np.ndindex(*table.shape):
        step = np.zeros_like(table)
        step[cell] = 1e-4
        gradient[cell] = (
            _average(table + step, ratio, is_weighted) - _average(table - step, ratio, is_weighted)
        ) / 2e-4
    second = (table * gradient**2).sum()
    degrees = second**2 / (table * gradient**4).sum() - 1
    return float(second - (table * gradient).sum() ** 2 / table.sum()), float(degrees)


@given(TABLES, st.sampled_from(Ratio), st.booleans())
@settings(max_examples=examples(100))
def test_variance_is_that_of_the_delta_method(table: np.ndarray, ratio: Ratio, is_weighted: bool) -> None:
    k = len(table)
    smoothed = table + 1 / k**2
    value, near = (_average(counts, ratio, is_weighted) for counts in (table, smoothed))
    variance, degrees = _numeric_variance(smoothed, ratio, is_weighted)
    n = near * (1 - near) / variance
    expected = intervals.share_of_effective_rows(value, n, degrees if is_weighted else np.inf)
    function = average_intervals.weighted if is_weighted else average_intervals.macro
    assert np.allclose(function(table, ratio), expected, atol=1e-5)


@given(TABLES, st.sampled_from(Ratio))
@settings(max_examples=examples(100))
def test_average_is_in_its_interval(table: np.ndarray, ratio: Ratio) -> None:
    low, high = average_intervals.macro(table, ratio)
    assert 0 <= low <= _average(table, ratio, is_weighted=False) + 1e-12
    assert _average(table, ratio, is_weighted=False) - 1e-12 <= high <= 1


@given(TABLES, st.sampled_from(Ratio))
@settings(max_examples=examples(100))
def test_sums_over_classes_are_in_the_micro_interval(table: np.ndarray, ratio: Ratio) -> None:
    """The micro average by its definition, from the sums of TP, FP, FN and TN."""
    k, n, right = len(table), int(table.sum()), int(np.trace(table))
    summed = np.array([[right, n - right], [n - right, (k - 1) * n - (n - right)]], float)
    value = float(_score(summed, ratio)[0])
    low, high = average_intervals.micro(right, n, k, ratio)
    assert low <= value + 1e-12
    assert value - 1e-12 <= high


def test_micro_recall_is_accuracy() -> None:
    assert average_intervals.micro(80, 100, 3, Ratio.RECALL) == intervals.share(80, 100)


def test_class_with_few_rows_gives_no_interval() -> None:
    """Nine labels of a class say too little of its recall."""
    table = np.array([[50.0, 5.0, 5.0], [5.0, 50.0, 5.0], [2.0, 2.0, 5.0]])
    assert np.isnan(average_intervals.macro(table, Ratio.RECALL)).all()


def test_tables_of_many_windows_have_their_own_intervals() -> None:
    tables = np.random.default_rng(1).integers(10, 50, (7, 3, 3)).astype(float)
    low, _ = average_intervals.macro(tables, Ratio.F1)
    assert low.tolist() == [pytest.approx(float(average_intervals.macro(table, Ratio.F1).low)) for table in tables]


def test_balanced_accuracy_is_the_mean_recall() -> None:
    table = np.array([[80.0, 20.0], [10.0, 40.0]])
    assert average_intervals.balanced_accuracy(table) == average_intervals.macro(table, Ratio.RECALL)
