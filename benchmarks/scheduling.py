"""What waits and what it costs: thousands of idle organizations, and how soon a completed window is a message.

python -m benchmarks.scheduling [idle] [latency]     (ORGANIZATIONS=200 for a shorter idle)
"""

import json
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import urllib3
from sqlalchemy import text

from benchmarks.processes import Broker, brokers, processes
from benchmarks.stage import Stage, figure, say, stage
from dcmon.alerting import rules
from dcmon.app import App
from dcmon.db import Organization
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
FOUND, ARRIVALS = 20, int(os.environ.get("ARRIVALS", "100"))  # windows that are completed one by one
ROWS = 20  # of a window
HOUR = timedelta(hours=1)


def main() -> None:
    """Print the figures that are named, or all."""
    figures = {"idle": _idle, "latency": _latency}
    for name in sys.argv[1:] or figures:
        with stage() as on:
            figures[name](on)


def _idle(on: Stage) -> None:
    orgs = [_idle_one(on, number) for number in range(ORGANIZATIONS)]
    process = psutil.Process()
    schedule.sweep(on.app)
    before = process.memory_info().rss
    rounds = [_wall(lambda: schedule.sweep(on.app)) for _ in range(5)]
    figure("monitors.idle.round", rounds, f"s for all {ORGANIZATIONS} organizations", "the limit", [2.0])
    sweep = schedule.OrganizationSweep(on.app)
    ticks = [1000 * _wall(sweep.step) for _ in range(5 * schedule.SWEEP_STEPS)]
    figure("monitors.idle.tick", ticks, "ms, one a second", "the limit", [2000.0])
    grown = (process.memory_info().rss - before) / 2**20
    figure("monitors.idle.memory", [grown], "MB more after ten rounds", "flat", [1.0])
    _found(on, random.Random(7).sample(orgs, FOUND))


def _idle_one(on: Stage, number: int) -> Organization:
    if number % 50 == 0:
        say(f"{number} of {ORGANIZATIONS} organizations with {MONITORS} monitors")
    org = provisioning.create_organization(on.app.engine, f"idle{number}", f"o@idle{number}.example").organization
    with on.app.org(org) as session:
        model = models.create(session, NewModel("credit", "binary"))
        versions.create(session, model, NewVersion("v1", {"age": "numeric"}))
        check = model_checks.get_or_create_check(session, model, "PercentOfNulls")
        for each in range(MONITORS):
            monitors.create(session, check, MonitorSpec(f"m{each}", Frequency.HOUR))
    return org


def _found(on: Stage, orgs: Sequence[Organization]) -> None:
    """A window of one of them becomes due, while a worker and the scheduler run: until it is claimed."""
    hour, waits = _this_hour(), []
    with processes(on.app.settings, ["worker", "start", "evaluate"], ["worker", "start", "scheduler"]) as running:
        time.sleep(15)  # a round is under way, children are ready
        for org in orgs:
            last, newest = (_aged(f"{org.name}/{at}", at, 1) for at in (hour - HOUR / 2, hour))
            on.app.ingestion.ingest_samples(org, 1, [last, newest])
            began = time.perf_counter()
            while not _is_claimed(on, org) and time.perf_counter() - began < 60:
                time.sleep(0.005)
            waits.append(1000 * (time.perf_counter() - began))
        sizes = [each.memory_info().rss / 2**20 for each in running]
    figure("monitors.idle.found", [max(waits)], f"ms, the longest of {len(waits)}", "the limit", [1000.0])
    say(f"found in {sorted(map(round, waits))} ms; worker and scheduler take {[round(size) for size in sizes]} MB")


def _is_claimed(on: Stage, org: Organization) -> bool:
    claimed = text(
        "select exists (select 1 from results) or exists (select 1 from due_windows where token is not null)"
    )
    with on.app.org(org) as session:
        return bool(session.scalar(claimed))


