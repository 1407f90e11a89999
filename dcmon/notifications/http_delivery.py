"""POST to a receiver that is not trusted.

Requests are limited in time and size, go to a checked address, and follow no redirects.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from dcmon.notifications import egress_guard
from dcmon.notifications.attempt import Attempt
from dcmon.settings import Webhooks

READ_AT_MOST, SHOWN_AT_MOST = 64 * 1024, 200  # bytes of a response that are read, characters that are kept
LONGEST_RETRY_AFTER = timedelta(days=1)
LONGEST_ERROR = 300
TOO_MANY_REQUESTS, UNAVAILABLE = 429, 503
FAILURES = (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError)  # a wrong certificate raises ValueError
ABORT_INTERVAL = 0.2  # seconds
USER_AGENT = "dcmon/1"


@dataclass(frozen=True)
class Response:
    """The parts of a receiver's response that dcmon uses. `text`: the beginning of its body."""

    status: int
    retry_after: str | None
    text: str


@dataclass(frozen=True)
class _Request:
    """What is sent to a receiver."""

    method: str
    body: bytes
    headers: Mapping[str, str]


def post(url: str, body: bytes, headers: Mapping[str, str], settings: Webhooks, *, method: str = "POST") -> Attempt:
    """Send a body without following redirects, within the timeout of the settings. Never raises."""
    started_at = time.monotonic()
    try:
        timeout = settings.timeout.total_seconds()
        destination = egress_guard.resolve(url, settings.allow, timeout)
        deadline = max(started_at + timeout, time.monotonic() + 0.1)
        request = _Request(method, body, {"user-agent": USER_AGENT, **headers})
        response = _send(destination, request, deadline, timeout)
    except egress_guard.DestinationRefused as refusal:
        return Attempt(None, str(refusal), time.monotonic() - started_at)
    except FAILURES as failure:
        return Attempt(None, describe_error(failure), time.monotonic() - started_at)
    error = None if 200 <= response.status < 300 else _response_error(response)
    return Attempt(response.status, error, time.monotonic() - started_at, _retry_after(response))


def reach(url: str, settings: Webhooks, timeout: timedelta) -> str | None:
    """Connect as for a message, and send nothing; return why that fails, None if it does not. Never raises."""
    seconds = timeout.total_seconds()
    deadline = time.monotonic() + seconds
    try:
        destination = egress_guard.resolve(url, settings.allow, seconds)
        with abort_after(seconds) as sockets, _connected(destination, deadline, sockets):
            return None
    except egress_guard.DestinationRefused as refusal:
        return str(refusal)
    except FAILURES as failure:
        late = time.monotonic() >= deadline
        return f"No connection within {seconds:g} s." if late else describe_error(failure)


def _response_error(response: Response) -> str:
    if 300 <= response.status < 400:
        return f"The receiver answered {response.status}, a redirect, which dcmon does not follow: set the final URL."
    return f"The receiver answered {response.status}{f': {response.text}' if response.text else '.'}"


def _retry_after(response: Response) -> timedelta | None:
    """Return how long a response asks to wait, at most a day.

    The header Retry-After has a number of seconds or a date.
    """
    if response.status not in (TOO_MANY_REQUESTS, UNAVAILABLE) or not response.retry_after:
        return None
    try:
        wait = timedelta(seconds=int(response.retry_after))
    except (ValueError, OverflowError):
        try:
            until = parsedate_to_datetime(response.retry_after)
            wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(wait, timedelta()), LONGEST_RETRY_AFTER)


def _send(destination: egress_guard.Destination, request: _Request, deadline: float, timeout: float) -> Response:
    """Send to the first checked address that accepts a connection. The certificate must be that of the host."""
    try:
        with (
            abort_after(deadline - time.monotonic()) as sockets,
            _connected(destination, deadline, sockets) as connection,
        ):
            headers = {**request.headers, "host": _host_header(destination)}
            connection.request(
                request.method, destination.target, body=request.body, headers=headers, preload_content=False
            )
            response = connection.getresponse()
            return Response(response.status, response.headers.get("retry-after"), _read_beginning(response, deadline))
    except FAILURES as failure:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"The receiver did not answer within {timeout:g} s.") from failure
        raise


def _host_header(destination: egress_guard.Destination) -> str:
    default = 443 if destination.scheme == "https" else 80
    name = f"[{destination.host}]" if ":" in destination.host else destination.host
    return name if destination.port == default else f"{name}:{destination.port}"


@contextmanager
def _connected(destination: egress_guard.Destination, deadline: float, sockets: list[Any]) -> Iterator[HTTPConnection]:
    """Connect to the first address that accepts a connection."""
    for number, address in enumerate(destination.addresses, start=1):
        connection = _connection(destination, address, max(0.1, deadline - time.monotonic()))
        sockets.append(connection)
        try:
            connection.connect()
        except ssl.SSLError:
            connection.close()
            raise
        except (urllib3.exceptions.HTTPError, OSError):
            connection.close()
            if number == len(destination.addresses) or time.monotonic() >= deadline:
                raise
            continue
        sockets.append(connection.sock)  # The connection drops its socket while a response without length is read.
        try:
            yield connection
        finally:
            connection.close()
        return


def _connection(destination: egress_guard.Destination, address: str, seconds: float) -> HTTPConnection:
    if destination.scheme == "http":
        return HTTPConnection(address, destination.port, timeout=seconds)
    return HTTPSConnection(
        address,
        destination.port,
        timeout=seconds,
        ssl_context=ssl.create_default_context(),
        server_hostname=destination.host,
        assert_hostname=destination.host,
    )


@contextmanager
def abort_after(seconds: float) -> Iterator[list[Any]]:
    """Shut down the sockets and connections on the list when the time is over.

    A socket's own timeout is not enough: it limits each wait, and a peer that sends single bytes causes many waits.
    """
    sockets: list[Any] = []
    is_over = threading.Event()

    def abort() -> None:
        wait = seconds
        while not is_over.wait(wait):
            for opened in [getattr(entry, "sock", entry) for entry in list(sockets)]:
                with suppress(OSError, TypeError):  # not connected yet
                    # Shut down below TLS: the state of TLS belongs to the thread that reads.
                    socket.socket.shutdown(opened, socket.SHUT_RDWR)
            wait = ABORT_INTERVAL  # A socket that connects at this moment is not on the list yet.

    threading.Thread(target=abort, name="abort delivery", daemon=True).start()
    try:
        yield sockets
    finally:
        is_over.set()


def _read_beginning(response: urllib3.BaseHTTPResponse, deadline: float) -> str:
    """Read at most READ_AT_MOST bytes of a response; return the text of its beginning.

    The body is read so that the receiver sees its response accepted. An error is ignored, because the status is known.
    """
    beginning, size = b"", 0
    with suppress(*FAILURES):
        while size < READ_AT_MOST and time.monotonic() < deadline:
            chunk = response.read1(4096)
            if not chunk:
                break
            beginning, size = (beginning + chunk)[: 4 * SHOWN_AT_MOST], size + len(chunk)
        response.close()
    content_type = response.headers.get("content-type", "")
    return _one_line(beginning) if content_type.startswith(("text/plain", "application/json")) else ""


def _one_line(content: bytes) -> str:
    """Return the beginning of a text as one printable line."""
    text = content.decode("utf-8", "replace")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:SHOWN_AT_MOST]


def describe_error(error: BaseException) -> str:
    """Return an error of a connection as one line."""
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())[:LONGEST_ERROR] or type(error).__name__
