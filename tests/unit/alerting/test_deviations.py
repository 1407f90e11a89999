"""The limits of deviations: how far a value may be from the windows before, when so many values are looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isinf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.deviations import DRAWS, judge
from dcmon.alerting import condition_judge
from dcmon.alerting.condition_parser import parse
from dcmon.alerting.deviations import KnownNoise, LooksAt, Spread, normal_limit, students_t
from dcmon.alerting.rule_conditions import Finding, Verdict
from dcmon.notifications.integrations import message_text
from tests.helpers.examples import examples

DAYS, LEAD = 500, 14


@dataclass(frozen=True)
class Window:
    entries: Mapping[str, float]
    metrics: Mapping[str, float] = field(default_factory=dict)
    noise: Mapping[str, float] | None = None
    n: int = 300


# Two-sided quantiles, from scipy 1.15: t.isf(p / 2, degrees).
@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        (0.05, 1, 12.706204736432095),
        (0.05, 2, 4.302652729911275),
        (0.05, 13, 2.160368656461013),
        (0.01, 30, 2.7499956535673),
        (9e-5, 13, 5.574768),
        (1e-7, 29, 7.0255),
        (0.05, 999, 1.9623414611334487),
    ],
)
def test_quantile_of_student_equals_published_values(probability: float, degrees: int, expected: float) -> None:
    assert students_t(probability, degrees) == pytest.approx(expected, rel=1e-5)


def test_limit_of_one_value_and_many_windows_is_the_threshold() -> None:
    for threshold in (1, 2, 3, 4, 8):
        assert normal_limit(threshold, 1000, LooksAt()) == pytest.approx(threshold, rel=0.02)


@settings(max_examples=examples(50))
@given(st.floats(0.1, 8), st.integers(3, 200), st.integers(1, 300), st.booleans())
def test_limit_rises_with_values_and_falls_with_windows(
    threshold: float, n_windows: int, n_values: int, is_two_sided: bool
) -> None:
    limit = normal_limit(threshold, n_windows, LooksAt(n_values, is_two_sided))
    assert limit < normal_limit(threshold, n_windows, LooksAt(n_values + 1, is_two_sided))
    assert limit < normal_limit(threshold + 0.1, n_windows, LooksAt(n_values, is_two_sided))
    assert normal_limit(threshold, n_windows + 1, LooksAt(n_values, is_two_sided)) < limit


@settings(max_examples=examples(50))
@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=30), st.integers(1, 50), st.integers(1, 50))
def test_limits_are_in_the_order_of_thresholds(earlier: list[float], first: int, second: int) -> None:
    """So a warning level is reached before the rule's own level, whatever the earlier values are."""
    spread = Spread.of(earlier, 0.001, KnownNoise(0.01, 300))
    low, high = sorted((first / 10, second / 10))
    assert spread.upper_limit(low, LooksAt(5)) <= spread.upper_limit(high, LooksAt(5))
    assert spread.lower_limit(low, LooksAt(5)) <= spread.lower_limit(high, LooksAt(5))


@pytest.mark.parametrize("n_features", [1, 8, 30])
@pytest.mark.parametrize("name", ["drift of categories, PSI", "drift of categories, Cramer's V", "normal numbers"])
def test_noise_violates_as_seldom_with_many_features(name: str, n_features: int) -> None:
    """The level of 3 upwards is 0.7 of 500 days; plain standard deviations give 3 to 250 bad days."""
    chance = np.random.default_rng([2026, n_features])
    entries = np.column_stack([DRAWS[name](chance, DAYS + LEAD) for _ in range(n_features)])
    n_violated = sum(judged.verdict.is_violated for judged in judge(entries, LEAD, name, DAYS))
    assert n_violated <= 6  # 0.7 to 3 are expected, 7 are more than twice in all runs of 3 in 30


def verdict(condition: str, values: Mapping[str, float], before: list[Mapping[str, float]], **more: object) -> Verdict:
    return condition_judge.judge(parse(condition), Window(values, **more), [Window(row) for row in before])


def finding(condition: str, values: Mapping[str, float], before: list[Mapping[str, float]]) -> Finding:
    found = verdict(condition, values, before).finding
    assert found is not None
    return found


EARLIER = [0.04, 0.05, 0.06, 0.05, 0.04, 0.06, 0.05, 0.05, 0.04, 0.06, 0.05, 0.05, 0.045, 0.055]


