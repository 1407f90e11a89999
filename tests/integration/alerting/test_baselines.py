"""Rules against the reference score the reference once for each revision."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from dcmon.alerting import rules
from dcmon.app import App
from dcmon.db.tables.org import Alert, Baseline, Result
from dcmon.ingestion import reference_loading
from dcmon.ingestion.reference_loading import LoadOptions
from dcmon.monitoring import complete_windows, lifecycle, manual_runs, model_checks, monitors
from dcmon.monitoring.complete_windows import EndRange
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.windows import Frequency
from tests.helpers.evaluation import day, log_day, rows
from tests.integration.conftest import Target, single

URL = "https://dcmon.example"


def load_reference(app: App, target: Target, right: int) -> None:
    """Load a reference of 300 rows with the given percentage of right predictions."""
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        parsed = [json.loads(row) for row in rows(-1)]
        for number, row in enumerate(parsed):
            row["_dc_label"] = row["_dc_prediction"] if number % 100 < right else str(1 - int(row["_dc_prediction"]))
            del row["_dc_sample_id"], row["_dc_time"]
        table = reference_loading.ReferenceTable([json.dumps(row).encode() for row in parsed])
        lifecycle.load_reference(session, model, version, table, LoadOptions(replace=True))


def label(app: App, target: Target, number: int, right: int) -> None:
    decoded = [json.loads(row) for row in rows(number)]
    labels = [
        {
            "_dc_sample_id": row["_dc_sample_id"],
            "_dc_label": row["_dc_prediction"] if place % 100 < right else str(1 - int(row["_dc_prediction"])),
        }
        for place, row in enumerate(decoded)
    ]
    app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(label).encode() for label in labels])


@pytest.fixture
def monitor_id_of_scores(app: App, target: Target) -> int:
    """Create a daily accuracy monitor: 90, 88, 70, 90 percent right, reference 90."""
    load_reference(app, target, 90)
    with app.org(target.org) as session:
        check = model_checks.get_or_create_check(
            session, models.get(session, target.model_id), "SingleDatasetPerformance"
        )
        chosen = {"check_conf": {"scorer": ["Accuracy"]}, "res_conf": None}
        monitor = monitors.create(session, check, MonitorSpec("Score", Frequency.DAY, additional_kwargs=chosen))
    for number, right in enumerate((90, 88, 70, 90, 90)):
        log_day(app, target, number)
        label(app, target, number, right)
    return monitor.id


def create_rule(app: App, target: Target, monitor_id: int, condition: str) -> None:
    with app.org(target.org) as session:
        rules.create(session, monitor_id, rules.parse(condition), "high")


def evaluate(app: App, target: Target, monitor_id: int, first: int = 0) -> list[Result]:
    """Evaluate the windows from the given day to the fourth."""
    with app.org(target.org) as session:
        due = complete_windows.in_range(session, monitor_id, EndRange(day(first).start, day(3).end), datetime.now(UTC))
    return list(manual_runs.evaluate_windows(app.engine, target.org, monitor_id, due, app.settings.evaluate, URL))


def baselines(app: App, target: Target) -> list[Baseline]:
    with app.org(target.org) as session:
        return list(session.scalars(select(Baseline).order_by(Baseline.reference_revision)))


def spans(app: App, target: Target) -> list[tuple[Any, Any, Any]]:
    with app.org(target.org) as session:
        return [
            (alert_row.first_window_end, alert_row.state, alert_row.details["compared_with"])
            for alert_row in session.scalars(select(Alert))
        ]


def test_rule_fires_where_a_score_fell_below_the_reference(app: App, target: Target, monitor_id_of_scores: int) -> None:
    """The score is compared with the score of the reference."""
    create_rule(app, target, monitor_id_of_scores, "drop > 10% against reference")
    results_by_window = evaluate(app, target, monitor_id_of_scores)
    baseline = single(baselines(app, target))
    assert [next(iter(result.metrics.values())) for result in results_by_window] == pytest.approx(
        [0.9, 0.88, 0.7, 0.9], abs=1e-9
    )
    assert (baseline.state, baseline.n, list(baseline.metrics.values())) == ("OK", 300, pytest.approx([0.9]))
    assert spans(app, target) == [(day(2).end, "resolved", pytest.approx(0.9))]


def test_later_rule_judges_stored_results_after_scoring(app: App, target: Target, monitor_id_of_scores: int) -> None:
    """The rule is added later; results are judged once the reference is scored."""
    evaluate(app, target, monitor_id_of_scores)
    assert baselines(app, target) == []
    create_rule(app, target, monitor_id_of_scores, "drop > 10% against reference")
    log_day(app, target, 3, 0, 301)
    evaluate(app, target, monitor_id_of_scores, 3)
    assert len(baselines(app, target)) == 1
    assert spans(app, target) == [(day(2).end, "resolved", pytest.approx(0.9))]


def test_new_reference_is_scored_again(app: App, target: Target, monitor_id_of_scores: int) -> None:
    create_rule(app, target, monitor_id_of_scores, "drop > 10% against reference")
    evaluate(app, target, monitor_id_of_scores)
    load_reference(app, target, 60)
    log_day(app, target, 3, 0, 302)
    evaluate(app, target, monitor_id_of_scores)
    assert [round(single(list(baseline.metrics.values())), 9) for baseline in baselines(app, target)] == [0.9, 0.6]


def test_no_baseline_without_a_rule_against_the_reference(app: App, target: Target, monitor_id_of_scores: int) -> None:
    create_rule(app, target, monitor_id_of_scores, "drop > 10%")
    evaluate(app, target, monitor_id_of_scores)
    assert baselines(app, target) == []
