"""PagerDuty, Events API v2: an alert is an incident of its own, which dcmon triggers, acknowledges and resolves."""

import json
import re
from collections.abc import Mapping
from typing import Any

from dcmon.errors import InvalidInput
from dcmon.notifications import egress_guard, http_delivery
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import Body, DeliverySettings, DeliveryTarget, Given, Message, StoredAddress
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = True, False, False
URL = "https://events.pagerduty.com/v2/enqueue"
THEIRS = re.compile(r"https://events\.([a-z0-9-]+\.)?pagerduty\.com/v2/enqueue")
KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
SEVERITIES = {"critical": "critical", "high": "error", "medium": "error", "low": "warning"}
ACTIONS = {"acknowledged": "acknowledge", "resolved": "resolve", "retracted": "resolve"}


def accept(given: Given, settings: Webhooks) -> StoredAddress:
    """The routing key of an integration "Events API v2"; a URL only for another region."""
    if given.key is None or not KEY.fullmatch(given.key):
        raise InvalidInput('Say the integration\'s key: --key KEY, or "--key -" to be asked for it.')
    if len(given.targets) > 1:
        raise InvalidInput(f"Say one URL at most; {URL} when none is said.")
    url = given.targets[0] if given.targets else URL
    host = egress_guard.require_url(url, settings.allow).host
    if not THEIRS.fullmatch(url) and not egress_guard.is_allowed_name(host, settings.allow):
        raise InvalidInput(f"That is no URL of PagerDuty's Events API v2. It looks like {URL}")
    choices = {name: given.choices[name] for name in ("group", "class") if name in given.choices}
    return StoredAddress(url, {"group": "deepchecks", **choices}, {"routing_key": given.key})


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The URL, which is everybody's."""
    return url


def send(to: DeliveryTarget, message: Message, ways: DeliverySettings) -> Attempt:
    """POST an event; of a test, one that opens an incident and one that closes it."""
    sent = Attempt(None, "There is nothing to send.")
    for event in render(to, message):
        body = json.dumps(event, ensure_ascii=False).encode()
        sent = http_delivery.post(to.url, body, {"content-type": "application/json"}, ways.webhooks)
        if not sent.is_delivered:
            break
    return sent


def render(to: DeliveryTarget, message: Message) -> list[dict[str, Any]]:
    """A message as events."""
    if message.body["type"] == "test":
        return _test(to, message)
    return [_event(to, message.body["organization"], each) for each in message_text.notifications(message.body)]


def _event(to: DeliveryTarget, organization: str, notification: Body) -> dict[str, Any]:
    alert = notification["alert"]
    action = ACTIONS.get(message_text.kind(notification), "trigger")
    found: dict[str, Any] = {
        "routing_key": to.credentials["routing_key"],
        "event_action": action,
        "dedup_key": f"dcmon/{organization}/alert/{alert['id']}"[:255],
    }
    if action != "trigger":
        return found
    found["payload"] = {
        "summary": f"[{organization}] {message_text.line(notification)}"[:1024],
        "source": str(alert.get("model") or "dcmon"),
        "severity": SEVERITIES.get(alert["severity"], "error"),
        "timestamp": notification["timestamp"],
        "component": str(alert.get("monitor") or ""),
        "group": to.options.get("group") or None,
        "class": to.options.get("class") or alert.get("check"),
        "custom_details": {**alert, "command": notification.get("command")},
    }
    link = notification.get("link")
    if link is None:  # what is wrong with dcmon itself has none
        return {**found, "client": "dcmon"}
    return {**found, "client": "dcmon", "client_url": link, "links": [{"href": link, "text": "Look at it"}]}


def _test(to: DeliveryTarget, message: Message) -> list[dict[str, Any]]:
    common = {"routing_key": to.credentials["routing_key"], "dedup_key": f"dcmon/test/{message.id}"}
    payload = {"summary": message_text.subject(message.body), "source": "dcmon", "severity": "info"}
    opened = {**common, "event_action": "trigger", "payload": payload}
    return [opened, {**common, "event_action": "resolve"}]
