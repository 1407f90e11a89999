"""Limits of noise are exceeded as seldom as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.statistics import noise_limits
from dcmon.statistics.noise_limits import ErrorBudget, Share
from dcmon.statistics.numeric_drift import kolmogorov_smirnov

LOOSE = ErrorBudget(1, 0.05)
shares = st.integers(1, 10_000).flatmap(lambda n: st.builds(Share, st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(("n", "m"), [(40, 60), (300, 1000)])
def test_distance_of_equal_worlds_exceeds_its_limit_seldom(n: int, m: int) -> None:
    generator = np.random.default_rng(1)
    limit = noise_limits.largest_distance(n, m, LOOSE)
    draws = [
        kolmogorov_smirnov(np.sort(generator.random(n)), np.sort(generator.random(m))) > limit for _ in range(2000)
    ]
    assert np.mean(draws) <= 0.05


def test_categories_of_equal_worlds_exceed_their_limit_seldom() -> None:
    generator = np.random.default_rng(2)
    shares_of_world = np.array([0.4, 0.3, 0.2, 0.05, 0.05])
    x, y = generator.multinomial(1000, shares_of_world, 2000), generator.multinomial(300, shares_of_world, 2000)
    ratios = [noise_limits.category_ratio(a, b, LOOSE) for a, b in zip(x.astype(float), y.astype(float), strict=True)]
    assert np.mean(np.array(ratios) > 1) <= 0.05


@pytest.mark.parametrize("true_share", [0.002, 0.05, 0.5])
def test_rise_of_an_equal_share_exceeds_its_limit_seldom(true_share: float) -> None:
    generator = np.random.default_rng(3)
    now, before = generator.binomial(300, true_share, 2000), generator.binomial(1000, true_share, 2000)
    exceeded = [
        a / 300 - b / 1000 > noise_limits.rise_limit(Share(a, 300), Share(b, 1000), LOOSE)
        for a, b in zip(now.tolist(), before.tolist(), strict=True)
    ]
    assert np.mean(exceeded) <= 0.05


@given(shares, st.floats(0.01, 40))
def test_limits_enclose_the_share(share: Share, exponent: float) -> None:
    low, high = noise_limits.lower_limit(share, exponent), noise_limits.upper_limit(share, exponent)
    assert 0 <= low <= share.value + 1e-6
    assert share.value - 1e-6 <= high <= 1


def test_limits_of_no_row_are_the_closed_form() -> None:
    """n KL(0, q) = -n ln(1 - q), so that q = 1 - exp(-x / n)."""
    assert noise_limits.upper_limit(Share(0, 1000), 10.0) == pytest.approx(1 - math.exp(-0.01), abs=1e-6)
    assert noise_limits.lower_limit(Share(1000, 1000), 10.0) == pytest.approx(math.exp(-0.01), abs=1e-6)


@given(st.integers(30, 10_000), st.integers(1, 500), st.floats(1e-6, 0.2))
def test_needed_rows_keep_noise_below_the_distance(m: int, tests: int, error_rate: float) -> None:
    budget = ErrorBudget(tests, error_rate)
    needed = noise_limits.needed_rows(m, budget, 0.35)
    if needed is None:
        assert noise_limits.largest_distance(10**9, m, budget) >= 0.35 - 1e-6
    else:
        assert noise_limits.largest_distance(needed, m, budget) <= 0.35 + 1e-9


@given(shares, shares, st.integers(1, 100))
def test_more_comparisons_need_a_larger_rise(now: Share, before: Share, tests: int) -> None:
    one, many = ErrorBudget(1, 0.001), ErrorBudget(1 + tests, 0.001)
    assert noise_limits.rise_limit(now, before, one) <= noise_limits.rise_limit(now, before, many) + 1e-6
