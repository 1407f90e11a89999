"""Measure the scheduler's sweep over idle organizations, and the latency of alerts.

python -m benchmarks.scheduling [idle] [latency]     (ORGANIZATIONS=200: a shorter `idle`)
"""

import json
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import urllib3
from sqlalchemy import text

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import print_figure, print_progress, seconds_of
from benchmarks.processes import Broker, running_broker, running_processes
from dcmon.alerting import rules
from dcmon.app import App
from dcmon.db import Organization
from dcmon.embedded.process import wait_until
from dcmon.health import scheduler_runs
from dcmon.health.scheduler_runs import ScheduledJobName
from dcmon.ingestion import kafka
from dcmon.ingestion.raw_rows import Raw
from dcmon.jobs import schedule
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications import receivers
from dcmon.notifications.receivers import Subscription
from dcmon.settings import Settings
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning, tokens
from dcmon.windows import Frequency

ORGANIZATIONS, MONITORS = int(os.environ.get("ORGANIZATIONS", "2000")), 50
CLAIMS, ALERTS = 20, int(os.environ.get("ALERTS", "100"))  # windows that are completed one by one
ROWS = 20  # in a window
HOUR = timedelta(hours=1)


def main() -> None:
    """Print the figures named on the command line, or all."""
    benchmarks = {"idle": _measure_idle, "latency": _measure_latency}
    for name in sys.argv[1:] or benchmarks:
        with temporary_installation() as installation:
            benchmarks[name](installation)


def _measure_idle(installation: Installation) -> None:
    orgs = [_create_idle_organization(installation, number) for number in range(ORGANIZATIONS)]
    process = psutil.Process()
    schedule.sweep(installation.app)
    memory_before = process.memory_info().rss
    sweeps = [seconds_of(lambda: schedule.sweep(installation.app)) for _ in range(5)]
    print_figure("monitors.idle.sweep", sweeps, f"s for all {ORGANIZATIONS} organizations", "the limit", [2.0])
    sweep = schedule.OrganizationSweep(installation.app)
    steps = [1000 * seconds_of(sweep.step) for _ in range(5 * schedule.SWEEP_STEPS)]
    print_figure("monitors.idle.step", steps, "ms, one step a second", "the limit", [2000.0])
    growth = (process.memory_info().rss - memory_before) / 2**20
    print_figure("monitors.idle.memory", [growth], "MB more after ten sweeps", "the limit", [1.0])
    _measure_claims(installation, random.Random(7).sample(orgs, CLAIMS))


def _create_idle_organization(installation: Installation, number: int) -> Organization:
    if number % 50 == 0:
        print_progress(f"{number} of {ORGANIZATIONS} organizations with {MONITORS} monitors")
    name = f"idle{number}"
    org = provisioning.create_organization(installation.app.engine, name, f"o@{name}.example").organization
    with installation.app.org(org) as session:
        model = models.create(session, NewModel("credit", "binary"))
        versions.create(session, model, NewVersion("v1", {"age": "numeric"}))
        check = model_checks.get_or_create_check(session, model, "PercentOfNulls")
        for index in range(MONITORS):
            monitors.create(session, check, MonitorSpec(f"m{index}", Frequency.HOUR))
    return org


def _measure_claims(installation: Installation, orgs: Sequence[Organization]) -> None:
    """Complete a window of each organization; measure when the worker claims it."""
    hour, waits_ms = _current_hour(), []
    commands = [["worker", "start", worker] for worker in ("evaluate", "scheduler")]
    with running_processes(installation.app.settings, *commands) as processes:
        _wait_until_ready(installation.app, installation.org)
        for org in orgs:
            _complete_window(installation.app, org, 1, hour)
            started_at = time.perf_counter()
            while not _is_claimed(installation, org) and time.perf_counter() - started_at < 60:
                time.sleep(0.005)
            waits_ms.append(1000 * (time.perf_counter() - started_at))
        memory = [round(process.memory_info().rss / 2**20) for process in processes]
    print_figure("monitors.idle.claim", [max(waits_ms)], f"ms, the longest of {len(waits_ms)}", "the limit", [1000.0])
    print_progress(f"claimed after {sorted(map(round, waits_ms))} ms; evaluate worker and scheduler use {memory} MB")