def _aged(name: str, at: datetime, age: float | None) -> Raw:
    return Raw(
        json.dumps({"_dc_sample_id": name, "_dc_time": at.isoformat(), "_dc_prediction": "1", "age": age}).encode()
    )


def _wall(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _this_hour() -> datetime:
    """The hour that runs, and goes on for a while."""
    while datetime.now(UTC).minute >= 50:
        time.sleep(5)
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def _latency(on: Stage) -> None:
    """From the request with the row or label that completes a window to the alert at its receiver.

    All in processes of their own: endpoint, broker, ingest, evaluate and notify workers, scheduler.
    """
    with brokers() as broker, _receiver() as (url, heard):
        settings = _settings(on, broker)
        kafka.ensure_topics(settings.kafka)
        commands = [["worker", "start", which] for which in ("ingest", "evaluate", "notify", "scheduler")]
        with App(settings, on.app.output) as app, processes(settings, ["serve"], *commands):
            for kind in ("row", "label"):
                waits = sorted(_arrivals(Place(app, on.org, url, kind), heard))
                say(f"{kind}: {[round(wait, 2) for wait in waits[::10]]} … {waits[-1]:.2f} s")
                figure(f"monitors.latency.{kind}.p50", waits, "s", "the limit", [5.0])
                figure(f"monitors.latency.{kind}.p99", [waits[-2]], f"s, of {len(waits)}", "the limit", [5.0])


def _settings(on: Stage, broker: Broker) -> Settings:
    allowed = on.app.settings.webhooks.model_copy(update={"allow": ["127.0.0.1"]})
    return broker.settings(on.app.settings).model_copy(update={"webhooks": allowed})


class Place:
    """A model of so many versions, each with a window that waits for one row, or for one label."""

    def __init__(self, app: App, org: Organization, url: str, kind: str) -> None:
        # The clock completes an hour of today before the test would: what waits for a row is of some days ago.
        self.kind, self.hour = kind, _this_hour() - (72 * HOUR if kind == "row" else 0 * HOUR)
        with app.org(org) as session:
            model = models.create(session, NewModel(kind, "binary"))
            self.model_id, given = model.id, NewVersion
            made = [versions.create(session, model, given(f"{kind}-{n}", {"age": "numeric"})) for n in range(ARRIVALS)]
            self.versions = [(version.id, version.name) for version in made]
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
        """All rows of the last hour but what completes it."""
        for version_id, name in self.versions:
            self._log(version_id, [self._row(f"{name}-{n}", self.hour - HOUR + HOUR * n / 30) for n in range(ROWS)])
            if self.kind == "label":
                self._log(version_id, [self._row(f"{name}-last", self.hour)])
                self._label([f"{name}-{n}" for n in range(1, ROWS)])

    def complete(self, version_id: int, name: str) -> None:
        """The last row, or the last label."""
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
        answer = self._http.request(method, self._url + path, json=body)
        assert answer.status < 300, (answer.status, answer.data)


def _arrivals(place: Place, heard: dict[str, float]) -> Iterator[float]:
    place.fill()
    time.sleep(20)  # what came before the last one has been looked at
    pauses = random.Random(7)
    for version_id, name in place.versions:
        time.sleep(pauses.uniform(0, 0.4))
        began = time.perf_counter()
        place.complete(version_id, name)
        while name not in heard and time.perf_counter() - began < 60:
            time.sleep(0.005)
        yield heard.get(name, float("inf")) - began


@contextmanager
def _receiver() -> Iterator[tuple[str, dict[str, float]]]:
    """A receiver of webhooks: its URL, and when it first heard of which version."""
    heard = dict[str, float]()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = self.rfile.read(int(self.headers["content-length"]))
            for name in _named(json.loads(said)):
                heard.setdefault(name, time.perf_counter())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", heard
        server.shutdown()


def _named(body: dict[str, Any]) -> set[str]:
    """The versions whose alerts a message tells of."""
    return {each["alert"]["version"] for each in body.get("notifications", [body]) if "alert" in each}


if __name__ == "__main__":
    main()
