"""What the demo says of an alert."""

from typing import Any

import pytest

from dcmon.demo.progress import DemoConsole, worst_change

MEAN = {"name": "temp", "before": 0.5, "after": 2.4, "change": {"mean": [37.8, 63.6], "nulls": [0.0, 0.0]}}
SCORE = {"name": "accuracy", "before": 0.4, "after": 1.2, "change": {"score": [0.9, 0.71]}}


def message(kind: str, **alert: Any) -> dict[str, Any]:
    common = {"id": 7, "monitor": "Drift", "severity": "high", "since": "2013-05-08T00:00:00+00:00", "windows": 2}
    return {"type": f"alert.{kind}", "alert": {**common, "metric": "temp", "value": 0.7, "last_value": 2.4, **alert}}


def test_worst_change_of_the_judged_feature_has_its_units() -> None:
    assert worst_change("temp", 2.4, [SCORE, MEAN]) == "temp 2.4: mean 37.8 → 63.6"


def test_worst_change_of_a_mean_names_the_main_feature() -> None:
    assert worst_change("L3 Weighted", 0.18, [MEAN]) == "L3 Weighted 0.18, above all temp: mean 37.8 → 63.6"


def test_worst_change_without_units_says_what_is_known() -> None:
    assert worst_change("f1", 0.63, []) == "f1 0.63"
    assert worst_change("f1", None, []) == "f1 no value"
    assert worst_change("temp", 2.4, [{"name": "temp", "after": 2.4}]) == "temp 2.4"


def test_alert_and_its_end_are_each_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    console = DemoConsole()
    console.show_message(message("firing", moved=[MEAN], violated_now=True))
    console.show_message(message("repeated", moved=[MEAN], violated_now=True))
    console.show_message(message("resolved", moved=[MEAN], violated_now=False))
    lines = [line.split(" s  ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "ALERT high  Drift since 2013-05-08: temp 2.4: mean 37.8 → 63.6",
        "resolved  Drift since 2013-05-08, 2 windows",
    ]
    assert console.alert_count == 1
