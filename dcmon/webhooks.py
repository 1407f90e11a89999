"""Webhooks: receivers of notifications, and the signed POST that reaches them.

Signed after the Standard Webhooks specification 1.0.0: headers webhook-id, webhook-timestamp and webhook-signature,
"v1," and base64 of HMAC-SHA256 over "id.timestamp.body".
"""

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException

import urllib3
from sqlalchemy import select
from sqlalchemy.orm import Session
from urllib3.connection import HTTPConnection, HTTPSConnection

from dcmon import errors, outbound
from dcmon.rules import SEVERITIES
from dcmon.settings import Webhooks
from dcmon.tables.org import Webhook

READ_AT_MOST = 64 * 1024
USER_AGENT = "dcmon-webhook/1"
FAILURES = (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError)  # a wrong certificate is a ValueError


@dataclass(frozen=True)
class Delivery:
    """How a delivery went: the answer's status, or what kept it from having one; seconds it took."""

    status: int | None
    error: str | None
    seconds: float = 0.0

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def add(session: Session, name: str, url: str, severities: Sequence[str], settings: Webhooks) -> tuple[Webhook, str]:
    """Add a receiver; the secret (whsec_…) is given back once. Raises InvalidInput or Conflict."""
    if not name.strip() or len(name) > 100:
        raise errors.InvalidInput("A webhook's name has 1 to 100 characters.")
    if unknown := sorted(set(severities) - set(SEVERITIES)):
        raise errors.InvalidInput(f"There is no severity {unknown[0]!r}: it is one of {', '.join(SEVERITIES)}.")
    outbound.require_url(url, settings.allow)
    if session.scalar(select(Webhook.id).where(Webhook.name == name)):
        raise errors.Conflict(f"There is a webhook {name!r} already.")
    secret = secrets.token_bytes(32)
    webhook = Webhook(name=name, url=url, secret=secret, severities=list(severities or SEVERITIES))
    session.add(webhook)
    session.flush()
    return webhook, "whsec_" + base64.b64encode(secret).decode()


def entries(session: Session) -> list[Webhook]:
    """All receivers, by name."""
    return list(session.scalars(select(Webhook).order_by(Webhook.name)))


def find(session: Session, name: str) -> Webhook:
    """The receiver of that name. Raises NotFound."""
    webhook = session.scalar(select(Webhook).where(Webhook.name == name))
    if webhook is None:
        raise errors.NotFound(what="webhook", name=name)
    return webhook


def delete(session: Session, webhook: Webhook) -> None:
    """Delete a receiver; what was not delivered to it yet goes with it."""
    session.delete(webhook)
    session.flush()


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed message."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def deliver(url: str, secret: bytes, message_id: str, body: bytes, settings: Webhooks, now: datetime) -> Delivery:
    """POST a signed message, without redirects, within the time that settings give. Never raises."""
    headers = {"content-type": "application/json", "user-agent": USER_AGENT}
    return post(url, body, {**headers, **sign(secret, message_id, int(now.timestamp()), body)}, settings)


def post(url: str, body: bytes, headers: dict[str, str], settings: Webhooks) -> Delivery:
    """POST to an address that is checked, without redirects, within the time that settings give. Never raises."""
    began = time.monotonic()
    try:
        destination = outbound.resolve(url, settings.allow)
        status = _post(destination, body, headers, settings.timeout.total_seconds())
    except outbound.Refused as why:
        return Delivery(None, str(why), time.monotonic() - began)
    except FAILURES as failed:
        return Delivery(None, _said(failed), time.monotonic() - began)
    error = None if 200 <= status < 300 else f"The receiver answered {status}."
    return Delivery(status, error, time.monotonic() - began)


def _post(destination: outbound.Destination, body: bytes, headers: dict[str, str], seconds: float) -> int:
    """Connect to the checked address; the certificate must be the host's."""
    default = 443 if destination.scheme == "https" else 80
    name = f"[{destination.host}]" if ":" in destination.host else destination.host
    host = name if destination.port == default else f"{name}:{destination.port}"
    ends = time.monotonic() + seconds
    connection = _connection(destination, seconds)
    # A timeout is for each wait, and a receiver that sends a byte now and then has many: the watch ends them all.
    held: list[socket.socket] = []  # the connection lets go of its socket while an answer without length is read
    watch = threading.Timer(seconds, _cut, [connection, held])
    watch.daemon = True
    watch.start()
    try:
        connection.connect()
        held += [connection.sock]
        connection.request(
            "POST", destination.target, body=body, headers={**headers, "host": host}, preload_content=False
        )
        answer = connection.getresponse()
        status: int = answer.status
        with suppress(*FAILURES):  # the status is there: the rest does not matter
            _drain(answer, ends)
        return status
    except FAILURES as failed:
        if time.monotonic() >= ends:
            raise TimeoutError(f"The receiver did not answer within {seconds:g} s.") from failed
        raise
    finally:
        watch.cancel()
        connection.close()


def _connection(destination: outbound.Destination, seconds: float) -> HTTPConnection:
    if destination.scheme == "http":
        return HTTPConnection(destination.address, destination.port, timeout=seconds)
    return HTTPSConnection(
        destination.address,
        destination.port,
        timeout=seconds,
        ssl_context=ssl.create_default_context(),
        server_hostname=destination.host,
        assert_hostname=destination.host,
    )


def _cut(connection: HTTPConnection, held: Sequence[socket.socket]) -> None:
    """End whatever a connection waits for, from another thread."""
    for each in (*held, connection.sock):
        if each is not None:
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # below TLS, whose state belongs to the other thread


def _drain(answer: urllib3.BaseHTTPResponse, ends: float) -> None:
    """Read a little of the answer, so that the receiver sees it taken; a slow or endless one is left."""
    read = 0
    while read < READ_AT_MOST and time.monotonic() < ends:
        chunk = answer.read1(4096)
        if not chunk:
            break
        read += len(chunk)
    answer.close()


def _said(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())[:300] or type(error).__name__
