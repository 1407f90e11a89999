"""Estimates of whole windows, from rows that were logged, equal those that NannyML made of the same rows."""

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from dcmon.app import App
from dcmon.db import work_queue
from dcmon.jobs import evaluate
from dcmon.monitoring import lifecycle, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.windows import Frequency
from tests.helpers.evaluation import day, stored_results
from tests.helpers.paths import ROOT
from tests.integration.conftest import Target, eventually, running

FIXTURE = ROOT / "tests" / "unit" / "statistics" / "fixtures" / "nannyml_cbpe.npz"
UNIT = 100_000_000
SCORES = ("accuracy", "precision", "recall", "f1", "roc_auc")


def recorded(path: Path, case: str) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        fields = {name.removeprefix(f"{case}/"): arrays[name] for name in arrays if name.startswith(f"{case}/")}
        return fields | {"rows": arrays["rows"]}


def probabilities(units: np.ndarray) -> list[list[float]]:
    columns = units / UNIT
    both = np.column_stack((1 - columns, columns)) if columns.shape[1] == 1 else columns
    return [list(map(float, row)) for row in both]


def sample(identifier: str, number: int, prediction: int, outputs: list[float]) -> bytes:
    row = {"_dc_sample_id": identifier, "_dc_time": day(number).start.isoformat(), "age": 1}
    return json.dumps({**row, "_dc_prediction": str(prediction), "_dc_prediction_probabilities": outputs}).encode()


def log(app: App, target: Target, case: dict[str, np.ndarray]) -> None:
    """Log a window a day, and a row of the day after."""
    size, outputs = int(case["rows"]), probabilities(case["windows"])
    rows = [
        sample(str(number), number // size, prediction, outputs[number])
        for number, prediction in enumerate(case["predictions"].tolist())
    ]
    after = sample("after", len(outputs) // size, 0, outputs[0])
    app.ingestion.ingest_samples(target.org, target.version_id, [*rows, after])


@pytest.mark.parametrize(("name", "task_type"), [("car_loan", "binary"), ("cards", "multiclass")])
def test_stored_estimates_equal_those_of_nannyml(app: App, target: Target, name: str, task_type: str) -> None:
    case = recorded(FIXTURE, name)
    outputs = probabilities(case["reference"])
    classes = [str(index) for index in range(len(outputs[0]))]
    with app.org(target.org) as session:
        model = models.create(session, NewModel(name, task_type))
        version = versions.create(session, model, NewVersion("v1", {"age": "numeric"}, classes=classes))
        data = [
            [1, str(np.argmax(row)), row, str(label)]
            for row, label in zip(outputs, case["labels"].tolist(), strict=True)
        ]
        columns = ["age", "_dc_prediction", "_dc_prediction_probabilities", "_dc_label"]
        lifecycle.append_reference(session, model, version, json.dumps({"columns": columns, "data": data}).encode())
        scorers = [score if task_type == "binary" or score in ("accuracy", "roc_auc") else f"{score}_macro"
                   for score in SCORES]  # fmt: skip
        chosen = {"check_conf": {"scorer": scorers}, "res_conf": None}
        check = model_checks.get_or_create_check(session, model, "EstimatedPerformance")
        monitors.create(session, check, MonitorSpec("Estimates", Frequency.DAY, additional_kwargs=chosen))
        mine = Target(target.engine, target.org, model.id, version.id)
    log(app, mine, case)
    with app.org(target.org) as session:
        session.execute(text("update due_windows set due_at = now()"))
    work_queue.enqueue_now(app.engine, target.org.id, work_queue.Work.evaluate)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, mine)) >= len(case["estimates"]))
    for result, estimates in zip(stored_results(app, mine), case["estimates"].tolist(), strict=False):
        expected = {f"{scorer} estimated": value for scorer, value in zip(scorers, estimates, strict=True)}
        assert result.metrics == pytest.approx(expected, rel=0, abs=1e-9)
