"""Slack: an incoming webhook, in Block Kit. Its URL is the secret."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dcmon import outbound, posting
from dcmon.posting import Delivery
from dcmon.receivers import words
from dcmon.receivers.kind import Accepted, Body, Given, Message, To, Ways
from dcmon.receivers.webhook import encode, only_url
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
LONGEST_HEADER, LONGEST_TEXT = 150, 2900  # Slack refuses more than 150 and 3,000
FULL = 5  # alerts in full: Slack takes 50 blocks


def accept(given: Given, settings: Webhooks) -> Accepted:
    """The URL of an incoming webhook."""
    url = only_url(given)
    outbound.require_url(url, settings.allow)
    return Accepted(url)


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The host: the rest of the URL opens the channel."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def send(to: To, message: Message, ways: Ways) -> Delivery:
    """POST blocks, with a text for where only text is shown."""
    headers = {"content-type": "application/json"}
    return posting.deliver(to.url, encode(render(message.body)), headers, ways.webhooks)


def render(body: Body) -> dict[str, Any]:
    """A message in Block Kit."""
    subject, about = words.subject(body), words.notifications(body)
    found = [{"type": "header", "text": {"type": "plain_text", "text": subject[:LONGEST_HEADER]}}]
    if not about:
        found.append(_section(escaped(words.plain(body))))
    if body["type"] == "digest":
        lines = [f"• {escaped(words.line(each))}" for each in about[: words.SHOWN_AT_MOST]]
        found.append(_section("\n".join([*_counts(body), *lines, escaped(words.left_out(body))])))
        return {"text": escaped(subject), "blocks": found}
    for each in about[:FULL]:
        found += _blocks(each)
    if rest := about[FULL : words.SHOWN_AT_MOST]:
        found.append(_section("\n".join(f"• {escaped(words.line(each))}" for each in rest)))
    if more := words.left_out(body):
        found.append(_section(escaped(more)))
    return {"text": escaped(subject), "blocks": found}


def _counts(body: Body) -> list[str]:
    return [f"*by {name}*: {escaped(words.counted(counts))}" for name, counts in body["counts"].items()]


def _blocks(notification: Body) -> list[dict[str, Any]]:
    rows = [
        f"*{name}*: {f'`{escaped(value)}`' if name == 'type' else escaped(value)}"
        for name, value in words.facts(notification)
    ]
    return [
        {"type": "divider"},
        _section("\n".join([f"*{escaped(words.headline(notification))}*", *rows])),
        _section(f"<{escaped(str(notification['link']))}|Look at it>") if notification.get("link") else _section("-"),
    ]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:LONGEST_TEXT] or "-"}}


def escaped(text: str) -> str:
    """Text that can neither link nor call anybody: names come from outside."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
