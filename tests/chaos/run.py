"""A run: send rows while processes are killed, then judge the stored rows."""

import json
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Literal

import urllib3
from pydantic import SecretStr
from sqlalchemy import Engine

from dcmon import db
from dcmon.db import migrations
from dcmon.embedded import process
from dcmon.embedded.environment import child_environment
from dcmon.settings import Http, Kafka, Settings
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning
from tests.chaos.book import AcceptedRows
from tests.chaos.generator import Client, HttpClient, Plan, TopicClient
from tests.chaos.process_killer import ON_APACHE, ON_TANSU, ProcessKiller
from tests.chaos.processes import Broker, Killable, PostgreSQL, Valkey, dcmon
from tests.chaos.rows import ADDITIONAL, CLASSES, FEATURES, Model, Rows, Target
from tests.chaos.verdict import Judge, Verdict
from tests.helpers.kafka_broker import tansu
from tests.helpers.waiting import PATIENCE

Through = Literal["none", "tansu", "apache"]
WORLD = {"acme": {"credit": ("binary", 2), "price": ("regression", 1)}, "other": {"insects": ("multiclass", 2)}}


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run: seed, broker, and the least number of kills and requests.

    It goes on until both are reached, however long that takes on a busy machine; `seconds` bounds a long run by hand.
    `pause` is the mean time between requests of a client, `between` that between kills, `audits` that between audits
    beside it all; in seconds. `patience` is how long nothing may come, in the end, before what is missing is lost.
    """

    seed: int
    broker: Through
    kills: int
    requests: int = 0
    seconds: float = math.inf
    pause: float = 0.1
    between: float = 1.5
    patience: float = 180.0
    audits: float = math.inf


@dataclass
class Result:
    """The result of a run."""

    config: RunConfig
    verdict: Verdict
    kills: dict[str, int]
    other_events: dict[str, int]
    audit: "subprocess.CompletedProcess[str]"
    seconds: float
    folder: Path

    @property
    def is_well(self) -> bool:
        return self.verdict.is_well and self.audit.returncode == 0

    @property
    def line(self) -> str:
        """The result as one line of JSON."""
        verdict, counts = self.verdict, self.verdict.counts
        names = ("requests", "repeated", "rows", "taken", "samples", "labels", "duplicates", "quarantined", "dead")
        return json.dumps({
            "seed": self.config.seed, "broker": self.config.broker, "kills": sum(self.kills.values()),
            "killed": self.kills, "others": self.other_events, **{name: counts[name] for name in names},
            "audits": {name[-1]: number for name, number in counts.items() if name.startswith("audits")},
            "lost": len(verdict.lost), "doubled": len(verdict.doubled), "wrong": len(verdict.wrong),
            "audit": self.audit.returncode, "seconds": round(self.seconds, 1),
        })  # fmt: skip


def targets(engine: Engine) -> list[Target]:
    """Create several organizations with models of each task and their versions."""
    created_targets = []
    for name, wanted in WORLD.items():
        created = provisioning.create_organization(engine, name, f"o@{name}.example")
        for title, (task, count) in wanted.items():
            with db.org_session(engine, created.organization) as session:
                model = models.create(session, NewModel(title, task))
                own = Model(
                    created.organization.id, created.organization.schema, created.token, task, model.id, model.relation
                )
                for number in range(count):
                    new = NewVersion(f"v{number}", FEATURES, ADDITIONAL, classes=CLASSES[task])
                    version = versions.create(session, model, new)
                    created_targets.append(Target(own, version.id, version.relation))
    return created_targets


@dataclass
class System:
    """The processes of a run, in their own folder."""

    folder: Path
    postgres: PostgreSQL
    running: list[Killable]
    ports: list[int]
    kafka: Kafka

    def settings(self, port: int = 8000, *, is_direct: bool = False) -> Settings:
        kafka = Kafka() if is_direct else self.kafka
        redis = next(service.url for service in self.running if isinstance(service, Valkey))
        return Settings(
            database_url=SecretStr(self.postgres.url), redis_url=SecretStr(redis), data_dir=self.folder, kafka=kafka,
            http=Http(port=port),
        )  # fmt: skip

    def start(self, workers: int) -> None:
        """Start the servers and, with a broker, workers.

        With a broker, the last server stores samples directly.
        """
        has_broker = self.kafka.bootstrap_servers is not None
        for number, port in enumerate(self.ports):
            own = child_environment(self.settings(port, is_direct=has_broker and number == len(self.ports) - 1))
            self.running.append(dcmon("server", f"server-{number}", ["serve"], own, self.folder))
        for number in range(workers if has_broker else 0):
            own = child_environment(self.settings())
            self.running.append(dcmon("worker", f"worker-{number}", ["worker", "start", "ingest"], own, self.folder))
        for program in self.running:
            if not program.is_running:
                program.start()
        if not process.wait_until(lambda: all(map(_responds, self.ports)), PATIENCE, every=0.2):
            raise RuntimeError(f"the servers did not start: see {self.folder}/logs")

    def clients(self, book: AcceptedRows, rows: Rows, sent_to: Sequence[Target], pause: float) -> list[Client]:
        """Create the clients; the first two share a plan, so that equal rows arrive together."""
        clients: list[Client] = [
            HttpClient(Plan(rows, sent_to, max(0, n - 1)), book, pause, self.ports) for n in range(5)
        ]
        if servers := self.kafka.bootstrap_servers:
            clients.append(TopicClient(Plan(rows, sent_to, 9, with_messages=True), book, pause, servers, "dcmon"))
        return clients

    def audit(self) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "dcmon", "audit"]
        return subprocess.run(
            command, env=child_environment(self.settings()), capture_output=True, text=True, check=False
        )


class Auditor(threading.Thread):
    """Audits repeatedly during the kills; the ledger must add up then too."""

    def __init__(self, audited: System, book: AcceptedRows, pause: float) -> None:
        super().__init__(name="auditor", daemon=True)
        self.audited, self.book, self.pause = audited, book, pause
        self.ends = threading.Event()

    def run(self) -> None:
        while not self.ends.wait(min(self.pause, threading.TIMEOUT_MAX)):
            done = self.audited.audit()
            self.book.count(f"audits that ended with {done.returncode}")
            if done.returncode == 1:
                self.book.fault(f"an audit beside it all: {done.stdout}")


def _responds(port: int) -> bool:
    try:
        response = urllib3.request("GET", f"http://127.0.0.1:{port}/api/v1/health-check", retries=False, timeout=2)
    except urllib3.exceptions.HTTPError:
        return False
    return response.status == 200


@contextmanager
def running_system(config: RunConfig) -> Iterator[System]:
    """Start the services of a run, and end all processes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="dcmon-chaos-"))
    folder.chmod(0o755)
    (folder / "logs").mkdir()
    running: list[Killable] = []
    with ExitStack() as stack:
        stack.callback(lambda: [program.end() for program in reversed(running)])
        running.append(postgres := PostgreSQL(folder))
        running.append(Valkey(folder))
        address = None
        if config.broker == "apache":
            running.append(broker := Broker(folder))
            address = broker.apache.address
        elif config.broker == "tansu":
            address = stack.enter_context(tansu())
        kafka = Kafka(bootstrap_servers=address, partitions=2, rows_per_message=25)
        ports = [process.free_port() for _ in range(3 if address else 2)]
        yield System(folder, postgres, running, ports, kafka)


