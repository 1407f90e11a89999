"""HTTP over a plain socket, for requests that no well-behaved client sends."""

import json
import socket
from dataclasses import dataclass
from typing import Any

from tests.helpers.endpoint import Endpoint
from tests.helpers.waiting import PATIENCE


@dataclass(frozen=True)
class RawResponse:
    """What a server sent until it closed its side of the connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(client: Endpoint) -> socket.socket:
    """Open a connection to an endpoint."""
    host, _, port = client.url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def head(method: str, path: str, **headers: str) -> bytes:
    """Return the head of a request; `content_length` becomes the header content-length."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: dcmon", *lines, "", ""]).encode()


def exchange(client: Endpoint, sent: bytes) -> RawResponse:
    """Send bytes, and return the response. The server must close the connection: nothing more is sent."""
    with connect(client) as connection:
        connection.sendall(sent)
        return receive(connection)


def receive(connection: socket.socket) -> RawResponse:
    """Read until the server closes its side, and return the last response; 100 Continue is skipped."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    top, _, body = received.partition(b"\r\n\r\n")
    if top.startswith(b"HTTP/1.1 100"):
        top, _, body = body.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return RawResponse(int(first.split(" ")[1]), headers, body)
