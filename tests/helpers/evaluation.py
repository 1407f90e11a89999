"""Days of samples with a given drift of the age, and a monitor of that drift."""

import json
import random
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from dcmon.alerting import judging, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.app import App
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db.tables.org import Alert, Monitor, Result
from dcmon.monitoring import lifecycle, model_checks, monitors, results
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.results import CheckRun, ResultInputs, ResultKey
from dcmon.storage import versions
from dcmon.storage.sampling import WindowStatistics
from dcmon.windows import Frequency, Window
from tests.integration.conftest import Target

START = datetime(2026, 3, 2, tzinfo=UTC)


def day(number: int) -> Window:
    return Window(START + timedelta(days=number), START + timedelta(days=number + 1))


def rows(number: int, shift: float = 0, count: int = 300) -> list[bytes]:
    generator = random.Random(number)
    return [
        json.dumps(
            {
                "_dc_sample_id": f"{number}/{index}",
                "_dc_time": (START + timedelta(days=number, minutes=index)).isoformat(),
                "_dc_prediction": str(index % 2),
                "age": generator.gauss(40 + shift, 9),
                "job": f"j{index % 3}",
            }
        ).encode()
        for index in range(count)
    ]


def log_day(app: App, target: Target, number: int, shift: float = 0, count: int = 300) -> None:
    app.ingestion.ingest_samples(target.org, target.version_id, rows(number, shift, count))


def monitor_drift_of_age(app: App, target: Target) -> Target:
    """Create a reference and a daily monitor of the drift of age with the rule "> 0.2"."""
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        parsed = [json.loads(row) for row in rows(-1)]
        names = ["age", "job", "_dc_prediction"]
        document = {"columns": names, "data": [[row[name] for name in names] for row in parsed]}
        lifecycle.append_reference(session, model, version, json.dumps(document).encode())
        check = model_checks.get_or_create_check(session, model, "FeatureDrift")
        chosen = {"check_conf": {"feature": ["age"]}, "res_conf": None}
        monitor = monitors.create(session, check, MonitorSpec("Age", Frequency.DAY, additional_kwargs=chosen))
        rules.create(session, monitor.id, rules.parse("> 0.2"), "high")
    return target


def stored_results(app: App, target: Target) -> list[Result]:
    with app.org(target.org) as session:
        return list(session.scalars(select(Result).order_by(Result.window_end, Result.revision)))


def stored_alerts(app: App, target: Target) -> list[Alert]:
    with app.org(target.org) as session:
        return list(session.scalars(select(Alert).order_by(Alert.first_window_end)))


def store_result(app: App, target: Target, number: int, value: float, revision: int = 1) -> None:
    statistics = WindowStatistics(100, 0, 100 * revision, 0, START)
    with app.org(target.org) as session:
        monitor = session.scalars(select(Monitor)).one()
        check_value = CheckValue("OK", {"score": value}, None, {"age": value})
        last = results.lock_newest(session, target.version_id, day(number), [monitor.id]).get(monitor.id)
        key = ResultKey(monitor, target.version_id, day(number))
        result = results.store(session, key, check_value, ResultInputs(statistics, 1), CheckRun(100), last=last)
        session.flush()
        assert result is not None
        judging.judge_result(session, result, ChangeContext(target.org, "https://dcmon.example"))
