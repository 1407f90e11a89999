"""Failed log-ins: an address with many is throttled, its valid tokens work, and operators see the count."""

import itertools
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dcmon.app import App
from dcmon.embedded import valkey
from dcmon.health import status
from dcmon.http import failed_logins
from dcmon.tenancy import imported_tokens, tokens
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.serve_process import serving_process
from tests.helpers.waiting import eventually

WRONG = {"authorization": "Basic dcm_0123456789_" + "x" * 43}


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    """Serve acme."""
    with serving(app, acme.token) as client:
        yield client


def test_address_with_wrong_tokens_is_throttled(endpoint: Endpoint, app: App) -> None:
    responses = [endpoint.request("GET", "say-hello", **WRONG) for _ in range(failed_logins.MAX_FAILURES + 5)]
    assert [response.status for response in responses[: failed_logins.MAX_FAILURES]] == [401] * 30
    assert {response.status for response in responses[failed_logins.MAX_FAILURES :]} == {429}
    assert responses[-1].headers["retry-after"] in ("1", "60")
    assert endpoint.request("GET", "say-hello").status == 200


def test_right_tokens_of_a_throttled_address_are_never_refused(endpoint: Endpoint, app: App, acme: Acme) -> None:
    """Others behind the same address guess all the time, and a change of tokens has emptied the cache."""
    stop = threading.Event()

    def guess(number: int) -> None:
        for count in itertools.count():
            if stop.is_set():
                return
            wrong = f"Basic dcm_0123456789_{number:03}{count:040}"
            assert endpoint.request("GET", "say-hello", authorization=wrong).status in (401, 429)

    with ThreadPoolExecutor(8) as guessers:
        guesses = [guessers.submit(guess, number) for number in range(8)]
        try:
            for _ in range(failed_logins.MAX_FAILURES + 5):
                endpoint.request("GET", "say-hello", **WRONG)
            assert endpoint.request("GET", "say-hello", **WRONG).status == 429
            for number in range(5):
                with app.public() as session:
                    user = tokens.authenticate(session, acme.token).user_id
                    added = tokens.create(session, acme.org.id, user, f"service {number}")
                for token in (acme.token, added, acme.token):
                    assert endpoint.request("GET", "say-hello", authorization=f"Basic {token}").status == 200
        finally:
            stop.set()
    for guessed in guesses:
        guessed.result()


def test_wrong_token_of_a_throttled_address_may_become_right(endpoint: Endpoint, app: App, acme: Acme) -> None:
    """An old token works as soon as it is imported, also where it was refused a moment ago."""
    old = "YW5uQGFjbWUuZXhhbXBsZQ==.AbCdEfGhIjKlMnOpQrSt-_"
    for _ in range(failed_logins.MAX_FAILURES + 2):
        endpoint.request("GET", "say-hello", authorization=f"Basic {old}")
    assert endpoint.request("GET", "say-hello", authorization=f"Basic {old}").status == 429
    with app.public() as session:
        imported = list(imported_tokens.import_lines(session, acme.org.id, [old], Role.MEMBER))
    assert [row.outcome for row in imported] == ["imported"]
    assert eventually(lambda: endpoint.request("GET", "say-hello", authorization=f"Basic {old}").status == 200)


def test_processes_with_redis_throttle_together(app: App, acme: Acme, data_dir: Path) -> None:
    """Two processes that counted alone would allow twice as many wrong tokens."""
    server = valkey.start(data_dir)
    try:
        settings = app.settings.model_copy(update={"redis_url": SecretStr(server.url)})
        with (
            App(settings) as one,
            App(settings) as other,
            serving(one, acme.token) as first,
            serving(other, acme.token) as second,
        ):
            clients = [first, second] * (failed_logins.MAX_FAILURES // 2)
            assert {client.request("GET", "say-hello", **WRONG).status for client in clients} == {401}
            assert [client.request("GET", "say-hello", **WRONG).status for client in (first, second)] == [429, 429]
            assert eventually(lambda: second.request("GET", "say-hello").status == 200)
    finally:
        server.stop()


def test_request_without_token_is_not_counted(endpoint: Endpoint) -> None:
    for _ in range(failed_logins.MAX_FAILURES + 2):
        assert endpoint.request("GET", "say-hello", authorization="").status == 401
    assert endpoint.request("GET", "say-hello").status == 200


def test_failed_logins_are_logged_and_shown(
    endpoint: Endpoint, app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(failed_logins, "WINDOW", 0.5)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            endpoint.request("GET", "say-hello", **WRONG)
        assert eventually(lambda: status.collect(app.engine, app.settings, None).waiting["failed_logins"] == 3)
    assert "failed log-ins from 1 addresses, most from 127.0.0.1" in caplog.text
    assert "xxxx" not in caplog.text
    with app.public() as session:
        assert session.scalar(text("select count(*) from failed_logins")) == 1


def test_failed_logins_that_are_not_stored_are_kept(
    endpoint: Endpoint, app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each error of PostgreSQL, also one that is no outage: the count is stored later."""
    monkeypatch.setattr(failed_logins, "WINDOW", 0.5)
    with app.public() as session:
        session.execute(text("alter table failed_logins rename to gone"))
    for _ in range(3):
        endpoint.request("GET", "say-hello", **WRONG)
    assert eventually(lambda: "failed log-ins were not stored yet" in caplog.text)
    with app.public() as session:
        session.execute(text("alter table gone rename to failed_logins"))
    assert eventually(lambda: status.collect(app.engine, app.settings, None).waiting["failed_logins"] == 3)


@pytest.mark.parametrize(
    ("address", "throttled"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_throttled_network_is_that_of_one_client(address: str, throttled: str) -> None:
    assert failed_logins.network(address) == throttled


def test_failed_logins_of_all_processes_are_in_the_status(
    app: App, acme: Acme, database_url: str, tmp_path: Path
) -> None:
    """Those of the last second too: a process stores and logs them when it stops."""

    def stored() -> int:
        return status.collect(app.engine, app.settings, None).waiting["failed_logins"]

    with serving_process(database_url, tmp_path, acme.token, "--workers", "2", HTTP__DRAIN="0") as served:
        for _ in range(20):
            assert served.request("GET", "/api/v1/say-hello", **WRONG).status == 401
        assert eventually(lambda: stored() == 20)
        for _ in range(5):
            assert served.request("GET", "/api/v1/say-hello", **WRONG).status == 401
    assert stored() == 25
    logged = [int(count) for count in re.findall(r"(\d+) failed log-ins from 1 addresses", served.output)]
    assert sum(logged) == 25
    assert len(logged) < 25, "A process writes a line a minute, not one for each."
