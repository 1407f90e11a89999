"""Measure the CPU time of a small request: all of it, that of a bare server, and that of the application alone."""

import asyncio
import http.client
import io
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
from starlette.types import ASGIApp, Message

from benchmarks.installation import Installation
from benchmarks.measurement import print_figure
from dcmon import log
from dcmon.app import App
from dcmon.embedded.process import free_port, wait_until
from dcmon.http import api
from dcmon.http.edge import ACCESS_LOG

REQUESTS_OF_A_TURN, TURNS, WARM_UP = 1_000, 5, 500
CPU_LIMIT_US = 300
PATH = "/api/v1/say-hello"


def measure(installation: Installation, server: psutil.Process) -> None:
    """Measure dcmon and a bare server in turns, so that both have the same machine, and then the application alone."""
    client = _client(installation.app.settings.http.port, installation.token)
    whole, bare = list[float](), list[float]()
    with _bare_server() as (port, bare_process):
        bare_client = _client(port, installation.token)
        client(WARM_UP)
        bare_client(WARM_UP)
        for _ in range(TURNS):
            whole.append(_cpu_us(server, client))
            bare.append(_cpu_us(bare_process, bare_client))
    print_figure("CPU of a small request, with sockets and HTTP", whole, "us", "a bare uvicorn server", bare)
    own = statistics.median(whole) - statistics.median(bare)
    print_figure("dcmon's share of it: the difference", [own], "us", "the limit", [CPU_LIMIT_US])
    alone = asyncio.run(_application_us(installation))
    print_figure("CPU of the application alone, without a socket", alone, "us", "the limit", [CPU_LIMIT_US])


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _client(port: int, token: str) -> Callable[[int], None]:
    """Return a function that sends a number of requests, one after another, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(count: int) -> None:
        for _ in range(count):
            connection.request("GET", PATH, headers={"authorization": f"Basic {token}"})
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b'"Hello world"')

    return send


def _cpu_us(process: psutil.Process, client: Callable[[int], None]) -> float:
    """Return the CPU time of a request in microseconds."""
    before = cpu_seconds(process)
    client(REQUESTS_OF_A_TURN)
    return (cpu_seconds(process) - before) / REQUESTS_OF_A_TURN * 1e6


@contextmanager
def _bare_server() -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare_endpoint", str(port)])
    try:
        assert wait_until(lambda: _answers(port), 10)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", PATH)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


async def _application_us(installation: Installation) -> list[float]:
    """Return the CPU time of an ASGI call: token, route, guard, metrics, JSON, and the line of the access log."""
    # An App of its own, whose connections belong to this process and this loop.
    with App(installation.app.settings, installation.app.output) as app, _access_log():
        application, figures = api.create(app), list[float]()
        await _call(application, installation.token, WARM_UP)
        for _ in range(TURNS):
            before = time.process_time()
            await _call(application, installation.token, REQUESTS_OF_A_TURN)
            figures.append((time.process_time() - before) / REQUESTS_OF_A_TURN * 1e6)
        return figures


async def _call(application: ASGIApp, token: str, count: int) -> None:
    """Call an ASGI application with what uvicorn makes of the client's request."""
    statuses = list[int]()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"accept-encoding", b"identity"),
        (b"authorization", b"Basic " + token.encode()),
    ]
    for _ in range(count):
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 50000), "scheme": "http", "method": "GET",
            "root_path": "", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "headers": headers,
            "state": {},
        }  # fmt: skip
        await application(scope, receive, send)
    assert statuses == [200] * count


@contextmanager
def _access_log() -> Iterator[None]:
    """Write lines of JSON into memory, with all work that a line takes."""
    handler, logger = logging.StreamHandler(io.StringIO()), logging.getLogger(ACCESS_LOG)
    handler.setFormatter(log.JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
