"""Scores estimated before labels come; when labels come, the realised score and the gap stand beside them."""

import json

import numpy as np
import pytest
from sqlalchemy import select, text

from dcmon import errors
from dcmon.alerting import rules
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.tables.org import Alert, Monitor, Result
from dcmon.jobs import evaluate
from dcmon.monitoring import lifecycle, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.statistics import calibration
from dcmon.statistics.estimated_performance import ExpectedRows, estimated_score
from dcmon.storage import models, versions
from dcmon.windows import ComparedWith, Frequency
from tests.helpers.evaluation import day, stored_results
from tests.integration.conftest import Target, eventually, running
from tests.unit.statistics.simulated_models import Model, Rows, binary_rows, realised_score

SHARPNESS = 2.0  # so over-confident that a curve is needed, whatever the last digits of a processor's logarithm are
REFERENCE = binary_rows(Model(np.random.default_rng(1), 2_000, sharpness=SHARPNESS))
ROWS = 600


def rows_of(number: int) -> Rows:
    return binary_rows(Model(np.random.default_rng(100 + number), ROWS, sharpness=SHARPNESS))


def log(app: App, target: Target, number: int, count: int = ROWS) -> None:
    rows = rows_of(number)
    encoded = [
        json.dumps({
            "_dc_sample_id": f"{number}/{index}", "_dc_time": (day(number).start).isoformat(), "age": 1, "job": "a",
            "_dc_prediction": str(rows.predictions[index]),
            "_dc_prediction_probabilities": rows.probabilities[index].tolist(),
        }).encode()
        for index in range(count)
    ]  # fmt: skip
    app.ingestion.ingest_samples(target.org, target.version_id, encoded)


def log_labels(app: App, target: Target, number: int, labels: np.ndarray) -> None:
    encoded = [
        json.dumps({"_dc_sample_id": f"{number}/{index}", "_dc_label": str(label)}).encode()
        for index, label in enumerate(labels)
    ]
    app.ingestion.ingest_labels(target.org, target.model_id, encoded)


def create_monitor(app: App, target: Target, condition: str = "Accuracy gap < -0.1") -> int:
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        check = model_checks.get_or_create_check(session, model, "EstimatedPerformance")
        monitor = monitors.create(session, check, MonitorSpec("Before labels", Frequency.DAY))
        rules.create(session, monitor.id, rules.parse(condition), "high")
        return monitor.id


def load_reference(app: App, target: Target) -> None:
    names = ["age", "job", "_dc_prediction", "_dc_prediction_probabilities", "_dc_label"]
    data = [
        [1, "a", str(prediction), list(probabilities), str(label)]
        for probabilities, label, prediction in zip(*(column.tolist() for column in REFERENCE), strict=True)
    ]
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        lifecycle.append_reference(session, model, version, json.dumps({"columns": names, "data": data}).encode())


@pytest.fixture
def watched(app: App, target: Target) -> Target:
    """Create a monitor and a reference, log two days without labels, and a row of the third day."""
    load_reference(app, target)
    create_monitor(app, target)
    log(app, target, 0)
    log(app, target, 1)
    log(app, target, 2, count=1)
    return target


def settle(app: App, target: Target) -> None:
    """Evaluate until no complete window is due, without waiting periods."""
    with app.org(target.org) as session:
        session.execute(text("update due_windows set due_at = now()"))
    work_queue.enqueue_now(app.engine, target.org.id, work_queue.Work.evaluate)
    open_window = "select count(*) from due_windows d, versions v where d.version_id = v.id and window_end <= watermark"
    untouched = "select count(*) from quarter_hours where is_touched"
    with running(evaluate.run, app):
        assert eventually(lambda: target.scalar(f"select ({open_window}) + ({untouched})") == 0)


def results_of(app: App, target: Target, number: int) -> list[Result]:
    return [result for result in stored_results(app, target) if result.window_start == day(number).start]


