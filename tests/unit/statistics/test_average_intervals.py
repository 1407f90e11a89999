"""Intervals of averages over classes: the variance of the delta method."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings

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
    """That of a mean contains it; a weighted recall is an exception."""
    assume(not is_weighted or ratio not in (Ratio.RECALL, Ratio.FALSE_NEGATIVE_RATE))
    k = len(table)
    smoothed = table + 1 / k**2
    value, near = (_average(counts, ratio, is_weighted) for counts in (table, smoothed))
    variance, degrees = _numeric_variance(smoothed, ratio, is_weighted)
    n = near * (1 - near) / variance
    expected = intervals.share_of_effective_rows(value, n, degrees if is_weighted else np.inf)
    if is_weighted:
        assert np.allclose(average_intervals.weighted(table, ratio), expected, atol=1e-5)
    else:
        assert np.allclose(average_intervals._average(table, ratio, 0.95, is_weighted=False), expected, atol=1e-5)
        low, high = average_intervals.macro(table, ratio)
        assert low <= expected.low + 1e-5
        assert high >= expected.high - 1e-5


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


@given(TABLES)
@settings(max_examples=examples(50))
def test_weighted_recall_has_the_interval_of_the_accuracy(table: np.ndarray) -> None:
    low, high = intervals.share(np.trace(table), table.sum())
    assert average_intervals.weighted(table, Ratio.RECALL) == (low, high)
    assert average_intervals.weighted(table, Ratio.FALSE_NEGATIVE_RATE) == pytest.approx((1 - high, 1 - low))


@given(TABLES, st.sampled_from(Ratio))
@settings(max_examples=examples(50))
def test_correlation_of_classes_is_that_of_the_delta_method(table: np.ndarray, ratio: Ratio) -> None:
    smoothed = table + 1 / len(table) ** 2
    changes = np.zeros((len(table), *table.shape))
    for cell in np.ndindex(*table.shape):
        step = np.zeros_like(table)
        step[cell] = 1e-4
        changes[:, *cell] = (_score(smoothed + step, ratio) - _score(smoothed - step, ratio)) / 2e-4
    changes, rows = changes.reshape(len(table), -1), smoothed.ravel()
    sums = changes @ rows
    covariance = (changes * rows) @ changes.T - np.outer(sums, sums) / rows.sum()
    deviations = np.sqrt(np.diag(covariance))
    found = average_intervals._correlation(table, ratio)
    assert np.allclose(found, covariance / np.outer(deviations, deviations), atol=1e-4)


def test_mean_recall_of_two_classes_has_the_interval_of_both() -> None:
    """Recalls of two classes do not depend on each other: their distances to the limits add up like errors."""
    table = np.array([[70.0, 10.0], [6.0, 14.0]])
    first, second = intervals.share(70, 80), intervals.share(14, 20)
    value = (70 / 80 + 14 / 20) / 2
    low, high = average_intervals.macro(table, Ratio.RECALL)
    assert low <= value - np.hypot(70 / 80 - first.low, 14 / 20 - second.low) / 2 + 1e-12
    assert high >= value + np.hypot(first.high - 70 / 80, second.high - 14 / 20) / 2 - 1e-12


def test_class_without_a_score_gives_no_interval() -> None:
    """No label of a class: its recall is not known. Labels, but no prediction: its precision."""
    no_label = np.array([[50.0, 5.0, 5.0], [5.0, 50.0, 5.0], [0.0, 0.0, 0.0]])
    assert np.isnan(average_intervals.macro(no_label, Ratio.RECALL)).all()
    assert not np.isnan(average_intervals.macro(no_label, Ratio.PRECISION)).any()
    assert np.isnan(average_intervals.macro(no_label.T, Ratio.PRECISION)).all()


def test_few_rows_a_class_give_no_interval() -> None:
    table = np.array([[8.0, 1.0, 1.0], [1.0, 8.0, 1.0], [1.0, 1.0, 7.0]])
    for function in (average_intervals.macro, average_intervals.weighted):
        assert np.isnan(function(table, Ratio.PRECISION)).all()
        assert not np.isnan(function(table + np.eye(3), Ratio.PRECISION)).any()


def test_tables_of_many_windows_have_their_own_intervals() -> None:
    tables = np.random.default_rng(1).integers(10, 50, (7, 3, 3)).astype(float)
    low, _ = average_intervals.macro(tables, Ratio.F1)
    assert low.tolist() == [pytest.approx(float(average_intervals.macro(table, Ratio.F1).low)) for table in tables]


def test_balanced_accuracy_is_the_mean_recall() -> None:
    table = np.array([[80.0, 20.0], [10.0, 40.0]])
    assert average_intervals.balanced_accuracy(table) == average_intervals.macro(table, Ratio.RECALL)
