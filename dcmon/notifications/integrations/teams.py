"""Microsoft Teams: a workflow's webhook, as an Adaptive Card. Its URL is the secret."""

import re
from collections.abc import Mapping
from typing import Any

from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import message_text, slack
from dcmon.notifications.integrations.base import (
    Address,
    Body,
    DeliverySettings,
    DeliveryTarget,
    Message,
    StoredAddress,
)
from dcmon.notifications.integrations.webhook import encode, post_json
from dcmon.notifications.message_types import MessageType
from dcmon.settings import Webhooks
from dcmon.severity import Severity
from dcmon.states import CLOSING_KINDS

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
# How many alerts a card shows in full and how many in all. The next pair is used when the card is too large for Teams.
SIZES = ((5, message_text.SHOWN_AT_MOST), (2, message_text.SHOWN_AT_MOST), (1, 10), (0, 10), (0, 3), (0, 0))
LARGEST_CARD, LONGEST_TEXT = 27_000, 1000  # Teams refuses messages over 28 KB.
STYLES: dict[str, str] = {
    Severity.CRITICAL: "attention",
    Severity.HIGH: "attention",
    Severity.MEDIUM: "warning",
    Severity.LOW: "accent",
}
MARKDOWN = re.compile(r"([\\`*_\[\]#])")


def validate(address: Address, settings: Webhooks) -> StoredAddress:
    """Accept the URL of a workflow "when a Teams webhook request is received"."""
    return slack.validate(address, settings)


def display_address(url: str, options: Mapping[str, Any]) -> str:
    """Return only the host, because the full URL lets anyone post to the channel."""
    return slack.display_address(url, options)


def send(target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
    """POST a card."""
    return post_json(target.url, render(message.body), settings)


def render(body: Body) -> dict[str, Any]:
    """Render a message as one Adaptive Card, with as many alerts as Teams takes."""
    for full, listed in SIZES:
        message = _message(body, full, listed)
        if len(encode(message)) <= LARGEST_CARD:
            return message
    return message


def _message(body: Body, full: int, listed: int) -> dict[str, Any]:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": _elements(body, 0 if body["type"] == MessageType.DIGEST else full, listed),
        "actions": _actions(body),
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _elements(body: Body, full: int, listed: int) -> list[dict[str, Any]]:
    notifications = message_text.notifications(body)
    elements = [_text(message_text.subject(body), weight="Bolder", size="Medium")]
    if not notifications:
        return [*elements, _text(message_text.plain(body))]
    if len(notifications) > 1 or body["type"] == MessageType.DIGEST:
        elements += [_text(line) for line in message_text.count_lines(body)]
    elements += [_container(notification) for notification in notifications[:full]]
    elements += [_text(f"- {message_text.line(notification)}") for notification in notifications[full:listed]]
    omitted = message_text.omitted(body, max(full, listed))
    return [*elements, _text(omitted)] if omitted else elements


def _container(notification: Body) -> dict[str, Any]:
    is_over = message_text.kind(notification) in CLOSING_KINDS
    rows = message_text.detail_rows(notification)
    facts = [{"title": name, "value": escaped(value[:LONGEST_TEXT])} for name, value in rows]
    return {
        "type": "Container",
        "style": "good" if is_over else STYLES.get(notification["alert"]["severity"], "default"),
        "items": [_text(message_text.headline(notification), weight="Bolder"), {"type": "FactSet", "facts": facts}],
    }


def _actions(body: Body) -> list[dict[str, Any]]:
    notifications = message_text.notifications(body)
    link = notifications[0].get("link") if len(notifications) == 1 else None
    return [{"type": "Action.OpenUrl", "title": message_text.LINK_TEXT, "url": link}] if link else []


def _text(text: str, **style: str) -> dict[str, Any]:
    return {"type": "TextBlock", "text": escaped(text[:LONGEST_TEXT]), "wrap": True, **style}


def escaped(text: str) -> str:
    """Escape a text from outside, so that no part of it is Markdown."""
    return MARKDOWN.sub(r"\\\1", text)
