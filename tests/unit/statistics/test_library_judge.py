"""Random checks on random rows have the library's value, but for the differences that docs/decisions.md lists.

A case that fails is named by its seed: `random_cases` and `odd_cases` of tests.helpers.check_worlds give it again.
"""

from collections import Counter
from collections.abc import Iterable

import pytest

from tests.helpers.check_worlds import LARGE_SIZES, RandomCase, odd_cases, random_cases
from tests.helpers.library_judge import Judge

PER_WORLD = 27  # three cases of each check
SEEDS, ODD_SEEDS = range(18), range(1)
MANY_SEEDS, MANY_ODD_SEEDS = range(1000, 1200), range(1000, 1004)


def unequal(cases: Iterable[RandomCase]) -> list[str]:
    """Return the cases whose value is not the expected one."""
    judge, failures, states = Judge(), [], Counter[str]()
    for case in cases:
        expected, value = judge.expected(case), judge.value(case)
        states[value.state] += 1
        if not expected.is_met_by(value):
            failures.append(f"{case.seed}: {case.case}\n    expected {expected}\n    but is   {value}")
    assert states["OK"] > states.total() / 3, "most cases have no value, and prove little"
    return failures


@pytest.mark.parametrize("first", SEEDS[::3])
def test_random_checks_equal_those_of_the_library(first: int) -> None:
    cases = (case for seed in range(first, first + 3) for case in random_cases(seed, PER_WORLD))
    assert not (failures := unequal(cases)), "\n".join(failures)


@pytest.mark.parametrize("seed", ODD_SEEDS)
def test_checks_of_unusual_rows_equal_the_library(seed: int) -> None:
    assert not (failures := unequal(odd_cases(seed, PER_WORLD))), "\n".join(failures)


@pytest.mark.thorough
@pytest.mark.parametrize("first", MANY_SEEDS[::10])
def test_many_random_checks_equal_those_of_the_library(first: int) -> None:
    cases = (case for seed in range(first, first + 10) for case in random_cases(seed, PER_WORLD, LARGE_SIZES))
    assert not (failures := unequal(cases)), "\n".join(failures)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", MANY_ODD_SEEDS)
def test_many_checks_of_unusual_rows_equal_the_library(seed: int) -> None:
    assert not (failures := unequal(odd_cases(seed, PER_WORLD))), "\n".join(failures)
