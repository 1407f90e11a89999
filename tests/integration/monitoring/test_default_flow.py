"""The default rules on the flow of rows alert, from logged rows to stored alerts."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from dcmon.app import App
from dcmon.db.tables.org import Alert, AlertRule, Monitor, Version
from dcmon.db.work_queue import Work
from dcmon.ingestion import store
from dcmon.ingestion.row_batch import RowBatch
from dcmon.jobs import evaluate, schedule
from dcmon.monitoring import default_monitors, window_expansion
from dcmon.states import AlertState
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from dcmon.windows import Frequency
from tests.integration.conftest import Target, eventually, running

STEPS = {Frequency.DAY: timedelta(days=1), Frequency.HOUR: timedelta(hours=1)}
ROWS = 110
# The rows of the last two windows, and how many of them are quarantined.
FLOWS = {
    "steady": (ROWS, 0),
    "less": (80, 0),
    "half": (ROWS // 2, 0),
    "stops": (0, 0),
    "double": (2 * ROWS, 0),
    "some bad": (ROWS, 3),
    "a fifth bad": (ROWS, ROWS // 5),
}
VOLUME, QUARANTINED = ("Volume of Rows", "rows"), ("Quarantined Rows", "quarantine share")
N_DUE = "select count(*) from due_windows where due_at <= now()"


def log_window(app: App, target: Target, version_id: int, start: datetime, step: timedelta, n: int, bad: int) -> None:
    """Log rows as received in the window of their time. `bad`: how many have a word for a number."""
    rows = [
        json.dumps(
            {
                "_dc_sample_id": f"{version_id}/{start.isoformat()}/{index}",
                "_dc_time": (start + step * index / n).isoformat(),
                "_dc_prediction": "1",
                "age": "old" if index < bad else 40,
                "job": "a",
            }
        ).encode()
        for index in range(n)
    ]
    batch = RowBatch(rows, start + step - timedelta(seconds=1), f"{version_id}/{start.isoformat()}")  # type: ignore[arg-type]
    with app.org(target.org) as session:
        store.store_samples(session, target.org, version_id, [batch])


def evaluate_all(app: App, target: Target) -> None:
    """Evaluate all due windows, as the scheduler and a worker do."""
    with app.org(target.org) as session:
        while window_expansion.expand(session):
            pass
    schedule.sweep(app)
    app.enqueue(target.org, Work.evaluate)
    with running(evaluate.run, app):
        assert eventually(lambda: target.scalar(N_DUE) == 0)


def firing_alerts(app: App, target: Target) -> dict[str, set[tuple[str, str]]]:
    """Return the monitor and the metric of each firing alert, by version."""
    with app.org(target.org) as session:
        found = session.execute(
            select(Version.name, Monitor.name, Alert.metric)
            .join(Alert, Alert.version_id == Version.id)
            .join(AlertRule, AlertRule.id == Alert.rule_id)
            .join(Monitor, Monitor.id == AlertRule.monitor_id)
            .where(Alert.state == AlertState.FIRING, Version.name.in_(FLOWS))
        )
        alerts: dict[str, set[tuple[str, str]]] = {}
        for version, monitor, metric in found:
            alerts.setdefault(version, set()).add((monitor, metric))
        return alerts


@pytest.mark.parametrize("frequency", [Frequency.DAY, pytest.param(Frequency.HOUR, marks=pytest.mark.thorough)])
def test_change_of_the_flow_alerts_within_two_windows(app: App, target: Target, frequency: Frequency) -> None:
    """The same windows of two weeks before, and the one right before, have the usual number of rows."""
    step, week = STEPS[frequency], timedelta(days=7)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last_two = [today - 3 * step, today - 2 * step]
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        default_monitors.create_own(session, model, frequency)
        columns, classes = {"age": "numeric", "job": "categorical"}, ["0", "1"]
        ids = {name: versions.create(session, model, NewVersion(name, columns, classes=classes)).id for name in FLOWS}
    for name, (n, bad) in FLOWS.items():
        earlier = [start - weeks * week for weeks in (2, 1) for start in last_two]
        for start in [*earlier, last_two[0] - step]:
            log_window(app, target, ids[name], start, step, ROWS, 0)
        for start in last_two if n else []:
            log_window(app, target, ids[name], start, step, n, bad)
    evaluate_all(app, target)
    assert firing_alerts(app, target) == {
        "half": {VOLUME},
        "stops": {VOLUME},
        "double": {VOLUME},
        "a fifth bad": {QUARANTINED},
    }
