"""What a kind of receiver is: it takes what an operator typed, shows it without secrets, and sends a message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dcmon.notifications.http_delivery import Attempt
from dcmon.settings import Smtp, Webhooks

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """What an operator typed: a URL, addresses or a command; headers; a key; choices of the kind."""

    targets: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    choices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredAddress:
    """What is kept of it. `credentials` are never shown again, nor is what `shown` leaves out of the URL."""

    url: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeliveryTarget:
    """Where a message goes. `secrets` sign: the newest first, and the one before it for a day."""

    kind: str
    name: str
    url: str
    secrets: tuple[bytes, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """What is sent; the id is the same each time it is tried. See docs/notifications.md for the body."""

    id: str
    body: Body


@dataclass(frozen=True)
class DeliverySettings:
    """What the operator set about sending."""

    webhooks: Webhooks = field(default_factory=Webhooks)
    smtp: Smtp = field(default_factory=Smtp)


class Integration(Protocol):
    """A module of this package.

    `IS_PER_ALERT`: it keeps a state for each alert, so alerts are not grouped, and the end of one wakes nobody.
    `IS_LOCAL`: it runs on this machine, so only its operator may add one.
    `IS_SIGNED`: it has a signing secret.
    """

    IS_PER_ALERT: bool
    IS_LOCAL: bool
    IS_SIGNED: bool

    def accept(self, given: Given, settings: Webhooks) -> StoredAddress:
        """Check what was typed. Raises InvalidInput."""

    def shown(self, url: str, options: Mapping[str, Any]) -> str:
        """Where it is, for a person's eyes."""

    def send(self, to: DeliveryTarget, message: Message, ways: DeliverySettings) -> Attempt:
        """Send a message, within the time that settings give. Never raises."""
