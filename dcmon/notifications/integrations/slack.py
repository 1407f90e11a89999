"""Slack: an incoming webhook, in Block Kit. Its URL is the secret."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dcmon.notifications import egress_guard
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import (
    Address,
    Body,
    DeliverySettings,
    DeliveryTarget,
    Message,
    StoredAddress,
)
from dcmon.notifications.integrations.webhook import only_url, post_json
from dcmon.notifications.message_types import MessageType
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
LONGEST_HEADER, LONGEST_TEXT, LONGEST_VALUE = 150, 2900, 600  # Slack refuses headers over 150, texts over 3,000.
FULL_ALERTS = 5  # Slack takes 50 blocks.


def validate(address: Address, settings: Webhooks) -> StoredAddress:
    """Accept the URL of an incoming webhook."""
    url = only_url(address)
    egress_guard.require_url(url, settings.allow)
    return StoredAddress(url)


def display_address(url: str, options: Mapping[str, Any]) -> str:
    """Return only the host, because the full URL lets anyone post to the channel."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def send(target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
    """POST blocks, with a text for clients that do not show blocks."""
    return post_json(target.url, render(message.body), settings)


def render(body: Body) -> dict[str, Any]:
    """Render a message in Block Kit. Texts from outside are plain text, in which nothing is markup."""
    subject, notifications = message_text.subject(body), message_text.notifications(body)
    blocks = [_header(subject)]
    if not notifications:
        blocks.append(_plain(message_text.plain(body)))
    if body["type"] == MessageType.DIGEST:
        blocks.append(_plain("\n".join(message_text.count_lines(body))))
        listed = notifications[: message_text.SHOWN_AT_MOST]
    else:
        for notification in notifications[:FULL_ALERTS]:
            blocks += _alert_blocks(notification, is_alone=len(notifications) == 1)
        listed = notifications[FULL_ALERTS : message_text.SHOWN_AT_MOST]
    lines = [f"• {message_text.line(notification)}" for notification in listed]
    return {"text": escaped(subject), "blocks": [*blocks, *_sections(lines, message_text.omitted(body))]}


def _sections(lines: Sequence[str], last_line: str) -> list[dict[str, Any]]:
    """Put lines into as many sections as they need. Lines that are too long are cut."""
    parts, size = [list[str]()], 0
    for line in (text[: LONGEST_TEXT // 4] for text in lines):
        if parts[-1] and size + len(line) > LONGEST_TEXT:
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line) + 1
    return [_plain("\n".join(part)) for part in [*parts, [last_line]] if any(part)]


def _alert_blocks(notification: Body, *, is_alone: bool) -> list[dict[str, Any]]:
    rows = [f"{name}: {value[:LONGEST_VALUE]}" for name, value in message_text.detail_rows(notification)]
    blocks = [{"type": "divider"}, *([] if is_alone else [_header(message_text.headline(notification))])]
    blocks.append(_plain("\n".join(rows)))
    if link := notification.get("link"):
        text = {"type": "mrkdwn", "text": f"<{escaped(str(link))}|{message_text.LINK_TEXT}>"}
        blocks.append({"type": "section", "text": text})
    return blocks


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text[:LONGEST_HEADER], "emoji": False}}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": text[:LONGEST_TEXT] or "-", "emoji": False}}


def escaped(text: str) -> str:
    """Escape a text from outside, so that it can neither link nor mention a person."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
