"""Measure the endpoint: CPU time of small requests, many clients at once, and requests with rows.

python -m benchmarks.http      (SECONDS=10: a shorter run with many clients)

The limit of a small request is for what dcmon does (token, routing, guard, metrics, line of the log, JSON). It is
measured twice: as the difference to a bare uvicorn server that answers the same bytes to the same client, and as calls
of the application without a socket. The first figure counts all CPU time of the server process.
"""

import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Sequence

import psutil

from benchmarks import small_requests
from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import print_figure, print_progress
from benchmarks.processes import running_processes
from benchmarks.sample_rows import make_rows
from benchmarks.small_requests import cpu_seconds

SECONDS = float(os.environ.get("SECONDS", "60"))
CLIENTS = 200
ROWS, BATCHES = 1_000, 30


def main() -> None:
    """Print the figures beside their limits."""
    with temporary_installation() as installation:
        with running_processes(installation.app.settings, ["serve"]) as (server,):
            small_requests.measure(installation, server)
            _measure_rows(installation, server)
        with running_processes(installation.app.settings, ["serve", "--workers", "2"]) as (group,):
            before = sum(map(cpu_seconds, group.children()))
            count = _measure_clients(installation)
            cpu_us = (sum(map(cpu_seconds, group.children())) - before) / count * 1e6
            print_figure(f"CPU of a request of {CLIENTS} clients", [cpu_us], "us", "clients", [CLIENTS])


def _connect(installation: Installation) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", installation.app.settings.http.port, timeout=60)


def _request(
    connection: http.client.HTTPConnection, installation: Installation, path: str, body: bytes | None = None
) -> int:
    method = "GET" if body is None else "POST"
    connection.request(method, f"/api/v1/{path}", body, {"authorization": f"Basic {installation.token}"})
    response = connection.getresponse()
    response.read()
    return response.status


def _measure_rows(installation: Installation, server: psutil.Process) -> None:
    connection, version_id = _connect(installation), installation.create_version("rows").version_id
    bodies = [b"[" + b",".join(make_rows(batch * ROWS, ROWS)) + b"]" for batch in range(BATCHES)]
    seconds, before = list[float](), cpu_seconds(server)
    for body in bodies:
        started_at = time.perf_counter()
        assert _request(connection, installation, f"model-versions/{version_id}/data", body) == 200
        seconds.append(1000 * (time.perf_counter() - started_at))
    print_figure(
        "POST data of 1,000 rows", seconds, "ms", "CPU of the server", [(cpu_seconds(server) - before) / BATCHES * 1000]
    )


def _measure_clients(installation: Installation) -> int:
    """Let 200 clients send small requests, one after another on a connection each. Return how many were answered."""
    print_progress(f"{CLIENTS} clients for {SECONDS:.0f} s")
    deadline, latencies, failures, lock = time.monotonic() + SECONDS, list[float](), list[str](), threading.Lock()

    def work() -> None:
        own, errors, connection = list[float](), list[str](), _connect(installation)
        while time.monotonic() < deadline:
            started_at = time.perf_counter()
            try:
                status = _request(connection, installation, "say-hello")
            except (OSError, http.client.HTTPException) as error:
                errors.append(repr(error))
                break
            own.append(1000 * (time.perf_counter() - started_at))
            if status != 200:
                errors.append(str(status))
        with lock:
            latencies.extend(own)
            failures.extend(errors)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print_figure(f"errors of {CLIENTS} clients", [float(len(failures))], "requests", "the limit", [0])
    print_figure("requests a second", [len(latencies) / SECONDS], "1/s", "clients", [CLIENTS])
    _print_latencies(latencies)
    return len(latencies)


def _print_latencies(latencies: Sequence[float]) -> None:
    percentiles = statistics.quantiles(latencies, n=100)
    figure = {"p50": round(percentiles[49], 1), "p99": round(percentiles[98], 1), "max": round(max(latencies), 1)}
    print(json.dumps({"figure": f"latency with {CLIENTS} clients", "unit": "ms", **figure}), flush=True)


if __name__ == "__main__":
    main()
