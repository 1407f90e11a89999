"""A model with two versions, labels and a reference, whose values are asked for over HTTP."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dcmon.app import App
from dcmon.db.tables.org import Result
from dcmon.monitoring import lifecycle, manual_runs, model_checks, monitors
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from dcmon.windows import Frequency, Window
from tests.integration.conftest import Target

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 4
MORE = {"city": "categorical", "seen_at": "datetime", "is_new": "boolean"}


def sample(prefix: str, number: int, time: datetime, generator: random.Random) -> dict[str, Any]:
    return {
        "_dc_sample_id": f"{prefix}/{number}",
        "_dc_time": time.isoformat(),
        "_dc_prediction": str(number % 2),
        "_dc_prediction_probabilities": [0.4, 0.6],
        "age": None if number % 50 == 7 else round(generator.gauss(40, 9), 3),
        "job": f"j{generator.randrange(3)}",
    }


def log_window(app: App, target: Target, start: datetime, count: int = 120, prefix: str | None = None) -> None:
    """Log samples, one each minute, and labels of most of them."""
    prefix = prefix or start.isoformat()
    generator = random.Random(prefix)
    rows = [sample(prefix, number, start + timedelta(minutes=number), generator) for number in range(count)]
    labels = [
        {"_dc_sample_id": row["_dc_sample_id"], "_dc_label": generator.choice("01")}
        for row in rows
        if generator.random() < 0.9
    ]
    app.ingestion.ingest_samples(target.org, target.version_id, [json.dumps(row).encode() for row in rows])
    app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(row).encode() for row in labels])


def load_reference(app: App, target: Target, count: int = 200, seed: int = 5) -> None:
    generator = random.Random(seed)
    rows = [sample("r", number, START, generator) for number in range(count)]
    names = ["age", "job", "_dc_prediction", "_dc_prediction_probabilities"]
    data = [[row[name] for name in names] + [str(generator.randrange(2))] for row in rows]
    document = json.dumps({"columns": [*names, "_dc_label"], "data": data}).encode()
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        lifecycle.append_reference(session, model, version, document)


def fill(app: App, target: Target, days: int = DAYS) -> None:
    """Load the reference and the days of the first version."""
    load_reference(app, target)
    for day in range(days):
        log_window(app, target, START + timedelta(days=day, hours=3))


def add_second_version(app: App, target: Target) -> Target:
    """Add a version with other features, and log two days that begin with the third."""
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        features = {"age": "numeric", "wage": "numeric"}
        second = versions.create(session, model, NewVersion("v2", features, additional=MORE, classes=["0", "1"])).id
    other = Target(target.engine, target.org, target.model_id, second)
    for day in (2, 3):
        start, generator = START + timedelta(days=day, hours=5), random.Random(day)
        rows = [sample(f"v2/{day}", number, start + timedelta(minutes=number), generator) for number in range(60)]
        for number, row in enumerate(rows):
            del row["job"]
            row |= {"wage": number * 10.5, "city": f"c{number % 4}", "is_new": number % 3 == 0}
            row["seen_at"] = (start - timedelta(days=number)).isoformat()
        app.ingestion.ingest_samples(target.org, second, [json.dumps(row).encode() for row in rows])
    return other


def create_check(app: App, target: Target, class_name: str, **params: Any) -> int:
    with app.org(target.org) as session:
        return model_checks.get_or_create_check(session, models.get(session, target.model_id), class_name, params).id


def create_monitor(app: App, target: Target, check_id: int, **choices: Any) -> int:
    with app.org(target.org) as session:
        check = model_checks.get_check(session, check_id)
        return monitors.create(session, check, MonitorSpec("M", Frequency.DAY, **choices)).id


def evaluate(app: App, target: Target, monitor_id: int, windows: Sequence[Window]) -> list[Result]:
    """Evaluate windows as `dcmon monitor run` does."""
    wanted = [VersionWindow(target.version_id, window) for window in windows]
    return list(manual_runs.evaluate_windows(app.engine, target.org, monitor_id, wanted, app.settings.evaluate, None))


def day(number: int) -> Window:
    return Window(START + timedelta(days=number), START + timedelta(days=number + 1))
