"""E-mail, through the SMTP server that DCMON_SMTP__HOST names: HTML and plain text in one message."""

import html
import re
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, localtime
from typing import Any

from dcmon.errors import InvalidInput
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
from dcmon.notifications.message_types import MessageType
from dcmon.settings import Smtp, Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\]{1,255}")
NO_SERVER = "No e-mail can be sent: DCMON_SMTP__HOST is not set."
LONGEST_ERROR = 300


def validate(address: Address, settings: Webhooks) -> StoredAddress:
    """Accept e-mail addresses."""
    recipients = [target.removeprefix("mailto:") for target in address.targets]
    if not recipients:
        raise InvalidInput("Give e-mail addresses, like ann@example.org bob@example.org")
    for recipient in recipients:
        if not ADDRESS.fullmatch(recipient) or not recipient.isascii() or not recipient.isprintable():
            raise InvalidInput(f"{recipient!r} is not an e-mail address.")
    return StoredAddress("", {"to": list(dict.fromkeys(recipients))})


def display_address(url: str, options: Mapping[str, Any]) -> str:
    """Return the addresses."""
    return ", ".join(options["to"])


def send(target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
    """Hand the message to the SMTP server. Addresses that it refuses for now remain for another attempt."""
    smtp = settings.smtp
    if smtp.host is None:
        return Attempt(None, NO_SERVER)
    from dcmon.notifications import smtp_delivery

    try:
        email = render(target, message, smtp)
        refused = smtp_delivery.hand_over(smtp, email, settings.webhooks.timeout.total_seconds())
    except smtp_delivery.FAILURES as error:
        return Attempt(None, f"The mail server: {smtp_delivery.describe_error(error)}"[:LONGEST_ERROR])
    error_text = f"The mail server refused {smtp_delivery.describe_refusals(refused)}." if refused else None
    remaining = tuple(sorted(address for address, (code, _) in refused.items() if 400 <= code < 500))
    return Attempt(None, error_text, is_accepted=True, remaining=remaining)


def render(target: DeliveryTarget, message: Message, smtp: Smtp) -> EmailMessage:
    """Render a message with both parts. The Message-ID never changes: mail servers drop a second copy by it."""
    email = EmailMessage()
    email["Subject"] = " ".join(message_text.subject(message.body).split())[:200]
    email["From"] = formataddr(("dcmon", smtp.sender)) if "<" not in smtp.sender else smtp.sender
    email["To"] = ", ".join(target.options["to"])
    email["Date"] = format_datetime(localtime())
    email["Message-ID"] = f"<{message.id}@{smtp.sender.rpartition('@')[2].rstrip('>') or 'dcmon'}>"
    email["Auto-Submitted"] = "auto-generated"
    email.set_content(message_text.plain(message.body))
    email.add_alternative(page(message.body), subtype="html")
    return email


def page(body: Body) -> str:
    """Render a message as HTML."""
    notifications = message_text.notifications(body)
    shown = notifications[: message_text.SHOWN_AT_MOST]
    parts = [f"<p>{html.escape(line)}</p>" for line in message_text.count_lines(body)]
    if body["type"] == MessageType.DIGEST:
        lines = "".join(f"<li>{html.escape(message_text.line(notification))}</li>" for notification in shown)
        parts.append(f"<p>{html.escape(message_text.DIGEST_INTRO)}</p><ul>{lines}</ul>")
    elif notifications:
        parts += [block(notification) for notification in shown]
    else:
        parts.append(f"<p>{html.escape(message_text.plain(body))}</p>")
    parts.append(f"<p>{html.escape(message_text.omitted(body))}</p>")
    return f"<html><body style='font-family:sans-serif'>{''.join(parts)}</body></html>"


def block(notification: Body) -> str:
    """Render one alert as HTML."""
    rows = "".join(
        f"<tr><td style='color:#666;padding-right:1em'>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in message_text.detail_rows(notification)
    )
    link = html.escape(str(notification.get("link") or ""), quote=True)
    return (
        f"<h3 style='border-left:6px solid {message_text.colour(notification)};padding-left:8px'>"
        f"{html.escape(message_text.headline(notification))}</h3><table>{rows}</table>"
        + (f'<p><a href="{link}">{message_text.LINK_TEXT}</a></p>' if link else "")
    )
