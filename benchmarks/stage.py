"""What benchmarks have in common: a PostgreSQL of their own, rows as the SDK sends them, and figures as JSON lines."""

import json
import os
import random
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from pydantic import SecretStr
from sqlalchemy import text

from dcmon.app import App
from dcmon.db import Organization, migrations
from dcmon.embedded import postgres
from dcmon.output import Output
from dcmon.settings import Http, Settings
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning

NUMERIC, CATEGORICAL = [f"n{number}" for number in range(15)], [f"c{number}" for number in range(5)]
FEATURES = dict.fromkeys(NUMERIC, "numeric") | dict.fromkeys(CATEGORICAL, "categorical")
CLASSES = ["a", "b", "c"]
START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Stage:
    """An App on a scratch PostgreSQL with an organization, and the server's processes."""

    app: App
    org: Organization
    server: psutil.Process

    def stored(self, version_id: int) -> int:
        """How many rows of a version are committed."""
        counted = text("select coalesce(sum(n), 0) from quarter_hours where version_id = :id")
        with self.app.org(self.org) as session:
            return int(session.scalar(counted, {"id": version_id}) or 0)

    def taken(self) -> int:
        """How many rows the organization's ledger has."""
        with self.app.org(self.org) as session:
            return int(session.scalar(text("select coalesce(sum(taken), 0) from batches")) or 0)

    def new_version(self, name: str) -> tuple[int, int]:
        """Ids of a new model and version with the benchmark's 20 features."""
        with self.app.org(self.org) as session:
            model = models.create(session, NewModel(name, "multiclass"))
            return model.id, versions.create(session, model, NewVersion("v1", FEATURES, classes=CLASSES)).id


@contextmanager
def stage() -> Iterator[Stage]:
    """A scratch PostgreSQL (the embedded one, its settings untouched), thrown away afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dcmon-bench-"))
    folder.chmod(0o755)
    server = postgres.start(folder)
    try:
        settings = Settings(database_url=SecretStr(server.url), data_dir=folder, http=Http(port=_free_port()))
        with App(settings, Output(quiet=True)) as app:
            app.tune_for_long_run()
            migrations.upgrade_public(app.engine)
            made = provisioning.create_organization(app.engine, "bench", "owner@bench.example")
            yield Stage(app, made.organization, psutil.Process(server.process.pid))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rows(first: int, count: int, days: int = 30, of: int | None = None) -> list[bytes]:
    """Samples of 15 numeric and 5 categorical features with three probabilities, about 670 bytes of JSON each.

    They are `count` of the `of` rows (all of them when not given) that come evenly in so many days.
    """
    generator = random.Random(first)
    step = timedelta(days=days) / max(1, of or count)
    since = first % of if of else 0
    return [_row(first + number, START + step * (since + number), generator) for number in range(count)]


def _row(number: int, time: datetime, generator: random.Random) -> bytes:
    share = generator.random()
    row = {"_dc_sample_id": f"sample-{number:012d}", "_dc_time": time.isoformat()}
    row |= {name: None if generator.random() < 0.02 else generator.gauss(0, 1) for name in NUMERIC}
    row |= {name: f"category-{generator.randrange(8)}" for name in CATEGORICAL}
    row |= {"_dc_prediction_probabilities": [share, (1 - share) / 2, (1 - share) / 2]}
    return json.dumps(row | {"_dc_prediction": generator.choice(CLASSES)}).encode()


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, of CPU of what is measured and of PostgreSQL, and of CPU of what stands beside it."""

    wall: float
    cpu: float
    beside: float = 0.0


def measure(
    work: Callable[[], object],
    server: psutil.Process,
    *others: psutil.Process,
    is_own: bool = True,
    beside: psutil.Process | None = None,
) -> Cost:
    """What work costs in PostgreSQL, in other processes, and in this one unless it only looks on."""
    other, before, began = _of(beside), _cpu(server, others, is_own), time.perf_counter()
    work()
    wall = time.perf_counter() - began
    return Cost(wall, _cpu(server, others, is_own) - before, _of(beside) - other)


def _of(process: psutil.Process | None) -> float:
    return sum(process.cpu_times()[:2]) if process else 0.0


def _cpu(server: psutil.Process, others: Sequence[psutil.Process] = (), is_own: bool = True) -> float:
    total = sum(os.times()[:2]) if is_own else 0.0
    for each in (server, *server.children(), *others):
        try:
            spent = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
        if each.pid == server.pid:  # the backends that have ended since
            total += spent.children_user + spent.children_system
    return total


def figure(name: str, values: Sequence[float], unit: str, against: str, limits: Sequence[float]) -> None:
    """Print the median of `values` beside the median of what it is compared with, measured in the same run."""
    value, limit = statistics.median(values), statistics.median(limits)
    line = {
        "figure": name,
        "value": round(value, 3),
        "unit": unit,
        "n": len(values),
        "against": {"name": against, "value": round(limit, 3)},
        "ratio": round(value / limit, 3) if limit else None,
    }
    print(json.dumps(line), flush=True)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def checkpoint(stage: Stage) -> None:
    """Begin each measurement with nothing left to write."""
    with stage.app.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("checkpoint"))
