"""Values that are usual, and the same hours of earlier weeks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.alerting.condition_judge import judge
from dcmon.alerting.condition_parser import parse
from dcmon.alerting.earlier_windows import is_usual, usual_step, weekly_base
from dcmon.alerting.rule_conditions import Outcome
from tests.helpers.examples import examples

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = [0.4, 0.5, 0.3, 0.4, 0.5, 2.0, 2.2]  # five quiet days and a weekend


@dataclass
class Window:
    """A window whose result has these entries."""

    window_end: datetime
    entries: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def days(values: Sequence[float | None], name: str = "f0") -> list[Window]:
    return [
        Window(MONDAY + timedelta(days=day), {} if value is None else {name: value}) for day, value in enumerate(values)
    ]


def violated(text: str, windows: Sequence[Window]) -> list[int]:
    condition = parse(text)
    return [
        day
        for day, window in enumerate(windows)
        if judge(condition, window, windows[max(0, day - condition.lookback) : day]).outcome == Outcome.VIOLATED
    ]


def test_weekly_pattern_is_usual_after_two_weeks() -> None:
    assert violated("any feature > 1", days(WEEK * 4)) == [5, 6, 12, 13, 19, 20, 26, 27]
    assert violated("any feature > 1 unless usual", days(WEEK * 4)) == [5, 6, 12, 13]


def test_lasting_fault_never_becomes_usual() -> None:
    windows = days([0.4, 0.5, 0.3] * 5 + [4.0, 4.4, 3.7] * 30)
    assert violated("any feature > 1 unless usual", windows) == list(range(15, 105))


def test_fault_on_a_feature_with_a_weekly_pattern_alerts() -> None:
    windows = days([*WEEK * 5, 6.0, 6.0])
    assert violated("any feature > 1 unless usual", windows)[-2:] == [35, 36]


def test_faults_in_one_week_are_not_usual() -> None:
    windows = days([0.4] * 20 + [5.0, 5.0, 0.4] * 4)
    assert violated("any feature > 1 unless usual", windows) == [20, 21, 23, 24, 26, 27, 29, 30]


def test_world_of_different_days_alerts_beyond_its_steps() -> None:
    """Steps of 0.5 from day to day: 8 of them are 4."""
    wobble = [0.2, 0.7, 0.1, 0.6] * 8
    windows = days([*wobble, 3.0, 0.5, 5.0])
    assert violated("any feature > 1 unless usual", windows) == [32, 34]
    assert violated("any feature > 1 unless usual steps 8", windows) == [34]


def test_slow_rise_and_lasting_fault_are_beyond_their_steps() -> None:
    rise = days([0.3] * 20 + [0.1 * day for day in range(30)])
    assert violated("any feature > 1 unless usual steps 8", rise)[0] == 20 + 11
    fault = days([0.4, 0.5, 0.3] * 5 + [4.0, 4.4, 3.7] * 30)
    assert violated("any feature > 1 unless usual steps 8", fault) == list(range(15, 105))


def test_usual_step_needs_ten_steps_between_windows_in_a_row() -> None:
    assert usual_step([1.0, 2.0] * 5) == 0
    assert usual_step([1.0, 2.0] * 5 + [1.0]) == 1
    assert usual_step([1.0, None] * 30) == 0


def test_missing_values_are_skipped() -> None:
    earlier = [None if day % 7 == 2 else value for day, value in enumerate(WEEK * 3)]
    assert is_usual(2.0, 1.0, [*[None] * 16, *earlier[:19]])
    assert not is_usual(2.0, 1.0, [None] * 35)


def test_value_that_hovers_at_the_limit_becomes_usual() -> None:
    windows = days([0.95, 1.05, 0.9, 0.98, 1.1, 0.9, 1.02] * 5)
    assert violated("any feature > 1 unless usual", windows) == [1, 4, 6, 8, 11, 13]


@given(st.lists(st.floats(0.01, 100), max_size=60), st.floats(0.01, 100))
@settings(max_examples=examples(200))
def test_largest_value_by_far_is_never_usual(earlier: list[float], value: float) -> None:
    assert not is_usual(value + 1.6 * max(earlier, default=0), 0.1, earlier)


@given(st.lists(st.floats(0.01, 100), max_size=60), st.floats(0.1, 100))
@settings(max_examples=examples(200))
def test_windows_above_the_limit_alone_are_never_usual(earlier: list[float], value: float) -> None:
    """A fault that began before all windows that are read, and has lasted since."""
    alike = [value * (0.7 + 0.006 * (number % 100)) for number in earlier]
    assert not is_usual(value, 0.0, alike)


@pytest.mark.parametrize(
    ("weeks_ago", "base"),
    [({1: 100.0}, None), ({1: 100.0, 2: 300.0}, 200.0), ({1: 1.0, 2: 2.0, 3: 3.0, 4: 9.0, 5: 99.0}, 2.5)],
)
def test_weekly_base_is_the_median_of_four_weeks(weeks_ago: dict[int, float], base: float | None) -> None:
    earlier = [(MONDAY - timedelta(days=7 * weeks), value) for weeks, value in weeks_ago.items()]
    others = [(MONDAY - timedelta(days=day), 7.0) for day in range(1, 40) if day % 7]
    assert weekly_base(MONDAY, [*earlier, *others]) == base


def test_weekly_base_ignores_a_change_of_the_clock() -> None:
    earlier = [(MONDAY - timedelta(days=7, hours=1), 10.0), (MONDAY - timedelta(days=14), 20.0)]
    assert weekly_base(MONDAY, earlier) == 15.0


def test_volume_is_compared_with_the_same_days_of_earlier_weeks() -> None:
    week = [1000.0] * 5 + [300.0] * 2
    windows = days([*week * 3, 1000, 350, 1000, 1000, 1000, 300, 100], "rows")
    assert violated("feature rows drop > 60% against weekly", windows) == [22, 27]
    few = days([10.0] * 14 + [1.0], "rows")
    assert violated("feature rows drop > 60% against weekly floor 30", few) == []
    assert violated("feature rows drop > 60% against weekly", few) == [14]
