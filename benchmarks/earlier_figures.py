"""Figures of an earlier commit, scaled to the speed of this machine.

python -m benchmarks.earlier_figures     (measures the machine's speed)

earlier_figures.json has the figures, and beside them how long a fixed piece of work took on the same machine then.
"""

import json
import sqlite3
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = Path(__file__).with_name("earlier_figures.json")
RUNS = 9


class EarlierFigure(NamedTuple):
    """A figure of an earlier commit, as it would be on this machine now."""

    name: str
    value: float


def scaled(figure: str) -> EarlierFigure:
    """Return an earlier figure, times the speed of the machine then over its speed now."""
    stored = json.loads(FILE.read_text())
    value = stored["figures"][figure] * speed_ms() / stored["speed_ms"]
    return EarlierFigure(f"commit {stored['commit']}, scaled to this machine", value)


def speed_ms() -> float:
    """Return the CPU time of a fixed piece of work, in ms: Python objects, sorting, and a database in memory."""
    return statistics.median(_work_ms() for _ in range(RUNS))


def _work_ms() -> float:
    started_at = time.process_time()
    rows = [{"id": number, "name": f"row {number}", "value": number / 7} for number in range(20_000)]
    assert len(json.loads(json.dumps(rows))) == len(rows)
    np.sort(np.random.default_rng(1).normal(size=500_000))
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table rows (id integer, name text, value real)")
        connection.executemany("insert into rows values (:id, :name, :value)", rows)
        connection.execute("select name, sum(value) from rows group by name order by 2").fetchall()
    return 1000 * (time.process_time() - started_at)


if __name__ == "__main__":
    print(json.dumps({"speed_ms": round(speed_ms(), 2)}))
