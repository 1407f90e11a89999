"""Measure what the default monitors and rules find, through the whole system.

python -m benchmarks.system_defaults faults [--features 8 30 100] [--rows 300 1000 5000] [--hourly] [--task regression]
python -m benchmarks.system_defaults healthy [--features 30] [--rows 300] [--worlds normal] [--hourly --days 30]
python -m benchmarks.system_defaults flow [--rows 300] [--hourly]

Models are created by a command and over HTTP in turn, rows are ingested as of their own time, the scheduler and the
evaluate worker's code evaluate them, and the stored alerts are read. faults: two healthy windows, and two with a fault,
each in a version of its own. flow: three healthy weeks, and then a fault of the number of rows.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

from msgspec import Raw
from sqlalchemy import select, text

from benchmarks.default_faults import Fault, named
from benchmarks.default_worlds import WORLDS, Model, Table, World
from benchmarks.defaults import (
    Size,
    add_arguments,
    broken_table,
    chosen_worlds,
    draw_window,
    frequency,
    labels,
    new_model,
    rows_of,
    sizes,
)
from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import print_progress
from dcmon.alerting import alert_payload
from dcmon.db.tables.org import Alert, AlertRule, Check, Monitor
from dcmon.db.work_queue import Work
from dcmon.embedded.environment import child_environment
from dcmon.embedded.process import wait_until
from dcmon.ingestion import store
from dcmon.ingestion.row_batch import RowBatch
from dcmon.jobs import evaluate, schedule
from dcmon.monitoring import lifecycle, window_expansion
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from tests.helpers.endpoint import serving

HEALTHY_WINDOWS, FAULTY_WINDOWS, WEEKS = 2, 2, 3
MAX_SECONDS = 3600
DUE = "select count(*) from due_windows where due_at < now() + interval '1 minute'"
FLOW_FAULTS = {"rows stop": 0.0, "a fifth of the rows": 0.2, "half of the rows": 0.5, "twice the rows": 2.0}
QUARANTINED = "20 % quarantined"


@dataclass(frozen=True)
class FoundAlert:
    """A stored alert: its monitor, whether that is dcmon's own, and what it says."""

    monitor: str
    is_own: bool
    metric: str
    first_window_start: datetime
    summary: str


@dataclass
class Watched:
    """A version in an installation, whose rows a model draws. `start`: of its first window."""

    installation: Installation
    model: Model
    model_id: int
    version_id: int
    start: datetime
    step: timedelta
    n_windows: int = 0

    def log(self, table: Table, wrong_share: float = 0.0) -> None:
        """Store the next window's rows and labels as received in it. `wrong_share`: of rows to be quarantined."""
        start = self.start + self.n_windows * self.step
        documents, name = self.model.documents(table), f"{self.version_id}/{self.n_windows}"
        spacing, rows, row_labels = self.step / (len(documents) + 2), list[Raw](), list[Raw]()
        for index, document in enumerate(documents):
            label = {"_dc_sample_id": f"{name}/{index}", "_dc_label": document.pop("_dc_label")}
            row = {**document, "_dc_sample_id": f"{name}/{index}", "_dc_time": (start + index * spacing).isoformat()}
            if index < wrong_share * len(documents):
                row["n0"] = "a word"
            rows.append(Raw(json.dumps(row).encode()))
            row_labels.append(Raw(json.dumps(label).encode()))
        received_at, org = start + self.step - timedelta(seconds=30), self.installation.org
        with self.installation.app.org(org) as session:
            store.store_samples(session, org, self.version_id, [RowBatch(rows, received_at, name)])
            store.store_labels(session, self.model_id, [RowBatch(row_labels, received_at, f"labels {name}")])
        self.n_windows += 1

    def skip_window(self) -> None:
        """Leave the next window without rows."""
        self.n_windows += 1

    def alerts(self) -> list[FoundAlert]:
        """Return the alerts of the version that fired."""
        with self.installation.app.org(self.installation.org) as session:
            found = session.execute(
                select(Alert, Monitor.name, Check.module_name)
                .join(AlertRule, AlertRule.id == Alert.rule_id)
                .join(Monitor, Monitor.id == AlertRule.monitor_id)
                .join(Check, Check.id == Monitor.check_id)
                .where(Alert.version_id == self.version_id, Alert.state != "pending")
                .order_by(Alert.id)
            ).all()
            return [
                FoundAlert(
                    monitor, module == "dcmon", alert.metric, alert.first_window_start,
                    alert_payload.describe(session, self.installation.org, alert, "http://localhost")["summary"],
                )
                for alert, monitor, module in found
            ]  # fmt: skip