def _wait_until_ready(app: App, org: Organization) -> None:
    """Wait until a first window is evaluated, and the scheduler has begun to sweep.

    Until deepchecks is loaded, each thread of the evaluate worker holds its first window, and claims no other. On a
    busy machine this takes up to a minute, which is no part of the measured times.
    """
    with app.org(org) as session:
        model = models.create(session, NewModel("warm-up", "binary"))
        version_id = versions.create(session, model, NewVersion("v1", {"age": "numeric"})).id
        monitors.create(
            session,
            model_checks.get_or_create_check(session, model, "PercentOfNulls"),
            MonitorSpec("warm-up", Frequency.HOUR),
        )
    _complete_window(app, org, version_id, _current_hour())
    assert wait_until(lambda: _has_result(app, org, version_id) and _has_swept(app), 300)


def _has_result(app: App, org: Organization, version_id: int) -> bool:
    statement = text("select exists (select 1 from results where version_id = :id)")
    with app.org(org) as session:
        return bool(session.scalar(statement, {"id": version_id}))


def _has_swept(app: App) -> bool:
    with app.public() as session:
        run = scheduler_runs.entries(session).get(ScheduledJobName.CLOCK)
    return run is not None and run.succeeded_at is not None


def _complete_window(app: App, org: Organization, version_id: int, end: datetime) -> None:
    """Log a row of the hour before `end`, and a row that completes it."""
    rows = [_row(f"{org.name}/{version_id}/{at}", at) for at in (end - HOUR / 2, end)]
    app.ingestion.ingest_samples(org, version_id, rows)


def _is_claimed(installation: Installation, org: Organization) -> bool:
    statement = text(
        "select exists (select 1 from results) or exists (select 1 from due_windows where token is not null)"
    )
    with installation.app.org(org) as session:
        return bool(session.scalar(statement))


def _row(sample_id: str, at: datetime) -> Raw:
    row = {"_dc_sample_id": sample_id, "_dc_time": at.isoformat(), "_dc_prediction": "1", "age": 1}
    return Raw(json.dumps(row).encode())


def _current_hour() -> datetime:
    """Return the start of the current hour.

    If the hour ends within ten minutes, wait for the next hour first.
    """
    while datetime.now(UTC).minute >= 50:
        time.sleep(5)
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def _measure_latency(installation: Installation) -> None:
    """Measure from the request that completes a window to the alert at its receiver.

    The request has a row or a label. Endpoint, broker, scheduler, and ingest, evaluate and notify workers are
    processes of their own.
    """
    with running_broker() as broker, _running_receiver() as receiver:
        settings = _settings(installation, broker)
        kafka.ensure_topics(settings.kafka)
        commands = [["worker", "start", worker] for worker in ("ingest", "evaluate", "notify", "scheduler")]
        with App(settings, installation.app.output) as app, running_processes(settings, ["serve"], *commands):
            _wait_until_ready(app, installation.org)
            for kind in ("row", "label"):
                waits = sorted(_alert_waits(WatchedModel(app, installation.org, receiver.url, kind), receiver))
                print_progress(f"{kind}: {[round(wait, 2) for wait in waits[::10]]} … {waits[-1]:.2f} s")
                print_figure(f"monitors.latency.{kind}.p50", waits, "s", "the limit", [5.0])
                print_figure(f"monitors.latency.{kind}.p99", [waits[-2]], f"s, of {len(waits)}", "the limit", [5.0])


def _settings(installation: Installation, broker: Broker) -> Settings:
    webhooks = installation.app.settings.webhooks.model_copy(update={"allow": ["127.0.0.1"]})
    return broker.settings(installation.app.settings).model_copy(update={"webhooks": webhooks})


