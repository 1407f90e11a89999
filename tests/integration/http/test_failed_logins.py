"""Failed log-ins: an address with many is throttled, its valid tokens work, and operators see the count."""

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from dcmon.app import App
from dcmon.health import status
from dcmon.http import failed_logins
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
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
    assert eventually(lambda: endpoint.request("GET", "say-hello").status == 200)


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
