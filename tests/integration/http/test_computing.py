"""Computations of requests: bounded in number and time, ended with their client, and closed to others."""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import Request
from sqlalchemy import text
from starlette.types import Message

from dcmon.app import App
from dcmon.http import computing
from dcmon.monitoring.ad_hoc_runs import Computer
from dcmon.output import Output
from dcmon.settings import Http
from dcmon.storage import models
from dcmon.storage.models import NewModel
from dcmon.tenancy import members, model_members, organizations, provisioning, tokens
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.helpers.valued_model import DAYS, START, day
from tests.helpers.waiting import PATIENCE, eventually, is_waiting_for_a_lock
from tests.integration.checks.test_plugins import installed as installed
from tests.integration.checks.test_plugins import wheel_dir as wheel_dir
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

BODY = {
    "start_time": START.isoformat(), "end_time": (START + timedelta(days=DAYS - 1)).isoformat(), "frequency": "DAY",
}  # fmt: skip


@contextmanager
def serving_with(app: App, token: str, seconds: float) -> Iterator[Endpoint]:
    """Serve with one computation at a time, for so many seconds."""
    http = Http(computations=1, computation_time=timedelta(seconds=seconds))
    settings = app.settings.model_copy(update={"http": http})
    with App(settings, Output(quiet=True)) as bounded, serving(bounded, token) as client:
        yield client


@contextmanager
def locked_samples(app: App, target: Target) -> Iterator[None]:
    """Lock the samples of the version, so that a computation waits."""
    with app.org(target.org) as session:
        relation = session.scalar(
            text("select tablename from pg_tables where tablename like 'samples_%' order by 1 limit 1")
        )
        session.execute(text(f"lock table {relation} in access exclusive mode"))
        yield


def test_computation_that_takes_too_long_gets_503(app: App, acme: Acme, target: Target) -> None:
    """Stored results are returned meanwhile, and the next computation works."""
    valued_model.fill(app, target)
    check, drift = (valued_model.create_check(app, target, name) for name in ("PercentOfNulls", "FeatureDrift"))
    monitor = valued_model.create_monitor(app, target, drift)
    valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    with serving_with(app, acme.token, 3) as endpoint:
        with locked_samples(app, target):
            refused = send_request(endpoint, "POST", f"checks/{check}/run/window", BODY, 503)
            assert "were not computed in 3 s" in refused["error_message"]
            assert send_request(endpoint, "POST", f"checks/{drift}/run/lookback", BODY)["output"]["v1"]
        assert send_request(endpoint, "POST", f"checks/{check}/run/window", BODY)["v1"]


