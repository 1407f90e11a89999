"""A run: rows and labels come in while evaluators, notifiers, schedulers, checks, PostgreSQL and the receivers die."""

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
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon import db, errors
from dcmon.db import migrations, work_queue
from dcmon.db.tables.org import Version
from dcmon.embedded import process
from dcmon.embedded.environment import child_environment
from dcmon.ingestion import store
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.row_batch import RowBatch
from dcmon.settings import Alerts, Evaluate, Settings, Webhooks
from dcmon.storage import models
from tests.chaos.book import Book
from tests.chaos.monitors.examiner import Examiner, locks
from tests.chaos.monitors.world import HOUR, Row, Target, World, build
from tests.chaos.processes import STOPS_WITHIN, Killable, PostgreSQL, Program, dcmon
from tests.chaos.reaper import Reaper, Victim
from tests.chaos.verdict import Verdict
from tests.helpers.paths import ROOT

STALLS = (signal.SIGKILL,) * 9 + (signal.SIGTERM,)
AT_WORK = 2  # processes of an evaluator that runs checks: one that forks, and one that is forked
VICTIMS = (
    Victim("evaluate", 4, 2, STALLS, needs=AT_WORK), Victim("child", 4, 2, needs=AT_WORK),
    Victim("notify", 3, 1, STALLS), Victim("scheduler", 2, 2, STALLS), Victim("receiver", 2, 1),
    Victim("postgres", 1, 10), Victim("backend", 2, 4),
)  # fmt: skip
LABEL_DELAY = timedelta(seconds=2)
EARLY, BEGINS_WITHIN = 4, 300.0  # requests, and seconds until a first window is evaluated
LOGGED_WITHIN = 900.0  # seconds in which every client must have sent its last request
REQUESTS_OF_AN_HOUR = 2.5  # that a client makes, about


