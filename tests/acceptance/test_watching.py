"""Killed processes appear in the status, in notifications and as missing pings."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest

from dcmon.db import Organization
from dcmon.embedded.process import wait_until
from tests.helpers.http_receiver import HttpReceiver, http_receiver
from tests.helpers.installed import Dcmon
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


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as new_receiver:
        yield new_receiver


def count_pings(receiver: HttpReceiver) -> int:
    return sum(request.path == "/ping" for request in list(receiver.requests))


def have_pings_stopped(receiver: HttpReceiver) -> bool:
    """Return True when no more pings arrive; one may still be in flight."""

    def is_quiet() -> bool:
        count = count_pings(receiver)
        return not wait_until(lambda: count_pings(receiver) > count, 4)

    return eventually(is_quiet)


def notifications_of(receiver: HttpReceiver, problem: str) -> list[str]:
    """Return the types of a problem's notifications. A busy machine may have others: its leader may be late."""
    notifications = receiver.notifications("/hook")
    return sorted(sent["type"] for sent in notifications if sent["alert"]["monitor"] == problem)


@dataclass
class ProcessGroup:
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
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            with suppress(Exception):
                process.communicate(timeout=300)

    def status(self) -> tuple[int, dict[str, Any]]:
        done = self.dcmon("-o", "json", "status")
        return done.returncode, json.loads(done.stdout) if done.stdout else {}

    def exits_with(self, code: int) -> bool:
        return eventually(lambda: self.status()[0] == code, every=0.5)

    def problems(self) -> set[tuple[str, str]]:
        return {(problem["name"], problem["subject"]) for problem in self.status()[1]["problems"]}


@pytest.fixture
def processes(with_url: Callable[[str], Dcmon], empty_url: str, receiver: HttpReceiver) -> Iterator[ProcessGroup]:
    dcmon = with_url(empty_url)
    ping = {"DCMON_PING__URL": f"{receiver.url}/ping"}
    created = ProcessGroup(replace(dcmon, settings={**dcmon.settings, **QUICK, **ping}))
    yield created
    created.stop()


def test_killed_worker_is_shown_notified_and_stops_the_ping(processes: ProcessGroup, receiver: HttpReceiver) -> None:
    """A killed worker is shown as missing and notified, and pings stop."""
    dcmon = processes.dcmon
    assert dcmon("migrate").returncode == 0
    code, shown = processes.status()
    names = [problem["name"] for problem in shown["problems"]]
    assert (code, shown["workers"], names) == (7, [], ["unknown health organization"])  # it is created now
    assert dcmon("org", "create", "ops").returncode == 0
    assert dcmon("receiver", "create", "pager", f"{receiver.url}/hook").returncode == 0

    for kind in ("evaluate", "notify", "scheduler", "serve"):
        processes.start(kind)
    assert processes.exits_with(0)
    assert eventually(lambda: {worker["kind"] for worker in processes.status()[1]["workers"]} == set(processes.running))
    assert eventually(lambda: count_pings(receiver) >= 2)
    assert dcmon("status", "--quiet").stdout == ""

    processes.kill("scheduler")
    assert processes.exits_with(8)
    assert eventually(lambda: ("no leader", "") in processes.problems())
    output = dcmon("status", "--quiet").stdout
    assert "No scheduler leads" in output
    assert "dcmon worker start scheduler" in output
    assert have_pings_stopped(receiver)

    pings = count_pings(receiver)
    processes.start("scheduler")
    assert processes.exits_with(0)
    assert eventually(lambda: count_pings(receiver) > pings)

    processes.kill("notify")
    processes.let_an_hour_pass("notify")
    assert processes.exits_with(8)
    assert eventually(lambda: ("no worker", "notify") in processes.problems())
    since = {problem["since"] for problem in processes.status()[1]["problems"]}
    assert have_pings_stopped(receiver)
    notified = "select count(*) from problems where name = 'no worker' and notified_at is not null"
    assert eventually(lambda: processes.query(notified) == 1)
    assert {problem["since"] for problem in processes.status()[1]["problems"]} == since

    processes.start("notify")
    assert processes.exits_with(0)
    both = ["dcmon.firing", "dcmon.resolved"]
    assert eventually(lambda: notifications_of(receiver, "no worker: notify") == both), receiver.notifications("/hook")


def test_status_without_a_database_says_so_and_exits_7(with_url: Callable[[str], Dcmon]) -> None:
    """Without a database `dcmon status` reports it and exits with 7."""
    done = with_url("postgresql://nobody@127.0.0.1:1/nothing")("-o", "json", "status")

    shown = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (7, "")  # the problem says all, once
    assert "can't be reached" in shown["problems"][0]["sentence"]
    assert [part["state"] for part in shown["parts"]] == ["does not answer"]


def test_status_of_another_revision_says_that_postgresql_answers(
    with_url: Callable[[str], Dcmon], database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update public.alembic_version set version_num = '0001'")
    done = with_url(database_url)("-o", "json", "status")
    states = {part["name"]: part["state"] for part in json.loads(done.stdout)["parts"]}
    assert (done.returncode, states) == (3, {"database": "answers", "schema": "has another revision"})
    assert "dcmon migrate" in done.stderr


@pytest.mark.parametrize("table", ["alembic_version", "organizations", "problems", "organization_health"])
def test_status_ends_although_a_table_is_locked(
    with_url: Callable[[str], Dcmon], database_url: str, org: Organization, table: str
) -> None:
    """The database answers; that it does not would send the operator to the wrong place."""
    with psycopg.connect(database_url) as connection:
        connection.execute(f"lock table public.{table} in access exclusive mode".encode())
        done = with_url(database_url)("-o", "json", "status")
    shown = json.loads(done.stdout)
    assert done.returncode == 3
    assert [(part["name"], part["state"]) for part in shown["parts"]] == [("database", "answers")]
    assert f"has locked table public.{table}" in shown["problems"][0]["sentence"]
    assert "pg_terminate_backend" in shown["problems"][0]["command"]
