"""Microsoft Teams: a workflow's webhook, as an Adaptive Card. Its URL is the secret."""

import re
from collections.abc import Mapping
from typing import Any

from dcmon.notifications import http_delivery
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations import slack
from dcmon.notifications.integrations import text as words
from dcmon.notifications.integrations.base import Accepted, Body, Given, Message, To, Ways
from dcmon.notifications.integrations.webhook import encode
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
# Alerts in full, and with those in a line each; the next where a card is larger than Teams takes (28 KB).
SIZES = ((5, words.SHOWN_AT_MOST), (2, words.SHOWN_AT_MOST), (1, 10), (0, 10), (0, 3), (0, 0))
LARGEST, LONGEST_TEXT = 27_000, 1000
STYLES = {"critical": "attention", "high": "attention", "medium": "warning", "low": "accent"}
MARKDOWN = re.compile(r"([\\`*_\[\]#])")


def accept(given: Given, settings: Webhooks) -> Accepted:
    """The URL of a workflow "when a Teams webhook request is received"."""
    return slack.accept(given, settings)


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The host: the rest of the URL opens the channel."""
    return slack.shown(url, options)


def send(to: To, message: Message, ways: Ways) -> Attempt:
    """POST a card."""
    headers = {"content-type": "application/json"}
    return http_delivery.deliver(to.url, encode(render(message.body)), headers, ways.webhooks)


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
    about = words.notifications(body)
    found = [_text(words.subject(body), weight="Bolder", size="Medium")]
    if not about:
        return [*found, _text(words.plain(body))]
    if len(about) > 1 or body["type"] == "digest":
        found += [_text(f"by {name}: {words.counted(counts)}") for name, counts in body["counts"].items()]
    found += [_container(each) for each in about[:full]]
    found += [_text(f"- {words.line(each)}") for each in about[full:listed]]
    more = words.left_out(body, max(full, listed))
    return [*found, _text(more)] if more else found


def _container(notification: Body) -> dict[str, Any]:
    is_over = words.kind(notification) in words.OVER
    facts = [{"title": name, "value": escaped(value[:LONGEST_TEXT])} for name, value in words.facts(notification)]
    return {
        "type": "Container",
        "style": "good" if is_over else STYLES.get(notification["alert"]["severity"], "default"),
        "items": [_text(words.headline(notification), weight="Bolder"), {"type": "FactSet", "facts": facts}],
    }


def _actions(body: Body) -> list[dict[str, Any]]:
    about = words.notifications(body)
    link = about[0].get("link") if len(about) == 1 else None
    return [{"type": "Action.OpenUrl", "title": "Look at it", "url": link}] if link else []


def _text(text: str, **style: str) -> dict[str, Any]:
    return {"type": "TextBlock", "text": escaped(text[:LONGEST_TEXT]), "wrap": True, **style}


def escaped(text: str) -> str:
    """Text that is no markdown: names come from outside."""
    return MARKDOWN.sub(r"\\\1", text)
