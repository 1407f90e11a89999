"""Kinds of receivers: a module each, with what notifications.integrations.base asks for.

A new one is a file and a line here.
"""

import dataclasses
import re
import time
from collections.abc import Iterator

from dcmon.errors import InvalidInput
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations import command, email, pagerduty, slack, teams, webhook
from dcmon.notifications.integrations.base import DeliverySettings, DeliveryTarget, Integration, Message

INTEGRATIONS: dict[str, Integration] = {
    "webhook": webhook,
    "pagerduty": pagerduty,
    "slack": slack,
    "teams": teams,
    "email": email,
    "command": command,
}


def find(name: str) -> Integration:
    """The kind of that name. Raises InvalidInput."""
    if name not in INTEGRATIONS:
        raise InvalidInput(f"There is no kind {name!r} of receiver: it is one of {', '.join(INTEGRATIONS)}.")
    return INTEGRATIONS[name]


def send(to: DeliveryTarget, message: Message, ways: DeliverySettings) -> Attempt:
    """Send a message. Never raises, and never says a secret, though the receiver may repeat it."""
    began = time.monotonic()
    try:
        sent = find(to.kind).send(to, message, ways)
    except Exception as error:  # a fault of a kind costs this message a try, not the worker
        sent = Attempt(None, f"{type(error).__name__}: {error}")
    said = sent.error
    for secret in sorted(_secrets(to, ways), key=len, reverse=True):
        said = said and said.replace(secret, "…")
    return dataclasses.replace(sent, error=said, seconds=time.monotonic() - began)


def _secrets(to: DeliveryTarget, ways: DeliverySettings) -> Iterator[str]:
    """What is not to be seen in an error: short pieces are left, for they are words."""
    yield from (each for each in to.credentials.values() if len(each) > 3)
    yield from (each for each in to.options.get("argv", ())[1:] if len(each) > 7)
    if to.url and find(to.kind).shown(to.url, to.options) != to.url:
        yield from (part for part in re.split("[/?&=]", to.url)[3:] if len(part) > 7)
    if ways.smtp.password is not None and ways.smtp.password.get_secret_value():
        yield ways.smtp.password.get_secret_value()
