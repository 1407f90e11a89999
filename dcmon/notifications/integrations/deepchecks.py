"""A webhook in the format of Deepchecks Monitoring: a POST or GET of a JSON body with five keys for each alert.

The format has no word for the end of an alert: such a receiver gets only the notifications that an alert fires.
"""

import dataclasses
from typing import Any

from dcmon.errors import InvalidInput
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import message_text, old_keys, webhook
from dcmon.notifications.integrations.base import Address, DeliverySettings, DeliveryTarget, Message, StoredAddress
from dcmon.notifications.message_types import MessageType
from dcmon.settings import Webhooks
from dcmon.severity import Severity
from dcmon.states import NotificationKind

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = True, False, False
METHODS = ("POST", "GET")
SENT_KINDS = (
    NotificationKind.FIRING,
    NotificationKind.ESCALATED,
    NotificationKind.REPEATED,
    NotificationKind.REOPENED,
)
display_address = webhook.display_address


def validate(address: Address, settings: Webhooks) -> StoredAddress:
    """Accept one URL, with headers that the operator chooses, and a method."""
    method = address.options.get("method", METHODS[0])
    if method not in METHODS:
        raise InvalidInput(f"A message is sent by {' or '.join(METHODS)}, not {method!r}.")
    stored = webhook.validate(address, settings)
    return dataclasses.replace(stored, options={**stored.options, "method": method})


def send(target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
    """Send a body for each alert that fires; a message about the end of an alert is accepted without being sent."""
    from dcmon.notifications import http_delivery

    attempt = Attempt(None, None, is_accepted=True)
    headers = {**target.credentials, "content-type": "application/json"}
    method = str(target.options.get("method", METHODS[0]))
    for body in render(message):
        attempt = http_delivery.post(target.url, webhook.encode(body), headers, settings.webhooks, method=method)
        if not attempt.is_delivered:
            break
    return attempt


def render(message: Message) -> list[dict[str, Any]]:
    """Return the bodies to send."""
    if message.body["type"] == MessageType.TEST:
        text = str(message.body.get("text", "A test message."))
        test = {"id": None, "severity": Severity.LOW, "reason": text, "model": "dcmon", "monitor": "test"}
        return [old_keys.body({"alert": test})]
    return [
        old_keys.body(notification)
        for notification in message_text.notifications(message.body)
        if message_text.kind(notification) in SENT_KINDS
    ]
