"""How alike neighbouring rows of a reference are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dcmon.statistics import changes, neighbours
from dcmon.statistics.columns import ClassColumn, Column, CountedColumn, NumericColumn, Rows
from dcmon.statistics.neighbours import INDEPENDENT, Days
from tests.helpers.examples import examples

N_DAYS, N_ROWS = 60, 200  # of a reference in the order of time


def of_days(generator: np.random.Generator, effect: float, n_days: int = N_DAYS) -> NDArray[np.float64]:
    """Return normal numbers, whose days differ by a standard deviation of `effect`."""
    shifts = np.repeat(effect * generator.standard_normal(n_days), N_ROWS)
    return generator.standard_normal(len(shifts)) + shifts


def categories(codes: NDArray[np.int64]) -> CountedColumn:
    column = ClassColumn(codes, tuple("abcdefghij"))
    return CountedColumn(column.counts(), int((codes < 0).sum()), lambda: column)


def rows(column: Column, n: int, n_stored: int | None = None) -> Rows:
    return Rows(n, {"x": column}, n_selected_from=n_stored)


def drift(now: Column, n: int, reference: Rows) -> float | None:
    return changes.distances(rows(now, n), reference, ["x"])["x"].ratio


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 16, 64, 256]))
@settings(max_examples=examples(30))
def test_independent_rows_have_no_correlation(seed: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    assert neighbours.of_indicator(generator.random(12_000) < generator.random(), size) == INDEPENDENT
    numbers = NumericColumn(generator.lognormal(size=12_000))
    assert neighbours.of_column(rows(numbers, 12_000), "x", numbers, size) == INDEPENDENT
    texts = categories(generator.integers(0, 10, 12_000))
    assert neighbours.of_column(rows(texts, 12_000), "x", texts, size) == INDEPENDENT


@pytest.mark.parametrize("correlation", [0.05, 0.3, 1.0])
def test_correlation_of_days_is_estimated(correlation: float) -> None:
    generator = np.random.default_rng(1)
    day = np.repeat(generator.random(400) < 0.5, 64)
    takes_day = generator.random(len(day)) < np.sqrt(correlation)
    is_one = np.where(takes_day, day, generator.random(len(day)) < 0.5)
    assert neighbours.correlation(is_one[None, :], 64) == pytest.approx(correlation, rel=0.25)


@pytest.mark.parametrize("n_groups", [2, 3, 5, 8])
def test_sorted_rows_say_nothing_about_days(n_groups: int) -> None:
    """A reference that is sorted by a class, or by a feature, has the limits of independent rows."""
    codes = np.sort(np.random.default_rng(n_groups).integers(0, n_groups, 10_000))
    for column in (categories(codes), NumericColumn(codes.astype(float)), NumericColumn(np.arange(10_000.0))):
        assert neighbours.of_column(rows(column, 10_000), "x", column, 200) == INDEPENDENT


def test_shuffled_days_are_independent_rows() -> None:
    generator = np.random.default_rng(2)
    column = NumericColumn(generator.permutation(of_days(generator, 1)))
    assert neighbours.of_column(rows(column, len(column.values)), "x", column, N_ROWS) == INDEPENDENT


def test_day_like_others_is_no_drift_and_a_fault_is() -> None:
    generator = np.random.default_rng(3)
    values = of_days(generator, 0.5)
    reference = rows(NumericColumn(values), len(values))
    unordered = rows(NumericColumn(generator.permutation(values)), len(values))
    days = of_days(generator, 0.5, 100).reshape(-1, N_ROWS)
    assert sum((drift(NumericColumn(day), N_ROWS, reference) or 0) > 1 for day in days) == 0
    assert sum((drift(NumericColumn(day), N_ROWS, unordered) or 0) > 1 for day in days) > 20
    assert all((drift(NumericColumn(day + 3.5), N_ROWS, reference) or 0) > 1 for day in days)


def test_weekday_of_one_day_is_no_drift() -> None:
    weekday = np.repeat(np.arange(N_DAYS) % 7, N_ROWS)
    reference = rows(categories(weekday), len(weekday))
    monday = rows(categories(np.zeros(N_ROWS, dtype=np.int64)), N_ROWS)
    assert changes.distances(monday, reference, ["x"])["x"].ratio < 1  # type: ignore[operator]
    assert changes.repeated_value_rises(monday, reference, ["x"])["x"] < 1  # type: ignore[operator]


def test_nulls_of_some_days_are_no_rise_and_more_nulls_are() -> None:
    generator = np.random.default_rng(4)
    shares = np.repeat(generator.choice([0, 0.1, 0.3], N_DAYS), N_ROWS)
    values = np.where(generator.random(len(shares)) < shares, np.nan, 1.0)
    reference = rows(NumericColumn(values), len(values))

    def rise(n_null: int) -> float | None:
        now = NumericColumn(np.r_[np.full(n_null, np.nan), np.ones(N_ROWS - n_null)])
        return changes.null_rises(rows(now, N_ROWS), reference, ["x"])["x"]

    assert rise(60) < 1 < rise(120)  # type: ignore[operator]


def test_rows_alike_within_a_day_have_no_new_values() -> None:
    """Numbers of which a day has one or two are out of the range together: their drift says it."""
    generator = np.random.default_rng(5)
    temperature = np.repeat(generator.normal(40, 10, N_DAYS), N_ROWS) + generator.normal(0, 1, N_DAYS * N_ROWS)
    reference = rows(NumericColumn(temperature), len(temperature))
    hot = NumericColumn(np.full(N_ROWS, 90.0) + np.arange(N_ROWS) / 100)
    assert changes.new_value_rises(rows(hot, N_ROWS), reference, ["x"]) == {"x": None}
    assert drift(hot, N_ROWS, reference) == changes.MOST


def test_block_takes_as_long_as_the_window() -> None:
    """A reference of 80,000 rows is read as a sample of 10,000: a day of 1,000 rows is 125 of them."""
    column = NumericColumn(np.arange(10_000.0))
    scale = neighbours.scale(rows(column, 1_000), rows(column, 10_000, 80_000))
    assert neighbours.block_size(scale * 1_000, 10_000) == 128
    scale = neighbours.scale(rows(column, 5_000, 20_000), rows(column, 10_000, 80_000))
    assert neighbours.block_size(scale * 5_000, 10_000) == 512
    assert [neighbours.block_size(300, m) for m in (1_000, 10_000, 30)] == [64, 256, 0]


def test_effective_rows_are_at_least_one() -> None:
    assert Days(1.0).effective(1_000) == pytest.approx(1)
    assert Days(0.0).effective(1_000) == 1_000
    assert Days(0.5, size=3).effective_reference(100) == pytest.approx(50)
