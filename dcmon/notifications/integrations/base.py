"""The parts that every integration has: an address, a target, and functions to send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dcmon.notifications.attempt import Attempt
from dcmon.privileges import Account
from dcmon.settings import Smtp, Webhooks
from dcmon.states import ReceiverKind

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Address:
    """A receiver's address as an operator typed it.

    `targets`: a URL, e-mail addresses, or a program and its arguments. `key`: PagerDuty's integration key. `options`:
    further settings of this kind of receiver.
    """

    kind: str = ReceiverKind.WEBHOOK
    targets: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredAddress:
    """A validated address, in the parts that are stored.

    `credentials` are never shown again, nor are the parts of the URL that `display_address` leaves out.
    """

    url: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeliveryTarget:
    """Where a message goes.

    `secrets` sign it: the newest first, then the previous one for a day after a rotation. `unreadable`: why the
    receiver's secrets can't be decrypted; then nothing can be sent.
    """

    kind: str
    name: str
    url: str
    secrets: tuple[bytes, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    unreadable: str | None = None


@dataclass(frozen=True)
class Message:
    """A message to send. The id is the same in each attempt; docs/notifications.md describes the body."""

    id: str
    body: Body


@dataclass(frozen=True)
class DeliverySettings:
    """The operator's settings for sending; `user`: the user that commands run as, None: the user of this process."""

    webhooks: Webhooks = field(default_factory=Webhooks)
    smtp: Smtp = field(default_factory=Smtp)
    user: Account | None = None


class Integration(Protocol):
    """The functions and constants that each module of an integration has.

    `IS_PER_ALERT`: the service keeps a state for each alert, so alerts are not grouped, and the end of an alert is
    never held back. `IS_LOCAL`: it runs on this machine, so only an operator of the machine may add one. `IS_SIGNED`:
    messages are signed with a secret.
    """

    IS_PER_ALERT: bool
    IS_LOCAL: bool
    IS_SIGNED: bool

    def validate(self, address: Address, settings: Webhooks) -> StoredAddress:
        """Check an address. Raises InvalidInput."""

    def display_address(self, url: str, options: Mapping[str, Any]) -> str:
        """Return the address without its secrets."""

    def send(self, target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
        """Send a message within the timeout of the settings. Never raises."""
