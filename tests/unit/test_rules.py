"""Alert rules: what a condition means, and what breaks it."""

import pytest

from dcmon import durations, errors, rules
from dcmon.tables.org import AlertRule


@pytest.mark.parametrize(
    ("sign", "below", "at", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        ("=", False, True, False),
        ("!=", True, False, True),
    ],
)
def test_a_sign_compares_with_the_threshold(sign: str, below: bool, at: bool, above: bool) -> None:
    condition = rules.parse(f"{sign} 0.5")
    found = [rules.is_violated(value, condition.operator, condition.threshold) for value in (0.4, 0.5, 0.6)]

    assert found == [below, at, above]


@pytest.mark.parametrize(("text", "threshold"), [(">.5", 0.5), (">  -1", -1), ("< 1E-3", 0.001), (">+2.", 2)])
def test_a_threshold_is_any_number(text: str, threshold: float) -> None:
    assert rules.parse(text).threshold == threshold


@pytest.mark.parametrize(
    "text", ["> ", "> 1e", "> nan", "> inf", "> 0x1", ">> 1", "1 > 0", "> 1,5", "> --1", ">\n", "≥ 1"]
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="no condition"):
        rules.parse(text)


def test_every_metric_is_compared_with_every_rule() -> None:
    given = [
        AlertRule(operator="greater_than", threshold=1, severity="high"),
        AlertRule(operator="less_than", threshold=0, severity="low"),
    ]

    assert rules.violated(given, {"a": 2, "b": -1, "c": 0.5}) == ["high: a", "low: b"]


@pytest.mark.parametrize("text", ["999999999w", "999999999d", "1.5.5h", "5 h", "h", "1h30m", "٣", "1e3s"])
def test_what_is_no_duration_or_too_long_a_one_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="duration"):
        durations.parse(text)


def test_a_duration_may_have_a_fraction() -> None:
    assert durations.parse(" 1.5h ").total_seconds() == 5400
