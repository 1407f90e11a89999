"""A POST to a receiver that may do anything: bounded in time and size, to a checked address, without redirects."""

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
from dcmon.settings import Webhooks

READ_AT_MOST, SAID_AT_MOST = 64 * 1024, 200
LONGEST_RETRY_AFTER = timedelta(days=1)
GONE, SLOW_DOWN = 410, (429, 503)
FAILURES = (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError)  # a wrong certificate is a ValueError
USER_AGENT = "dcmon/1"


@dataclass(frozen=True)
class Attempt:
    """How a try to send went: the answer's status, or what kept it from having one; seconds it took.

    `is_taken`: for receivers that speak no HTTP. `wait`: how long the receiver asked to be left alone. `left`: those of
    several people whom it is to be tried again for.
    """

    status: int | None
    error: str | None
    seconds: float = 0.0
    wait: timedelta | None = None
    is_taken: bool = False
    left: tuple[str, ...] = ()

    @property
    def is_delivered(self) -> bool:
        return (self.is_taken and not self.left) or (self.status is not None and 200 <= self.status < 300)

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing more, ever."""
        return self.status == GONE


@dataclass(frozen=True)
class Answer:
    """What a receiver answered, as far as it matters."""

    status: int
    retry_after: str | None
    said: str


def post(url: str, body: bytes, headers: Mapping[str, str], settings: Webhooks) -> Attempt:
    """POST, without redirects, within the time that settings give. Never raises."""
    began = time.monotonic()
    try:
        seconds = settings.timeout.total_seconds()
        destination = egress_guard.resolve(url, settings.allow, seconds)
        left = max(0.1, seconds - (time.monotonic() - began))
        answer = _post(destination, body, {"user-agent": USER_AGENT, **headers}, left, seconds)
    except egress_guard.DestinationRefused as why:
        return Attempt(None, str(why), time.monotonic() - began)
    except FAILURES as failed:
        return Attempt(None, describe_error(failed), time.monotonic() - began)
    error = None if 200 <= answer.status < 300 else _complaint(answer)
    return Attempt(answer.status, error, time.monotonic() - began, _wait(answer))


def _complaint(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return f"The receiver answered {answer.status}, a redirect, which is not followed: set its URL to where it is."
    return f"The receiver answered {answer.status}{f': {answer.said}' if answer.said else '.'}"


def _wait(answer: Answer) -> timedelta | None:
    """How long a receiver asks to be left alone, in seconds or until a date; a day at most."""
    if answer.status not in SLOW_DOWN or not answer.retry_after:
        return None
    try:
        asked = timedelta(seconds=int(answer.retry_after))
    except (ValueError, OverflowError):
        try:
            until = parsedate_to_datetime(answer.retry_after)
            asked = (until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(asked, timedelta()), LONGEST_RETRY_AFTER)


def _post(
    destination: egress_guard.Destination, body: bytes, headers: Mapping[str, str], seconds: float, bound: float
) -> Answer:
    """Connect to the first checked address that answers; the certificate must be the host's."""
    ends = time.monotonic() + seconds
    try:
        with abort_after(seconds) as held, _connected(destination, ends, held) as connection:
            connection.request(
                "POST", destination.target, body=body, headers={**headers, "host": _host(destination)},
                preload_content=False,
            )  # fmt: skip
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers.get("retry-after"), _beginning(answer, ends))
    except FAILURES as failed:
        if time.monotonic() >= ends:
            raise TimeoutError(f"The receiver did not answer within {bound:g} s.") from failed
        raise


def _host(destination: egress_guard.Destination) -> str:
    default = 443 if destination.scheme == "https" else 80
    name = f"[{destination.host}]" if ":" in destination.host else destination.host
    return name if destination.port == default else f"{name}:{destination.port}"


@contextmanager
def _connected(destination: egress_guard.Destination, ends: float, held: list[Any]) -> Iterator[HTTPConnection]:
    """A connection to one of the addresses: the next one is tried where one can't be connected to."""
    for number, address in enumerate(destination.addresses, start=1):
        connection = _connection(destination, address, max(0.1, ends - time.monotonic()))
        held.append(connection)
        try:
            connection.connect()
        except ssl.SSLError:
            connection.close()
            raise
        except (urllib3.exceptions.HTTPError, OSError):
            connection.close()
            if number == len(destination.addresses) or time.monotonic() >= ends:
                raise
            continue
        held.append(connection.sock)  # the connection lets go of it while an answer without length is read
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
    """End whatever the sockets on the list, and those of connections on it, wait for, once the time is over.

    A timeout is for each wait, and a peer that sends a byte now and then has many.
    """
    held: list[Any] = []

    def cut() -> None:
        for each in [getattr(each, "sock", each) for each in list(held)]:
            with suppress(OSError, TypeError):  # not connected yet
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # below TLS, whose state belongs to the other thread

    watch = threading.Timer(seconds, cut)
    watch.daemon = True
    watch.start()
    try:
        yield held
    finally:
        watch.cancel()


def _beginning(answer: urllib3.BaseHTTPResponse, ends: float) -> str:
    """Read a little of the answer, so that the receiver sees it taken; a slow or endless one is left.

    The status is there: whatever goes wrong now does not matter.
    """
    said, read = b"", 0
    with suppress(*FAILURES):
        while read < READ_AT_MOST and time.monotonic() < ends:
            chunk = answer.read1(4096)
            if not chunk:
                break
            said, read = (said + chunk)[: 4 * SAID_AT_MOST], read + len(chunk)
        answer.close()
    kind = answer.headers.get("content-type", "")
    return _line(said) if kind.startswith(("text/plain", "application/json")) else ""


def _line(said: bytes) -> str:
    """The beginning of a text as one printable line."""
    text = said.decode("utf-8", "replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:SAID_AT_MOST]


def describe_error(error: BaseException) -> str:
    """An error of a connection in one line."""
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())[:300] or type(error).__name__
