"""A run: log rows and labels while the monitoring processes are killed."""

import json
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr
from sqlalchemy import Engine, exists, select
from sqlalchemy.exc import DBAPIError

from dcmon import db, errors
from dcmon.db import migrations, work_queue
from dcmon.db.tables.org import Result as StoredResult
from dcmon.db.tables.org import Version
from dcmon.embedded import process
from dcmon.embedded.environment import child_environment
from dcmon.ingestion import store
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.row_batch import RowBatch
from dcmon.settings import Alerts, Evaluate, Settings, Webhooks
from dcmon.storage import models
from tests.chaos.book import AcceptedRows
from tests.chaos.monitors.examiner import Examiner, locks
from tests.chaos.monitors.world import HOUR, Row, Target, World, build
from tests.chaos.process_killer import ProcessKiller, Victim
from tests.chaos.processes import STOPS_WITHIN, Killable, PostgreSQL, Program, dcmon
from tests.chaos.verdict import Verdict
from tests.helpers.paths import ROOT

STALLS = (signal.SIGKILL,) * 9 + (signal.SIGTERM,)
VICTIMS = (
    Victim("evaluate", 6, 2, STALLS), Victim("notify", 3, 1, STALLS), Victim("scheduler", 2, 2, STALLS),
    Victim("receiver", 2, 1), Victim("postgres", 1, 10), Victim("backend", 2, 4),
)  # fmt: skip
LABEL_DELAY = timedelta(seconds=2)
EARLY, BEGINS_WITHIN = 4, 300.0  # requests, and seconds until a first window is evaluated
LOGGED_WITHIN = 900.0  # seconds in which every client must have sent its last request
REQUESTS_OF_AN_HOUR = 2.5  # that a client makes, about


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run: seed, least number of kills, hours of rows.

    All rows are sent, however long that takes on a busy machine; `seconds` bounds a long run by hand.
    `pause` is the mean time between requests of a version's client, `between` that between kills, in seconds;
    `patience` the number of checks, a second apart, without progress before a fault counts.
    """

    seed: int
    kills: int
    seconds: float = math.inf
    hours: int = 12
    pause: float = 0.3
    between: float = 0.8
    patience: int = 120


@dataclass
class Result:
    """The result of a run."""

    config: RunConfig
    verdict: Verdict
    kills: dict[str, int]
    other_events: dict[str, int]
    requests: int
    seconds: float
    folder: Path

    @property
    def is_well(self) -> bool:
        return self.verdict.is_well

    @property
    def line(self) -> str:
        """The result as one line of JSON."""
        verdict = self.verdict
        return json.dumps({
            "seed": self.config.seed, "kills": sum(self.kills.values()), "killed": self.kills,
            "others": self.other_events,
            "requests": self.requests, **verdict.counts, "lost": len(verdict.lost), "doubled": len(verdict.doubled),
            "wrong": len(verdict.wrong), "seconds": round(self.seconds, 1),
        })  # fmt: skip


def settings(url: str, folder: Path) -> Settings:
    """Return settings with short waits, in which every alert is recent enough to notify."""
    quick = Evaluate(
        label_quiet=timedelta(milliseconds=10), backfill_quiet=timedelta(milliseconds=200),
        last_window_quiet=timedelta(milliseconds=200), check_processes=1,
        lease=timedelta(seconds=2),
    )  # fmt: skip
    webhooks = Webhooks(allow=["127.0.0.1"], timeout=timedelta(seconds=1), group_wait=timedelta(milliseconds=100))
    return Settings(
        database_url=SecretStr(url), data_dir=folder, evaluate=quick, webhooks=webhooks,
        alerts=Alerts(recent=timedelta(days=3650)),
    )  # fmt: skip


class Client(threading.Thread):
    """Logs the rows and labels of a version out of order, retrying each request.

    After the first requests it waits until they are evaluated, so that later rows are late.
    """

    def __init__(
        self, engine: Engine, target: Target, book: AcceptedRows, pause: float, is_watched: threading.Event
    ) -> None:
        super().__init__(name=target.name, daemon=True)
        self.is_watched = is_watched
        self.engine, self.target, self.book, self.pause = engine, target, book, pause
        self.rng = Random(f"{target.seed}/client")
        self.direct = Direct(engine)

    def run(self) -> None:
        for number, send in enumerate(self._requests()):
            if number == EARLY:
                self.is_watched.wait(BEGINS_WITHIN)
            while not self._is_accepted(send):
                time.sleep(0.3)
            self.book.count("requests")
            time.sleep(self.rng.uniform(0, 2 * self.pause))

    def _requests(self) -> Iterator[Callable[[], None]]:
        """Yield requests: samples roughly in order of time, their labels at once or later, then corrections."""
        names, labels, corrections = self._shuffled(), list[Callable[[], None]](), list[Callable[[], None]]()
        while names:
            count = self.rng.choice([5, 15, 30])
            some, names = names[:count], names[count:]
            yield partial(self._log, some)
            for revision, postponed in enumerate((labels, corrections)):
                if labelled := [name for name in some if len(self.target.labels.get(name, ())) > revision]:
                    postponed.append(partial(self._label, labelled, revision))
            while labels and self.rng.random() < 0.5:
                yield labels.pop(0)
        yield from labels
        yield partial(self._log_newest, self.target.newest)
        yield from corrections

    def _shuffled(self) -> list[str]:
        """Return all rows except the newest, in order of time with a random error of some hours."""
        logged_at = {
            name: datetime.fromisoformat(row["_dc_time"]) + self.rng.gauss(0, 1.5) * HOUR
            for name, row in self.target.rows.items()
            if name != self.target.newest
        }
        return sorted(logged_at, key=lambda name: logged_at[name])

    def _log(self, names: Sequence[str]) -> None:
        self.direct.ingest_samples(self.target.org, self.target.version_id, _encoded(map(self.target.rows.get, names)))

    def _label(self, names: Sequence[str], revision: int) -> None:
        rows = ({"_dc_sample_id": name, "_dc_label": self.target.labels[name][revision]} for name in names)
        self.direct.ingest_labels(self.target.org, self.target.model_id, _encoded(rows))

    def _log_newest(self, name: str) -> None:
        """Log the newest row; a live version logs it one minute after its time."""
        if not self.target.is_live:
            self._log([name])
            return
        row = self.target.rows[name]
        logged_at = datetime.fromisoformat(row["_dc_time"]) + timedelta(minutes=1)
        with db.org_session(self.engine, self.target.org) as session:
            model = models.get(session, self.target.model_id)
            version = session.get_one(Version, self.target.version_id)
            store.restore_samples(session, model, version, [RowBatch(_encoded([row]), logged_at, "live")])
        work_queue.enqueue_now(self.engine, self.target.org.id, work_queue.Work.evaluate)

    def _is_accepted(self, send: Callable[[], None]) -> bool:
        try:
            send()
        except (errors.DcmonError, DBAPIError):
            self.book.count("repeated")
            return False
        return True


def _encoded(rows: Iterable[Row | None]) -> list[Any]:
    return [json.dumps(row).encode() for row in rows]


class ImmediateRetries(threading.Thread):
    """Makes retries due at once, because a run can't wait for minutes or hours."""

    def __init__(self, url: str, world: World) -> None:
        super().__init__(name="immediate retries", daemon=True)
        self.url, self.world, self.ends = url, world, threading.Event()

    def run(self) -> None:
        while not self.ends.wait(1):
            with suppress(psycopg.Error), psycopg.connect(self.url, connect_timeout=2) as connection:
                for org in self.world.orgs:
                    connection.execute("select set_config('search_path', %s, true)", [org.schema])
                    connection.execute(SOONER)
                    connection.execute("update webhooks set not_before = null where not_before > now()")
                connection.execute("update public.work_queue set due_at = now(), seq = seq + 1 where kind = 1")


