"""Several requests on one connection: each is run once or not at all, and none is hidden in another one."""

import json
import socket
from collections.abc import Iterator

import psutil
import pytest

from dcmon.app import App
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.raw_http import connect, head

MODELS = "/api/v1/models"


@pytest.fixture
def client(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as endpoint:
        yield endpoint


def creation(client: Endpoint, name: str, *lines: str, body: bytes | None = None) -> bytes:
    """Return a request that creates a model. `lines`: headers in place of Content-Length."""
    content = json.dumps({"name": name, "task_type": "regression", "defaults": "none"}).encode()
    top = [f"POST {MODELS} HTTP/1.1", "host: dcmon", f"authorization: Basic {client.token}"]
    top += ["content-type: application/json", *(lines or [f"content-length: {len(content)}"])]
    return "\r\n".join([*top, "", ""]).encode() + (content if body is None else body)


def chunked(content: bytes, size: bytes | None = None) -> bytes:
    return b"%b\r\n%b\r\n0\r\n\r\n" % (b"%x" % len(content) if size is None else size, content)


def answers(client: Endpoint, *sent: bytes, is_half_closed: bool = False) -> list[bytes]:
    """Send bytes, and return the statuses of all answers until the endpoint closes the connection."""
    with connect(client) as connection:
        for part in sent:
            connection.sendall(part)
        if is_half_closed:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while chunk := connection.recv(65_536):
                received += chunk
        except ConnectionResetError:
            pass
    return [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]


def models(client: Endpoint) -> set[str]:
    return {model["name"] for model in json.loads(client.request("GET", "available-models").data)}


CLOSE = b"GET /api/v1/health-check HTTP/1.1\r\nhost: dcmon\r\nconnection: close\r\n\r\n"


def test_requests_in_one_packet_are_answered_in_order(client: Endpoint) -> None:
    health = b"GET /health/live HTTP/1.1\r\nhost: dcmon\r\n\r\n"
    nothing = b"GET /api/v1/nothing HTTP/1.1\r\nhost: dcmon\r\n\r\n"
    assert answers(client, creation(client, "one") + health + nothing + CLOSE) == [b"200", b"200", b"404", b"200"]
    assert models(client) == {"one"}


@pytest.mark.parametrize("token", ["", "authorization: Basic dcm_wrong"])
def test_request_behind_a_refused_body_is_not_run(client: Endpoint, token: str) -> None:
    """The body of a refused request is not read, so what follows may be a part of it."""
    hidden = creation(client, "hidden")
    lines = [token] if token else []
    top = "\r\n".join([f"POST {MODELS} HTTP/1.1", "host: dcmon", *lines, "content-length: 5", "", ""]).encode()
    assert answers(client, top + b"[1,2]" + hidden) == [b"401"]
    assert answers(client, top + b"[1", b",2]" + hidden) == [b"401"]
    too_large = creation(client, "large", "content-length: 900000000", body=b"[")
    assert answers(client, too_large + hidden) == [b"413"]
    assert models(client) == set()


AMBIGUOUS = {
    "length and chunks": (["content-length: 5", "transfer-encoding: chunked"], chunked(b"{}")),
    "chunks and length": (["transfer-encoding: chunked", "content-length: 5"], chunked(b"{}")),
    "two lengths": (["content-length: 2", "content-length: 50"], b"{}"),
    "a list of lengths": (["content-length: 2, 50"], b"{}"),
    "a negative length": (["content-length: -2"], b"{}"),
    "a length with a sign": (["content-length: +2"], b"{}"),
    "a hexadecimal length": (["content-length: 0x2"], b"{}"),
    "another encoding last": (["transfer-encoding: chunked, identity"], chunked(b"{}")),
    "an unknown encoding": (["transfer-encoding: xchunked"], chunked(b"{}")),
    "chunks twice": (["transfer-encoding: chunked", "transfer-encoding: identity"], chunked(b"{}")),
    "a space before the colon": (["transfer-encoding : chunked"], chunked(b"{}")),
    "a folded header": (["x-a: b\r\n transfer-encoding: chunked", "content-length: 2"], b"{}"),
    "a bare line feed": (["x-a: b\ntransfer-encoding: chunked", "content-length: 2"], b"{}"),
    "a size that is no number": (["transfer-encoding: chunked"], chunked(b"{}", b"zz")),
    "a negative size": (["transfer-encoding: chunked"], chunked(b"{}", b"-2")),
    "a size that is too large": (["transfer-encoding: chunked"], chunked(b"{}", b"f" * 17)),
    "a size that is too small": (["transfer-encoding: chunked"], chunked(b"{}xx", b"1")),
    "a chunk without an end": (["transfer-encoding: chunked"], b"2\r\n{}0\r\n\r\n"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_body_runs_nothing(client: Endpoint, name: str) -> None:
    """A proxy may see another end of such a request, and send the rest to the endpoint as one of somebody else."""
    lines, body = AMBIGUOUS[name]
    statuses = answers(client, creation(client, "outer", *lines, body=body) + creation(client, "inner"))
    assert len(statuses) == 1
    assert statuses[0] in (b"400", b"411", b"422", b"501")
    assert models(client) == set()


def test_bytes_behind_a_request_leave_its_answer(client: Endpoint) -> None:
    """The answer to what is no request must not be taken for that of the request before it."""
    assert answers(client, creation(client, "good") + b"\x16\x03\x01 no request\r\n\r\n") == [b"200"]
    bad = creation(client, "bad", "transfer-encoding: chunked", body=b"zz\r\n")
    assert answers(client, creation(client, "better") + bad) == [b"200"]
    assert models(client) == {"good", "better"}


def test_client_that_closes_its_side_gets_its_answers(client: Endpoint) -> None:
    """Such a client, like `nc -N`, reads until the endpoint closes the connection. Half a request is not run."""
    health = head("GET", "/health/live")
    assert answers(client, creation(client, "alone"), is_half_closed=True) == [b"200"]
    assert answers(client, creation(client, "first") + health, is_half_closed=True) == [b"200", b"200"]
    assert answers(client, creation(client, "second") + health[:9], is_half_closed=True) == [b"200"]
    assert answers(client, creation(client, "half")[:-1], is_half_closed=True) == []
    assert models(client) == {"alone", "first", "second"}


def test_unread_answers_stop_the_reading(client: Endpoint) -> None:
    """A client sends requests and reads no answer: neither requests nor answers may fill the memory."""
    request = head("GET", "/health/live") * 100
    before, sent = psutil.Process().memory_info().rss, 0
    with connect(client) as connection:
        connection.settimeout(2)
        try:
            while sent < 100_000_000:
                connection.sendall(request)
                sent += len(request)
        except OSError:
            pass
    assert sent < 50_000_000
    assert psutil.Process().memory_info().rss < before + 50_000_000
    assert client.request("GET", "say-hello").status == 200
