"""The noise of distances: closed forms, and how it falls with the number of rows."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from dcmon.statistics import noise
from tests.helpers.examples import examples

SIZES = st.integers(20, 100_000)


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
