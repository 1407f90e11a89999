"""Alert rules: valid and invalid conditions, durations and options."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from dcmon import durations, errors
from dcmon.alerting import rules
from dcmon.alerting.condition_judge import judge


@dataclass(frozen=True)
class Window:
    metrics: Mapping[str, float]
    entries: Mapping[str, float]


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
def test_sign_compares_the_value_with_the_threshold(sign: str, below: bool, at: bool, above: bool) -> None:
    condition = rules.parse(f"{sign} 0.5")
    violations = [judge(condition, Window({"score": value}, {}), ()).is_violated for value in (0.4, 0.5, 0.6)]

    assert violations == [below, at, above]


@pytest.mark.parametrize(("text", "threshold"), [(">.5", 0.5), (">  -1", -1), ("< 1E-3", 0.001), (">+2.", 2)])
def test_threshold_may_have_any_number_format(text: str, threshold: float) -> None:
    assert rules.parse(text).threshold == threshold


@pytest.mark.parametrize(
    "text", ["> ", "> 1e", "> nan", "> inf", "> 0x1", ">> 1", "1 > 0", "> 1,5", "> --1", ">\n", "≥ 1"]
)
def test_invalid_condition_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="not a condition"):
        rules.parse(text)


@pytest.mark.parametrize("text", ["999999999w", "999999999d", "1.5.5h", "5 lightyears", "h", "1h30", "٣", "1e3s"])
def test_invalid_or_too_long_duration_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="duration"):
        durations.parse(text)


def test_duration_may_have_a_fraction() -> None:
    assert durations.parse(" 1.5h ").total_seconds() == 5400


@pytest.mark.parametrize("rows", [-1, 99_999_999_999])
def test_impossible_min_n_is_refused(rows: int) -> None:
    with pytest.raises(errors.InvalidInput, match="min_n is a number of rows"):
        rules.preview(None, rules.Change(rules.parse("> 1"), min_n=rows))
