"""The default checks, monitors and rules of a new model equal those of the SDK."""

import pytest

from dcmon.checks.defaults import for_task
from dcmon.errors import InvalidInput


@pytest.mark.parametrize(
    ("task_type", "checks", "monitors", "rules"),
    [("binary", 9, 8, 7), ("multiclass", 9, 8, 7), ("regression", 8, 7, 6)],
)
def test_task_type_has_its_number_of_checks_monitors_and_rules(
    task_type: str, checks: int, monitors: int, rules: int
) -> None:
    defaults = for_task(task_type, "DAY")
    assert len(defaults) == checks
    assert len([check for check in defaults if check.monitor]) == monitors
    assert len([check for check in defaults if check.rule]) == rules


def test_default_rules_of_a_binary_model_equal_the_sdks() -> None:
    rules = {c.monitor.name: (c.rule.threshold, c.rule.severity) for c in for_task("binary") if c.rule and c.monitor}
    assert rules == {
        "Aggregated Feature Drift": (0.15, "high"),
        "Prediction Drift": (0.2, "high"),
        "Label Drift": (0.2, "critical"),
        "New Category Train-Test": (0.01, "medium"),
        "Mixed Nulls": (0.0, "medium"),
        "String Mismatch": (0.0, "medium"),
        "New Label Train-Test": (0.01, "high"),
    }


def test_dashboard_has_five_monitors_of_the_window_length() -> None:
    """The windows of the five monitors have the requested length."""
    monitors = [check.monitor for check in for_task("regression", "HOUR") if check.monitor]
    assert {monitor.frequency for monitor in monitors} == {"HOUR"}
    assert {monitor.lookback.days for monitor in monitors} == {7}
    shown = [monitor.name for monitor in monitors if monitor.show_on_dashboard]
    assert shown == [
        *("Aggregated Feature Drift", "Prediction Drift", "Label Drift", "New Category Train-Test", "Performance")
    ]


def test_default_configs_create_the_checks_of_the_sdk() -> None:
    from deepchecks.core.checks import BaseCheck

    created = {check.name: BaseCheck.from_config(check.config) for check in for_task("binary")}
    assert created["Label Drift"].ignore_na is True
    assert created["Label Drift"].min_samples == created["Feature Drift"].min_samples == 100
    assert created["Performance"].scorers == ["Accuracy"]


def test_unknown_task_type_is_refused() -> None:
    with pytest.raises(InvalidInput, match="regression, binary or multiclass"):
        for_task("ranking")
    with pytest.raises(InvalidInput, match="HOUR, DAY, WEEK or MONTH"):
        for_task("binary", "YEAR")