def test_any_looks_at_all_features_one_and_all_at_one() -> None:
    before: list[Mapping[str, float]] = [{f"f{n}": value for n in range(30)} for value in EARLIER]
    now = {f"f{n}": 0.05 for n in range(30)} | {"f7": 0.2}
    looked_at = finding("any feature deviation up > 3", now, before)
    assert (looked_at.name, looked_at.looks_at) == ("f7", 30)
    assert looked_at.limit is not None
    assert looked_at.limit > 5.7
    for condition in ("feature f7 deviation up > 3", "all features deviation up > 3"):
        assert finding(condition, now, before).looks_at == 1
    assert verdict("any feature deviation up > 3", now, before).is_violated
    assert not verdict("all features deviation up > 3", now, before).is_violated


def test_features_without_earlier_values_do_not_count() -> None:
    before: list[Mapping[str, float]] = [{"age": value} for value in EARLIER]
    assert finding("any feature deviation up > 3", {"age": 0.05, "new": 9.0}, before).looks_at == 1


def test_value_within_the_noise_of_its_result_is_no_deviation() -> None:
    """Cramer's V is 0 in most windows without drift: then the first value above 0 would be an outlier."""
    before: list[Mapping[str, float]] = [{"job": 0.0} for _ in range(14)]
    assert verdict("any feature deviation up > 3", {"job": 0.05}, before).is_violated
    assert not verdict("any feature deviation up > 3", {"job": 0.05}, before, noise={"job": 0.06}).is_violated
    assert verdict("any feature deviation up > 3", {"job": 0.2}, before, noise={"job": 0.06}).is_violated


def test_falls_are_measured_without_the_upper_limit() -> None:
    before: list[Mapping[str, float]] = [{"f1": value} for value in EARLIER]
    fall = verdict("feature f1 deviation down > 3", {"f1": 0.0}, before)
    assert fall.is_violated
    assert fall.finding is not None
    assert fall.finding.limit == pytest.approx(normal_limit(3, 14, LooksAt()))


def test_zeros_without_a_floor_have_a_finite_limit() -> None:
    before: list[Mapping[str, float]] = [{"f1": 0.0} for _ in range(14)]
    found = verdict("any feature deviation > 3 floor 0", {"f1": 0.001}, before)
    assert found.is_violated
    assert found.finding is not None
    assert isinf(found.finding.measured)
    assert found.finding.limit is not None
    assert not isinf(found.finding.limit)


def test_negative_threshold_stands_for_a_negative_limit() -> None:
    before: list[Mapping[str, float]] = [{"f1": value} for value in EARLIER]
    below = finding("feature f1 deviation up < -3", {"f1": 0.0}, before)
    assert below.limit == pytest.approx(-normal_limit(3, 14, LooksAt()))
    assert verdict("feature f1 deviation up < -3", {"f1": 0.0}, before).is_violated
    assert not verdict("feature f1 deviation up < -3", {"f1": 0.05}, before).is_violated


def outcomes(condition: str, values: list[float]) -> list[bool]:
    windows: list[Mapping[str, float]] = [{f"f{n}": value + n / 1e4 for n in range(30)} for value in values]
    return [verdict(condition, row, windows[max(0, day - 14) : day]).is_violated for day, row in enumerate(windows)]


@pytest.mark.parametrize("direction", ["up", "down", ""])
def test_fault_that_lasts_stays_a_deviation_for_half_the_windows(direction: str) -> None:
    """Otherwise `--for 2` would never fire: one outlier among 14 windows makes the next one usual."""
    level = -5.0 if direction == "down" else 5.0
    violated = outcomes(f"any feature deviation {direction} > 3", [*EARLIER, *[level] * 12])
    assert violated == [False] * 14 + [True] * 8 + [False] * 4


def test_value_back_at_its_old_level_is_no_deviation() -> None:
    violated = outcomes("any feature deviation > 3", [*EARLIER, 5.0, 5.0, 0.05, 0.05])
    assert violated[14:] == [True, True, False, False]


def test_message_says_the_limit_and_the_number_of_values() -> None:
    against = {"what": "mean", "windows": 14, "value": 0.05, "limit": 6.2, "values": 30}
    text = message_text.measured_text({"measured": 8.1, "measured_against": against})
    assert text.startswith("8.1, from 0.05 on average of 14 windows before; the limit is 6.2 standard deviations")
    assert text.endswith(", because the rule looks at 30 values")
    one = message_text.measured_text({"measured": 8.1, "measured_against": {**against, "values": 1}})
    assert one.endswith("before; the limit is 6.2 standard deviations")
    without = {"what": "mean", "windows": 14, "value": 0.05}  # of an alert that an older dcmon wrote
    assert message_text.measured_text({"measured": 8.1, "measured_against": without}).endswith("14 windows before")
