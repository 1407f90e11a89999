"""The checks of dcmon's own that measure changes against noise."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from dcmon.alerting.condition_parser import parse
from dcmon.checks.catalogue import CHANGE_KINDS, for_config
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.own_defaults import for_frequency
from dcmon.checks.runner import run
from dcmon.states import ResultState
from dcmon.statistics.columns import ClassColumn, CountedColumn, NumericColumn, Rows
from dcmon.windows import Frequency

SCHEMA = DatasetSchema("binary", {"age": "numeric", "city": "categorical", "note": "text"}, ["no", "yes"])
KINDS = {kind.class_name: kind for kind in CHANGE_KINDS}


def rows(n: int, seed: int, *, shift: float = 0.0, nulls: float = 0.0, has_labels: bool = True) -> Rows:
    generator = np.random.default_rng(seed)
    age = np.where(generator.random(n) < nulls, np.nan, generator.normal(size=n) + shift)
    codes = generator.integers(0, 2, n)
    column = ClassColumn(codes, ("no", "yes"))
    features = {
        "age": NumericColumn(age),
        "city": CountedColumn(Counter(f"c{code}" for code in generator.integers(0, 5, n))),
        "note": CountedColumn({"x": n}),
    }
    return Rows(n, features, column if has_labels else None, column)


def value(name: str, current: Rows, reference: Rows | None, **settings: Any) -> CheckValue:
    setup = CheckSetup(KINDS[name], settings.pop("params", {}), settings, SCHEMA)
    return run(setup, current, reference)


def test_drift_names_the_feature_and_the_mean() -> None:
    drift = value("DriftBeyondNoise", rows(500, 1, shift=2), rows(2000, 2))
    assert drift.state == ResultState.OK
    assert list(drift.entries) == ["age", "city"]
    assert drift.entries["age"] > 1 > drift.entries["city"]
    assert drift.metrics["Max Drift"] == drift.entries["age"]
    assert set(drift.metrics) == {"Max Drift", "Mean Drift"}


@pytest.mark.parametrize("name", KINDS)
def test_equal_windows_are_within_the_limit(name: str) -> None:
    result = value(name, rows(500, 3), rows(2000, 4))
    assert result.state == ResultState.OK
    assert result.entries
    assert all(0 <= number <= 1 for number in {**result.metrics, **result.entries}.values())


@pytest.mark.parametrize("name", KINDS)
def test_window_with_few_rows_is_insufficient(name: str) -> None:
    for n in (1, 29):
        result = value(name, rows(n, 5, shift=9), rows(2000, 6))
        assert (result.state, result.metrics) == (ResultState.INSUFFICIENT, {})
        assert "Too few rows" in (result.reason or "")


def test_reference_with_few_rows_asks_for_a_larger_one() -> None:
    result = value("DriftBeyondNoise", rows(500, 7), rows(20, 8))
    assert result.state == ResultState.INSUFFICIENT
    assert "Load a larger reference." in (result.reason or "")


def test_nulls_and_chosen_features_are_read() -> None:
    rise = value("NullRise", rows(500, 9, nulls=0.5), rows(2000, 10))
    assert rise.entries["age"] > 1
    assert set(rise.entries) == {"age", "city", "note"}
    chosen = value("NullRise", rows(500, 9, nulls=0.5), rows(2000, 10), check_conf={"feature": ["city"]})
    assert list(chosen.entries) == ["city"]


def test_score_needs_labels_on_both_sides() -> None:
    assert value("ScoreFall", rows(500, 11, has_labels=False), rows(2000, 12)).state == ResultState.NO_DATA
    assert value("ScoreFall", rows(500, 11), rows(2000, 12, has_labels=False)).state == ResultState.NO_DATA
    assert value("ScoreFall", rows(500, 11), None).state == ResultState.NO_DATA


def test_changes_are_described_in_units_of_the_features() -> None:
    drift = value("DriftBeyondNoise", rows(500, 1, shift=2), rows(2000, 2))
    before, now = drift.changes["age"]["mean"]
    assert now - before == pytest.approx(2, abs=0.2)
    rise = value("NullRise", rows(500, 9, nulls=0.5), rows(2000, 10))
    assert rise.changes["age"]["nulls"] == [0.0, pytest.approx(0.5, abs=0.1)]
    assert list(rise.changes) == ["age"]


def test_changes_of_outputs_and_scores_are_described() -> None:
    """The window predicts one class only, and one fifth of its labels are flipped."""
    reference, window = rows(2000, 2), rows(500, 1)
    labels = np.where(np.arange(500) < 100, 1 - window.labels.codes, window.labels.codes)
    flipped = Rows(500, window.features, ClassColumn(labels, ("no", "yes")), window.predictions)
    fall = value("ScoreFall", flipped, reference)
    assert fall.entries["accuracy"] > 1
    assert fall.changes["accuracy"] == {"score": [1.0, 0.8]}
    one_class = Rows(500, window.features, window.labels, ClassColumn(np.ones(500, int), ("no", "yes")))
    drift = value("PredictionDriftBeyondNoise", one_class, reference)
    assert drift.entries["prediction"] > 1
    assert drift.changes["prediction"]["shares"]["yes"] == [pytest.approx(0.5, abs=0.05), 1.0]


def test_errors_of_numbers_are_described() -> None:
    setup = CheckSetup(KINDS["ScoreFall"], {}, {}, DatasetSchema("regression", {"age": "numeric"}))
    generator = np.random.default_rng(5)

    def numbers(n: int, spread: float) -> Rows:
        labels = generator.normal(size=n)
        predictions = labels + spread * generator.normal(size=n)
        return Rows(n, {"age": NumericColumn(labels)}, NumericColumn(labels), NumericColumn(predictions))

    fall = run(setup, numbers(500, 3.0), numbers(2000, 1.0))
    assert fall.entries["RMSE"] > 1
    assert fall.changes["RMSE"]["score"] == [pytest.approx(1, abs=0.1), pytest.approx(3, abs=0.3)]


@pytest.mark.parametrize("rate", [0, 0.5, "x", None])
def test_error_rate_is_a_small_number(rate: object) -> None:
    result = value("NullRise", rows(500, 13), rows(2000, 14), params={"error_rate": rate})
    assert result.state == ResultState.ERROR
    assert "error_rate is a number between 0 and 0.5" in (result.reason or "")


@pytest.mark.parametrize("frequency", list(Frequency))
def test_own_defaults_are_checks_of_dcmon_with_readable_rules(frequency: Frequency) -> None:
    for default in for_frequency(frequency):
        assert for_config("dcmon", default.kind.class_name) is default.kind
        for monitor in default.monitors:
            assert monitor.rules
            for rule in monitor.rules:
                condition = parse(rule.condition)
                assert rule.min_n >= 30 or condition.floor >= 30


def test_months_have_no_volume_of_earlier_weeks() -> None:
    names = {monitor.name for default in for_frequency(Frequency.MONTH) for monitor in default.monitors}
    assert "Volume of Rows" not in names
    assert "Quarantined Rows" in names
