"""E-mail, by the SMTP server that DCMON_SMTP__HOST names: HTML and plain text in one message."""

import html
import re
import smtplib
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, localtime
from typing import Any

from dcmon.errors import InvalidInput
from dcmon.notifications import http_delivery
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import Body, DeliverySettings, DeliveryTarget, Given, Message, StoredAddress
from dcmon.settings import Smtp, Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, False, False
ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\]{1,255}")
NOT_SET = "DCMON_SMTP__HOST is not set: no server takes e-mail."


def accept(given: Given, settings: Webhooks) -> StoredAddress:
    """Addresses of people."""
    addresses = [each.removeprefix("mailto:") for each in given.targets]
    if not addresses:
        raise InvalidInput("Say whom to write to: ann@example.org bob@example.org")
    for each in addresses:
        if not ADDRESS.fullmatch(each) or not each.isascii() or not each.isprintable():
            raise InvalidInput(f"{each!r} is no e-mail address.")
    return StoredAddress("", {"to": list(dict.fromkeys(addresses))})


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The addresses."""
    return ", ".join(options["to"])


def send(to: DeliveryTarget, message: Message, ways: DeliverySettings) -> Attempt:
    """Hand the message to the server. Those of several addresses that it takes nothing for just now are left over."""
    smtp = ways.smtp
    if smtp.host is None:
        return Attempt(None, NOT_SET)
    seconds = ways.webhooks.timeout.total_seconds()
    try:
        with http_delivery.abort_after(seconds) as held:
            refused = _hand_over(smtp, seconds, render(to, message, smtp), held)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return Attempt(None, f"The mail server: {_said(error)}"[:300])
    said = f"The mail server refused {_refused(refused)}." if refused else None
    later = tuple(sorted(each for each, (code, _) in refused.items() if 400 <= code < 500))
    return Attempt(None, said, is_taken=True, left=later)


def _refused(answers: Mapping[str, tuple[int, bytes]]) -> str:
    """Addresses, each with what the server said of it."""
    said = {
        address: " ".join(f"{code} {text.decode('utf-8', 'replace')}".split())
        for address, (code, text) in answers.items()
    }
    return ", ".join(f"{address} ({said[address]})" for address in sorted(said))[:250]


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it refused {_refused(error.recipients)}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return " ".join(f"{error.smtp_code} {said}".split())
    return http_delivery.describe_error(error)


class _Plain(smtplib.SMTP):
    """A connection whose socket is held before the server says anything."""

    held: list[Any]

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        found = socket.create_connection((host, port), timeout)
        self.held.append(found)
        return found


class _Tls(_Plain):
    """The same with TLS from the first byte."""

    context: ssl.SSLContext

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self.context.wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)


def _hand_over(smtp: Smtp, seconds: float, message: EmailMessage, held: list[Any]) -> Mapping[str, tuple[int, bytes]]:
    """A whole session; returns the addresses that were refused."""
    assert smtp.host is not None
    session = (_Tls if smtp.security == "tls" else _Plain)(timeout=seconds)
    session.held, session._host = held, smtp.host  # type: ignore[attr-defined]  # the name for the certificate
    if isinstance(session, _Tls):
        session.context = ssl.create_default_context()
    try:
        code, said = session.connect(smtp.host, smtp.port or {"tls": 465, "none": 25}.get(smtp.security, 587))
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        if smtp.security == "starttls":
            session.starttls(context=ssl.create_default_context())
        if smtp.username is not None:
            session.login(smtp.username, smtp.password.get_secret_value() if smtp.password else "")
        refused = session.send_message(message)
        with suppress(smtplib.SMTPException, OSError):  # it is taken: how the server says goodbye does not matter
            session.quit()
        return refused
    finally:
        session.close()


def render(to: DeliveryTarget, message: Message, smtp: Smtp) -> EmailMessage:
    """A message with both parts. The same id each time: servers and readers drop what they have."""
    made = EmailMessage()
    made["Subject"] = " ".join(message_text.subject(message.body).split())[:200]
    made["From"] = formataddr(("dcmon", smtp.sender)) if "<" not in smtp.sender else smtp.sender
    made["To"] = ", ".join(to.options["to"])
    made["Date"] = format_datetime(localtime())
    made["Message-ID"] = f"<{message.id}@{smtp.sender.rpartition('@')[2].rstrip('>') or 'dcmon'}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(message_text.plain(message.body))
    made.add_alternative(page(message.body), subtype="html")
    return made


def page(body: Body) -> str:
    """A message as HTML."""
    about = message_text.notifications(body)
    counts = [f"by {name}: {message_text.counted(each)}" for name, each in body.get("counts", {}).items()]
    parts = [f"<p>{html.escape(each)}</p>" for each in counts]
    if body["type"] == "digest":
        lines = "".join(
            f"<li>{html.escape(message_text.line(each))}</li>" for each in about[: message_text.SHOWN_AT_MOST]
        )
        parts.append(f"<p>Held back, because more came in a minute than this receiver takes:</p><ul>{lines}</ul>")
    elif about:
        parts += [block(each) for each in about[: message_text.SHOWN_AT_MOST]]
    else:
        parts.append(f"<p>{html.escape(message_text.plain(body))}</p>")
    parts.append(f"<p>{html.escape(message_text.left_out(body))}</p>")
    return f"<html><body style='font-family:sans-serif'>{''.join(parts)}</body></html>"


def block(notification: Body) -> str:
    """What one alert says, as HTML."""
    rows = "".join(
        f"<tr><td style='color:#666;padding-right:1em'>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in message_text.facts(notification)
    )
    link = html.escape(str(notification.get("link") or ""), quote=True)
    return (
        f"<h3 style='border-left:6px solid {message_text.colour(notification)};padding-left:8px'>"
        f"{html.escape(message_text.headline(notification))}</h3><table>{rows}</table>"
        + (f'<p><a href="{link}">Look at it</a></p>' if link else "")
    )
