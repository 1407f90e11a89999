"""The noise of distances, and limits that noise exceeds as seldom as they say."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from dcmon.statistics import noise
from dcmon.statistics.noise import ErrorBudget, Share
from dcmon.statistics.numeric_drift import kolmogorov_smirnov
from tests.helpers.examples import examples

SIZES = st.integers(20, 100_000)
LOOSE = ErrorBudget(1, 0.05)
SHARES = st.integers(1, 10_000).flatmap(lambda n: st.builds(Share, st.integers(0, n), st.just(n)))


def test_noise_of_the_distance_of_numbers_is_smirnovs() -> None:
    """1.358 and 0.8687 are the 95 % quantile and the mean of Kolmogorov's distribution."""
    values = noise.kolmogorov_smirnov(1000, 1000)
    assert values.usual == pytest.approx(1.3581 * (2 / 1000) ** 0.5, abs=1e-5)
    assert values.expected == pytest.approx(0.8687 * (2 / 1000) ** 0.5, abs=1e-5)


def test_noise_of_the_index_is_a_scaled_chi_squared() -> None:
    assert noise.population_stability_index(1000, 250, 2) == pytest.approx((0.005, 0.005 * 3.8415), rel=1e-4)


def test_noise_of_one_category_is_zero() -> None:
    assert noise.population_stability_index(100, 100, 1) == (0, 0)
    assert noise.cramers_v(np.array([100.0]), np.array([50.0])) == (0, 0)


@given(SIZES, SIZES, st.integers(2, 30))
@settings(max_examples=examples(100))
def test_noise_falls_with_the_number_of_rows(n: int, m: int, n_categories: int) -> None:
    for few, many in (
        (noise.kolmogorov_smirnov(n, m), noise.kolmogorov_smirnov(2 * n, m)),
        (
            noise.population_stability_index(n, m, n_categories),
            noise.population_stability_index(2 * n, m, n_categories),
        ),
    ):
        assert 0 <= many.usual <= few.usual
        assert 0 <= few.expected <= few.usual


@given(st.integers(100, 100_000), st.integers(3, 6))
@settings(max_examples=examples(100))
def test_noise_of_cramers_v_falls_with_all_rows(n: int, n_categories: int) -> None:
    """Where few rows are in each category, the correction for bias and that of Yates take most of it."""
    shares = np.full(n_categories, 1 / n_categories)
    few, many = (noise.cramers_v(factor * n * shares, factor * n * shares) for factor in (1, 4))
    assert 0 < many.usual < few.usual
    assert 0 < few.expected < few.usual


@given(SIZES, SIZES)
@settings(max_examples=examples(50))
def test_noise_is_that_of_either_order_of_the_sides(n: int, m: int) -> None:
    first, second = n * np.array([0.7, 0.2, 0.1]), m * np.array([0.7, 0.2, 0.1])
    assert noise.cramers_v(first, second) == pytest.approx(noise.cramers_v(second, first))
    assert noise.kolmogorov_smirnov(n, m) == pytest.approx(noise.kolmogorov_smirnov(m, n))


def test_level_per_value_of_many_values_is_higher() -> None:
    """Of 30 values at the level 0.9983 all stay below their noise in 95 of 100 windows."""
    assert noise.level_per_value(30) == pytest.approx(0.99829, abs=1e-5)
    assert noise.level_per_value(30) ** 30 == pytest.approx(0.95)
    assert noise.level_per_value(0) == noise.level_per_value(1) == 0.95


@pytest.mark.parametrize(("n", "m"), [(40, 60), (300, 1000)])
def test_distance_of_equal_worlds_exceeds_its_limit_seldom(n: int, m: int) -> None:
    generator = np.random.default_rng(1)
    limit = noise.largest_distance(n, m, LOOSE)
    draws = [
        kolmogorov_smirnov(np.sort(generator.random(n)), np.sort(generator.random(m))) > limit for _ in range(2000)
    ]
    assert np.mean(draws) <= 0.05


def test_categories_of_equal_worlds_exceed_their_limit_seldom() -> None:
    generator = np.random.default_rng(2)
    shares_of_world = np.array([0.4, 0.3, 0.2, 0.05, 0.05])
    x, y = generator.multinomial(1000, shares_of_world, 2000), generator.multinomial(300, shares_of_world, 2000)
    ratios = [noise.category_ratio(a, b, LOOSE) for a, b in zip(x.astype(float), y.astype(float), strict=True)]
    assert np.mean(np.array(ratios) > 1) <= 0.05


@pytest.mark.parametrize("true_share", [0.002, 0.05, 0.5])
def test_rise_of_an_equal_share_exceeds_its_limit_seldom(true_share: float) -> None:
    generator = np.random.default_rng(3)
    now, before = generator.binomial(300, true_share, 2000), generator.binomial(1000, true_share, 2000)
    exceeded = [
        a / 300 - b / 1000 > noise.rise_limit(Share(a, 300), Share(b, 1000), LOOSE)
        for a, b in zip(now.tolist(), before.tolist(), strict=True)
    ]
    assert np.mean(exceeded) <= 0.05


@given(SHARES, st.floats(0.01, 40))
def test_limits_enclose_the_share(share: Share, exponent: float) -> None:
    low, high = noise.lower_limit(share, exponent), noise.upper_limit(share, exponent)
    assert 0 <= low <= share.value + 1e-6
    assert share.value - 1e-6 <= high <= 1


def test_limits_of_no_row_are_the_closed_form() -> None:
    """n KL(0, q) = -n ln(1 - q), so that q = 1 - exp(-x / n)."""
    assert noise.upper_limit(Share(0, 1000), 10.0) == pytest.approx(1 - math.exp(-0.01), abs=1e-6)
    assert noise.lower_limit(Share(1000, 1000), 10.0) == pytest.approx(math.exp(-0.01), abs=1e-6)


@given(st.integers(30, 10_000), st.integers(1, 500), st.floats(1e-6, 0.2))
def test_needed_rows_keep_noise_below_the_distance(m: int, tests: int, error_rate: float) -> None:
    budget = ErrorBudget(tests, error_rate)
    needed = noise.needed_rows(m, budget, 0.35)
    if needed is None:
        assert noise.largest_distance(10**9, m, budget) >= 0.35 - 1e-6
    else:
        assert noise.largest_distance(needed, m, budget) <= 0.35 + 1e-9


@given(SHARES, SHARES, st.integers(1, 100))
def test_more_comparisons_need_a_larger_rise(now: Share, before: Share, tests: int) -> None:
    one, many = ErrorBudget(1, 0.001), ErrorBudget(1 + tests, 0.001)
    assert noise.rise_limit(now, before, one) <= noise.rise_limit(now, before, many) + 1e-6
