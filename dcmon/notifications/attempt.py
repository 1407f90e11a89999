"""How an attempt to send a message went.

This module is apart from those that send, because importing them takes long and most commands send nothing.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

HTTP_GONE = 410
# Answers after which the same message to the same address is refused again, until a person changes something.
PERMANENT_STATUSES = frozenset({301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410})
# The same of errors without a status: refused by the egress guard, by DNS, by the host, by TLS, or by SMTP (5xx).
PERMANENT_ERRORS = re.compile(
    r"not public|DCMON_WEBHOOKS__ALLOW|DCMON_SMTP__|can't be resolved: |[Cc]onnection refused"
    r"|CERTIFICATE_VERIFY_FAILED|certificate verify failed|can't be decrypted"
    r"|^(The mail server: (it refused \S+ \()?)?5\d\d "
)
# What a receiver says without a status of HTTP: the exit code of a command, or an answer of SMTP.
ANSWERS = re.compile(
    r"^The command (ended with exit code|was killed by signal) "
    r"|^The mail server(:| refused|: it refused) (\S+ \()?[2345]\d\d "
)


def is_permanent(status: int | None, error: str | None) -> bool:
    """Return True if a failed attempt fails again with the same settings: a person has to do something."""
    return status in PERMANENT_STATUSES if status is not None else bool(PERMANENT_ERRORS.search(error or ""))


def is_refusal(status: int | None, error: str | None) -> bool:
    """Return True if a failed attempt reached the receiver, which did not take the message."""
    return status is not None or bool(ANSWERS.search(error or ""))


@dataclass(frozen=True)
class Attempt:
    """How an attempt to send a message went.

    `status`: of an HTTP response. `error`: what went wrong. `retry_after`: how long the receiver asked to wait.
    `is_accepted`: the message was accepted without HTTP. `remaining`: e-mail addresses to try again.
    """

    status: int | None
    error: str | None
    seconds: float = 0.0
    retry_after: timedelta | None = None
    is_accepted: bool = False
    remaining: tuple[str, ...] = ()

    @property
    def is_delivered(self) -> bool:
        return (self.is_accepted and not self.remaining) or (self.status is not None and 200 <= self.status < 300)

    @property
    def is_gone(self) -> bool:
        """True if the receiver asked to get no more messages at all."""
        return self.status == HTTP_GONE
