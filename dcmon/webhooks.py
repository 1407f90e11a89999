"""Webhooks: receivers of notifications, and the signed POST that reaches them.

Signed after the Standard Webhooks specification 1.0.0: headers webhook-id, webhook-timestamp and webhook-signature,
"v1," and base64 of HMAC-SHA256 over "id.timestamp.body".
"""

import base64
import hashlib
import hmac
import secrets
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import urllib3
from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors, outbound
from dcmon.rules import SEVERITIES
from dcmon.settings import Webhooks
from dcmon.tables.org import Webhook

READ_AT_MOST = 64 * 1024
USER_AGENT = "dcmon-webhook/1"


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
    headers = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        **sign(secret, message_id, int(now.timestamp()), body),
    }
    began = time.monotonic()
    try:
        destination = outbound.resolve(url, settings.allow)
        status = _post(destination, body, headers, settings.timeout.total_seconds())
    except outbound.Refused as why:
        return Delivery(None, str(why), time.monotonic() - began)
    except (urllib3.exceptions.HTTPError, OSError) as failed:
        return Delivery(None, _said(failed), time.monotonic() - began)
    error = None if 200 <= status < 300 else f"The receiver answered {status}."
    return Delivery(status, error, time.monotonic() - began)


def _post(destination: outbound.Destination, body: bytes, headers: dict[str, str], seconds: float) -> int:
    """Connect to the checked address; the certificate must be the host's."""
    timeout = urllib3.Timeout(total=seconds)
    pool: urllib3.HTTPConnectionPool
    if destination.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            destination.address,
            destination.port,
            ssl_context=ssl.create_default_context(),
            server_hostname=destination.host,
            assert_hostname=destination.host,
            timeout=timeout,
            retries=False,
        )
    else:
        pool = urllib3.HTTPConnectionPool(destination.address, destination.port, timeout=timeout, retries=False)
    default = 443 if destination.scheme == "https" else 80
    name = f"[{destination.host}]" if ":" in destination.host else destination.host
    host = name if destination.port == default else f"{name}:{destination.port}"
    with pool:
        answer = pool.urlopen(
            "POST", destination.target, body=body, headers={**headers, "host": host},
            redirect=False, preload_content=False,
        )  # fmt: skip
        _drain(answer, time.monotonic() + seconds)
        return answer.status


def _drain(answer: urllib3.BaseHTTPResponse, ends: float) -> None:
    """Read a little of the answer, so that the receiver sees it taken; a slow or endless one is left."""
    read = 0
    while read < READ_AT_MOST and time.monotonic() < ends:
        chunk = answer.read(4096)
        if not chunk:
            break
        read += len(chunk)
    answer.close()


def _said(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())[:300] or type(error).__name__
