"""Apply changes of receivers, mute times and silences."""

from collections.abc import Mapping
from typing import cast

from sqlalchemy.orm import Session

from dcmon import durations
from dcmon.alerting import alert_payload
from dcmon.db.tables.org import Webhook
from dcmon.declarations import stored_receivers
from dcmon.declarations.applying_context import Context, Effects, changed_meanwhile
from dcmon.declarations.changes import Change, is_same
from dcmon.declarations.declared_holds import MuteTimeDeclaration, SilenceDeclaration
from dcmon.declarations.declared_receivers import ReceiverDeclaration
from dcmon.declarations.secret_text import SecretText
from dcmon.declarations.values import parse_time
from dcmon.errors import InvalidInput
from dcmon.notifications import catch_up, mute_times, receivers, signing_secrets, silences
from dcmon.notifications.egress_guard import parse as parse_url
from dcmon.notifications.integrations.base import Address
from dcmon.notifications.mute_times import Schedule
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.notifications.receivers import Subscription
from dcmon.notifications.silences import NewSilence

ADDRESS_KEYS = ("url", "headers", "key", "group", "event_class", "method", "to", "command")


class ReceiverKind:
    """Receivers. A secret that is not known here stays as it is stored."""

    def create(self, context: Context, change: Change) -> Effects:
        """Add a receiver, and notify it of alerts that fire already."""
        declared = cast(ReceiverDeclaration, change.declared)
        address = _address(declared, None, change.name)
        receiver = receivers.add(
            context.session, change.name, address, context.webhooks, _subscription(declared)
        ).receiver
        receiver.description = declared.description
        self._sign(context.session, receiver, declared)
        return {"notifications": catch_up.notify(context.session, _renderer(context), receiver)}

    def change(self, context: Context, change: Change) -> Effects:
        """Rename a receiver, and change its address and what it gets."""
        declared, stored = cast(ReceiverDeclaration, change.declared), cast(ReceiverDeclaration, change.stored)
        session = context.session
        receiver = receivers.find(session, change.former or change.name, is_locked=True)
        current = stored_receivers.of_receiver(session, receiver, "").values()
        if not all(is_same(value, current[name]) for name, value in stored.values().items() if name != "models"):
            raise changed_meanwhile(f"receiver {change.name!r}")
        pending = catch_up.pending_alerts(session, context.org, receiver)
        if change.former is not None:
            receivers.rename(session, receiver, change.name)
        receiver.description = declared.description
        if change.has(*ADDRESS_KEYS):
            receivers.replace_address(receiver, _address(declared, stored, change.name), context.webhooks)
        receivers.set_subscription(session, receiver, _subscription(declared))
        if change.has("signing_secret"):
            self._sign(session, receiver, declared)
        session.flush()
        if not change.has("severities", "models"):
            return {}
        return {"notifications": catch_up.notify(session, _renderer(context), receiver, excluding=pending)}

    def delete(self, context: Context, change: Change) -> Effects:
        """Delete a receiver with its notifications."""
        receivers.delete(context.session, receivers.find(context.session, change.name))
        return {}

    @staticmethod
    def _sign(session: Session, receiver: Webhook, declared: ReceiverDeclaration) -> None:
        secret = declared.signing_secret
        if secret is not None and secret.value is not None:
            receivers.rotate_secret(session, receiver, secret=signing_secrets.parse(secret.value))


def _renderer(context: Context) -> AlertRenderer:
    return AlertRenderer(context.org, context.actor.public_url or "", alert_payload.describe)


def _subscription(declared: ReceiverDeclaration) -> Subscription:
    repeat = durations.parse(declared.repeat) if declared.is_repeated else None
    return Subscription(declared.values()["severities"], declared.models, declared.most_messages, repeat)


def _address(declared: ReceiverDeclaration, stored: ReceiverDeclaration | None, name: str) -> Address:
    """Return the address with its secrets; those that are not known here are those that are stored.

    Headers that are not known here are not sent to another host. Raises InvalidInput if a secret is known nowhere.
    """
    url = _value(declared.url, None if stored is None else stored.url, name)
    keeps_headers = stored is not None and (stored.url is None or _host(url) == _host(stored.url.value))
    old_headers: Mapping[str, SecretText] = stored.headers if stored is not None and keeps_headers else {}
    old_command = [] if stored is None else stored.command or []
    padded = [*old_command, *[None] * len(declared.command or ())]
    command = [_value(text, old, name) or "" for text, old in zip(declared.command or (), padded, strict=False)]
    named = (("group", declared.group), ("class", declared.event_class), ("method", declared.method))
    return Address(
        declared.kind, declared.to or command or ([url] if url else []),
        {header: _value(text, old_headers.get(header), name) or "" for header, text in declared.headers.items()},
        _value(declared.key, None if stored is None else stored.key, name),
        {option: value for option, value in named if value is not None},
    )  # fmt: skip


def _value(declared: SecretText | None, stored: SecretText | None, name: str) -> str | None:
    if declared is None:
        return None
    value = declared.value if declared.value is not None or stored is None else stored.value
    if value is None:
        raise InvalidInput(
            f"Receiver {name!r} needs {declared.missing}, missing here. Set what is missing and apply again."
        )
    return value


def _host(url: str | None) -> str:
    return parse_url(url).host if url else ""


class MuteTimeKind:
    """Mute times."""

    def create(self, context: Context, change: Change) -> Effects:
        """Add a mute time."""
        declared = cast(MuteTimeDeclaration, change.declared)
        mute_times.add(
            context.session, change.name, declared.days, declared.hours, declared.time_zone, declared.matchers
        )
        return {}

    def change(self, context: Context, change: Change) -> Effects:
        """Rename or change a mute time."""
        declared = cast(MuteTimeDeclaration, change.declared)
        mute_time = mute_times.find(context.session, change.former or change.name)
        schedule = Schedule(declared.days, declared.hours, declared.time_zone)
        mute_times.change(context.session, mute_time, change.name, schedule, declared.matchers)
        return {}

    def delete(self, context: Context, change: Change) -> Effects:
        """Delete a mute time; what it holds back is sent."""
        context.session.delete(mute_times.find(context.session, change.name))
        context.session.flush()
        return {}


class SilenceKind:
    """Silences, which never change: they are added and ended."""

    def create(self, context: Context, change: Change) -> Effects:
        """Add a silence."""
        declared = cast(SilenceDeclaration, change.declared)
        begins, ends = parse_time(declared.from_), parse_time(declared.until)
        by = declared.by or context.actor.name
        silence = silences.add(
            context.session, NewSilence(declared.matchers, begins, ends, declared.reason, by), context.now
        )
        return {"alerts held": len(silences.matching_alerts(context.session, silence))}

    def change(self, context: Context, change: Change) -> Effects:
        """Never planned."""
        raise NotImplementedError

    def delete(self, context: Context, change: Change) -> Effects:
        """End a silence now; what it holds back is sent."""
        silences.end(context.session, change.stored_id or 0, context.now)
        return {}
