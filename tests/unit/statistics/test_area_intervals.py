"""Intervals of the area under the ROC curve: DeLong's variance, and areas near 1."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from dcmon.statistics import area_intervals, intervals
from dcmon.statistics.area_intervals import _area
from tests.helpers.examples import examples

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=8, max_size=40).filter(
    lambda rows: 2 <= sum(positive for positive, _ in rows) <= len(rows) - 2
)


def _delong(is_positive: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Return the area and DeLong's variance by comparing each positive row with each negative one."""
    kernel = np.array([
        [float(positive > negative) + 0.5 * float(positive == negative) for negative in scores[~is_positive]]
        for positive in scores[is_positive]
    ])  # fmt: skip
    of_positive, of_negative = kernel.mean(1), kernel.mean(0)
    variance = of_positive.var(ddof=1) / len(of_positive) + of_negative.var(ddof=1) / len(of_negative)
    return float(kernel.mean()), float(variance)


def _normal_scores(n_positive: int, n_negative: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    is_positive = np.arange(n_positive + n_negative) < n_positive
    return is_positive, np.random.default_rng(1).normal(size=len(is_positive)) + distance * is_positive


@given(ROWS)
@settings(max_examples=examples(200))
def test_variance_is_delongs_also_with_ties(rows: list[tuple[bool, int]]) -> None:
    is_positive, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], float)
    area = _area(is_positive, scores)
    assert (area.value, (area.deviations**2).sum()) == pytest.approx(_delong(is_positive, scores), abs=1e-12)


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.5, 3.0, 5.0])
@pytest.mark.parametrize("n_positive", [10, 30, 300])
def test_area_is_in_its_interval(distance: float, n_positive: int) -> None:
    is_positive, scores = _normal_scores(n_positive, 700, distance)
    low, high = area_intervals.roc_auc(is_positive, scores)
    assert 0 < low <= _delong(is_positive, scores)[0] <= high <= 1


def test_interval_of_the_reversed_scores_is_mirrored() -> None:
    is_positive, scores = _normal_scores(200, 300, 1.0)
    low, high = area_intervals.roc_auc(is_positive, -scores)
    assert np.allclose(area_intervals.roc_auc(is_positive, scores), (1 - high, 1 - low))


def test_area_of_one_has_a_lower_limit() -> None:
    """DeLong's variance is 0 then; of 30 positive rows up to about a tenth may still be worse."""
    is_positive = np.arange(300) < 30
    low, high = area_intervals.roc_auc(is_positive, is_positive.astype(float))
    assert 0.85 < low < 0.99
    assert high == 1


def test_class_with_nine_rows_gives_no_interval() -> None:
    is_positive = np.arange(1000) < 9
    assert np.isnan(area_intervals.roc_auc(is_positive, np.arange(1000.0))).all()


def _multiclass(n: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, n)
    scores = generator.normal(size=(n, 3)) + 1.2 * np.eye(3)[labels]
    probabilities = np.exp(scores)
    return labels, probabilities / probabilities.sum(1, keepdims=True)


def test_mean_area_has_a_narrower_interval_than_its_classes() -> None:
    labels, probabilities = _multiclass(900)
    mean = area_intervals.mean_roc_auc(labels, probabilities, np.full(3, 1 / 3), intervals.LEVEL)
    widths = [np.ptp(area_intervals.roc_auc(labels == index, probabilities[:, index])) for index in range(3)]
    assert 0 < np.ptp(mean) < min(widths)


def test_mean_area_with_all_weight_on_a_class_is_its_area() -> None:
    labels, probabilities = _multiclass(900)
    mean = area_intervals.mean_roc_auc(labels, probabilities, np.array([0.0, 1.0, 0.0]), intervals.LEVEL)
    assert np.allclose(mean, area_intervals.roc_auc(labels == 1, probabilities[:, 1]), atol=2e-4)


def test_mean_area_near_one_has_the_mean_limits_of_its_classes() -> None:
    labels = np.arange(90) % 3
    mean = area_intervals.mean_roc_auc(labels, np.eye(3)[labels], np.full(3, 1 / 3), intervals.LEVEL)
    assert np.allclose(mean, area_intervals.roc_auc(labels == 0, (labels == 0).astype(float)))


def test_mean_area_with_a_rare_class_has_no_interval() -> None:
    labels, probabilities = _multiclass(300)
    labels[labels == 2] = 0
    assert np.isnan(area_intervals.mean_roc_auc(labels, probabilities, np.full(3, 1 / 3), intervals.LEVEL)).all()
