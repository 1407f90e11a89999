"""One number of many features: between the mean and the largest, and by the formula of weighted powers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.statistics.aggregation import POWERS, aggregate, normalized_importance
from dcmon.statistics.errors import InvalidParameter
from tests.helpers.examples import examples

VALUES = st.lists(st.integers(0, 100).map(lambda number: number / 100), min_size=1, max_size=8)
WEIGHTS = st.lists(st.integers(1, 9), min_size=8, max_size=8)


@settings(max_examples=examples(50))
@given(VALUES, WEIGHTS)
def test_weighted_powers_follow_the_formula(numbers: list[float], weights: list[int]) -> None:
    values = {f"f{index}": number for index, number in enumerate(numbers)}
    importance = normalized_importance(dict(zip(values, map(float, weights), strict=False)))
    assert importance is not None
    assert sum(importance.values()) == pytest.approx(1, abs=1e-12)
    results = []
    for method, power in POWERS.items():
        (number,) = aggregate(method, values, importance, "Drift Score").values()
        expected = sum(values[name] ** power * importance[name] for name in values) ** (1 / power)
        assert number == pytest.approx(expected, abs=1e-12)
        results.append(number)
    assert min(numbers) - 1e-9 <= results[0]
    assert results == pytest.approx(sorted(results), abs=1e-9), "a higher power leans more to the largest value"
    assert results[-1] <= max(numbers) + 1e-9


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("mean", {"Mean Null Ratio": 0.3}),
        ("max", {"Max Null Ratio": 0.5}),
        ("none", {"a": 0.1, "b": 0.5, "c": None}),
        (None, {"a": 0.1, "b": 0.5, "c": None}),
        ("weighted", {"Weighted Null Ratio": 0.3}),
        ("l3_weighted", {"L3 Weighted Null Ratio": 0.3}),
    ],
)
def test_features_without_a_value_are_left_out(method: str | None, expected: dict[str, float | None]) -> None:
    """Without importance the weighted methods give the mean."""
    values = {"a": 0.1, "b": 0.5, "c": None}
    result = aggregate(method, values, None, "Null Ratio")
    assert result.keys() == expected.keys()
    for name, number in expected.items():
        assert result[name] == (None if number is None else pytest.approx(number, abs=1e-12))


@pytest.mark.parametrize("method", ["mean", "max", "weighted", "l5_weighted"])
def test_aggregate_of_no_value_is_none(method: str) -> None:
    assert list(aggregate(method, {"a": None, "b": math.nan}, None, "Drift Score").values()) == [None]


def test_unknown_method_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(InvalidParameter, match=r"'median'\. Use none, mean, max, weighted, l3_weighted, l5_weighted"):
        aggregate("median", {"a": 1.0}, None, "Drift Score")


def test_feature_that_was_not_read_can_not_be_weighted() -> None:
    with pytest.raises(InvalidParameter, match="does not read 'b'"):
        aggregate("weighted", {"a": 1.0}, {"a": 0.5, "b": 0.5}, "Drift Score")


@pytest.mark.parametrize("importance", [None, {}, {"a": 0.0, "b": 0.0}])
def test_importance_of_zero_is_no_importance(importance: dict[str, float] | None) -> None:
    assert normalized_importance(importance) is None


def test_importance_is_scaled_only_if_its_sum_differs() -> None:
    assert normalized_importance({"a": 0.5, "b": 0.5005}) == {"a": 0.5, "b": 0.5005}
    assert normalized_importance({"a": 1.0, "b": 3.0}) == {"a": 0.25, "b": 0.75}
