"""Hand e-mails to an SMTP server that is not trusted: the session is limited in time."""

import smtplib
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from typing import Any

from dcmon.notifications import http_delivery
from dcmon.settings import Smtp

PORTS = {"tls": 465, "starttls": 587, "none": 25}
LONGEST_REFUSAL = 250
FAILURES = (smtplib.SMTPException, OSError, ValueError)


def hand_over(smtp: Smtp, email: EmailMessage, seconds: float) -> Mapping[str, tuple[int, bytes]]:
    """Hand an e-mail to the server within this time.

    Returns the addresses that were refused, with the server's responses. Raises one of FAILURES.
    """
    with http_delivery.abort_after(seconds) as sockets:
        return _run_session(smtp, seconds, email, sockets)


def describe_refusals(responses: Mapping[str, tuple[int, bytes]]) -> str:
    """Return refused addresses, each with the server's response."""
    texts = {
        address: " ".join(f"{code} {response.decode('utf-8', 'replace')}".split())
        for address, (code, response) in responses.items()
    }
    return ", ".join(f"{address} ({texts[address]})" for address in sorted(texts))[:LONGEST_REFUSAL]


def describe_error(error: Exception) -> str:
    """Return a failure as one line."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it refused {describe_refusals(error.recipients)}"
    if isinstance(error, smtplib.SMTPResponseException):
        response = error.smtp_error
        response = response.decode("utf-8", "replace") if isinstance(response, bytes) else response
        return " ".join(f"{error.smtp_code} {response}".split())
    return http_delivery.describe_error(error)


class _PlainConnection(smtplib.SMTP):
    """A connection that registers its socket with `abort_after` before the server's first response."""

    sockets: list[Any]

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connected = socket.create_connection((host, port), timeout)
        self.sockets.append(connected)
        return connected


class _TlsConnection(_PlainConnection):
    """A connection that registers its socket, with TLS from the first byte."""

    context: ssl.SSLContext

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self.context.wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)


def _run_session(
    smtp: Smtp, seconds: float, message: EmailMessage, sockets: list[Any]
) -> Mapping[str, tuple[int, bytes]]:
    """Run an SMTP session; return the addresses that were refused, with the server's responses."""
    assert smtp.host is not None
    session = (_TlsConnection if smtp.security == "tls" else _PlainConnection)(timeout=seconds)
    session.sockets = sockets
    session._host = smtp.host  # type: ignore[attr-defined]  # starttls checks the certificate for this name.
    if isinstance(session, _TlsConnection):
        session.context = ssl.create_default_context()
    try:
        code, response = session.connect(smtp.host, smtp.port or PORTS.get(smtp.security, PORTS["starttls"]))
        if code != 220:
            raise smtplib.SMTPConnectError(code, response)
        if smtp.security == "starttls":
            session.starttls(context=ssl.create_default_context())
        if smtp.username is not None:
            session.login(smtp.username, smtp.password.get_secret_value() if smtp.password else "")
        refused = session.send_message(message)
        with suppress(smtplib.SMTPException, OSError):  # The message is accepted: the end of the session can't undo it.
            session.quit()
        return refused
    finally:
        session.close()
