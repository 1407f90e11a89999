"""Killed processes appear in the status, in notifications and as missing pings."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest

from dcmon.embedded.process import wait_until
from tests.acceptance.conftest import Dcmon
from tests.helpers.waiting import eventually

QUICK = {
    "DCMON_HEALTH__EVERY": "1",
    "DCMON_HEALTH__HEARTBEAT_TIMEOUT": "300",
    "DCMON_HEALTH__LEADER": "3",
    "DCMON_HEALTH__ORG": "ops",
    "DCMON_PING__EVERY": "1",
    "DCMON_WEBHOOKS__ALLOW": "127.0.0.1",
    "DCMON_WEBHOOKS__TIMEOUT": "300",
}


@dataclass
class Receiver:
    """Run an HTTP server that keeps the bodies it receives by path."""

    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        notified = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                notified.append((self.path, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def count(self, path: str) -> int:
        return sum(1 for told, _ in list(self.told) if told == path)

    def pings_stop(self) -> bool:
        """No more pings come; one may have been on its way."""

        def is_quiet() -> bool:
            before = self.count("/beat")
            return not wait_until(lambda: self.count("/beat") > before, 4)

        return eventually(is_quiet)

    def conditions(self) -> list[tuple[str, str]]:
        decoded = [json.loads(body) for path, body in list(self.told) if path == "/hook"]
        flat = [each for body in decoded for each in body.get("notifications", [body])]
        return sorted((each["type"], each["alert"]["monitor"]) for each in flat)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    new_receiver = Receiver()
    yield new_receiver
    new_receiver.server.shutdown()
    new_receiver.server.server_close()


@dataclass
class Machines:
    """The processes of dcmon on one database, each started and killed by the test."""

    dcmon: Dcmon
    running: dict[str, Any] = field(default_factory=dict)

    def start(self, kind: str) -> None:
        self.running[kind] = self.dcmon.start(*(["serve"] if kind == "serve" else ["worker", "start", kind]))

    def kill(self, kind: str) -> None:
        process = self.running.pop(kind)
        process.kill()
        process.communicate()

    def query(self, statement: str) -> Any:
        """Return the first value of a statement in the public tables."""
        with psycopg.connect(self.dcmon.settings["DCMON_DATABASE_URL"]) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return row and row[0]

    def let_an_hour_pass(self, kind: str) -> None:
        """Set the last heartbeat of a killed worker back, and the start of the others."""
        self.query("update workers set started_at = started_at - interval '1 hour' returning id")
        self.query(f"update workers set seen_at = seen_at - interval '1 hour' where kind = '{kind}' returning id")

    def stop(self) -> None:
        for each in self.running.values():
            each.terminate()
        for each in self.running.values():
            with suppress(Exception):
                each.communicate(timeout=300)

    def status(self) -> tuple[int, dict[str, Any]]:
        done = self.dcmon("-o", "json", "status")
        return done.returncode, json.loads(done.stdout) if done.stdout else {}

    def exits_with(self, code: int) -> bool:
        return eventually(lambda: self.status()[0] == code, every=0.5)

    def conditions(self) -> set[tuple[str, str]]:
        return {(problem["name"], problem["subject"]) for problem in self.status()[1]["problems"]}


@pytest.fixture
def machines(with_url: Callable[[str], Dcmon], empty_url: str, receiver: Receiver) -> Iterator[Machines]:
    given = with_url(empty_url)
    beat = {"DCMON_PING__URL": f"{receiver.url}/beat"}
    created = Machines(replace(given, settings={**given.settings, **QUICK, **beat}))
    yield created
    created.stop()


def test_killed_worker_is_shown_notified_and_stops_the_ping(machines: Machines, receiver: Receiver) -> None:
    """A killed worker is shown as missing and notified, and pings stop."""
    dcmon = machines.dcmon
    assert dcmon("migrate").returncode == 0
    code, shown = machines.status()
    assert (code, shown["workers"], shown["problems"]) == (7, [], [])
    assert dcmon("org", "create", "ops").returncode == 0
    assert dcmon("webhook", "add", "pager", f"{receiver.url}/hook").returncode == 0

    for kind in ("evaluate", "notify", "scheduler", "serve"):
        machines.start(kind)
    assert machines.exits_with(0)
    assert eventually(lambda: {worker["kind"] for worker in machines.status()[1]["workers"]} == set(machines.running))
    assert eventually(lambda: receiver.count("/beat") >= 2)
    assert dcmon("status", "--quiet").stdout == ""

    machines.kill("scheduler")
    assert machines.exits_with(8)
    assert eventually(lambda: ("no leader", "") in machines.conditions())
    output = dcmon("status", "--quiet").stdout
    assert "No scheduler leads" in output
    assert "dcmon worker start scheduler" in output
    assert receiver.pings_stop()

    beats = receiver.count("/beat")
    machines.start("scheduler")
    assert machines.exits_with(0)
    assert eventually(lambda: receiver.count("/beat") > beats)

    machines.kill("notify")
    machines.let_an_hour_pass("notify")
    assert machines.exits_with(8)
    assert eventually(lambda: ("no worker", "notify") in machines.conditions())
    since = {problem["since"] for problem in machines.status()[1]["problems"]}
    assert receiver.pings_stop()
    assert eventually(lambda: machines.query("select count(*) from problems where notified_at is not null") == 1)
    assert {each["since"] for each in machines.status()[1]["problems"]} == since

    machines.start("notify")
    assert machines.exits_with(0)
    notified = [("dcmon.firing", "no worker: notify"), ("dcmon.resolved", "no worker: notify")]
    assert eventually(lambda: receiver.conditions() == notified), receiver.conditions()


def test_status_without_a_database_says_so_and_exits_7(with_url: Callable[[str], Dcmon]) -> None:
    """Without a database `dcmon status` reports it and exits with 7."""
    done = with_url("postgresql://nobody@127.0.0.1:1/nothing")("-o", "json", "status")

    assert done.returncode == 7
    assert "can't be reached" in done.stderr
    assert [part["state"] for part in json.loads(done.stdout)["parts"]] == ["does not answer"]
