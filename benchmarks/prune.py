"""Measure how pruning a month slows another process that logs samples.

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
from typing import NamedTuple

from sqlalchemy import Engine, text

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import print_figure, print_progress
from benchmarks.sample_rows import make_rows
from dcmon import db
from dcmon.db import Organization
from dcmon.ingestion import audit_reader, sample_deletion
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.raw_rows import Raw
from dcmon.ingestion.sample_deletion import SampleRange
from dcmon.storage import pruning
from dcmon.storage.expiry import Terms
from dcmon.storage.pruning_transactions import Prune

ROWS, ROWS_PER_LOAD, LABELS = 1_000_000, 10_000, 200_000  # of a month
BATCH_ROWS, BATCH_PAUSE = 200, 0.03  # of the process that logs samples; seconds
PHASE_SECONDS = 5.0  # with the prune and without it, in turn
MONTHS = ((b"2026-03", datetime(2026, 5, 15, tzinfo=UTC)), (b"2026-04", datetime(2026, 6, 15, tzinfo=UTC)))
CURRENT_MONTH = b"2026-07"


class LoggedBatch(NamedTuple):
    """When a batch was logged, by `time.monotonic`, and how long that took, in seconds."""

    started_at: float
    duration: float


@dataclass
class LoggingProcess:
    """A process that logs batches, and the process of PostgreSQL that serves it."""

    backend_pid: int = 0
    batches: list[LoggedBatch] = field(default_factory=list)

    def durations(self, since: float, until: float) -> list[float]:
        return [batch.duration for batch in self.batches if since <= batch.started_at < until]


def main() -> None:
    """Print all figures."""
    with temporary_installation() as installation:
        model_id, version_id = installation.create_version("pruned")
        for month, _ in MONTHS:
            _load_month(installation, model_id, version_id, month)
        started_at = time.perf_counter()
        findings = audit_reader.run_audit(installation.app.engine, [installation.org])[1].findings
        assert not findings
        _print_value(f"audit of {len(MONTHS) * ROWS} samples", time.perf_counter() - started_at, "s")
        with _logging_process(installation, version_id) as logger:
            time.sleep(5)
            for month, now in MONTHS:
                _prune_month(installation, logger, month.decode(), now)
            _delete_span(installation, logger, version_id)


def _load_month(installation: Installation, model_id: int, version_id: int, month: bytes) -> None:
    first = int(month[-2:]) * ROWS
    for offset in range(0, ROWS, ROWS_PER_LOAD):
        batch = [row.replace(b"2026-03", month) for row in make_rows(first + offset, ROWS_PER_LOAD, days=28)]
        installation.app.ingestion.ingest_samples(installation.org, version_id, [Raw(row) for row in batch])
    for offset in range(0, LABELS, ROWS_PER_LOAD):
        ids = (f"sample-{first + offset + number:012d}" for number in range(ROWS_PER_LOAD))
        labels = [Raw(json.dumps({"_dc_sample_id": sample_id, "_dc_label": "a"}).encode()) for sample_id in ids]
        installation.app.ingestion.ingest_labels(installation.org, model_id, labels)
    print_progress(f"{month.decode()}: {ROWS} samples, {LABELS} labels")


def _prune_month(installation: Installation, logger: LoggingProcess, month: str, now: datetime) -> None:
    """Prune a month in phases of some seconds, with pauses of the same length.

    So other load of the machine has the same effect on the batches with a prune and on those without.
    """
    installation.checkpoint()
    with_prune, without_prune, deleted_ids, seconds = list[float](), list[float](), 0, 0.0
    with _watched_lock_waits(installation.app.engine, logger.backend_pid) as waits:
        while deleted_ids < ROWS:
            pause_start = time.monotonic()
            time.sleep(PHASE_SECONDS)
            prune_start = time.monotonic()
            prune = Prune(
                installation.app.engine, installation.org, Terms(timedelta(days=30), None, now), "benchmark",
                lambda deadline=prune_start + PHASE_SECONDS: time.monotonic() > deadline,  # type: ignore[misc]
            )  # fmt: skip
            deleted_ids += sum(count for part, count in pruning.run(prune).items() if part.table == "ids")
            prune_end = time.monotonic()
            seconds += prune_end - prune_start
            without_prune += logger.durations(pause_start, prune_start)
            with_prune += logger.durations(prune_start, prune_end)
    _print_value(f"prune.{month}.seconds", seconds, "s")
    _print_value(f"prune.{month}.longest_lock_wait_of_ingestion", 1000 * max(waits, default=0), "ms")
    _print_value(f"prune.{month}.slowest_batch", 1000 * max(with_prune), "ms")
    limit_name = f"without a prune, {len(without_prune)} batches"
    for percent in (50, 99):
        value, limit = (1000 * statistics.quantiles(part, n=100)[percent - 1] for part in (with_prune, without_prune))
        name = f"prune.{month}.ingestion_p{percent} of {len(with_prune)} batches"
        print_figure(name, [value], "ms", limit_name, [limit])


def _delete_span(installation: Installation, logger: LoggingProcess, version_id: int) -> None:
    """Measure how long the slices of a deletion make the logging process wait."""
    first = datetime(2026, 7, 1, tzinfo=UTC)
    span = SampleRange(version_id, first, first + timedelta(days=31), datetime.now(UTC))
    with _watched_lock_waits(installation.app.engine, logger.backend_pid) as waits:
        started_at = time.monotonic()
        deleted = sample_deletion.delete_samples(installation.app.engine, installation.org, span, "benchmark").samples
        seconds = time.monotonic() - started_at
    _print_value(f"delete of {deleted} samples", seconds, "s")
    _print_value("delete.longest_lock_wait_of_ingestion", 1000 * max(waits, default=0), "ms")


def _print_value(name: str, value: float, unit: str) -> None:
    print(json.dumps({"figure": name, "value": round(value, 3), "unit": unit}), flush=True)


@contextmanager
def _watched_lock_waits(engine: Engine, backend_pid: int) -> Iterator[list[float]]:
    """Read every 10 ms how many seconds a server process has waited for a lock."""
    waits, stop = list[float](), threading.Event()
    statement = text(
        "select extract(epoch from clock_timestamp() - waitstart) from pg_locks"
        " where pid = :pid and not granted and waitstart is not null"
    )

    def read_waits() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not stop.wait(0.01):
                waits.extend(float(wait) for wait in connection.scalars(statement, {"pid": backend_pid}))

    thread = threading.Thread(target=read_waits)
    thread.start()
    yield waits
    stop.set()
    thread.join()


@contextmanager
def _logging_process(installation: Installation, version_id: int) -> Iterator[LoggingProcess]:
    url = installation.app.engine.url.render_as_string(hide_password=False)
    command = [
        sys.executable,
        "-m",
        "benchmarks.prune",
        url,
        str(installation.org.id),
        installation.org.schema,
        str(version_id),
    ]
    logger = LoggingProcess()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        logger.backend_pid = int(process.stdout.readline())

        def read() -> None:
            for line in process.stdout or ():
                started_at, duration = line.split()
                logger.batches.append(LoggedBatch(float(started_at), float(duration)))

        thread = threading.Thread(target=read)
        thread.start()
        yield logger
        process.kill()
        thread.join()


def log_samples(url: str, org_id: str, schema: str, version_id: str) -> None:
    """Log a batch every 30 ms until killed; print start and duration of each batch."""
    engine = db.engine(url, pool_size=1)
    ingestion, org = Direct(engine), Organization(int(org_id), "bench", schema)
    with engine.connect() as connection:
        print(connection.scalar(text("select pg_backend_pid()")), flush=True)
    number = 900 * ROWS
    while True:
        batch = [Raw(row.replace(b"2026-03", CURRENT_MONTH)) for row in make_rows(number, BATCH_ROWS, days=28)]
        started_at = time.monotonic()
        ingestion.ingest_samples(org, int(version_id), batch)
        print(started_at, time.monotonic() - started_at, flush=True)
        number += BATCH_ROWS
        time.sleep(BATCH_PAUSE)


if __name__ == "__main__":
    log_samples(*sys.argv[1:]) if len(sys.argv) > 1 else main()