def estimate(rows: Rows) -> float:
    fitted = calibration.fit(REFERENCE.probabilities, REFERENCE.labels)
    assert fitted.curves[0] is not None, "without a curve the rows' order would not matter, but with one it may"
    return estimated_score("accuracy", ExpectedRows(rows.probabilities, rows.predictions, fitted)).value


def test_windows_are_estimated_without_waiting_for_labels(app: App, watched: Target) -> None:
    settle(app, watched)
    for number in (0, 1):
        (result,) = results_of(app, watched, number)
        assert (result.state, result.n, result.reason) == ("OK", ROWS, None)
        assert result.metrics == {"Accuracy estimated": pytest.approx(estimate(rows_of(number)), abs=1e-9)}


def test_labels_add_the_gap_in_a_new_revision(app: App, watched: Target) -> None:
    """A day on which the model is right as often as expected has a small gap, and one with other labels an alert."""
    settle(app, watched)
    as_before = rows_of(0)
    changed = rows_of(1)
    is_flipped = np.random.default_rng(5).random(ROWS) < 0.3
    changed = changed._replace(labels=np.where(is_flipped, 1 - changed.labels, changed.labels))
    log_labels(app, watched, 0, as_before.labels)
    log_labels(app, watched, 1, changed.labels)
    settle(app, watched)
    for number, rows in enumerate((as_before, changed)):
        first, second = results_of(app, watched, number)
        assert list(first.metrics) == ["Accuracy estimated"]
        realised = realised_score("accuracy", rows)
        assert second.metrics == {
            "Accuracy estimated": first.metrics["Accuracy estimated"],
            "Accuracy realised": pytest.approx(realised, abs=1e-12),
            "Accuracy gap": pytest.approx(realised - estimate(rows), abs=1e-9),
        }
    with app.org(watched.org) as session:
        (alert,) = session.scalars(select(Alert)).all()
        assert alert.first_window_end == day(1).end


def test_few_late_labels_wait_for_quiet(app: App, watched: Target) -> None:
    """Labels that come one by one do not cause an evaluation each."""
    settle(app, watched)
    log_labels(app, watched, 0, rows_of(0).labels[:400])
    settle(app, watched)
    log_labels(app, watched, 0, rows_of(0).labels[:410])
    waiting = "select count(*) from due_windows where window_end = :end and due_at > now() + interval '1 minute'"
    with running(evaluate.run, app):
        assert eventually(lambda: watched.scalar(waiting, end=day(0).end) == 1)
    assert len(results_of(app, watched, 0)) == 2


def test_rule_must_name_its_metric(app: App, target: Target) -> None:
    """Otherwise "< 0.8", which is meant for the accuracy, would be true of every gap."""
    with pytest.raises(errors.InvalidInput, match="Name the metric"):
        create_monitor(app, target, "< 0.8")
    with pytest.raises(errors.InvalidInput, match="There is no metric 'Accuracy'"):
        create_monitor(app, target, "Accuracy < 0.8")


def test_unfit_monitors_are_refused(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        check = model_checks.get_or_create_check(session, model, "EstimatedPerformance")
        compared = MonitorSpec("Weekly", Frequency.DAY, compared_with=ComparedWith.WEEK_BEFORE)
        with pytest.raises(errors.InvalidInput, match="can't compare with an earlier window"):
            monitors.create(session, check, compared)
        chosen = {"check_conf": {"scorer": ["neg_log_loss"]}, "res_conf": None}
        with pytest.raises(errors.InvalidInput, match="There is no scorer 'neg_log_loss'"):
            monitors.create(session, check, MonitorSpec("Loss", Frequency.DAY, additional_kwargs=chosen))
        assert session.scalars(select(Monitor)).all() == []


def test_new_reference_estimates_the_windows_again(app: App, target: Target) -> None:
    create_monitor(app, target)
    log(app, target, 0)
    log(app, target, 1, count=1)
    settle(app, target)
    assert [result.state for result in results_of(app, target, 0)] == ["NO_DATA"]
    load_reference(app, target)
    settle(app, target)
    assert [result.state for result in results_of(app, target, 0)][-1] == "OK"
