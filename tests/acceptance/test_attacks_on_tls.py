"""Somebody without a token attacks the port of an endpoint with TLS. Others are served meanwhile."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import trustme

from tests.conftest import TemplateWithAcme, copied_database
from tests.helpers.attacks import open_socket, open_sockets
from tests.helpers.serve_process import ServeProcess, serving_process
from tests.helpers.waiting import PATIENCE

HEADER_SECONDS, BODY_SECONDS = "2", "2"


@pytest.fixture(scope="module")
def server(
    server_url: str, template_with_acme: TemplateWithAcme, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    """Run one endpoint for all attacks: it must stay what it was after each of them."""
    directory, token = tmp_path_factory.mktemp("served"), template_with_acme.acme.token
    authority, file, trust = trustme.CA(), directory / "server.pem", ssl.create_default_context()
    file.write_bytes(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    authority.configure_trust(trust)
    settings = {"HTTP__TLS_CERTIFICATE": str(file), "HTTP__HEADER_TIME": HEADER_SECONDS, "HTTP__MAX_CONNECTIONS": "300"}
    settings |= {"HTTP__BODY_TIME": BODY_SECONDS}
    with (
        copied_database(server_url, template_with_acme.name) as url,
        serving_process(url, directory, token, tls=trust, **settings) as process,
    ):
        yield process


@pytest.fixture
def served(server: ServeProcess) -> Iterator[ServeProcess]:
    yield server
    assert server.answers("/api/v1/say-hello"), server.output
    assert "Traceback" not in server.output
    assert "SSL" not in server.output


def half_hello() -> bytes:
    """Return the first half of a client's first message."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="dcmon.example.org")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    return hello[: len(hello) // 2]


@pytest.mark.parametrize("sent", [b"", half_hello()], ids=["nothing", "half a hello"])
def test_1000_half_handshakes_let_others_in(served: ServeProcess, sent: bytes) -> None:
    """Only some of them are kept, and those are cut soon."""
    with open_sockets(served, 1000, sent) as connections:
        for _ in range(5):
            assert served.request("GET", "/api/v1/say-hello").status == 200
        assert len(served.process.net_connections("tcp")) < 400
        assert all(_is_closed(connection) for connection in connections)


def test_plain_requests_to_the_tls_port_are_cut(served: ServeProcess) -> None:
    with open_sockets(served, 50, b"GET /health/live HTTP/1.1\r\nhost: dcmon\r\n\r\n") as connections:
        assert all(_is_closed(connection) for connection in connections)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health/live HT",
        b"POST /api/v1/model-versions/1/data HTTP/1.1\r\nhost: dcmon\r\n",
        b"POST /api/v1/model-versions/1/data HTTP/1.1\r\nhost: dcmon\r\nauthorization: Basic %b\r\n"
        b"content-length: 9\r\n\r\n[",
    ],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_slow_clients_under_tls_are_cut(served: ServeProcess, sent: bytes) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(_encrypted(served)) for _ in range(50)]
        for connection in connections:
            if sent:
                connection.sendall(sent % served.token.encode() if b"%b" in sent else sent)
        assert served.request("GET", "/api/v1/say-hello").status == 200
        assert all(_is_closed(connection) for connection in connections)


def test_request_right_after_the_handshake_is_answered(served: ServeProcess) -> None:
    """The client's last message of the handshake and its first request come in one packet."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    assert served.tls is not None
    client = served.tls.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with open_socket(served) as connection:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65_536))
        client.write(b"GET /health/live HTTP/1.1\r\nhost: dcmon\r\nconnection: close\r\n\r\n")
        connection.sendall(outgoing.read())
        answer = b""
        while not answer.endswith(b'{"status":"live"}'):
            incoming.write(connection.recv(65_536))
            with suppress(ssl.SSLWantReadError):
                answer += client.read()
    assert answer.startswith(b"HTTP/1.1 200")


def _encrypted(served: ServeProcess) -> ssl.SSLSocket:
    assert served.tls is not None
    return served.tls.wrap_socket(open_socket(served), server_hostname="127.0.0.1")


def _is_closed(connection: socket.socket) -> bool:
    """Wait until the endpoint closes a connection; it may answer before."""
    connection.settimeout(PATIENCE)
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True
