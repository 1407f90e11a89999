"""Clients that send slowly, never finish or never read are cut, and don't keep others out."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest

from dcmon.app import App
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.raw_http import connect, exchange, head, receive

SHORT = timedelta(seconds=2)
ROWS = "/api/v1/model-versions/1/data"


@contextmanager
def impatient(app: App, token: str, **settings: object) -> Iterator[Endpoint]:
    http = app.settings.http.model_copy(update={"header_time": SHORT, "body_time": SHORT, **settings})
    app.settings = app.settings.model_copy(update={"http": http})
    with serving(app, token) as client:
        yield client


@pytest.mark.parametrize("start", [b"", b"G", head("GET", "/api/v1/models/1")[:-2]], ids=["nothing", "byte", "half"])
def test_connection_without_a_whole_head_is_cut(app: App, acme: Acme, start: bytes) -> None:
    with impatient(app, acme.token) as client, connect(client) as connection:
        connection.sendall(start)
        received = b"".join(iter(lambda: connection.recv(65_536), b"")) if start else connection_end(connection)
    assert received.startswith(b"HTTP/1.1 408") if start else received == b""


def connection_end(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection, or resets it."""
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""


def test_head_after_a_response_that_stays_half_is_cut(app: App, acme: Acme) -> None:
    with impatient(app, acme.token) as client, connect(client) as connection:
        connection.sendall(head("GET", "/api/v1/say-hello", authorization=f"Basic {acme.token}"))
        received = b""
        while b"Hello" not in received:
            received += connection.recv(65_536)
        connection.sendall(b"GET /api")
        assert receive(connection).status == 408


@pytest.mark.parametrize("path", [ROWS, "/api/v1/models"])
def test_body_that_stays_half_is_cut_with_408(app: App, acme: Acme, path: str) -> None:
    sent = head(
        "POST", path, authorization=f"Basic {acme.token}", content_length="1000", content_type="application/json"
    )
    with impatient(app, acme.token) as client:
        response = exchange(client, sent + b"[")
        assert response.status == 408
        assert "too slowly" in response.json["error_message"]
        assert client.request("GET", "say-hello").status == 200


def test_idle_connection_is_closed_after_its_time(app: App, acme: Acme) -> None:
    with impatient(app, acme.token, keep_alive=SHORT) as client, connect(client) as connection:
        connection.sendall(head("GET", "/api/v1/say-hello", authorization=f"Basic {acme.token}"))
        assert receive(connection).status == 200


def test_300_slow_clients_keep_no_other_client_out(app: App, acme: Acme) -> None:
    """The endpoint may have 100 connections; three times as many wait with half a head or half a body."""
    half_body = head("POST", ROWS, content_length="1000") + b"["
    with ExitStack() as stack:
        client = stack.enter_context(
            impatient(
                app, acme.token, max_connections=100, header_time=timedelta(hours=1), body_time=timedelta(hours=1)
            )
        )
        for number in range(300):
            connection = stack.enter_context(connect(client))
            connection.sendall(half_body if number % 2 else b"GET /api/v1/mod")
            if number % 30 == 0:
                assert client.request("GET", "say-hello", connection="close").status == 200
        assert client.request("GET", "say-hello", connection="close").status == 200


def test_endpoint_full_of_admitted_requests_gets_503(app: App, acme: Acme) -> None:
    sent = head("POST", ROWS, authorization=f"Basic {acme.token}", content_length="100000", expect="100-continue")
    with ExitStack() as stack:
        client = stack.enter_context(impatient(app, acme.token, max_connections=5, body_time=timedelta(hours=1)))
        for _ in range(5):
            connection = stack.enter_context(connect(client))
            connection.sendall(sent)
            assert b"100 Continue" in connection.recv(1000)  # the token is accepted, and the body is awaited
            connection.sendall(b"[")
        with connect(client) as connection:
            response = receive(connection)
    assert response.status == 503
    assert response.headers["retry-after"] == "5"


def test_refused_body_is_not_waited_for(app: App, acme: Acme) -> None:
    """A client that sends its whole body before it reads gets the response, not a reset connection."""
    with impatient(app, acme.token) as client, connect(client) as connection:
        connection.sendall(head("POST", "/api/v1/models", content_length="20000000"))
        for _ in range(20):
            connection.sendall(b" " * 1_000_000)
        assert receive(connection).status == 401
