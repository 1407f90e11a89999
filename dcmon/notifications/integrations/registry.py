"""The integrations by kind.

A new integration is a module, a ReceiverKind, and a line in INTEGRATIONS. Importing an integration is cheap, because
most commands only show or check addresses: its `send` imports the module that speaks HTTP or SMTP.
"""

import dataclasses
import re
import time
from collections.abc import Iterator

from dcmon.errors import UnknownChoice
from dcmon.formatting import printable
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import command, deepchecks, email, pagerduty, slack, teams, webhook
from dcmon.notifications.integrations.base import DeliverySettings, DeliveryTarget, Integration, Message
from dcmon.states import ReceiverKind

INTEGRATIONS: dict[str, Integration] = {
    ReceiverKind.WEBHOOK: webhook,
    ReceiverKind.PAGERDUTY: pagerduty,
    ReceiverKind.SLACK: slack,
    ReceiverKind.TEAMS: teams,
    ReceiverKind.EMAIL: email,
    ReceiverKind.COMMAND: command,
    ReceiverKind.DEEPCHECKS: deepchecks,
}


def find(kind: str) -> Integration:
    """Return the integration of that kind. Raises InvalidInput."""
    if kind not in INTEGRATIONS:
        raise UnknownChoice("kind of receiver", kind, INTEGRATIONS)
    return INTEGRATIONS[kind]


def send(target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
    """Send a message. Never raises.

    The attempt's error is a line of printable text, and holds no secret, even when the receiver's response repeats one.
    """
    if target.unreadable is not None:
        return Attempt(None, target.unreadable)
    started_at = time.monotonic()
    try:
        attempt = find(target.kind).send(target, message, settings)
    except Exception as error:  # A bug in an integration costs this message an attempt, and does not stop the worker.
        attempt = Attempt(None, f"{type(error).__name__}: {error}")
    error_text = attempt.error
    # Longest first: a secret may contain another one, and replacing the short one first would leave parts of the long.
    for secret in sorted(_secrets(target, settings), key=len, reverse=True):
        error_text = error_text and error_text.replace(secret, "…")
    error_text = error_text and printable(error_text, keeps_lines=False)  # servers and programs wrote parts of it
    return dataclasses.replace(attempt, error=error_text, seconds=time.monotonic() - started_at)


def _secrets(target: DeliveryTarget, settings: DeliverySettings) -> Iterator[str]:
    """Yield the texts that an error must not show. Short texts are left out, because they may be ordinary words."""
    yield from (value for value in target.credentials.values() if len(value) > 3)
    yield from (argument for argument in target.options.get("argv", ())[1:] if len(argument) > 7)
    if target.url and find(target.kind).display_address(target.url, target.options) != target.url:
        yield from (part for part in re.split("[/?&=]", target.url)[3:] if len(part) > 7)
    if settings.smtp.password is not None and settings.smtp.password.get_secret_value():
        yield settings.smtp.password.get_secret_value()
