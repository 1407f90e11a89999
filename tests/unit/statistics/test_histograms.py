"""Distributions of a column on several sides: all rows are in a bin, and the bins fit all sides."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcmon.statistics.columns import CountedColumn, NumericColumn, UnreadColumn
from dcmon.statistics.histograms import MAX_BINS, MAX_CATEGORIES, Side, compare
from tests.helpers.examples import examples

NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=1, max_size=60)


def numeric(*sides: list[float]) -> list[Side]:
    return [Side(NumericColumn(np.array(values)), len(values)) for values in sides]


@settings(max_examples=examples(80), deadline=None)
@given(NUMBERS, NUMBERS)
def test_every_value_is_in_one_bin(one: list[float], other: list[float]) -> None:
    compared = compare(numeric(one, other))
    assert len(compared.edges) <= MAX_BINS + 3
    assert list(compared.edges) == sorted(compared.edges)
    for side in compared.sides:
        if compared.edges:
            assert sum(side.shares) + side.below + side.above + side.null_share == pytest.approx(1)
            assert len(side.shares) == len(compared.edges) - 1
        else:
            assert side.null_share == 1


FEW_NUMBERS = st.lists(  # too few to have far values, on the edges of bins and between them
    st.one_of(st.integers(-300, 300).map(lambda n: n / 10), st.floats(-1e9, 1e9)), min_size=1, max_size=19
)


@settings(max_examples=examples(80), deadline=None)
@given(FEW_NUMBERS)
@example([0.7, 0.8, 0.9, 1.0, 1.1])
def test_without_far_values_none_is_beyond_the_bins(values: list[float]) -> None:
    (side,) = compare(numeric(values)).sides
    assert (side.below, side.above) == (0, 0)


def test_bins_are_round_and_fit_a_small_side_too() -> None:
    generator = np.random.default_rng(1)
    many, few = list(generator.normal(40, 9, 5_000)), list(generator.normal(90, 3, 50))
    compared = compare(numeric(many, few))
    assert compared.edges[-1] > 95, "the few rows are not all in the last bin"
    widths = np.diff(compared.edges)
    assert widths == pytest.approx(widths[0])
    assert widths[0] in (2.5, 5.0)
    assert compared.sides[0].mean == pytest.approx(40, abs=0.5)


REFERENCE = [float(value) for value in np.random.default_rng(1).normal(40, 9, 5_000)]
EXTREME = {
    "a few values of the window": (REFERENCE, [*REFERENCE[:980], *[1e6] * 20], (0.0, 0.02)),
    "both ends": (REFERENCE, [-9_999.0] * 50 + REFERENCE[:900] + [999_999.0] * 50, (0.05, 0.05)),
    "all of the window, in other units": (REFERENCE, [value * 1_000 for value in REFERENCE], (0.0, 1.0)),
    "a few values of the reference": ([*REFERENCE, *[999_999.0] * 200], REFERENCE, (0.0, 0.0)),
}


@pytest.mark.parametrize("case", EXTREME)
def test_extreme_values_do_not_squeeze_the_reference(case: str) -> None:
    """They are beyond the bins, and counted there."""
    reference, window, beyond = EXTREME[case]
    compared = compare(numeric(reference, sorted(window)))
    assert sum(share > 0.01 for share in compared.sides[0].shares) > 8
    assert (compared.sides[1].below, compared.sides[1].above) == pytest.approx(beyond)


def test_rare_values_near_the_others_are_in_bins() -> None:
    """An ordinary column has no values beyond its bins."""
    compared = compare(numeric(REFERENCE, REFERENCE[:900]))
    assert [(side.below, side.above) for side in compared.sides] == [(0, 0), (0, 0)]


def test_bins_of_whole_numbers_have_whole_edges() -> None:
    compared = compare(numeric([0.0, 1.0, 1.0, 2.0], [3.0]))
    assert compared.edges == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert compared.sides[0].shares == (0.25, 0.5, 0.25, 0.0)


def test_infinite_values_are_left_out() -> None:
    (side,) = compare(numeric([np.inf, 1.0])).sides
    assert (side.low, side.high, sum(side.shares)) == (1.0, 1.0, 0.5)


def test_categories_are_those_with_the_largest_shares() -> None:
    before = CountedColumn({f"c{number}": 40 - number for number in range(30)}, 20)
    now = CountedColumn({"new": 90, "c0": 10}, 0)
    compared = compare([Side(before, 20 + sum(before.counts.values())), Side(now, 100)])
    assert compared.names[0] == "new"
    assert (len(compared.names), compared.n_others) == (MAX_CATEGORIES, 31 - MAX_CATEGORIES)
    assert compared.sides[1].shares[0] == 0.9
    assert compared.sides[0].null_share == pytest.approx(20 / (20 + sum(before.counts.values())))


def test_column_that_no_check_reads_has_its_nulls() -> None:
    (side,) = compare([Side(UnreadColumn(3), 12)]).sides
    assert (side.null_share, side.shares) == (0.25, ())
