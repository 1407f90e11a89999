"""Intervals of scores by name, where the rows decide whether there is one."""

from collections.abc import Sequence

import numpy as np
import pytest

from dcmon.statistics import area_intervals, intervals
from dcmon.statistics.columns import ClassColumn, NumericColumn, Rows
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.intervals import Interval
from dcmon.statistics.score_intervals import class_score_interval, regression_score_interval
from dcmon.statistics.scorers import regression_score


def binary(probabilities: Sequence[float], labels: Sequence[int]) -> ClassifiedRows:
    vectors = np.column_stack((1 - np.array(probabilities), probabilities))
    columns = ClassColumn(np.array(labels), ("no", "yes")), ClassColumn(vectors.argmax(axis=1), ("no", "yes"))
    return ClassifiedRows(Rows(len(labels), {}, *columns, vectors), ("no", "yes"), uses_probabilities=True)


def test_log_loss_of_rounded_probabilities_has_no_interval() -> None:
    """A probability of 0 loses 36 if it is wrong: the next window may have such a row where this one has none."""
    probabilities, labels = [0.2, 0.9, 0.6] * 10, [0, 1, 0] * 10
    interval = class_score_interval("neg_log_loss", binary(probabilities, labels))
    assert isinstance(interval, Interval)
    assert interval.low < interval.high < 0
    assert class_score_interval("neg_log_loss", binary([*probabilities, 0.0], [*labels, 0])) is None
    assert class_score_interval("neg_brier_score", binary([*probabilities, 0.0], [*labels, 0])) is not None


@pytest.mark.parametrize(
    "name",
    [
        *("mse", "rmse", "mae", "r2", "explained_variance", "neg_median_absolute_error"),
        *("neg_mean_squared_log_error", "neg_mean_poisson_deviance", "neg_mean_gamma_deviance"),
    ],
)
def test_score_of_numbers_is_in_its_interval(name: str) -> None:
    generator = np.random.default_rng(1)
    predictions = generator.gamma(4, 1, 200) + 0.2
    labels = predictions * generator.gamma(9, 1 / 9, 200)
    rows = Rows(200, {}, NumericColumn(labels), NumericColumn(predictions))
    interval = regression_score_interval(name, rows)
    assert interval is not None
    assert interval.low < regression_score(name, rows) < interval.high


def test_explained_variance_ignores_what_errors_have_in_common() -> None:
    generator = np.random.default_rng(1)
    labels, predictions = generator.normal(size=(2, 100))
    sides = [Rows(100, {}, NumericColumn(labels), NumericColumn(predictions + moved)) for moved in (0.0, 7.0)]
    first, second = (regression_score_interval("explained_variance", rows) for rows in sides)
    assert first is not None
    assert np.allclose(first, second)


def test_mean_area_of_few_wrong_rows_is_not_the_mean_of_limits() -> None:
    """Areas of classes do not move together: the mean of their limits would be too wide."""
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 3, 90)
    scores = np.exp(generator.normal(size=(90, 3)) + 3.0 * np.eye(3)[labels])
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    low, high = area_intervals.mean_roc_auc(labels, probabilities, np.full(3, 1 / 3), intervals.LEVEL)
    of_classes = [area_intervals.roc_auc(labels == index, probabilities[:, index]) for index in range(3)]
    mean_low, mean_high = np.mean(of_classes, axis=0)
    assert mean_low < low < high <= mean_high
