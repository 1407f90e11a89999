"""How an attempt to send a message went.

This module is apart from those that send, because importing them takes long and most commands send nothing.
"""

from dataclasses import dataclass
from datetime import timedelta

HTTP_GONE = 410


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
