"""A webhook: a POST of JSON, signed after the Standard Webhooks specification 1.0.0.

Headers webhook-id, webhook-timestamp and webhook-signature: "v1," and base64 of HMAC-SHA256 over "id.timestamp.body",
for each secret that counts.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dcmon.errors import InvalidInput
from dcmon.notifications import egress_guard, http_delivery
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations.base import Body, DeliverySettings, DeliveryTarget, Given, Message, StoredAddress
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, True
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
OURS = ("host", "content-type", "content-length", "transfer-encoding", "connection", "user-agent")
SECRET_LOOKING = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w-]{16,}|[\w-]{24,}")


def accept(given: Given, settings: Webhooks) -> StoredAddress:
    """A URL, and headers of one's own: a receiver may want a token."""
    url = only_url(given)
    egress_guard.require_url(url, settings.allow)
    for name, value in given.headers.items():
        if not HEADER.fullmatch(name) or name.lower() in OURS or name.lower().startswith("webhook-"):
            raise InvalidInput(f"{name!r} can't be a header of your own.")
        if not value.isascii() or not value.isprintable():
            raise InvalidInput(f"The value of header {name} has characters that can't be sent.")
    return StoredAddress(url, {"headers": sorted(given.headers)}, dict(given.headers))


def only_url(given: Given) -> str:
    """The one URL that was typed. Raises InvalidInput."""
    if len(given.targets) != 1:
        raise InvalidInput("Say one URL: https://hooks.example.org/alerts")
    return given.targets[0]


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The URL without its query, and without parts of its path that look like a secret."""
    parts = urlsplit(url)
    path = "/".join("…" if SECRET_LOOKING.fullmatch(part) else part for part in parts.path.split("/"))
    return f"{parts.scheme}://{parts.netloc}{path}{'?…' if parts.query else ''}"


def send(to: DeliveryTarget, message: Message, ways: DeliverySettings) -> Attempt:
    """POST the body as it is."""
    body = encode(message.body)
    signed = sign(to.secrets, message.id, int(time.time()), body)
    headers = {**to.credentials, "content-type": "application/json", **signed}
    return http_delivery.post(to.url, body, headers, ways.webhooks)


def encode(body: Body) -> bytes:
    """A body's bytes: what is signed is what is sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def sign(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed message; with several secrets, several signatures with a blank in between."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(each, signed, hashlib.sha256)).decode() for each in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }
