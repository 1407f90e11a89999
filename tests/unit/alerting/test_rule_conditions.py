"""The verdict of a condition on a window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.alerting.condition_judge import judge
from dcmon.alerting.condition_parser import parse
from dcmon.alerting.rule_conditions import PREVIOUS_SEARCH_WINDOWS, Outcome, Verdict


@dataclass(frozen=True)
class Window:
    metrics: Mapping[str, float]
    entries: Mapping[str, float] = field(default_factory=dict)


def score(value: float) -> Window:
    return Window({"score": value})


def verdict_of(condition: str, window: Window, before: Sequence[Window] = ()) -> Verdict:
    return judge(parse(condition), window, before)


def is_violated(condition: str, value: float, *before: float) -> bool | None:
    outcome = verdict_of(condition, score(value), [score(earlier) for earlier in before]).outcome
    return {Outcome.OK: False, Outcome.NO_VERDICT: None}.get(outcome, True)


@pytest.mark.parametrize(
    ("condition", "bad", "good"),
    [
        ("> 0.2", 0.21, 0.2),
        (">= 0.2", 0.2, 0.19),
        ("< 0.2", 0.19, 0.2),
        ("<= 0.2", 0.2, 0.21),
        ("== 1", 1, 2),
        ("!= 1", 2, 1),
        ("outside 1..2", 0.9, 1),
        ("outside 1..2", 2.1, 2),
        ("inside 1..2", 1, 0.9),
        ("score > 1", 2, 1),
        ("SCORE > 1", 2, 1),
    ],
)
def test_value_is_compared_with_the_threshold(condition: str, bad: float, good: float) -> None:
    assert is_violated(condition, bad) is True
    assert is_violated(condition, good) is False


@pytest.mark.parametrize(
    ("condition", "before", "bad", "good"),
    [
        ("change > 20%", 10, 12.1, 12),
        ("change > 20%", 10, 7.9, 8),
        ("rise > 20%", 10, 12.1, 1),
        ("drop > 20%", 10, 7.9, 100),
        ("change > 2", 10, 7.9, 8),
        ("drop >= 2", -10, -12, -11),
        ("change > 20%", -10, -7.9, -8),
        ("change > 20%", 0, 0.001, 0),
        ("drop > 20%", 0, -1, 5),
        ("change < 1", 10, 10, 11),
    ],
)
def test_change_is_measured_against_the_previous_window(condition: str, before: float, bad: float, good: float) -> None:
    assert is_violated(condition, bad, 1e9, before) is True
    assert is_violated(condition, good, 1e9, before) is False
    assert is_violated(condition, bad) is None


def test_change_can_be_measured_against_the_reference() -> None:
    window, reference = Window({"f1": 0.6}), {"f1": 0.9}
    assert judge(parse("f1 drop > 0.2 against reference"), window, [], reference).is_violated
    assert judge(parse("f1 drop > 0.4 against reference"), window, [], reference).outcome == Outcome.OK
    verdict = judge(parse("drop > 0.2 against reference"), window, [window])
    assert (verdict.outcome, verdict.reason) == (
        Outcome.NO_VERDICT,
        "There is no value of the reference to compare with.",
    )


def test_deviation_is_counted_in_standard_deviations() -> None:
    """The mean and the standard deviation are those of the previous windows: 10 and 1.291.

    Of 7 windows, 3 in both directions stands for 5.24, and 3 downwards for 5.24 too, of half the level.
    """
    before = [10.0, 12.0, 8.0, 10.0, 11.0, 9.0, 10.0]
    assert is_violated("deviation > 3 over 7", 20, *before) is True
    assert is_violated("deviation > 3 over 7", 3, *before) is True
    assert is_violated("deviation > 3 over 7", 3.3, *before) is False
    assert is_violated("deviation up > 3 over 7", 3, *before) is False
    assert is_violated("deviation down > 3 over 7", 3, *before) is True
    assert is_violated("deviation > 3 over 7", 14, *before) is False


def test_deviation_needs_enough_windows_and_has_a_lookback() -> None:
    """Too few previous windows give no verdict; windows before the lookback do not count."""
    assert is_violated("deviation > 3 over 14", 14, *[10.0] * 6) is None
    assert is_violated("deviation > 3 over 14", 14, *[10.0] * 7) is True
    assert is_violated("deviation > 3 over 3", 10, *[1e6] * 50, 10, 10, 10) is False


def test_tiny_variance_violates_only_beyond_the_floor() -> None:
    flat = [0.1] * 14
    assert is_violated("deviation > 3", 0.1004, *flat) is False
    assert is_violated("deviation > 3 floor 0.00001", 0.1004, *flat) is False
    assert is_violated("deviation > 3 floor 0.1", 0.2, *flat) is False
    assert is_violated("deviation > 3", 0.2, *flat) is True


def test_condition_selects_any_all_or_one_of_the_entries() -> None:
    window = Window({"Drift": 0.2}, {"age": 0.5, "job": 0.1})
    assert verdict_of("any feature > 0.3", window).is_violated
    assert verdict_of("all features > 0.3", window).outcome == Outcome.OK
    assert verdict_of("all features > 0.05", window).is_violated
    assert verdict_of("feature job > 0.3", window).outcome == Outcome.OK
    assert verdict_of("age > 0.3", window).is_violated
    assert verdict_of("> 0.3", window).outcome == Outcome.OK
    finding = verdict_of("any feature > 0.05", window).finding
    assert finding is not None
    assert (finding.name, finding.value) == ("age", 0.5)


def test_missing_metric_or_entry_has_no_verdict() -> None:
    assert verdict_of("accuracy > 0.3", score(1)).reason == "The result has no accuracy."
    assert verdict_of("any feature > 0.3", score(1)).outcome == Outcome.NO_VERDICT
    assert verdict_of("> 0.3", Window({})).outcome == Outcome.NO_VERDICT
    assert is_violated("> 0.3", nan) is None
    assert is_violated("< 0.3", inf) is None


def test_warning_level_is_reached_before_the_threshold() -> None:
    for value, outcome in ((0.05, Outcome.OK), (0.15, Outcome.WARNING), (0.25, Outcome.VIOLATED)):
        verdict = verdict_of("> 0.2 warn 0.1", score(value))
        assert verdict.outcome == outcome
        assert verdict.finding is not None
    assert verdict_of("outside 0..10 warn 2..8", score(9)).is_violated
    assert verdict_of("outside 0..10 warn 2..8", score(5)).outcome == Outcome.OK


def test_finding_is_the_entry_furthest_beyond_the_threshold() -> None:
    window = Window({"a": 0.3, "b": -0.9, "c": 0.1})
    for condition, worst in (("> 0.2", "a"), ("< 0.5", "b"), ("outside 0..0.2", "b"), ("!= 0", "b")):
        finding = verdict_of(condition, window).finding
        assert finding is not None
        assert finding.name == worst


def test_deviation_of_huge_numbers_is_judged() -> None:
    """The squares of these numbers overflow a float."""
    assert is_violated("deviation > 3 over 3", 1.0, 1.0, 1e160, 1.0) is False
    assert is_violated("deviation > 3 over 3", 1e160, 1.0, 1.1, 0.9) is True
    assert is_violated("deviation > 3 over 3", 0.0, 1.7e308, 1.7e308, 1.7e308) is True


values = st.floats(-1e6, 1e6)


@given(values, values, st.lists(values, max_size=20))
def test_exactly_one_of_two_opposite_conditions_is_violated(
    value: float, threshold: float, before: list[float]
) -> None:
    for measure in ("", "change ", "rise ", "deviation over 5"):
        test, _, over = measure.partition("over")
        more = is_violated(f"{test}> {threshold!r} {'over' + over if over else ''}", value, *before)
        less = is_violated(f"{test}<= {threshold!r} {'over' + over if over else ''}", value, *before)
        assert (more, less) in ((True, False), (False, True), (None, None))


def test_change_is_against_the_last_window_with_the_metric() -> None:
    """Windows without the metric are skipped."""
    seen = [Window({}, {"job": -0.597, "age": 0.1}), Window({}, {"age": 0.1}), Window({}, {"age": 0.1})]
    verdict = verdict_of("feature job rise > 50%", Window({}, {"job": 0.211, "age": 0.1}), seen)
    assert verdict.is_violated
    assert verdict.finding is not None
    assert verdict.finding.compared_with == -0.597


def test_previous_value_is_searched_in_few_windows_only() -> None:
    distant = [Window({}, {"job": 1.0, "age": 0.1}), *[Window({}, {"age": 0.1})] * PREVIOUS_SEARCH_WINDOWS]
    assert verdict_of("feature job drop > 50%", Window({}, {"job": 0.1}), distant[:-1]).is_violated
    verdict = verdict_of("feature job drop > 50%", Window({}, {"job": 0.1}), distant)
    assert (verdict.outcome, verdict.reason) == (Outcome.NO_VERDICT, "There is no earlier window to compare with.")


@pytest.mark.parametrize(
    ("condition", "before", "value"),
    [
        ("drop >= 20%", 0.5, 0.4),
        ("drop >= 10%", 1.0, 0.9),
        ("change >= 0.1", 0.5, 0.4),
        ("rise >= 0.1", 0.2, 0.3),
        ("change <= 0.1", 0.9, 1.0),
    ],
)
def test_change_of_exactly_the_threshold_has_no_rounding_error(condition: str, before: float, value: float) -> None:
    assert is_violated(condition, value, before) is True


def test_reason_names_a_value_that_is_not_finite() -> None:
    assert verdict_of("> 0.3", score(inf)).reason == "score is infinite."
    assert verdict_of("> 0.3", score(nan)).reason == "score is not a number."
    assert verdict_of("any feature > 0.3", Window({}, {"age": -inf, "job": 0.4})).is_violated
    assert verdict_of("f1 > 0.3", score(inf)).reason == "The result has no f1."
