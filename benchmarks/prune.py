"""A month is pruned while another process logs samples: how long that waits for locks, and what its batches take.

python -m benchmarks.prune
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from benchmarks.stage import Stage, checkpoint, figure, rows, say, stage
from dcmon import db
from dcmon.db import Organization
from dcmon.ingestion import audit_reader, corrections
from dcmon.ingestion.corrections import SampleRange
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.raw_rows import Raw
from dcmon.storage import pruning
from dcmon.storage.expiry import Terms
from dcmon.storage.pruning_transactions import Prune

ROWS, AT_ONCE, LABELLED = 1_000_000, 10_000, 200_000
BATCH, PAUSE, TURN = 200, 0.03, 5.0  # rows, seconds between batches, seconds with and without the prune
MONTHS = ((b"2026-03", datetime(2026, 5, 15, tzinfo=UTC)), (b"2026-04", datetime(2026, 6, 15, tzinfo=UTC)))
NOW = b"2026-07"


@dataclass
class Ingestion:
    """Another process that logs a batch again and again: when each began, and how many seconds it took."""

    pid: int = 0
    batches: list[tuple[float, float]] = field(default_factory=list)

    def between(self, began: float, ended: float) -> list[float]:
        return [took for at, took in self.batches if began <= at < ended]


def main() -> None:
    """Print the figures."""
    with stage() as on:
        model_id, version_id = on.new_version("pruned")
        for month, _ in MONTHS:
            _fill(on, model_id, version_id, month)
        began = time.perf_counter()
        well = not audit_reader.run_audit(on.app.engine, [on.org])[1].findings
        assert well
        _one(f"audit of {len(MONTHS) * ROWS} samples", time.perf_counter() - began, "s")
        with _ingesting(on, version_id) as beside:
            time.sleep(5)
            for month, now in MONTHS:
                _prune(on, beside, month.decode(), now)
            _delete(on, beside, version_id)


def _fill(on: Stage, model_id: int, version_id: int, month: bytes) -> None:
    first = int(month[-2:]) * ROWS
    for at in range(0, ROWS, AT_ONCE):
        batch = [row.replace(b"2026-03", month) for row in rows(first + at, AT_ONCE, days=28)]
        on.app.ingestion.ingest_samples(on.org, version_id, [Raw(row) for row in batch])
    for at in range(0, LABELLED, AT_ONCE):
        ids = (f"sample-{first + at + number:012d}" for number in range(AT_ONCE))
        said = [Raw(json.dumps({"_dc_sample_id": each, "_dc_label": "a"}).encode()) for each in ids]
        on.app.ingestion.ingest_labels(on.org, model_id, said)
    say(f"{month.decode()}: {ROWS} samples, {LABELLED} labels")


def _prune(on: Stage, beside: Ingestion, month: str, now: datetime) -> None:
    """In turns of a few seconds with and without the prune, so that what else the machine does concerns both alike."""
    checkpoint(on)
    within, without, ids, seconds = list[float](), list[float](), 0, 0.0
    with _watching(on.app.engine, beside.pid) as waits:
        while ids < ROWS:
            calm = time.monotonic()
            time.sleep(TURN)
            began = time.monotonic()
            turn = Prune(
                on.app.engine, on.org, Terms(timedelta(days=30), None, now), "benchmark",
                lambda ends=began + TURN: time.monotonic() > ends,  # type: ignore[misc]
            )  # fmt: skip
            ids += sum(count for place, count in pruning.run(turn).items() if place.table == "ids")
            ended = time.monotonic()
            seconds += ended - began
            without += beside.between(calm, began)
            within += beside.between(began, ended)
    _one(f"prune.{month}.seconds", seconds, "s")
    _one(f"prune.{month}.longest_lock_wait_of_ingestion", 1000 * max(waits, default=0), "ms")
    _one(f"prune.{month}.slowest_batch", 1000 * max(within), "ms")
    for name, at in (("p50", 50), ("p99", 99)):
        value, limit = (1000 * statistics.quantiles(each, n=100)[at - 1] for each in (within, without))
        against = f"without a prune, {len(without)} batches"
        figure(f"prune.{month}.ingestion_{name} of {len(within)} batches", [value], "ms", against, [limit])


def _delete(on: Stage, beside: Ingestion, version_id: int) -> None:
    """What the slices of a deletion make ingestion into the same model wait."""
    first = datetime(2026, 7, 1, tzinfo=UTC)
    span = SampleRange(version_id, first, first + timedelta(days=31), datetime.now(UTC))
    with _watching(on.app.engine, beside.pid) as waits:
        began = time.monotonic()
        deleted = corrections.delete_samples(on.app.engine, on.org, span, "benchmark").samples
        took = time.monotonic() - began
    _one(f"delete of {deleted} samples", took, "s")
    _one("delete.longest_lock_wait_of_ingestion", 1000 * max(waits, default=0), "ms")


def _one(name: str, value: float, unit: str) -> None:
    print(json.dumps({"figure": name, "value": round(value, 3), "unit": unit}), flush=True)


@contextmanager
def _watching(engine: Engine, pid: int) -> Iterator[list[float]]:
    """The waits of a server process for locks, in seconds, looked at every few milliseconds."""
    waits, stop = list[float](), threading.Event()
    look = text(
        "select extract(epoch from clock_timestamp() - waitstart) from pg_locks"
        " where pid = :pid and not granted and waitstart is not null"
    )

    def watch() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not stop.wait(0.01):
                waits.extend(float(wait) for wait in connection.scalars(look, {"pid": pid}))

    thread = threading.Thread(target=watch)
    thread.start()
    yield waits
    stop.set()
    thread.join()


@contextmanager
def _ingesting(on: Stage, version_id: int) -> Iterator[Ingestion]:
    url = on.app.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "benchmarks.prune", url, str(on.org.id), on.org.schema, str(version_id)]
    beside = Ingestion()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        beside.pid = int(process.stdout.readline())

        def read() -> None:
            for line in process.stdout or ():
                at, took = line.split()
                beside.batches.append((float(at), float(took)))

        thread = threading.Thread(target=read)
        thread.start()
        yield beside
        process.kill()
        thread.join()


def ingest(url: str, org_id: str, schema: str, version_id: str) -> None:
    """Log a batch every few milliseconds until killed; print when it began, and what it took."""
    engine = db.engine(url, pool_size=1)
    into, org = Direct(engine), Organization(int(org_id), "bench", schema)
    with engine.connect() as connection:
        print(connection.scalar(text("select pg_backend_pid()")), flush=True)
    number = 900 * ROWS
    while True:
        batch = [Raw(row.replace(b"2026-03", NOW)) for row in rows(number, BATCH, days=28)]
        began = time.monotonic()
        into.ingest_samples(org, int(version_id), batch)
        print(began, time.monotonic() - began, flush=True)
        number += BATCH
        time.sleep(PAUSE)


if __name__ == "__main__":
    ingest(*sys.argv[1:]) if len(sys.argv) > 1 else main()
