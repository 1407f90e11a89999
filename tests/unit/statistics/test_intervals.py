"""Intervals of shares, F1, means of errors, R2 and the Kolmogorov-Smirnov distance."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from dcmon.statistics import intervals
from tests.helpers.examples import examples

COUNTS = st.integers(1, 2_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0)],
)
def test_interval_of_a_share_is_wilsons(count: int, n: int, low: float, high: float) -> None:
    """The examples of Newcombe, Two-sided confidence intervals for the single proportion, 1998, method 3."""
    assert [float(limit) for limit in intervals.share(count, n)] == pytest.approx([low, high], abs=5e-5)


def test_limit_near_a_rare_count_is_poissons() -> None:
    """Of 1 in 29 Wilson's lower limit, 0.0061, would be too high; the upper one stays."""
    low, high = intervals.share(1, 29)
    assert low == pytest.approx(0.051293 / 29, abs=1e-6)
    assert high == pytest.approx(0.1718, abs=5e-5)


def test_share_of_no_rows_has_no_interval() -> None:
    assert np.isnan(intervals.share(0, 0)).all()


@given(COUNTS)
@settings(max_examples=examples(200))
def test_share_is_in_its_interval(counts: tuple[int, int]) -> None:
    count, n = counts
    low, high = intervals.share(count, n)
    assert 0 <= low <= count / n <= high <= 1


@given(COUNTS)
@settings(max_examples=examples(200))
def test_share_of_the_other_rows_has_the_mirrored_interval(counts: tuple[int, int]) -> None:
    count, n = counts
    low, high = intervals.share(count, n)
    assert [float(limit) for limit in intervals.share(n - count, n)] == pytest.approx([1 - float(high), 1 - float(low)])


@given(COUNTS)
@settings(max_examples=examples(100))
def test_higher_level_has_a_wider_interval(counts: tuple[int, int]) -> None:
    wide, narrow = intervals.share(*counts, level=0.99), intervals.share(*counts, level=0.9)
    assert wide.low <= narrow.low + 1e-12
    assert narrow.high <= wide.high + 1e-12


def test_arrays_of_counts_have_arrays_of_limits() -> None:
    low, high = intervals.share([[1, 50], [99, 0]], 100)
    assert low.shape == high.shape == (2, 2)
    assert float(low[0, 1]) == float(intervals.share(50, 100).low)


@given(st.integers(0, 500), st.integers(0, 500))
@settings(max_examples=examples(200))
def test_f1_is_in_its_interval(true_positives: int, wrong: int) -> None:
    low, high = intervals.f1(true_positives, wrong)
    if true_positives + wrong == 0:
        assert np.isnan([low, high]).all()
        return
    assert 0 <= low <= 2 * true_positives / (2 * true_positives + wrong) <= high <= 1


def test_share_of_whole_effective_rows_is_wilsons() -> None:
    assert np.allclose(intervals.share_of_effective_rows(0.3, 1000), intervals.share(300, 1000))


@given(st.lists(st.floats(0, 1e6), min_size=10, max_size=60), st.floats(1e-3, 1e3))
@example([0.0] * 9 + [6.407283402036719e-83], 1.0)
@settings(max_examples=examples(200))
def test_mean_of_losses_is_in_its_interval_in_any_unit(losses: list[float], unit: float) -> None:
    """A label in other units has the same interval in these units."""
    values = np.array(losses)
    low, high = intervals.mean_loss(values)
    if values.mean() < 1e-100:
        return
    assert 0 <= low <= values.mean() * (1 + 1e-12)
    assert values.mean() * (1 - 1e-12) <= high
    assert np.allclose(np.array(intervals.mean_loss(values * unit)), np.array([low, high]) * unit, rtol=1e-6)


def test_one_large_error_has_a_wide_interval() -> None:
    """The variance is then known from one row, so that few degrees of freedom are left."""
    even, odd = np.full(1000, 1.0) + np.arange(1000) % 2, np.ones(1000)
    odd[0] = 1000.0
    ratios = [float(high / low) for low, high in map(intervals.mean_loss, (even, odd))]
    assert ratios[0] < 1.1
    assert ratios[1] > 10


@pytest.mark.parametrize("errors", [np.zeros(50), np.ones(9)])
def test_no_error_or_few_rows_have_no_interval(errors: np.ndarray) -> None:
    assert np.isnan(intervals.root_mean_square(errors)).all()


def test_interval_of_the_rmse_is_the_root_of_that_of_the_mse() -> None:
    errors = np.random.default_rng(1).normal(size=200)
    assert np.allclose(intervals.root_mean_square(errors), np.sqrt(intervals.mean_loss(errors**2)))


def test_r2_is_in_its_interval_for_each_series() -> None:
    generator = np.random.default_rng(1)
    predictions = generator.normal(size=(50, 200))
    labels = predictions + generator.normal(size=(50, 200))
    value = 1 - ((labels - predictions) ** 2).sum(1) / ((labels - labels.mean(1, keepdims=True)) ** 2).sum(1)
    low, high = intervals.r2(labels, predictions)
    assert (low < value).all()
    assert (value < high).all()
    assert (high < 1).all()


@pytest.mark.parametrize(("labels", "predictions"), [([1.0] * 20, [2.0] * 20), ([1.0, 2.0] * 10, [1.0, 2.0] * 10)])
def test_r2_of_equal_labels_or_no_error_has_no_interval(labels: list[float], predictions: list[float]) -> None:
    assert np.isnan(intervals.r2(np.array(labels), np.array(predictions))).all()


@given(st.floats(0, 1), st.integers(10, 20_000), st.integers(10, 20_000))
@settings(max_examples=examples(200))
def test_distance_is_in_its_interval_on_either_side(distance: float, n: int, m: int) -> None:
    low, high = intervals.kolmogorov_smirnov(distance, n, m)
    assert 0 <= low <= distance <= high <= 1
    assert np.allclose(intervals.kolmogorov_smirnov(distance, m, n), (low, high))


def test_distance_above_the_test_value_excludes_zero() -> None:
    """The two-sided 5 % test of Kolmogorov and Smirnov rejects above 1.358 sqrt(1/n + 1/m)."""
    critical = 1.3581 * np.sqrt(1 / 500 + 1 / 5000)
    low, _ = intervals.kolmogorov_smirnov([critical * 0.999, critical * 1.001], 500, 5000)
    assert low[0] == 0
    assert low[1] > 0


def test_median_lies_between_two_of_the_numbers() -> None:
    """Of 1 to 100: the ranks (100 -+ 1.96 * 10) / 2 are 40.2 and 59.8, rounded outwards 40 and 61."""
    values = np.random.default_rng(1).permutation(np.arange(1.0, 101.0))
    assert [float(limit) for limit in intervals.median(values)] == [40, 61]
    both = intervals.median(np.array([values, values + 1]))
    assert both.low.tolist() == [40, 41]
    assert np.isnan(intervals.median(np.arange(9.0))).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=60))
@settings(max_examples=examples(100))
def test_median_is_in_its_interval(values: list[float]) -> None:
    low, high = intervals.median(np.array(values))
    assert min(values) <= low <= np.median(values) <= high <= max(values)
