"""What a rule does on windows drawn from the reference, in which nothing changes."""

import json
from typing import Any

import numpy as np
import pytest

from dcmon import errors
from dcmon.alerting.condition_parser import parse
from dcmon.alerting.state_machine import Policy
from dcmon.app import App
from dcmon.monitoring import lifecycle, model_checks, monitors, rule_noise
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.rule_noise import RuleNoise
from dcmon.storage import models, versions
from dcmon.windows import ComparedWith, Frequency
from tests.helpers.evaluation import log_day, rows
from tests.integration.conftest import Target

DAYS, ROWS, REFERENCE_ROWS = 6, 300, 300
NUMBER_SPEC = {"check_conf": {"feature": ["age"]}, "res_conf": None}


def load_reference(app: App, target: Target, names: tuple[str, ...] = ("age", "job", "_dc_prediction")) -> None:
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        parsed = [json.loads(row) | {"_dc_label": str(index % 2)} for index, row in enumerate(rows(-1))]
        document = {"columns": list(names), "data": [[row[name] for name in names] for row in parsed]}
        lifecycle.append_reference(session, model, version, json.dumps(document).encode())


def create_monitor(app: App, target: Target, check_name: str = "FeatureDrift", **spec: Any) -> int:
    with app.org(target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), check_name)
        frequency = spec.pop("frequency", Frequency.DAY)
        return monitors.create(session, check, MonitorSpec("Watched", frequency, **spec)).id


def log_days(app: App, target: Target) -> None:
    for number in range(DAYS):
        log_day(app, target, number)


def noise_of(app: App, target: Target, monitor_id: int, condition: str, **policy: int) -> RuleNoise:
    with app.org(target.org) as session:
        source = rule_noise.load(session, target.org, monitor_id, app.settings.evaluate)
    return rule_noise.simulate(source, Policy(parse(condition), **policy))


def distances(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples."""
    points = np.sort(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(side), points, side="right") / len(side) for side in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


@pytest.mark.parametrize("threshold", [0.08, 0.1])
def test_bad_windows_are_as_many_as_in_worlds_without_a_change(app: App, target: Target, threshold: float) -> None:
    """The oracle: new windows and new references of normal numbers, 300 rows each, without dcmon.

    A window that is drawn from the reference itself, and compared with it, has only half of this noise.
    """
    load_reference(app, target)
    log_days(app, target)
    monitor_id = create_monitor(app, target, additional_kwargs=NUMBER_SPEC)
    noise = noise_of(app, target, monitor_id, f"feature age > {threshold}")
    share = noise.alerts.violated_per_year / 365
    chance = np.random.default_rng(1)
    found = [
        distances(chance.standard_normal(ROWS), chance.standard_normal(REFERENCE_ROWS)) > threshold for _ in range(4000)
    ]
    assert share == pytest.approx(np.mean(found), rel=0.25)
    assert noise.alerts.is_too_much
    assert any(proposal.condition for proposal in noise.alerts.proposals)


def test_row_says_what_was_drawn_and_is_the_same_twice(app: App, target: Target) -> None:
    load_reference(app, target)
    log_days(app, target)
    monitor_id = create_monitor(app, target)
    row = noise_of(app, target, monitor_id, "any feature > 0.15").row()
    assert row == noise_of(app, target, monitor_id, "any feature > 0.15").row()
    assert (row["rows"], row["rows_range"], row["features"], row["looks_at"]) == (ROWS, [ROWS, ROWS], 2, 2)
    assert (row["frequency"], row["version"], row["reference_rows"]) == ("day", "v1", REFERENCE_ROWS)
    assert row["windows"] >= 1000
    assert row["without_verdict"] == 0


def test_windows_of_several_days_share_rows(app: App, target: Target) -> None:
    """A violated window of seven days stays so on the next day, so that more of them make one alert."""
    load_reference(app, target)
    log_days(app, target)
    monitor_id = create_monitor(app, target, aggregation_window=7, additional_kwargs=NUMBER_SPEC)
    alerts = noise_of(app, target, monitor_id, "> 0.075").alerts
    violated, fired = (alerts.total(lambda counts: counts.violated), alerts.total(lambda counts: counts.alerts))
    assert violated > 2 * fired > 0


def test_comparison_with_the_previous_window_is_drawn_too(app: App, target: Target) -> None:
    """An odd window differs from the one before and from the one after: violated windows come in pairs."""
    load_reference(app, target)
    log_days(app, target)
    monitor_id = create_monitor(app, target, additional_kwargs=NUMBER_SPEC, compared_with=ComparedWith.PREVIOUS)
    share = noise_of(app, target, monitor_id, "> 0.1").alerts.violated_per_year / 365
    in_pairs = noise_of(app, target, monitor_id, "> 0.1", for_windows=2).alerts.violated_per_year
    assert share > 0.03
    assert in_pairs > 0


def test_baseline_of_a_rule_is_drawn_with_its_series(app: App, target: Target) -> None:
    load_reference(app, target, ("age", "job", "_dc_prediction", "_dc_label"))
    log_days(app, target)
    labels = [{"_dc_sample_id": f"{day}/{row}", "_dc_label": "1"} for day in range(DAYS) for row in range(ROWS)]
    app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(label).encode() for label in labels])
    monitor_id = create_monitor(app, target, "SingleDatasetPerformance")
    noise = noise_of(app, target, monitor_id, "accuracy drop > 0.1% against reference")
    assert noise.alerts.total(lambda counts: counts.without_verdict) == 0
    assert noise.alerts.windows > 100


@pytest.mark.parametrize(
    ("check_name", "has_reference", "has_rows", "reason"),
    [
        ("FeatureDrift", False, True, 'no reference to draw windows from. Load one with "dcmon reference load'),
        ("FeatureDrift", True, False, "No version of credit has rows yet"),
        ("DataFlow", True, True, "counts arriving rows"),
        ("SingleDatasetPerformance", True, True, "has no labelled rows yet"),
    ],
)
def test_noise_that_cant_be_drawn_has_a_reason(
    app: App, target: Target, check_name: str, has_reference: bool, has_rows: bool, reason: str
) -> None:
    if has_reference:
        load_reference(app, target)
    if has_rows:
        log_days(app, target)
    monitor_id = create_monitor(app, target, check_name)
    with pytest.raises(errors.InvalidInput, match=reason):
        noise_of(app, target, monitor_id, "rows < 3")


def test_reference_without_labels_has_a_reason(app: App, target: Target) -> None:
    load_reference(app, target)
    log_days(app, target)
    label = {"_dc_sample_id": "1/1", "_dc_label": "1"}
    app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(label).encode()])
    monitor_id = create_monitor(app, target, "SingleDatasetPerformance")
    with pytest.raises(errors.InvalidInput, match="has no labels, which SingleDatasetPerformance reads"):
        noise_of(app, target, monitor_id, "< 0.5")
