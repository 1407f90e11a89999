"""Quantiles agree with the tables of textbooks."""

import pytest

from dcmon.statistics import quantiles


@pytest.mark.parametrize(("level", "z"), [(0.9, 1.644854), (0.95, 1.959964), (0.99, 2.575829)])
def test_two_sided_normal_quantile_is_that_of_tables(level: float, z: float) -> None:
    assert quantiles.two_sided(level) == pytest.approx(z, abs=1e-6)


@pytest.mark.parametrize(
    ("degrees", "t"), [(2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (30, 2.0423), (1_000_000, 1.95997)]
)
def test_students_quantile_is_that_of_tables(degrees: float, t: float) -> None:
    assert quantiles.students_t(0.975, degrees) == pytest.approx(t, rel=0.008 if degrees == 2 else 0.002)


def test_students_quantile_of_no_degrees_is_finite() -> None:
    """A variance that is estimated from one row gives a wide interval, not an endless one."""
    assert quantiles.students_t(0.975, [-1.0, 0.0, 2.0]).tolist() == [quantiles.students_t(0.975, 2)] * 3


@pytest.mark.parametrize(
    ("probability", "degrees", "value"),
    [(0.95, 1, 3.8415), (0.95, 2, 5.9915), (0.95, 3, 7.8147), (0.95, 10, 18.307), (0.99, 5, 15.086), (0.5, 1, 0.4549)],
)
def test_chi_squared_quantile_is_that_of_tables(probability: float, degrees: int, value: float) -> None:
    assert quantiles.chi_squared(probability, degrees) == pytest.approx(value, rel=0.006)


def test_chi_squared_without_degrees_is_zero() -> None:
    assert quantiles.chi_squared(0.95, 0) == 0


@pytest.mark.parametrize(("count", "mean"), [(1, 0.051293), (2, 0.355362), (3, 0.817691)])
def test_poisson_mean_is_half_a_chi_squared_quantile(count: int, mean: float) -> None:
    """The mean that reaches `count` with 5 % is half the 5 % quantile of chi-squared with 2 count degrees."""
    assert quantiles.poisson_mean(count, 0.05) == pytest.approx(mean, abs=1e-5)
