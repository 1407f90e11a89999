"""Measure time and CPU time, and print figures as JSON lines."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cost:
    """What work costs, in seconds.

    `cpu`: CPU time of the measured processes. `broker_cpu`: CPU time of the broker.
    """

    elapsed: float
    cpu: float
    broker_cpu: float = 0.0


def measure(
    work: Callable[[], object],
    server: psutil.Process,
    *processes: psutil.Process,
    counts_this_process: bool = True,
    broker: psutil.Process | None = None,
) -> Cost:
    """Run `work`; return what it costs.

    The CPU time is that of PostgreSQL (`server`), of `processes`, and of this process if it is counted.
    """
    broker_before, before = _cpu_of(broker), _total_cpu(server, processes, counts_this_process)
    elapsed = seconds_of(work)
    cpu = _total_cpu(server, processes, counts_this_process) - before
    return Cost(elapsed, cpu, _cpu_of(broker) - broker_before)


def seconds_of(work: Callable[[], object]) -> float:
    """Run `work`; return the elapsed seconds."""
    started_at = time.perf_counter()
    work()
    return time.perf_counter() - started_at


def _cpu_of(process: psutil.Process | None) -> float:
    return sum(process.cpu_times()[:2]) if process else 0.0


def _total_cpu(server: psutil.Process, processes: Sequence[psutil.Process], counts_this_process: bool) -> float:
    total = sum(os.times()[:2]) if counts_this_process else 0.0
    for process in (server, *server.children(), *processes):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if process.pid == server.pid:  # adds the backends that ended during the measurement
            total += times.children_user + times.children_system
    return total


def print_figure(name: str, values: Sequence[float], unit: str, limit_name: str, limits: Sequence[float]) -> None:
    """Print the median of `values` beside the median of `limits`, measured in the same run."""
    value, limit = statistics.median(values), statistics.median(limits)
    figure = {
        "figure": name,
        "value": round(value, 3),
        "unit": unit,
        "n": len(values),
        "against": {"name": limit_name, "value": round(limit, 3)},
        "ratio": round(value / limit, 3) if limit else None,
    }
    print(json.dumps(figure), flush=True)


def print_progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
