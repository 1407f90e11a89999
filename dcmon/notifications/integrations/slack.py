"""Slack: an incoming webhook, in Block Kit. Its URL is the secret."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dcmon.notifications import egress_guard, http_delivery
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import Body, DeliverySettings, DeliveryTarget, Given, Message, StoredAddress
from dcmon.notifications.integrations.webhook import encode, only_url
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
LONGEST_HEADER, LONGEST_TEXT, LONGEST_VALUE = 150, 2900, 600  # Slack refuses more than 150 and 3,000
FULL = 5  # alerts in full: Slack takes 50 blocks


def accept(given: Given, settings: Webhooks) -> StoredAddress:
    """The URL of an incoming webhook."""
    url = only_url(given)
    egress_guard.require_url(url, settings.allow)
    return StoredAddress(url)


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The host: the rest of the URL opens the channel."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def send(to: DeliveryTarget, message: Message, ways: DeliverySettings) -> Attempt:
    """POST blocks, with a text for where only text is shown."""
    headers = {"content-type": "application/json"}
    return http_delivery.post(to.url, encode(render(message.body)), headers, ways.webhooks)


def render(body: Body) -> dict[str, Any]:
    """A message in Block Kit. What comes from outside is plain text, in which nothing is markup."""
    subject, about = message_text.subject(body), message_text.notifications(body)
    found = [_header(subject)]
    if not about:
        found.append(_plain(message_text.plain(body)))
    if body["type"] == "digest":
        lines = [f"• {message_text.line(each)}" for each in about[: message_text.SHOWN_AT_MOST]]
        return _message(
            subject, [*found, _plain("\n".join(_counts(body))), *_lines(lines, message_text.left_out(body))]
        )
    for each in about[:FULL]:
        found += _blocks(each, is_alone=len(about) == 1)
    lines = [f"• {message_text.line(each)}" for each in about[FULL : message_text.SHOWN_AT_MOST]]
    return _message(subject, [*found, *_lines(lines, message_text.left_out(body))])


def _message(subject: str, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {"text": escaped(subject), "blocks": blocks}


def _counts(body: Body) -> list[str]:
    return [f"by {name}: {message_text.counted(counts)}" for name, counts in body["counts"].items()]


def _lines(lines: Sequence[str], rest: str) -> list[dict[str, Any]]:
    """Lines in as many sections as they need, each cut where it is too long alone; and what is left out."""
    parts, size = [list[str]()], 0
    for line in (each[: LONGEST_TEXT // 4] for each in lines):
        if parts[-1] and size + len(line) > LONGEST_TEXT:
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line) + 1
    return [_plain("\n".join(part)) for part in [*parts, [rest]] if any(part)]


def _blocks(notification: Body, *, is_alone: bool) -> list[dict[str, Any]]:
    rows = [f"{name}: {value[:LONGEST_VALUE]}" for name, value in message_text.facts(notification)]
    found = [{"type": "divider"}, *([] if is_alone else [_header(message_text.headline(notification))])]
    found.append(_plain("\n".join(rows)))
    if link := notification.get("link"):
        text = {"type": "mrkdwn", "text": f"<{escaped(str(link))}|Look at it>"}
        found.append({"type": "section", "text": text})
    return found


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text[:LONGEST_HEADER], "emoji": False}}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": text[:LONGEST_TEXT] or "-", "emoji": False}}


def escaped(text: str) -> str:
    """Text that can neither link nor call anybody: names come from outside."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
