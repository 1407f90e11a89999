"""Several server processes that share a port: one that dies, and the stop of all."""

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, text

from dcmon import db
from tests.conftest import Acme
from tests.helpers.serve_process import ServeProcess, serving_process
from tests.helpers.waiting import PATIENCE, blocked_writer, eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target, rows

CLIENTS = 50


@pytest.fixture
def served(database_url: str, tmp_path: Path, acme: Acme) -> Iterator[ServeProcess]:
    settings = {"HTTP__SHUTDOWN_TIMEOUT": str(PATIENCE), "HTTP__DRAIN": "0"}
    with serving_process(database_url, tmp_path, acme.token, "--workers", "2", **settings) as process:
        yield process


def test_killed_process_is_started_again(served: ServeProcess, engine: Engine) -> None:
    """kill -9 of one process: the other one serves on, a third takes its place, and each has a heartbeat."""
    first, second = served.process.children()
    os.kill(first.pid, signal.SIGKILL)
    assert served.answers()

    def running() -> set[int]:
        return {process.pid for process in served.process.children()} - {first.pid}

    assert eventually(lambda: len(running()) == 2)
    pids = running()
    assert second.pid in pids
    assert "signal SIGKILL" in served.output
    statement = text("select array_agg(pid) from workers where kind = 'serve'")

    def has_heartbeats() -> bool:
        with db.public_session(engine) as session:
            return pids <= set(session.scalar(statement) or ())

    assert eventually(has_heartbeats)


def test_suspended_process_lets_others_answer(served: ServeProcess) -> None:
    """kill -STOP of one process: the other one answers new clients, the log tells, and a stop ends both."""
    suspended = served.process.children()[0]
    suspended.suspend()
    assert all(served.answers() for _ in range(20))
    assert eventually(lambda: f"pid {suspended.pid} is suspended" in served.output)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(PATIENCE) == 0
    assert "are killed" not in served.output


def test_same_key_in_both_processes_is_carried_out_once(served: ServeProcess) -> None:
    """Ten clients at once repeat a request with Idempotency-Key, and again when it is done."""
    body = json.dumps({"name": "once", "task_type": "regression"}).encode()

    def create(_: int) -> tuple[int, str | None]:
        headers = {"idempotency_key": '"k1"', "content_type": "application/json"}
        answer = served.request("POST", "/api/v1/models", body, **headers)
        return answer.status, answer.headers["idempotency-replayed"]

    with ThreadPoolExecutor(10) as clients:
        at_once = list(clients.map(create, range(10)))
        later = list(clients.map(create, range(10)))
    assert at_once.count((200, None)) == 1
    assert set(at_once) <= {(200, None), (200, "true"), (409, None)}
    assert set(later) == {(200, "true")}
    assert [model["name"] for model in served.request("GET", "/api/v1/available-models").json] == ["once"]


def test_processes_end_with_the_one_that_started_them(served: ServeProcess) -> None:
    children = served.process.children()
    served.process.kill()
    assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []


def test_metrics_are_the_sum_of_all_processes(served: ServeProcess) -> None:
    """Counts stay when a process dies, because another one continues them."""
    for _ in range(30):
        assert served.request("GET", "/api/v1/say-hello").status == 200
    os.kill(served.process.children()[0].pid, signal.SIGKILL)
    expected = 'dcmon_http_requests_total{method="GET",route="/api/v1/say-hello",status="200"} 30.0'
    assert expected in served.request("GET", "/metrics").body.decode()
    assert eventually(lambda: len(served.process.children()) == 2)
    assert expected in served.request("GET", "/metrics").body.decode()


def test_no_connection_is_lost_between_processes(served: ServeProcess) -> None:
    """With duplicates of the socket in each process, one of some 100 connections was accepted and never served."""
    assert all(served.request("GET", "/health/live").status == 200 for _ in range(400))


@contextmanager
def requests_in_flight(served: ServeProcess, target: Target) -> Iterator[list[int | str]]:
    """Send CLIENTS requests, each with two rows; collect statuses, and "refused" for a connection that was refused."""
    results, lock, url = list[int | str](), threading.Lock(), f"/api/v1/model-versions/{target.version_id}/data"

    def send(number: int) -> None:
        result: int | str
        try:
            answer = served.request("POST", url, b"[" + b",".join(rows(2 * number, 2)) + b"]")
            result = answer.status if json.loads(answer.body)["stored"] == 2 else "not stored"
        except ConnectionRefusedError:
            result = "refused"
        except (OSError, http.client.HTTPException) as error:
            result = f"cut: {error!r}"
        with lock:
            results.append(result)

    with ThreadPoolExecutor(CLIENTS) as clients:
        for number in range(CLIENTS):
            clients.submit(send, number)
        yield results


def test_stop_finishes_requests_in_flight(served: ServeProcess, engine: Engine, target: Target) -> None:
    """SIGTERM while 50 requests wait for PostgreSQL: each gets its answer, and its rows are stored."""
    blocked = blocked_writer(engine, f"{target.org.schema}.batches", "true")
    with requests_in_flight(served, target) as results, blocked:
        assert eventually(lambda: is_waiting_for_a_lock(engine))
        assert eventually(lambda: _connections(served) == CLIENTS)
        served.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not served.answers())
        assert results == []
    assert results == [200] * CLIENTS
    assert target.samples == 2 * CLIENTS
    assert served.process.wait(PATIENCE) == 0


def _connections(served: ServeProcess) -> int:
    """Return the number of connections that the processes have accepted."""
    return sum(
        connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == served.port
        for process in served.process.children()
        for connection in process.net_connections("tcp")
    )