def test_computation_beyond_the_limit_gets_503(
    app: App, acme: Acme, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One computation runs, none may wait: the next one is refused with Retry-After."""
    monkeypatch.setattr(computing, "MAX_WAITING", 0)
    valued_model.fill(app, target)
    path = f"checks/{valued_model.create_check(app, target, 'PercentOfNulls')}/run/window"
    with serving_with(app, acme.token, PATIENCE) as endpoint:
        first = threading.Thread(target=send_request, args=(endpoint, "POST", path, BODY))
        with locked_samples(app, target):
            first.start()
            assert eventually(lambda: is_waiting_for_a_lock(app.engine))
            content = json.dumps(BODY).encode()
            response = endpoint.request("POST", path, content, **{"content-type": "application/json"})
            assert (response.status, response.headers["retry-after"]) == (503, "5")
            assert "Try again in 5 s" in error_message(response)
            assert endpoint.labels(target.model_id, [b'{"_dc_sample_id": "x", "_dc_label": 1}']).status == 200
        first.join(PATIENCE)
        assert send_request(endpoint, "POST", path, BODY)["v1"]


def test_computation_ends_with_its_client(
    app: App, acme: Acme, target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that closes its connection does not hold the others up."""
    valued_model.fill(app, target)
    path = f"checks/{valued_model.create_check(app, target, 'PercentOfNulls')}/run/lookback"
    with serving_with(app, acme.token, PATIENCE) as endpoint, caplog.at_level(logging.DEBUG, "dcmon.http"):
        address, content = urlsplit(endpoint.url), json.dumps(BODY).encode()
        with locked_samples(app, target):
            with socket.create_connection((address.hostname, address.port)) as client:
                client.sendall(
                    f"POST /api/v1/{path} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {acme.token}\r\n"
                    f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n".encode()
                    + content
                )
                assert eventually(lambda: is_waiting_for_a_lock(app.engine))
            assert eventually(lambda: "left, so its computation ends" in caplog.text)
        assert eventually(lambda: "client disconnected: POST" in caplog.text)
        assert send_request(endpoint, "POST", path, BODY)["output"]["v1"]


def test_wait_for_a_slot_takes_none_of_the_time(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computation that waited for almost as long as it may take has all its time when it begins."""
    seconds, started, may_end = [0.0], threading.Event(), threading.Event()
    monkeypatch.setattr(computing, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    settings = app.settings.model_copy(update={"http": Http(computations=1, computation_time=timedelta(seconds=100))})

    def hold(computer: Computer) -> None:
        started.set()
        assert may_end.wait(PATIENCE)

    def take_half(computer: Computer) -> str:
        seconds[0] += 50
        computer.wait(None)
        return "done"

    async def connected() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def run_both() -> str:
        computations = computing.Computations(bounded)
        request = Request({"type": "http", "path": "/", "headers": []}, connected)
        first = asyncio.create_task(computations.run(request, hold))
        await asyncio.to_thread(started.wait, PATIENCE)
        second = asyncio.create_task(computations.run(request, take_half))
        assert await asyncio.to_thread(eventually, lambda: computations._waiting == 1)
        seconds[0] = 95
        may_end.set()
        await first
        return await second

    with App(settings, Output(quiet=True)) as bounded:
        assert asyncio.run(run_both()) == "done"


def test_own_check_has_values(app: App, acme: Acme, target: Target, installed: Path) -> None:
    """A check of a user's package runs in a process of its own, on windows, groups and the reference."""
    valued_model.fill(app, target)
    check = valued_model.create_check(app, target, "span", column="age")
    with serving(app, acme.token) as endpoint:
        output = send_request(endpoint, "POST", f"checks/{check}/run/lookback", BODY)["output"]["v1"]
        groups = send_request(endpoint, "POST", f"checks/{check}/group-by/{target.version_id}/job", BODY)
        reference = send_request(endpoint, "POST", f"checks/{check}/run/reference", {})
    monitor = valued_model.create_monitor(app, target, check)
    stored = valued_model.evaluate(app, target, monitor, [day(number) for number in range(DAYS)])
    assert [result.metrics for result in stored] == output
    assert [value.keys() for value in output] == [{"Span"}] * DAYS
    assert all(group["value"]["Span"] > 0 for group in groups)
    assert reference["v1"]["Span"] > 0


def test_own_check_that_is_not_installed_says_so(app: App, acme: Acme, target: Target) -> None:
    """The value is null, and its reason says what is missing."""
    valued_model.fill(app, target)
    check = valued_model.create_check(app, target, "PercentOfNulls")
    with app.org(target.org) as session:
        session.execute(
            text("update checks set module_name = 'dcmon.checks', class_name = 'span' where id = :id"), {"id": check}
        )
    with serving(app, acme.token) as endpoint:
        response = send_request(endpoint, "POST", f"checks/{check}/run/window?details=true", BODY)
        assert (response["output"], response["details"]["v1"]["state"]) == ({"v1": None}, "ERROR")
        assert "is not installed here" in response["details"]["v1"]["reason"]


ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "checks/{check}/run/lookback", BODY),
    ("POST", "checks/{check}/run/window", BODY),
    ("POST", "checks/{check}/run/reference", {}),
    ("POST", "checks/{check}/group-by/{version}/age", BODY),
    ("GET", "checks/{check}/info", None),
    ("POST", "monitors/{monitor}/run", {"end_time": BODY["end_time"]}),
    ("GET", "monitors/{monitor}/results", None),
]


def test_values_are_closed_to_others(app: App, acme: Acme, target: Target) -> None:
    """S2: these routes did not check who may see the model. Other organizations and non-members find nothing."""
    valued_model.fill(app, target)
    ids = {"check": valued_model.create_check(app, target, "PercentOfNulls"), "version": target.version_id}
    ids["monitor"] = valued_model.create_monitor(app, target, ids["check"])
    stranger = provisioning.create_organization(app.engine, "other", "them@other.example")
    with app.org(target.org) as session:
        hidden_from = models.create(session, NewModel("theirs", "binary")).id
    with app.public() as session:
        member = members.add(session, target.org.id, "member@acme.example", Role.MEMBER)
        token = tokens.create(session, target.org.id, member, "t")
        organizations.set_model_membership(session, target.org.id, True)
    with app.org(target.org) as session:
        model_members.set_members(session, hidden_from, [member], replace=True)
    with serving(app, acme.token) as endpoint:
        for method, path, body in ROUTES:
            filled = path.format(**ids)
            send_request(endpoint, method, filled, body)
            for other, status in ((token, 404), (stranger.token, 404), ("nonsense", 401)):
                send_request(Endpoint(endpoint.url, other, endpoint.pool), method, filled, body, status)
    with app.org(target.org) as session:
        model_members.set_members(session, target.model_id, [member], replace=True)
    with serving(app, token) as endpoint:
        for method, path, body in ROUTES:
            send_request(endpoint, method, path.format(**ids), body)