def main() -> None:
    """Print the figures as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.system_defaults", description=__doc__)
    parser.add_argument("what", choices=["faults", "healthy", "flow"])
    parser.add_argument("--summaries", action="store_true", help="also show what the alerts say")
    add_arguments(parser)
    arguments = parser.parse_args()
    for position, size in enumerate(sizes(arguments)):
        for world in chosen_worlds(arguments, WORLDS[:1]):
            with temporary_installation() as installation:
                _no_waiting(installation)
                run = SystemRun(arguments, installation, world, size, door="HTTP" if position % 2 else "CLI")
                {"faults": run.measure_faults, "healthy": run.measure_healthy, "flow": run.measure_flow}[
                    arguments.what
                ]()


def _no_waiting(installation: Installation) -> None:
    """Let the worker evaluate rows at once that it takes for loaded history."""
    evaluate_settings = installation.app.settings.evaluate
    evaluate_settings.backfill_quiet = evaluate_settings.last_window_quiet = timedelta()


@dataclass(frozen=True)
class SystemRun:
    """A measurement of one size in one world."""

    arguments: argparse.Namespace
    installation: Installation
    world: World
    size: Size
    door: str

    def measure_faults(self) -> None:
        """Give each fault a version of its own, and print which were found."""
        model, reference = new_model(self.world, self.arguments, self.size)
        model_id = self._create_model()
        watched = list[tuple[Fault, Watched]]()
        for fault in named(self.arguments.faults, self.arguments.task):
            version = self._create_version(model, reference, model_id, HEALTHY_WINDOWS + FAULTY_WINDOWS)
            for number in range(HEALTHY_WINDOWS + FAULTY_WINDOWS):
                table = draw_window(model, self.arguments, self.size.rows, number)
                version.log(table if number < HEALTHY_WINDOWS else broken_table(model, fault, table))
            watched.append((fault, version))
        evaluate_all(self.installation)
        found = {}
        for fault, version in watched:
            alerts = version.alerts()
            found[fault.name] = _is_found(fault, version, alerts)
            self._show(fault.name, alerts)
        self._print("found within two windows and named", {"found": found})

    def measure_healthy(self) -> None:
        """Print the alerts of windows without a fault."""
        model, reference = new_model(self.world, self.arguments, self.size)
        n_windows = self.arguments.days * (24 if self.arguments.hourly else 1)
        version = self._create_version(model, reference, self._create_model(), n_windows)
        for number in range(n_windows):
            n = rows_of(model, self.arguments, self.size.rows, number)
            version.log(draw_window(model, self.arguments, n, number))
        evaluate_all(self.installation)
        alerts = version.alerts()
        self._show("healthy", alerts)
        by_rule = Counter(f"{alert.monitor}{'' if alert.is_own else ' (SDK)'}" for alert in alerts)
        self._print(f"alerts in {self.arguments.days} days", {"value": by_rule.total(), "by_rule": by_rule})

    def measure_flow(self) -> None:
        """Print which faults of the number of rows were found."""
        model, reference = new_model(self.world, self.arguments, self.size)
        model_id, found = self._create_model(), {}
        n_healthy = WEEKS * 7 * (24 if self.arguments.hourly else 1)
        watched = dict[str, Watched]()
        for name in (*FLOW_FAULTS, QUARANTINED):
            version = watched[name] = self._create_version(model, reference, model_id, n_healthy + FAULTY_WINDOWS)
            for number in range(n_healthy + FAULTY_WINDOWS):
                share = FLOW_FAULTS.get(name, 1.0) if number >= n_healthy else 1.0
                n = int(share * rows_of(model, self.arguments, self.size.rows, number))
                wrong_share = 0.2 if number >= n_healthy and name == QUARANTINED else 0.0
                if n:
                    version.log(draw_window(model, self.arguments, n, number), wrong_share)
                else:
                    version.skip_window()
        evaluate_all(self.installation)
        for name, version in watched.items():
            expected = "Quarantined Rows" if name == QUARANTINED else "Volume of Rows"
            alerts, since = version.alerts(), version.start + n_healthy * version.step
            self._show(name, alerts)
            found[name] = any(alert.monitor == expected and alert.first_window_start >= since for alert in alerts)
        self._print("faults of the flow found within two windows", {"found": found})

    def _show(self, name: str, alerts: Sequence[FoundAlert]) -> None:
        for alert in alerts if self.arguments.summaries else ():
            print_progress(f"{name}: {alert.monitor}, {alert.first_window_start:%m-%d %H:%M}: {alert.summary}")

    def _print(self, figure: str, values: dict[str, object]) -> None:
        shown = {"figure": figure, **labels(self.arguments, self.world, self.size), "door": self.door}
        print(json.dumps(shown | {"importance": self.arguments.importance} | values), flush=True)

    def _create_model(self) -> int:
        """Create the model by a command or over HTTP; return its id."""
        task, every = self.arguments.task, frequency(self.arguments).value
        app = self.installation.app
        if self.door == "CLI":
            command = ["model", "create", "watched", "--task", task, "--frequency", every, "--org", "bench"]
            subprocess.run([sys.executable, "-m", "dcmon", *command], env=child_environment(app.settings), check=True)
        else:
            with serving(app, self.installation.token) as endpoint:
                body = {"name": "watched", "task_type": task, "defaults": "all", "frequency": every}
                json_type = {"content-type": "application/json"}
                response = endpoint.request("POST", "models", json.dumps(body).encode(), **json_type)
                assert response.status == 200, response.data
        with app.org(self.installation.org) as session:
            return models.find(session, "watched").id

    def _create_version(self, model: Model, reference: Table, model_id: int, n_windows: int) -> Watched:
        """Create the next version, with its reference. Its last window ends before now."""
        step = timedelta(hours=1) if self.arguments.hourly else timedelta(days=1)
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        end = now - timedelta(hours=1) if self.arguments.hourly else now.replace(hour=0)
        if n_windows > 40:
            end = end.replace(hour=0)
        with self.installation.app.org(self.installation.org) as session:
            stored = models.get(session, model_id)
            number = len(versions.entries(session, stored))
            schema = model.schema
            new = NewVersion(
                f"v{number}", schema.features, classes=schema.classes, feature_importance=schema.feature_importance
            )
            version = versions.create(session, stored, new)
            rows = model.documents(reference)
            document = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
            lifecycle.append_reference(session, stored, version, json.dumps(document).encode())
            return Watched(self.installation, model, model_id, version.id, end - n_windows * step, step)


def _is_found(fault: Fault, version: Watched, alerts: Sequence[FoundAlert]) -> bool:
    """Return True if an alert since the fault began names what it must name."""
    since = version.start + HEALTHY_WINDOWS * version.step
    return any(alert.metric in fault.names and alert.first_window_start >= since for alert in alerts)


def evaluate_all(installation: Installation) -> None:
    """Make elapsed windows due as the scheduler does, and evaluate all windows as the worker does."""
    with installation.app.org(installation.org) as session:
        while window_expansion.expand(session):
            pass
    schedule.sweep(installation.app)
    installation.app.enqueue(installation.org, Work.evaluate)
    with _running_worker(installation):
        assert wait_until(lambda: _n_due(installation) == 0, MAX_SECONDS)


@contextmanager
def _running_worker(installation: Installation) -> Iterator[None]:
    stop = Event()
    thread = Thread(target=evaluate.run, args=(installation.app, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _n_due(installation: Installation) -> int:
    with installation.app.org(installation.org) as session:
        return int(session.scalar(text(DUE)) or 0)


if __name__ == "__main__":
    main()
