"""Microsoft Teams: a workflow's webhook, as an Adaptive Card. Its URL is the secret."""

import re
from collections.abc import Mapping
from typing import Any

from dcmon.notifications import http_delivery
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations import message_text, slack
from dcmon.notifications.integrations.base import Body, DeliverySettings, DeliveryTarget, Given, Message, StoredAddress
from dcmon.notifications.integrations.webhook import encode
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
# Alerts in full, and with those in a line each; the next where a card is larger than Teams takes (28 KB).
SIZES = ((5, message_text.SHOWN_AT_MOST), (2, message_text.SHOWN_AT_MOST), (1, 10), (0, 10), (0, 3), (0, 0))
LARGEST, LONGEST_TEXT = 27_000, 1000
STYLES = {"critical": "attention", "high": "attention", "medium": "warning", "low": "accent"}
MARKDOWN = re.compile(r"([\\`*_\[\]#])")


def accept(given: Given, settings: Webhooks) -> StoredAddress:
    """The URL of a workflow "when a Teams webhook request is received"."""
    return slack.accept(given, settings)


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The host: the rest of the URL opens the channel."""
    return slack.shown(url, options)


def send(to: DeliveryTarget, message: Message, ways: DeliverySettings) -> Attempt:
    """POST a card."""
    headers = {"content-type": "application/json"}
    return http_delivery.post(to.url, encode(render(message.body)), headers, ways.webhooks)


def render(body: Body) -> dict[str, Any]:
    """A message that carries one Adaptive Card, with as much in it as Teams takes."""
    for full, listed in SIZES:
        made = _card(body, full, listed)
        if len(encode(made)) <= LARGEST:
            return made
    return made


def _card(body: Body, full: int, listed: int) -> dict[str, Any]:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": _elements(body, 0 if body["type"] == "digest" else full, listed),
        "actions": _actions(body),
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _elements(body: Body, full: int, listed: int) -> list[dict[str, Any]]:
    about = message_text.notifications(body)
    found = [_text(message_text.subject(body), weight="Bolder", size="Medium")]
    if not about:
        return [*found, _text(message_text.plain(body))]
    if len(about) > 1 or body["type"] == "digest":
        found += [_text(f"by {name}: {message_text.counted(counts)}") for name, counts in body["counts"].items()]
    found += [_container(each) for each in about[:full]]
    found += [_text(f"- {message_text.line(each)}") for each in about[full:listed]]
    more = message_text.left_out(body, max(full, listed))
    return [*found, _text(more)] if more else found


def _container(notification: Body) -> dict[str, Any]:
    is_over = message_text.kind(notification) in message_text.OVER
    facts = [
        {"title": name, "value": escaped(value[:LONGEST_TEXT])} for name, value in message_text.facts(notification)
    ]
    return {
        "type": "Container",
        "style": "good" if is_over else STYLES.get(notification["alert"]["severity"], "default"),
        "items": [_text(message_text.headline(notification), weight="Bolder"), {"type": "FactSet", "facts": facts}],
    }


def _actions(body: Body) -> list[dict[str, Any]]:
    about = message_text.notifications(body)
    link = about[0].get("link") if len(about) == 1 else None
    return [{"type": "Action.OpenUrl", "title": "Look at it", "url": link}] if link else []


def _text(text: str, **style: str) -> dict[str, Any]:
    return {"type": "TextBlock", "text": escaped(text[:LONGEST_TEXT]), "wrap": True, **style}


def escaped(text: str) -> str:
    """Text that is no markdown: names come from outside."""
    return MARKDOWN.sub(r"\\\1", text)
