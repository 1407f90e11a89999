"""Microsoft Teams: a workflow's webhook, as an Adaptive Card. Its URL is the secret."""

import re
from collections.abc import Mapping
from typing import Any

from dcmon import posting
from dcmon.posting import Delivery
from dcmon.receivers import slack, words
from dcmon.receivers.kind import Accepted, Body, Given, Message, To, Ways
from dcmon.receivers.webhook import encode
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
FULL = 5
STYLES = {"critical": "attention", "high": "attention", "medium": "warning", "low": "accent"}
MARKDOWN = re.compile(r"([\\`*_\[\]#])")


def accept(given: Given, settings: Webhooks) -> Accepted:
    """The URL of a workflow "when a Teams webhook request is received"."""
    return slack.accept(given, settings)


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The host: the rest of the URL opens the channel."""
    return slack.shown(url, options)


def send(to: To, message: Message, ways: Ways) -> Delivery:
    """POST a card."""
    headers = {"content-type": "application/json"}
    return posting.deliver(to.url, encode(render(message.body)), headers, ways.webhooks)


def render(body: Body) -> dict[str, Any]:
    """A message that carries one Adaptive Card."""
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": _elements(body),
        "actions": _actions(body),
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _elements(body: Body) -> list[dict[str, Any]]:
    about, full = words.notifications(body), 0 if body["type"] == "digest" else FULL
    found = [_text(words.subject(body), weight="Bolder", size="Medium")]
    if not about:
        return [*found, _text(words.plain(body))]
    if len(about) > 1 or body["type"] == "digest":
        found += [_text(f"by {name}: {words.counted(counts)}") for name, counts in body["counts"].items()]
    found += [_container(each) for each in about[:full]]
    found += [_text(f"- {words.line(each)}") for each in about[full : words.SHOWN_AT_MOST]]
    more = words.left_out(body)
    return [*found, _text(more)] if more else found


def _container(notification: Body) -> dict[str, Any]:
    is_over = words.kind(notification) in words.OVER
    facts = [{"title": name, "value": escaped(value)} for name, value in words.facts(notification)]
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
    return {"type": "TextBlock", "text": escaped(text), "wrap": True, **style}


def escaped(text: str) -> str:
    """Text that is no markdown: names come from outside."""
    return MARKDOWN.sub(r"\\\1", text)
