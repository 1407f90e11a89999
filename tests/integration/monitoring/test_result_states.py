"""A value that can't be computed is stored once as a state with a reason, without endless retries."""

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from dcmon.app import App
from dcmon.db.tables.org import Monitor, Result
from dcmon.jobs import evaluate
from dcmon.monitoring import lifecycle, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from dcmon.windows import ComparedWith, Frequency
from tests.helpers.evaluation import day, log_day, rows
from tests.integration.conftest import Target, eventually, running

OSLO = {"filters": [{"column": "job", "operator": "equals", "value": "astronaut"}]}
GRADE = {"filters": [{"column": "grade", "operator": "greater_than", "value": 3}]}


def create_monitor(
    app: App, target: Target, name: str, check: str, params: dict[str, Any] | None = None, **more: Any
) -> None:
    conf = more.pop("conf", None)
    kwargs = {"check_conf": conf, "res_conf": None} if conf else None
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        on = model_checks.get_or_create_check(session, model, check, params, name)
        monitors.create(session, on, MonitorSpec(name, Frequency.DAY, additional_kwargs=kwargs, **more))


def states_and_reasons(app: App, target: Target, version_id: int) -> dict[str, tuple[str, str]]:
    with app.org(target.org) as session:
        statement = select(Monitor.name, Result).join(Monitor, Monitor.id == Result.monitor_id)
        chosen = statement.where(Result.version_id == version_id, Result.window_start == day(0).start)
        return {name: (result.state, result.reason or "") for name, result in session.execute(chosen)}


def label(app: App, target: Target, values: dict[int, str]) -> None:
    message = [{"_dc_sample_id": f"0/{sample_id}", "_dc_label": value} for sample_id, value in values.items()]
    app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(row).encode() for row in message])


def test_impossible_value_is_a_state_with_a_reason(app: App, target: Target) -> None:
    """The window is not evaluated again."""
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        model.label_delay = timedelta()
        newer = versions.create(
            session, model, NewVersion("v2", {"age": "numeric", "grade": "integer"}, classes=["0", "1"])
        ).id
    performance = "SingleDatasetPerformance"
    create_monitor(app, target, "no reference", "FeatureDrift")
    create_monitor(app, target, "no earlier", "FeatureDrift", compared_with=ComparedWith.PREVIOUS)
    create_monitor(app, target, "no row fits", "PercentOfNulls", data_filters=OSLO)
    create_monitor(app, target, "column gone", "PercentOfNulls", data_filters=GRADE)
    create_monitor(app, target, "feature gone", "PercentOfNulls", conf={"feature": ["grade"]})
    create_monitor(app, target, "one class", performance, conf={"scorer": ["roc_auc"]})
    create_monitor(app, target, "one of two", performance, conf={"scorer": ["accuracy", "fnr"]})
    create_monitor(app, target, "no probabilities", performance, {"scorers": ["neg_log_loss"]})
    create_monitor(
        app, target, "raises", "FeatureDrift", {"numerical_drift_method": 3}, compared_with=ComparedWith.PREVIOUS
    )
    create_monitor(app, target, "bad parameter", "StringMismatch", {"columns": 3})
    label(app, target, dict.fromkeys(range(40), "0"))
    for number in (-1, 0, 1):
        log_day(app, target, number)
    open_windows = "select count(*) from due_windows where window_end <= '2026-03-03'"
    with running(evaluate.run, app):
        assert eventually(lambda: len(states_and_reasons(app, target, target.version_id)) == 10)
        assert eventually(lambda: target.scalar(open_windows) == 0)
    outcomes = states_and_reasons(app, target, target.version_id)
    assert outcomes["no earlier"][0] == "OK"
    expected = {
        "no reference": ("NO_DATA", "The version has no reference to compare with. Load one with"),
        "no row fits": ("NO_DATA", "No row of the window matches the monitor's filters."),
        "column gone": ("ERROR", "There is no column 'grade' to filter by. There are age, job, and"),
        "feature gone": ("ERROR", "There is no feature grade in this version. It has age, job."),
        "one of two": ("OK", "no fnr: All labels of the window are '0', and fnr needs rows of other classes too."),
        "no probabilities": ("NO_DATA", "The check needs probabilities, and no row has them."),
        "one class": ("NO_DATA", "The check needs probabilities, and no row has them."),
        "raises": ("ERROR", "FeatureDrift failed: "),
        "bad parameter": ("ERROR", "There is no feature 3 in this version."),
    }
    for name, (state, reason) in expected.items():
        assert (outcomes[name][0], outcomes[name][1][: len(reason)]) == (state, reason), name
    assert newer != target.version_id


def test_missing_labels_and_missing_rows_are_different_reasons(app: App, target: Target) -> None:
    """A window that is larger than the sample has only its labelled rows read."""
    small = App(app.settings.model_copy(update={"evaluate": app.settings.evaluate.model_copy(
        update={"sample_size": 100})}), app.output)  # fmt: skip
    with app.org(target.org) as session:
        models.get(session, target.model_id).label_delay = timedelta()
        model, version = versions.get(session, target.version_id)
        names = ["age", "job", "_dc_prediction"]
        parsed = [json.loads(row) for row in rows(-1)]
        document = {"columns": names, "data": [[row[name] for name in names] for row in parsed]}
        lifecycle.append_reference(session, model, version, json.dumps(document).encode())
    create_monitor(app, target, "unlabelled", "SingleDatasetPerformance")
    create_monitor(app, target, "reference unlabelled", "LabelDrift")
    for number in (0, 1):
        log_day(app, target, number)
    with small, running(evaluate.run, small):
        assert eventually(lambda: len(states_and_reasons(app, target, target.version_id)) == 2)
    reason = "No row of the window has a label. The result is computed again when labels arrive."
    assert set(states_and_reasons(app, target, target.version_id).values()) == {("NO_DATA", reason)}
    label(app, target, dict.fromkeys(range(300), "1"))
    with App(small.settings, app.output) as again, running(evaluate.run, again):
        assert eventually(
            lambda: states_and_reasons(app, target, target.version_id)["reference unlabelled"][1].startswith(
                "No row of the ref"
            )
        )
        assert eventually(lambda: states_and_reasons(app, target, target.version_id)["unlabelled"][0] == "OK")