def run_chaos_test(config: RunConfig, report: Callable[[ProcessKiller], None] = lambda _: None) -> Result:
    """Carry out a run; its folder is left when a fault was found."""
    started_at = time.monotonic()
    with running_system(config) as system:
        book, rows = AcceptedRows(), Rows(config.seed, datetime.now(UTC))
        created_targets = _prepared(system.postgres.url)
        system.start(workers=1 if config.broker == "tansu" else 3)
        clients = system.clients(book, rows, created_targets, config.pause)
        victims = ON_APACHE if config.broker == "apache" else ON_TANSU
        killer = ProcessKiller(Random(config.seed), system.running, victims, book, config.between)
        auditor = Auditor(system, book, config.audits)
        for thread in (*clients, auditor):
            thread.start()
        killer.run(config.kills, config.requests, config.seconds, report)
        auditor.ends.set()
        _end(clients, book)
        judge = Judge(system.postgres.url, book, rows)
        judge.wait(config.patience, killer.tend)
        verdict, audit = judge.judge(), system.audit()
    seconds = time.monotonic() - started_at
    result = Result(config, verdict, dict(killer.kills), dict(killer.other_events), audit, seconds, system.folder)
    if result.is_well:
        shutil.rmtree(system.folder, ignore_errors=True)
    return result


def _prepared(url: str) -> list[Target]:
    engine = db.engine(url)
    try:
        migrations.upgrade_public(engine)
        return targets(engine)
    finally:
        engine.dispose()


def _end(clients: Sequence[Client], book: AcceptedRows) -> None:
    """Let each client get its last request acknowledged, then end it."""
    for client in clients:
        client.ends.set()
    for client in clients:
        client.join(PATIENCE)
        if client.is_alive():
            book.fault(f"{client.name} got no acknowledgement in five minutes, though everything runs")
