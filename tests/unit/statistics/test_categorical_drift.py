"""Laws of the distances between counts of categories, and their formulas computed naively."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.statistics.categorical_drift import (
    CategoryOrder,
    CategoryRules,
    aligned_counts,
    cramers_v,
    population_stability_index,
)
from dcmon.statistics.errors import Undefined
from tests.helpers.examples import examples

ALL = CategoryRules(min_share=0)  # no category is rare
NAMES = "abcdef"
COUNTS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 40), min_size=1)


def renamed(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts by names that sort in the same order."""
    return {f"category {name * 3}": n for name, n in counts.items()}


def v_or_none(first: dict[str, int], second: dict[str, int], balance: bool) -> float | None:
    """Return Cramer's V; None if one side has no row after scaling."""
    try:
        return cramers_v(first, second, ALL, balance=balance)
    except Undefined:
        return None


@settings(max_examples=examples(50))
@given(COUNTS, COUNTS)
def test_psi_is_the_sum_over_shares(first: dict[str, int], second: dict[str, int]) -> None:
    expected = 0.0
    for name in {*first, *second}:
        p = max(first.get(name, 0) / sum(first.values()), 0.01)
        q = max(second.get(name, 0) / sum(second.values()), 0.01)
        expected += (p - q) * math.log(p / q)
    value = population_stability_index(first, second, ALL)
    assert value == pytest.approx(expected, abs=1e-12)
    assert value >= 0
    assert value == pytest.approx(population_stability_index(second, first, ALL), abs=1e-12)


@settings(max_examples=examples(50))
@given(COUNTS, st.integers(1, 5))
def test_distances_of_equal_shares_are_zero(counts: dict[str, int], times: int) -> None:
    larger = {name: n * times for name, n in counts.items()}
    assert population_stability_index(counts, larger, ALL) == pytest.approx(0, abs=1e-12)
    if sum(counts.values()) > len(counts) + 1:
        assert cramers_v(counts, larger, ALL) == pytest.approx(0, abs=1e-12, nan_ok=True)


@settings(max_examples=examples(50))
@given(COUNTS, COUNTS, st.booleans())
def test_distances_do_not_depend_on_names(first: dict[str, int], second: dict[str, int], balance: bool) -> None:
    assert population_stability_index(renamed(first), renamed(second), ALL) == population_stability_index(
        first, second, ALL
    )
    v = v_or_none(first, second, balance)
    assert v_or_none(renamed(first), renamed(second), balance) == pytest.approx(v, abs=0, nan_ok=True)


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=3, max_size=6))
def test_cramers_v_of_equal_sizes_is_bergsmas(columns: list[tuple[int, int]]) -> None:
    """Three or more categories, so that the table has no continuity correction; the sizes are made equal."""
    difference = sum(a for a, _ in columns) - sum(b for _, b in columns)
    columns = [*columns, (1 + max(0, -difference), 1 + max(0, difference))]
    n, k = sum(a + b for a, b in columns), len(columns)
    chi2 = sum((side - (a + b) / 2) ** 2 / ((a + b) / 2) for a, b in columns for side in (a, b))
    phi2 = max(0, chi2 / n - (k - 1) / (n - 1))
    expected = math.sqrt(phi2 / min(k - (k - 1) ** 2 / (n - 1) - 1, 2 - 1 / (n - 1) - 1))
    first, second = ({str(index): column[side] for index, column in enumerate(columns)} for side in (0, 1))
    assert cramers_v(first, second, ALL) == pytest.approx(expected, abs=1e-12)


def test_cramers_v_of_other_categories_is_one() -> None:
    assert cramers_v({"a": 500}, {"b": 500}, ALL) == pytest.approx(1, abs=5e-3)


def test_rare_categories_are_counted_together() -> None:
    first, second = {"a": 97, "b": 2, "c": 1}, {"a": 50, "d": 50}
    x, y = aligned_counts(first, second, CategoryRules(min_share=0.05))
    assert (x.tolist(), y.tolist()) == ([97, 3], [50, 50])


@pytest.mark.parametrize(
    ("order", "kept"),
    [(CategoryOrder.FIRST, ["a"]), (CategoryOrder.SECOND, ["c"]), (CategoryOrder.DIFFERENCE, ["c"])],
)
def test_largest_categories_are_kept_by_the_chosen_order(order: CategoryOrder, kept: list[str]) -> None:
    first, second = Counter({"a": 50, "b": 30, "c": 20}), Counter({"a": 40, "b": 10, "c": 50})
    x, _ = aligned_counts(first, second, CategoryRules(0, 1, order))
    assert x.tolist() == [first[kept[0]], 100 - first[kept[0]]]


def test_small_side_without_a_row_after_scaling_is_undefined() -> None:
    """Eleven rows in one category, against forty equal categories: each of them rounds to no row."""
    reference = {f"c{number}": 50 for number in range(40)}
    with pytest.raises(Undefined, match="one side has no row"):
        cramers_v(reference, {"new": 11}, CategoryRules(min_share=0))


def test_balanced_v_is_the_one_of_sorted_classes() -> None:
    """The library says 0.3477 or 0.3518, by the hash seed of the process."""
    first = dict(zip("abcd", (65, 12, 3, 40), strict=True))
    second = dict(zip("abcd", (86, 85, 2, 85), strict=True))
    values = {
        cramers_v(dict(reversed(first.items())), second, ALL, balance=True),
        cramers_v(first, dict(reversed(second.items())), ALL, balance=True),
    }
    assert len(values) == 1
    assert round(values.pop(), 4) in (0.3477, 0.3518)
