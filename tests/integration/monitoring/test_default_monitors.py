"""The default monitors and rules of dcmon's own find faults, through storage, evaluation and alerting."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from dcmon.app import App
from dcmon.db.tables.org import Alert, AlertRule, Check, Monitor
from dcmon.jobs import evaluate
from dcmon.monitoring import default_monitors, lifecycle
from dcmon.states import DefaultSet
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from dcmon.windows import Frequency
from tests.helpers.evaluation import START
from tests.integration.conftest import Target, eventually, running

NUMBERS = [f"n{index}" for index in range(6)]
FEATURES = dict.fromkeys(NUMBERS, "numeric") | {"city": "categorical", "plan": "categorical"}
HEALTHY_DAYS, ROWS = 3, 300


def draw(generator: np.random.Generator, n: int) -> list[dict[str, Any]]:
    probability = generator.beta(2, 5, n)
    return [
        {
            **{name: float(generator.normal()) for name in NUMBERS},
            "city": f"c{generator.integers(6)}",
            "plan": f"p{generator.integers(3)}",
            "_dc_prediction": "1" if p > 0.5 else "0",
            "_dc_label": "1" if generator.random() < p else "0",
        }
        for p in probability
    ]


@pytest.fixture
def watched(app: App, target: Target) -> Target:
    """Return a version with default monitors, and a reference of 2,000 rows."""
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        model.label_ratio, model.label_delay = 0.9, timedelta()
        version = versions.create(session, model, NewVersion("v2", FEATURES, classes=["0", "1"]))
        default_monitors.create_defaults(session, model, Frequency.DAY)
        reference = draw(np.random.default_rng(1), 2000)
        columns = list(reference[0])
        document = {"columns": columns, "data": [[row[name] for name in columns] for row in reference]}
        lifecycle.append_reference(session, model, version, json.dumps(document).encode())
        return replace(target, version_id=version.id)


def log_days(app: App, target: Target, days: list[list[dict[str, Any]]]) -> None:
    for number, day in enumerate(days):
        samples = [
            {
                **{name: value for name, value in row.items() if name != "_dc_label"},
                "_dc_sample_id": f"{number}/{index}",
                "_dc_time": (START + timedelta(days=number, minutes=index)).isoformat(),
            }
            for index, row in enumerate(day)
        ]
        labels = [
            {"_dc_sample_id": f"{number}/{index}", "_dc_label": row["_dc_label"]} for index, row in enumerate(day)
        ]
        app.ingestion.ingest_samples(target.org, target.version_id, [json.dumps(row).encode() for row in samples])
        app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(row).encode() for row in labels])


def found_alerts(app: App, target: Target) -> set[tuple[str, str]]:
    """Return the monitor and the metric of each alert of dcmon's own monitors."""
    with app.org(target.org) as session:
        statement = (
            select(Monitor.name, Alert.metric)
            .join(AlertRule, AlertRule.id == Alert.rule_id)
            .join(Monitor, Monitor.id == AlertRule.monitor_id)
            .join(Check, Check.id == Monitor.check_id)
            .where(Check.module_name == "dcmon")
        )
        return {(name, metric) for name, metric in session.execute(statement)}


def n_results(app: App, target: Target) -> int:
    return int(target.scalar("select count(distinct window_end) from results where state = 'OK'"))


def test_broken_day_alerts_and_names_each_feature(app: App, watched: Target) -> None:
    generator = np.random.default_rng(2)
    broken = draw(generator, ROWS)
    for row in broken:
        row |= {"n0": None, "n1": 0.0, "n2": 10 * row["n2"], "city": "c9", "plan": "p0"}
        row["_dc_label"] = str(1 - int(row["_dc_label"])) if generator.random() < 0.4 else row["_dc_label"]
    log_days(app, watched, [*(draw(generator, ROWS) for _ in range(HEALTHY_DAYS)), broken, draw(generator, ROWS)])
    with running(evaluate.run, app):
        assert eventually(lambda: n_results(app, watched) == HEALTHY_DAYS + 1)
    assert found_alerts(app, watched) == {
        ("Drift Beyond Noise", "city"),
        ("Drift Beyond Noise", "Mean Drift"),
        ("Rise of Nulls", "n0"),
        ("Frozen Features", "city"),
        ("New Values", "city"),
        ("Fall of Scores", "accuracy"),
    }


def test_organization_chooses_the_defaults_of_new_models(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        assert default_monitors.create_defaults(session, model, Frequency.DAY, DefaultSet.NONE) == 0
        assert default_monitors.create_defaults(session, model, Frequency.DAY, DefaultSet.SDK) == 8
        assert default_monitors.create_defaults(session, model, Frequency.DAY, DefaultSet.ALL) == 8
        assert default_monitors.create_defaults(session, model, Frequency.DAY, DefaultSet.ALL) == 0


def test_default_rules_judge_no_window_of_few_rows(app: App, watched: Target) -> None:
    log_days(app, watched, [draw(np.random.default_rng(3), 1), draw(np.random.default_rng(4), ROWS)])
    with app.org(watched.org) as session:
        assert {
            rule.min_n for rule in session.scalars(select(AlertRule)) if "weekly" not in (rule.condition or "")
        } == {30}