@dataclass(frozen=True)
class Course:
    """What a run is to be: of which seed, how many kills at least, over how many hours of rows.

    All rows are sent, however long that takes on a busy machine; `seconds` bounds a long run by hand.
    `pause` is the mean time between requests of a version's client, `between` that between kills, in seconds;
    `patience` how many looks, a second apart, may find nothing better before what is wrong is wrong.
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
    """What came of a run."""

    course: Course
    verdict: Verdict
    kills: dict[str, int]
    others: dict[str, int]
    requests: int
    seconds: float
    folder: Path

    @property
    def is_well(self) -> bool:
        return self.verdict.is_well

    @property
    def line(self) -> str:
        """Everything in one line of JSON."""
        found = self.verdict
        return json.dumps({
            "seed": self.course.seed, "kills": sum(self.kills.values()), "killed": self.kills, "others": self.others,
            "requests": self.requests, **found.counts, "lost": len(found.lost), "doubled": len(found.doubled),
            "wrong": len(found.wrong), "seconds": round(self.seconds, 1),
        })  # fmt: skip


def settings(url: str, folder: Path) -> Settings:
    """Everything that waits for long waits for a moment; nothing is too old to be told."""
    quick = Evaluate(
        label_quiet=timedelta(milliseconds=10), backfill_quiet=timedelta(milliseconds=200), children=1,
        lease=timedelta(seconds=2),
    )  # fmt: skip
    told = Webhooks(allow=["127.0.0.1"], timeout=timedelta(seconds=1), group_wait=timedelta(milliseconds=100))
    return Settings(
        database_url=SecretStr(url), data_dir=folder, evaluate=quick, webhooks=told,
        alerts=Alerts(recent=timedelta(days=3650)),
    )  # fmt: skip


class Client(threading.Thread):
    """Logs all rows and labels of a version, a few at a time, out of order; each request until it is taken.

    After the first requests it waits until they are evaluated: then the others are late.
    """

    def __init__(self, engine: Engine, target: Target, book: Book, pause: float, is_watched: threading.Event) -> None:
        super().__init__(name=target.name, daemon=True)
        self.is_watched = is_watched
        self.engine, self.target, self.book, self.pause = engine, target, book, pause
        self.rng = Random(f"{target.seed}/client")
        self.direct = Direct(engine)

    def run(self) -> None:
        for number, send in enumerate(self._requests()):
            if number == EARLY:
                self.is_watched.wait(BEGINS_WITHIN)
            while not self._is_taken(send):
                time.sleep(0.3)
            self.book.count("requests")
            time.sleep(self.rng.uniform(0, 2 * self.pause))

    def _requests(self) -> Iterator[Callable[[], None]]:
        """Samples about in order of time, each with its labels at once, soon or late; corrections after them."""
        names, left, corrections = self._shuffled(), list[Callable[[], None]](), list[Callable[[], None]]()
        while names:
            count = self.rng.choice([5, 15, 30])
            some, names = names[:count], names[count:]
            yield partial(self._log, some)
            for turn, put_off in enumerate((left, corrections)):
                if labelled := [name for name in some if len(self.target.labels.get(name, ())) > turn]:
                    put_off.append(partial(self._label, labelled, turn))
            while left and self.rng.random() < 0.5:
                yield left.pop(0)
        yield from left
        yield partial(self._log_newest, self.target.newest)
        yield from corrections

    def _shuffled(self) -> list[str]:
        """The rows but for the newest, in order of time, give or take some hours."""
        moved = {
            name: datetime.fromisoformat(row["_dc_time"]) + self.rng.gauss(0, 1.5) * HOUR
            for name, row in self.target.rows.items()
            if name != self.target.newest
        }
        return sorted(moved, key=lambda name: moved[name])

    def _log(self, names: Sequence[str]) -> None:
        self.direct.ingest_samples(self.target.org, self.target.version_id, _encoded(map(self.target.rows.get, names)))

    def _label(self, names: Sequence[str], turn: int) -> None:
        rows = ({"_dc_sample_id": name, "_dc_label": self.target.labels[name][turn]} for name in names)
        self.direct.ingest_labels(self.target.org, self.target.model_id, _encoded(rows))

    def _log_newest(self, name: str) -> None:
        """The newest row: of a live version it was young when it was logged."""
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

    def _is_taken(self, send: Callable[[], None]) -> bool:
        try:
            send()
        except (errors.DcmonError, DBAPIError):
            self.book.count("repeated")
            return False
        return True


def _encoded(rows: Iterable[Row | None]) -> list[Any]:
    return [json.dumps(row).encode() for row in rows]


class Hurry(threading.Thread):
    """What would be tried again in a minute, or an hour, is tried now: time can't be waited for."""

    def __init__(self, url: str, world: World) -> None:
        super().__init__(name="hurry", daemon=True)
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
class Stage:
    """What runs, in a folder of its own."""

    folder: Path
    postgres: PostgreSQL
    running: list[Killable]
    port: int
    log: Path

    def start(self, seed: int) -> None:
        """Two of each kind of worker, and the receivers."""
        own = child_environment(settings(self.postgres.url, self.folder))
        for kind in ("evaluate", "notify", "scheduler"):
            for number in (0, 1):
                command = ["-v", "worker", "start", kind]
                self.running.append(dcmon(kind, f"{kind}-{number}", command, own, self.folder))
        command = [sys.executable, "-m", "tests.chaos.monitors.receiver", str(self.port), str(self.log), str(seed)]
        given = {**os.environ, "PYTHONPATH": str(ROOT)}
        log = self.folder / "logs" / "receiver.log"
        self.running.append(Program("receiver", "receiver", command, given, log))
        for each in self.running:
            if not each.is_running:
                each.start()

    def is_at_work(self) -> bool:
        """Whether a check was begun somewhere."""
        workers = [each for each in self.running if isinstance(each, Program) and each.kind == "evaluate"]
        return any(len(each.descendants()) >= AT_WORK for each in workers)

    def calm(self) -> None:
        """From now on the receivers can be relied on."""
        self.log.with_suffix(".calm").touch()

    def stop(self) -> list[str]:
        """Ask every worker to stop; returns what does not, and processes that are left of those that were killed."""
        workers = [each for each in self.running if isinstance(each, Program) and each.kind != "receiver"]
        for each in workers:
            each.send(signal.SIGTERM)
        stopped = process.wait_until(lambda: not any(each.is_running for each in workers), STOPS_WITHIN, every=0.1)
        found = [] if stopped else [f"{each.name} does not stop" for each in workers if each.is_running]
        gone = process.wait_until(lambda: not self._left(), STOPS_WITHIN, every=0.2)
        return found + ([] if gone else [f"left behind: {each}" for each in self._left()])

    def _left(self) -> list[str]:
        """Processes of dcmon's that were started with this folder as their data directory."""
        mark, found = f"DCMON_DATA_DIR={self.folder}\0".encode(), []
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (place / "environ").read_bytes() and process.is_alive(int(place.name)):
                    found.append(process.command_line(int(place.name)))
        return found


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything that a run needs; ended again."""
    folder = Path(tempfile.mkdtemp(prefix="dcmon-chaos-"))
    folder.chmod(0o755)
    (folder / "logs").mkdir()
    running: list[Killable] = []
    try:
        running.append(postgres := PostgreSQL(folder))
        yield Stage(folder, postgres, running, process.free_port(), folder / "received.jsonl")
    finally:
        for each in reversed(running):
            each.end()


def carry_out(course: Course, say: Callable[[Reaper], None] = lambda _: None) -> Result:
    """A run from beginning to end. Its folder is left when something was found."""
    import deepchecks.tabular  # noqa: F401 - while nothing waits for it

    began = time.monotonic()
    with stage() as ground:
        book, engine = Book(), db.engine(ground.postgres.url)
        migrations.upgrade_public(engine)
        world = build(engine, course.seed, course.hours, ground.port, LABEL_DELAY)
        ground.start(course.seed)
        is_watched = threading.Event()
        clients = [Client(engine, target, book, course.pause, is_watched) for target in world.targets]
        hurry = Hurry(ground.postgres.url, world)
        for each in (*clients, hurry):
            each.start()
        process.wait_until(ground.is_at_work, BEGINS_WITHIN, every=0.1)
        is_watched.set()
        reaper = Reaper(Random(course.seed), ground.running, VICTIMS, book, course.between)
        reaper.run(course.kills, 0, course.seconds, say)
        ground.calm()
        _end(clients, book, reaper)
        verdict = _settled(Examiner(world, ground.log), ground.postgres.url, course.patience, reaper)
        hurry.ends.set()
        hurry.join()
        engine.dispose()
        verdict.wrong += book.faults + ground.stop()
        with psycopg.connect(ground.postgres.url, row_factory=dict_row) as connection:
            verdict.wrong += locks(connection)
    seconds, kills, others = time.monotonic() - began, dict(reaper.kills), dict(reaper.others)
    result = Result(course, verdict, kills, others, book.counts["requests"], seconds, ground.folder)
    if result.is_well:
        shutil.rmtree(ground.folder, ignore_errors=True)
    return result


def _end(clients: Sequence[Client], book: Book, reaper: Reaper) -> None:
    """Each client gets its last request taken."""
    ends = time.monotonic() + LOGGED_WITHIN
    while any(client.is_alive() for client in clients) and time.monotonic() < ends:
        reaper.tend(time.monotonic())
        time.sleep(0.1)
    for client in clients:
        if client.is_alive():
            book.fault(f"{client.name} could not log everything in {LOGGED_WITHIN:.0f} s, though everything runs")


def _settled(examiner: Examiner, url: str, patience: int, reaper: Reaper) -> Verdict:
    """What there is to say when all is as it must be, or when nothing has changed for long."""
    fewest, left = sys.maxsize, patience  # counted in looks: on a machine that stands still nothing is late
    while True:
        reaper.tend(time.monotonic())
        with psycopg.connect(url, row_factory=dict_row) as connection:
            verdict = examiner.examine(connection)
        faults = len(verdict.lost) + len(verdict.doubled) + len(verdict.wrong)
        if verdict.is_well or not left:
            return verdict
        fewest, left = min(fewest, faults), patience if faults < fewest else left - 1
        time.sleep(1)
