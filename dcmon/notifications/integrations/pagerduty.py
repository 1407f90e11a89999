"""PagerDuty, Events API v2: each alert is an incident, which dcmon triggers, acknowledges and resolves."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from dcmon.errors import InvalidInput
from dcmon.notifications import egress_guard
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import message_text, old_keys
from dcmon.notifications.integrations.base import (
    Address,
    Body,
    DeliverySettings,
    DeliveryTarget,
    Message,
    StoredAddress,
)
from dcmon.notifications.message_types import MessageType
from dcmon.settings import Webhooks
from dcmon.severity import Severity
from dcmon.states import NotificationKind

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = True, False, False
URL = "https://events.pagerduty.com/v2/enqueue"
PAGERDUTY_URL = re.compile(r"https://events\.([a-z0-9-]+\.)?pagerduty\.com/v2/enqueue")
ACCESS_HEADER = "authorization"  # the only header of a receiver's own
DEFAULT_GROUP = "deepchecks"
LONGEST_KEY = 200  # characters; PagerDuty's own have 32
PAGERDUTY_SEVERITIES: dict[str, str] = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "error",
    Severity.MEDIUM: "error",
    Severity.LOW: "warning",
}


class EventAction(StrEnum):
    """What an event does to its incident."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


# All other kinds of notifications trigger an incident.
ACTIONS: dict[str, EventAction] = {
    NotificationKind.ACKNOWLEDGED: EventAction.ACKNOWLEDGE,
    NotificationKind.RESOLVED: EventAction.RESOLVE,
    NotificationKind.RETRACTED: EventAction.RESOLVE,
}


def validate(address: Address, settings: Webhooks) -> StoredAddress:
    """Accept the routing key of an integration "Events API v2".

    A URL is only needed for another region.
    """
    key = address.key or ""
    if not key.strip() or not key.isprintable() or len(key) > LONGEST_KEY:
        raise InvalidInput(
            "Give PagerDuty's integration key (event_routing_key; --key KEY, or --key - to be asked for it): it has 1"
            f" to {LONGEST_KEY} printable characters."
        )
    if len(address.targets) > 1:
        raise InvalidInput(f"Give at most one URL; without one it is {URL}")
    url = address.targets[0] if address.targets else URL
    host = egress_guard.require_url(url, settings.allow).host
    if not PAGERDUTY_URL.fullmatch(url) and not egress_guard.is_allowed_name(host, settings.allow):
        raise InvalidInput(f"That is not a URL of PagerDuty's Events API v2. It looks like {URL}")
    options = {name: address.options[name] for name in ("group", "class") if name in address.options}
    access = {name: value for name, value in address.headers.items() if name == ACCESS_HEADER}
    if any(not value.isascii() or not value.isprintable() for value in access.values()):
        raise InvalidInput("PagerDuty's access key has characters that can't be sent.")
    return StoredAddress(
        url, {"group": DEFAULT_GROUP, "headers": list(access), **options}, {"routing_key": key, **access}
    )


def display_address(url: str, options: Mapping[str, Any]) -> str:
    """Return the URL: it is public."""
    return url


def send(target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
    """POST an event for each alert.

    A test sends an event that opens an incident, and one that closes it.
    """
    from dcmon.notifications import http_delivery

    attempt = Attempt(None, "The message has no alert to send.")
    for event in render(target, message):
        body = json.dumps(event, ensure_ascii=False).encode()
        access = {name: value for name, value in target.credentials.items() if name == ACCESS_HEADER}
        headers = {**access, "content-type": "application/json"}
        attempt = http_delivery.post(target.url, body, headers, settings.webhooks)
        if not attempt.is_delivered:
            break
    return attempt


def render(target: DeliveryTarget, message: Message) -> list[dict[str, Any]]:
    """Render a message as events."""
    if message.body["type"] == MessageType.TEST:
        return _test_events(target, message)
    organization = message.body["organization"]
    return [_event(target, organization, notification) for notification in message_text.notifications(message.body)]


def _event(target: DeliveryTarget, organization: str, notification: Body) -> dict[str, Any]:
    alert = notification["alert"]
    action = ACTIONS.get(message_text.kind(notification), EventAction.TRIGGER)
    event: dict[str, Any] = {
        "routing_key": target.credentials["routing_key"],
        "event_action": action,
        "dedup_key": f"dcmon/{organization}/alert/{alert['id']}"[:255],
    }
    if action != EventAction.TRIGGER:
        return event
    event["payload"] = {
        "summary": f"[{organization}] {message_text.line(notification)}"[:1024],
        "source": str(alert.get("model") or "dcmon"),
        "severity": PAGERDUTY_SEVERITIES.get(alert["severity"], "error"),
        "timestamp": notification["timestamp"],
        "component": str(alert.get("monitor") or ""),
        "group": target.options.get("group") or None,
        "class": target.options.get("class") or alert.get("check"),
        "custom_details": {**alert, **old_keys.details(notification), "command": notification.get("command")},
    }
    link = notification.get("link")
    if link is None:  # A problem of dcmon itself has no page.
        return {**event, "client": "dcmon"}
    return {**event, "client": "dcmon", "client_url": link, "links": [{"href": link, "text": message_text.LINK_TEXT}]}


def _test_events(target: DeliveryTarget, message: Message) -> list[dict[str, Any]]:
    common = {"routing_key": target.credentials["routing_key"], "dedup_key": f"dcmon/test/{message.id}"}
    payload = {"summary": message_text.subject(message.body), "source": "dcmon", "severity": "info"}
    opened = {**common, "event_action": EventAction.TRIGGER, "payload": payload}
    return [opened, {**common, "event_action": EventAction.RESOLVE}]