SOONER = """
    update notifications set due_at = now()
     where due_at > now() and delivered_at is null and dead_at is null and (lease_until is null or lease_until < now())
"""


@dataclass
class System:
    """The processes of a run, in their own folder."""

    folder: Path
    postgres: PostgreSQL
    running: list[Killable]
    port: int
    log: Path

    def start(self, seed: int) -> None:
        """Start two workers of each kind, and the receivers."""
        own = child_environment(settings(self.postgres.url, self.folder))
        for kind in ("evaluate", "notify", "scheduler"):
            for number in (0, 1):
                command = ["-v", "worker", "start", kind]
                self.running.append(dcmon(kind, f"{kind}-{number}", command, own, self.folder))
        command = [sys.executable, "-m", "tests.chaos.monitors.receiver", str(self.port), str(self.log), str(seed)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        log = self.folder / "logs" / "receiver.log"
        self.running.append(Program("receiver", "receiver", command, environment, log))
        for program in self.running:
            if not program.is_running:
                program.start()

    def calm(self) -> None:
        """Make the receivers accept every message from now on."""
        self.log.with_suffix(".calm").touch()

    def stop(self) -> list[str]:
        """Stop every worker; return those that do not stop and orphaned processes."""
        workers = [worker for worker in self.running if isinstance(worker, Program) and worker.kind != "receiver"]
        for worker in workers:
            worker.send(signal.SIGTERM)
        stopped = process.wait_until(lambda: not any(worker.is_running for worker in workers), STOPS_WITHIN, every=0.1)
        faults = [] if stopped else [f"{worker.name} does not stop" for worker in workers if worker.is_running]
        is_clean = process.wait_until(lambda: not self._orphans(), STOPS_WITHIN, every=0.2)
        return faults + ([] if is_clean else [f"left behind: {command_line}" for command_line in self._orphans()])

    def _orphans(self) -> list[str]:
        """Return the processes of dcmon that use this folder as data directory."""
        variable, orphans = f"DCMON_DATA_DIR={self.folder}\0".encode(), []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if variable in (path / "environ").read_bytes() and process.is_alive(int(path.name)):
                    orphans.append(process.command_line(int(path.name)))
        return orphans


@contextmanager
def running_system() -> Iterator[System]:
    """Start the services of a run, and end all processes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="dcmon-chaos-"))
    folder.chmod(0o755)
    (folder / "logs").mkdir()
    running: list[Killable] = []
    try:
        running.append(postgres := PostgreSQL(folder))
        yield System(folder, postgres, running, process.free_port(), folder / "received.jsonl")
    finally:
        for program in reversed(running):
            program.end()


def run_chaos_test(config: RunConfig, report: Callable[[ProcessKiller], None] = lambda _: None) -> Result:
    """Carry out a run; its folder is left when a fault was found."""
    import deepchecks.tabular  # noqa: F401 - while nothing waits for it

    started_at = time.monotonic()
    with running_system() as system:
        book, engine = AcceptedRows(), db.engine(system.postgres.url)
        migrations.upgrade_public(engine)
        world = build(engine, config.seed, config.hours, system.port, LABEL_DELAY)
        system.start(config.seed)
        is_watched = threading.Event()
        clients = [Client(engine, target, book, config.pause, is_watched) for target in world.targets]
        immediate_retries = ImmediateRetries(system.postgres.url, world)
        for thread in (*clients, immediate_retries):
            thread.start()
        process.wait_until(lambda: _has_result(engine, world), BEGINS_WITHIN, every=0.1)
        is_watched.set()
        killer = ProcessKiller(Random(config.seed), system.running, VICTIMS, book, config.between)
        killer.run(config.kills, 0, config.seconds, report)
        system.calm()
        _end(clients, book, killer)
        verdict = _settled(Examiner(world, system.log), system.postgres.url, config.patience, killer)
        immediate_retries.ends.set()
        immediate_retries.join()
        engine.dispose()
        verdict.wrong += book.faults + system.stop()
        with psycopg.connect(system.postgres.url, row_factory=dict_row) as connection:
            verdict.wrong += locks(connection)
    seconds, kills, other_events = time.monotonic() - started_at, dict(killer.kills), dict(killer.other_events)
    result = Result(config, verdict, kills, other_events, book.counts["requests"], seconds, system.folder)
    if result.is_well:
        shutil.rmtree(system.folder, ignore_errors=True)
    return result


def _has_result(engine: Engine, world: World) -> bool:
    """Return True if a window is evaluated."""
    for org in {target.org.id: target.org for target in world.targets}.values():
        with db.org_session(engine, org) as session:
            if session.scalar(select(exists().select_from(StoredResult))):
                return True
    return False


def _end(clients: Sequence[Client], book: AcceptedRows, killer: ProcessKiller) -> None:
    """Wait until each client has its last request stored."""
    ends = time.monotonic() + LOGGED_WITHIN
    while any(client.is_alive() for client in clients) and time.monotonic() < ends:
        killer.tend(time.monotonic())
        time.sleep(0.1)
    for client in clients:
        if client.is_alive():
            book.fault(f"{client.name} could not log everything in {LOGGED_WITHIN:.0f} s, though everything runs")


def _settled(examiner: Examiner, url: str, patience: int, killer: ProcessKiller) -> Verdict:
    """Examine until there is no fault or no progress for `patience` checks."""
    fewest, remaining = sys.maxsize, patience  # counted in checks, not seconds, so that a stalled machine fails no run
    while True:
        killer.tend(time.monotonic())
        with psycopg.connect(url, row_factory=dict_row) as connection:
            verdict = examiner.examine(connection)
        faults = len(verdict.lost) + len(verdict.doubled) + len(verdict.wrong)
        if verdict.is_well or not remaining:
            return verdict
        fewest, remaining = min(fewest, faults), patience if faults < fewest else remaining - 1
        time.sleep(1)
