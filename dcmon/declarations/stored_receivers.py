"""Read the receivers of an organization as declarations: their secrets become references."""

import re
import zlib
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from dcmon import durations
from dcmon.db.tables.org import Webhook
from dcmon.declarations.declared_receivers import ReceiverDeclaration
from dcmon.declarations.secret_text import SecretText
from dcmon.declarations.values import NONE
from dcmon.notifications import receivers, signing_secrets
from dcmon.notifications.integrations import pagerduty
from dcmon.states import ReceiverKind

PREFIX = "RECEIVER"


def read(session: Session) -> dict[str, ReceiverDeclaration]:
    """Return the receivers by name. Raises SecretUnreadable."""
    stored = receivers.entries(session)
    slugs = Counter(_slug(receiver.name) for receiver in stored)
    declared = {}
    for receiver in stored:
        slug = _slug(receiver.name)
        if not slug or slugs[slug] > 1:
            slug = f"{slug}_{zlib.crc32(receiver.name.encode()):08X}".strip("_")
        declared[receiver.name] = of_receiver(session, receiver, f"{PREFIX}_{slug}")
    return declared


def _slug(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")


def of_receiver(session: Session, receiver: Webhook, variable: str) -> ReceiverDeclaration:
    """Return a receiver; `variable`: what the names of the variables of its secrets begin with."""
    subscription = receivers.subscription(session, receiver)
    options = receiver.options
    values: dict[str, Any] = {
        "renamed_from": None, "kind": receiver.kind, "description": receiver.description,
        "url": _url(receiver, f"{variable}_URL"), "headers": _headers(receiver, variable), "key": None,
        "group": None, "event_class": options.get("class"), "method": options.get("method"), "to": options.get("to"),
        "command": _command(receiver, variable), "signing_secret": None, "severities": list(receiver.severities),
        "models": subscription.models, "cap": NONE if receiver.cap is None else receiver.cap,
        "repeat": NONE if receiver.repeat_every is None else durations.to_text(receiver.repeat_every),
    }  # fmt: skip
    if receiver.kind == ReceiverKind.PAGERDUTY:
        values["key"] = SecretText.reference(f"{variable}_KEY", receiver.credentials["routing_key"])
        values["group"] = None if options.get("group") == pagerduty.DEFAULT_GROUP else options.get("group")
    if secret := bytes(receiver.secret):
        values["signing_secret"] = SecretText.reference(f"{variable}_SIGNING_SECRET", signing_secrets.to_text(secret))
    return ReceiverDeclaration.model_construct(**values)


def _url(receiver: Webhook, variable: str) -> SecretText | None:
    """Return the URL: as a reference unless it is only a host, because any part of a path may be a token."""
    url = receiver.url
    if not url or (receiver.kind == ReceiverKind.PAGERDUTY and url == pagerduty.URL):
        return None
    parts = urlsplit(url)
    is_public = parts.path in ("", "/") and not parts.query and not parts.fragment
    return SecretText.plain(url) if is_public else SecretText.reference(variable, url)


def _headers(receiver: Webhook, variable: str) -> dict[str, SecretText]:
    names = sorted(map(str, receiver.options.get("headers", ())))
    return {
        name: SecretText.reference(f"{variable}_HEADER_{_slug(name)}", receiver.credentials[name]) for name in names
    }


def _command(receiver: Webhook, variable: str) -> list[SecretText] | None:
    if receiver.kind != ReceiverKind.COMMAND:
        return None
    program, *arguments = receiver.options["argv"]
    references = [
        SecretText.reference(f"{variable}_ARGUMENT_{number}", text) for number, text in enumerate(arguments, 1)
    ]
    return [SecretText.plain(program), *references]
