"""The worker's memory over many rows, and over many versions in one topic.

python -m benchmarks.memory [ROWS [VERSIONS]]     (ten million rows of one version when not said otherwise)
"""

import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psutil

from benchmarks.processes import brokers, processes
from benchmarks.stage import START, Stage, rows, say, stage
from dcmon.ingestion import kafka, message_format
from dcmon.ingestion.raw_rows import Raw
from dcmon.settings import Settings

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
VERSIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 1
AT_ONCE = 500
AHEAD = 200_000  # rows: the producer does not run farther ahead of what is committed


def main() -> None:
    """Print the figure."""
    with stage() as on, brokers() as broker:
        settings = broker.settings(on.app.settings)
        kafka.ensure_topics(settings.kafka)
        version_ids = [on.new_version(f"m{number}")[1] for number in range(VERSIONS)]
        with processes(settings, ["worker", "start", "ingest"]) as (worker,):
            sizes = list(_watch(on, worker, settings, version_ids))
    warm = [size for share, size in sizes if share > 0.1]
    thirds = [[size for share, size in sizes if low <= share < low + 0.3] for low in (0.1, 0.7)]
    first, last = (sum(each) / len(each) for each in thirds)
    line = {
        "figure": f"ingest.worker.memory.{ROWS}.{VERSIONS}", "value": round(max(warm), 1), "unit": "MB", "n": len(warm),
        "first third": round(first, 1), "last third": round(last, 1), "ratio": round(last / first, 3),
    }  # fmt: skip
    print(json.dumps(line), flush=True)


def _watch(
    on: Stage, worker: psutil.Process, settings: Settings, version_ids: list[int]
) -> Iterator[tuple[float, float]]:
    """Twice a second: the share of rows that is committed, and the worker's resident memory in MB."""
    stored = {"rows": 0}
    sender = threading.Thread(target=_send, args=(on, settings, version_ids, stored), daemon=True)
    sender.start()
    said = 0
    while stored["rows"] < ROWS:
        time.sleep(0.5)
        stored["rows"] = on.taken()
        share = stored["rows"] / ROWS
        if int(share * 20) > said:
            said = int(share * 20)
            say(f"{stored['rows']:,} rows, {worker.memory_info().rss / 1e6:.0f} MB")
        yield share, worker.memory_info().rss / 1e6


def _send(on: Stage, settings: Settings, version_ids: list[int], stored: dict[str, int]) -> None:
    """Rows whose ids and times are new each time; the rest of a row is one of some thousand."""
    patterns = [row.decode() for row in rows(0, 2_000)]
    topic = kafka.topic_name(settings.kafka, "samples")
    with closing(kafka.Producer(settings.kafka)) as producer:
        for first in range(0, ROWS, AT_ONCE * 20):
            while first - stored["rows"] > AHEAD:
                time.sleep(0.05)
            packed = []
            for part in range(first, first + AT_ONCE * 20, AT_ONCE):
                given = [Raw(_row(patterns, number)) for number in range(part, part + AT_ONCE)]
                version_id = random.choice(version_ids)
                packed += message_format.pack(on.org.id, "samples", version_id, datetime.now(UTC), given, AT_ONCE)
            producer.send(topic, packed)


def _row(patterns: list[str], number: int) -> bytes:
    """Another id and another minute of the month in front of the same features."""
    pattern = patterns[number % len(patterns)]
    time_ = (START + timedelta(seconds=number % 2_592_000)).isoformat()
    rest = pattern[pattern.index('"n0"') :]
    return f'{{"_dc_sample_id": "s-{number}", "_dc_time": "{time_}", {rest}'.encode()


if __name__ == "__main__":
    main()
