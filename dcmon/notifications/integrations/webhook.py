"""A webhook: a POST of JSON, signed after the Standard Webhooks specification 1.0.0.

The headers are webhook-id, webhook-timestamp and webhook-signature: "v1," and base64 of HMAC-SHA256 over
"id.timestamp.body", for each valid secret.
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
from dcmon.notifications import egress_guard
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations.base import (
    Address,
    Body,
    DeliverySettings,
    DeliveryTarget,
    Message,
    StoredAddress,
)
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, True
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
RESERVED_HEADERS = ("host", "content-type", "content-length", "transfer-encoding", "connection", "user-agent")
SECRET_LOOKING = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w-]{16,}|[\w-]{24,}")


def validate(address: Address, settings: Webhooks) -> StoredAddress:
    """Accept one URL, with headers that the operator chooses: a receiver may need a token."""
    url = only_url(address)
    egress_guard.require_url(url, settings.allow)
    for name, value in address.headers.items():
        if not HEADER.fullmatch(name) or name.lower() in RESERVED_HEADERS or name.lower().startswith("webhook-"):
            raise InvalidInput(f"{name!r} can't be a header of your own.")
        if not value.isascii() or not value.isprintable():
            raise InvalidInput(f"The value of header {name} has characters that can't be sent.")
    return StoredAddress(url, {"headers": sorted(address.headers)}, dict(address.headers))


def only_url(address: Address) -> str:
    """Return the one URL of an address. Raises InvalidInput for none or several."""
    if len(address.targets) != 1:
        raise InvalidInput("Give one URL, like https://hooks.example.org/alerts")
    return address.targets[0]


def display_address(url: str, options: Mapping[str, Any]) -> str:
    """Return the URL without its query and without path parts that look secret."""
    parts = urlsplit(url)
    path = "/".join("…" if SECRET_LOOKING.fullmatch(part) else part for part in parts.path.split("/"))
    return f"{parts.scheme}://{parts.netloc}{path}{'?…' if parts.query else ''}"


def send(target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
    """POST the body unchanged."""
    from dcmon.notifications import http_delivery

    body = encode(message.body)
    signature = sign(target.secrets, message.id, int(time.time()), body)
    headers = {**target.credentials, "content-type": "application/json", **signature}
    return http_delivery.post(target.url, body, headers, settings.webhooks)


def post_json(url: str, document: Body, settings: DeliverySettings) -> Attempt:
    """POST a document as JSON, without a signature."""
    from dcmon.notifications import http_delivery

    return http_delivery.post(url, encode(document), {"content-type": "application/json"}, settings.webhooks)


def encode(body: Body) -> bytes:
    """Return a body's bytes, which are both signed and sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def sign(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a signed message.

    Several secrets give several signatures, separated by a space.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
