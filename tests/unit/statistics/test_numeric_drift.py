"""Laws of the distances between columns of numbers, and their formulas computed naively."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.statistics.columns import Numbers
from dcmon.statistics.errors import InvalidParameter, Undefined
from dcmon.statistics.numeric_drift import earth_movers_distance, kolmogorov_smirnov
from tests.helpers.examples import examples

# Few distinct values, so that ties are frequent.
NUMBERS = st.lists(st.integers(-8, 8).map(lambda number: number / 4), min_size=1, max_size=30)
MONOTONE: tuple[Callable[[Numbers], Numbers], ...] = (np.exp, lambda x: x**3 + 2, lambda x: 5 * x - 1)


def column(values: list[float]) -> Numbers:
    return np.sort(np.array(values, dtype=float))


def share_at_or_below(values: list[float], x: float) -> float:
    return sum(value <= x for value in values) / len(values)


@settings(max_examples=examples(50))
@given(NUMBERS, NUMBERS)
def test_ks_is_the_largest_gap_of_distribution_functions(first: list[float], second: list[float]) -> None:
    gaps = [abs(share_at_or_below(first, x) - share_at_or_below(second, x)) for x in first + second]
    distance = kolmogorov_smirnov(column(first), column(second))
    assert distance == pytest.approx(max(gaps), abs=1e-12)
    assert 0 <= distance <= 1
    assert distance == pytest.approx(kolmogorov_smirnov(column(second), column(first)), abs=1e-12)


@settings(max_examples=examples(30))
@given(NUMBERS, NUMBERS, st.sampled_from(MONOTONE))
def test_ks_does_not_depend_on_the_unit(
    first: list[float], second: list[float], scale: Callable[[Numbers], Numbers]
) -> None:
    """A monotone function of all values changes nothing."""
    scaled = kolmogorov_smirnov(scale(column(first)), scale(column(second)))
    assert scaled == kolmogorov_smirnov(column(first), column(second))


@settings(max_examples=examples(30))
@given(NUMBERS, st.integers(2, 4))
def test_distances_of_a_repeated_column_are_zero(values: list[float], times: int) -> None:
    assert kolmogorov_smirnov(column(values), column(values * times)) == pytest.approx(0, abs=1e-12)
    assert earth_movers_distance(column(values), column(values * times), 0) == pytest.approx(0, abs=1e-12)


def test_ks_of_columns_that_do_not_overlap_is_one() -> None:
    assert kolmogorov_smirnov(column([1, 2, 3]), column([4, 5])) == 1


@settings(max_examples=examples(50))
@given(NUMBERS, NUMBERS)
def test_emd_is_the_area_between_distribution_functions(first: list[float], second: list[float]) -> None:
    """The area between both functions, divided by the range of all values."""
    points = sorted({*first, *second})
    areas = [
        abs(share_at_or_below(first, left) - share_at_or_below(second, left)) * (right - left)
        for left, right in pairwise(points)
    ]
    expected = sum(areas) / (points[-1] - points[0]) if len(points) > 1 else 0
    distance = earth_movers_distance(column(first), column(second), 0)
    assert distance == pytest.approx(expected, abs=1e-12)
    assert 0 <= distance <= 1 + 1e-12
    assert distance == pytest.approx(earth_movers_distance(column(second), column(first), 0), abs=1e-12)


@settings(max_examples=examples(30))
@given(NUMBERS, NUMBERS, st.sampled_from([0.5, 3.0, 1000.0]), st.integers(-50, 50))
def test_emd_does_not_depend_on_unit_and_origin(
    first: list[float], second: list[float], scale: float, shift: int
) -> None:
    moved = earth_movers_distance(scale * column(first) + shift, scale * column(second) + shift, 0)
    assert moved == pytest.approx(earth_movers_distance(column(first), column(second), 0), abs=1e-9)


def test_emd_with_margins_ignores_extreme_values() -> None:
    usual = np.arange(100.0)
    extreme = np.append(usual[:-1], 1e9)
    assert earth_movers_distance(usual, extreme, 0.025) == pytest.approx(0, abs=1e-12)
    assert earth_movers_distance(usual, extreme, 0) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("margin", [-0.1, 0.5, "0.1"])
def test_emd_refuses_an_impossible_margin(margin: float) -> None:
    with pytest.raises(InvalidParameter, match="margin_quantile_filter is a number from 0"):
        earth_movers_distance(np.arange(9.0), np.arange(9.0), margin)


def test_emd_of_two_values_between_margins_is_undefined() -> None:
    """Both values are outside of the quantiles between them."""
    with pytest.raises(Undefined, match="No value of one side is left"):
        earth_movers_distance(np.arange(9.0), np.array([1.0, 2.0]), 0.1)