class WatchedModel:
    """A model with ALERTS versions. In each, one window lacks only one row, or one label (`kind`)."""

    def __init__(self, app: App, org: Organization, url: str, kind: str) -> None:
        # dcmon would complete a recent hour by the clock. So a window that waits for a row is three days old.
        self.kind, self.hour = kind, _current_hour() - (72 * HOUR if kind == "row" else 0 * HOUR)
        with app.org(org) as session:
            model = models.create(session, NewModel(kind, "binary"))
            self.model_id = model.id
            specs = [NewVersion(f"{kind}-{number}", {"age": "numeric"}) for number in range(ALERTS)]
            created = [versions.create(session, model, spec) for spec in specs]
            self.versions = [(version.id, version.name) for version in created]
            name = "PercentOfNulls" if kind == "row" else "SingleDatasetPerformance"
            params = {} if kind == "row" else {"scorers": ["accuracy"]}
            monitor = monitors.create(
                session,
                model_checks.get_or_create_check(session, model, name, params),
                MonitorSpec(kind, Frequency.HOUR),
            )
            rules.create(session, monitor.id, rules.parse("> 0.5" if kind == "row" else "< 0.5"))
            receivers.add(session, f"{kind}s", url, app.settings.webhooks, Subscription(models=[kind], cap=None))
        with app.public() as session:
            token = tokens.create(session, org.id, 1, f"bench-{uuid.uuid4().hex}")
        self._http = urllib3.PoolManager(headers={"authorization": f"Basic {token}"})
        self._url = f"{app.settings.url}/api/v1"

    def fill(self) -> None:
        """Log all rows and labels of the window except the last one, which completes it."""
        for version_id, name in self.versions:
            self._log(version_id, [self._row(f"{name}-{n}", self.hour - HOUR + HOUR * n / 30) for n in range(ROWS)])
            if self.kind == "label":
                self._log(version_id, [self._row(f"{name}-last", self.hour)])
                self._label([f"{name}-{n}" for n in range(1, ROWS)])

    def complete(self, version_id: int, name: str) -> None:
        """Log the last row, or the last label."""
        if self.kind == "row":
            self._log(version_id, [self._row(f"{name}-last", self.hour)])
        else:
            self._label([f"{name}-0"])

    def _row(self, name: str, at: datetime) -> dict[str, Any]:
        return {"_dc_sample_id": name, "_dc_time": at.isoformat(), "_dc_prediction": "1", "age": None}

    def _log(self, version_id: int, rows: list[dict[str, Any]]) -> None:
        self._send("POST", f"/model-versions/{version_id}/data", rows)

    def _label(self, names: list[str]) -> None:
        labels = [{"_dc_sample_id": name, "_dc_label": "0"} for name in names]
        self._send("PUT", f"/model/{self.model_id}/labels", labels)

    def _send(self, method: str, path: str, body: object) -> None:
        response = self._http.request(method, self._url + path, json=body)
        assert response.status < 300, (response.status, response.data)


@dataclass(frozen=True)
class Receiver:
    """A receiver of webhooks.

    `received_at`: when it first got an alert of each version, by `time.perf_counter`.
    """

    url: str
    received_at: Mapping[str, float]


def _alert_waits(model: WatchedModel, receiver: Receiver) -> Iterator[float]:
    """Complete the windows one by one; yield how many seconds each alert took."""
    model.fill()
    time.sleep(20)  # by then the workers have processed the earlier rows
    generator = random.Random(7)
    for version_id, name in model.versions:
        time.sleep(generator.uniform(0, 0.4))
        started_at = time.perf_counter()
        model.complete(version_id, name)
        while name not in receiver.received_at and time.perf_counter() - started_at < 60:
            time.sleep(0.005)
        yield receiver.received_at.get(name, float("inf")) - started_at


@contextmanager
def _running_receiver() -> Iterator[Receiver]:
    received_at = dict[str, float]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for name in _alert_versions(json.loads(body)):
                received_at.setdefault(name, time.perf_counter())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Receiver(f"http://127.0.0.1:{server.server_port}/", received_at)
        server.shutdown()


def _alert_versions(body: dict[str, Any]) -> set[str]:
    """Return the names of the versions whose alerts are in a message."""
    return {item["alert"]["version"] for item in body.get("notifications", [body]) if "alert" in item}


if __name__ == "__main__":
    main()
