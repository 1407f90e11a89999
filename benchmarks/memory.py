"""Measure the ingest worker's memory over many rows of one or many versions.

python -m benchmarks.memory [ROWS [VERSIONS]]     (by default ten million rows of one version)
"""

import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psutil

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import print_progress
from benchmarks.processes import running_broker, running_processes
from benchmarks.sample_rows import START, make_rows
from dcmon.ingestion import kafka, message_format
from dcmon.ingestion.raw_rows import Raw
from dcmon.settings import Settings

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
VERSIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 1
ROWS_PER_MESSAGE, MESSAGES_PER_SEND = 500, 20
MAX_AHEAD = 200_000  # rows; the producer waits while so many rows are sent and not yet committed


class MemoryReading(NamedTuple):
    """The worker's resident memory, when this share of all rows was committed."""

    share: float
    megabytes: float


def main() -> None:
    """Print the figure."""
    with temporary_installation() as installation, running_broker() as broker:
        settings = broker.settings(installation.app.settings)
        kafka.ensure_topics(settings.kafka)
        version_ids = [installation.create_version(f"m{number}").version_id for number in range(VERSIONS)]
        with running_processes(settings, ["worker", "start", "ingest"]) as (worker,):
            readings = list(_worker_memory(installation, worker, settings, version_ids))
    warm = [reading.megabytes for reading in readings if reading.share > 0.1]
    thirds = [[reading.megabytes for reading in readings if low <= reading.share < low + 0.3] for low in (0.1, 0.7)]
    first, last = (sum(third) / len(third) for third in thirds)
    figure = {
        "figure": f"ingest.worker.memory.{ROWS}.{VERSIONS}", "value": round(max(warm), 1), "unit": "MB", "n": len(warm),
        "first third": round(first, 1), "last third": round(last, 1), "ratio": round(last / first, 3),
    }  # fmt: skip
    print(json.dumps(figure), flush=True)


def _worker_memory(
    installation: Installation, worker: psutil.Process, settings: Settings, version_ids: list[int]
) -> Iterator[MemoryReading]:
    """Send the rows, and read the worker's memory twice a second."""
    stored = {"rows": 0}  # shared with the sender's thread
    sender = threading.Thread(target=_send_rows, args=(installation, settings, version_ids, stored), daemon=True)
    sender.start()
    reported = 0  # twentieths of all rows
    while stored["rows"] < ROWS:
        time.sleep(0.5)
        stored["rows"] = installation.ledger_rows()
        share = stored["rows"] / ROWS
        if int(share * 20) > reported:
            reported = int(share * 20)
            print_progress(f"{stored['rows']:,} rows, {worker.memory_info().rss / 1e6:.0f} MB")
        yield MemoryReading(share, worker.memory_info().rss / 1e6)


def _send_rows(installation: Installation, settings: Settings, version_ids: list[int], stored: dict[str, int]) -> None:
    """Send rows with new ids and times; their other values repeat after 2,000 rows."""
    patterns = [row.decode() for row in make_rows(0, 2_000)]
    topic = kafka.topic_name(settings.kafka, "samples")
    with closing(kafka.Producer(settings.kafka)) as producer:
        for first in range(0, ROWS, ROWS_PER_MESSAGE * MESSAGES_PER_SEND):
            while first - stored["rows"] > MAX_AHEAD:
                time.sleep(0.05)
            messages = []
            for index in range(MESSAGES_PER_SEND):
                start = first + index * ROWS_PER_MESSAGE
                rows = [Raw(_row(patterns, number)) for number in range(start, start + ROWS_PER_MESSAGE)]
                version_id, now = random.choice(version_ids), datetime.now(UTC)
                messages += message_format.pack(installation.org.id, "samples", version_id, now, rows, ROWS_PER_MESSAGE)
            producer.send(topic, messages)


def _row(patterns: list[str], number: int) -> bytes:
    """Return a pattern's features with the id and the time of this row number."""
    pattern = patterns[number % len(patterns)]
    moment = (START + timedelta(seconds=number % 2_592_000)).isoformat()
    features = pattern[pattern.index('"n0"') :]
    return f'{{"_dc_sample_id": "s-{number}", "_dc_time": "{moment}", {features}'.encode()


if __name__ == "__main__":
    main()
