"""Receivers of notifications: webhooks and the other integrations, with their addresses and subscriptions.

Only `add` and `rotate_secret` return a secret, the new signing secret; no function shows one later.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from dcmon import durations, errors, severity
from dcmon.db import encryption
from dcmon.db.tables.org import Model, Notification, Webhook
from dcmon.notifications import (
    egress_guard,
    notification_conditions,
    notification_levels,
    receiver_addresses,
    signing_secrets,
)
from dcmon.notifications.integrations import registry
from dcmon.notifications.integrations.base import Address, DeliveryTarget
from dcmon.settings import Webhooks
from dcmon.severity import Severity

DEFAULT_CAP, DEFAULT_REPEAT = 20, timedelta(hours=24)
OLD_SECRET_LIFETIME = timedelta(hours=24)
SHORTEST_REPEAT = timedelta(minutes=5)
LONGEST_NAME = 100


class ReceiverState(StrEnum):
    """The delivery state of a receiver. ASKED_TO_WAIT: its last response had a Retry-After."""

    ACTIVE = "active"
    PAUSED = "paused"
    ASKED_TO_WAIT = "asked to wait"


@dataclass(frozen=True)
class Subscription:
    """Which notifications a receiver gets and how often.

    `severities`: None stands for all. `models`: names; None stands for all. `cap`: messages a minute; None stands for
    any number. `repeat_every`: None stands for never.
    """

    severities: Sequence[str] | None = None
    models: Sequence[str] | None = None
    cap: int | None = DEFAULT_CAP
    repeat_every: timedelta | None = DEFAULT_REPEAT


@dataclass(frozen=True)
class DeliveryCounts:
    """The counts of a receiver's open notifications, and its last delivery.

    `waiting`: notifications that wait. `dead`: notifications that were given up.
    """

    waiting: int = 0
    dead: int = 0
    delivered_at: datetime | None = None
    last_error: str | None = None


class AddedReceiver(NamedTuple):
    """A receiver that was added, with its signing secret.

    `secret`: whsec_…, or "" where messages are not signed.
    """

    receiver: Webhook
    secret: str


def add(
    session: Session,
    name: str,
    address: str | Address,
    settings: Webhooks,
    subscription: Subscription | None = None,
) -> AddedReceiver:
    """Add a receiver; an address that is a string is the URL of a webhook.

    Without severities in the subscription it gets those that were chosen for such receivers, else all.
    Raises InvalidInput, ModelNotFound or Conflict.
    """
    require_name(name)
    address = Address(targets=[address]) if isinstance(address, str) else address
    integration = registry.find(address.kind)
    stored = integration.validate(address, settings)
    _require_free_name(session, name)
    subscription = subscription or Subscription()
    if subscription.severities is None:
        subscription = replace(subscription, severities=notification_levels.of_new_receiver(session, address.kind))
    secret = secrets.token_bytes(32) if integration.IS_SIGNED else b""
    receiver = Webhook(name=name, kind=address.kind, url=stored.url, secret=secret, severities=list(Severity))
    receiver.options, receiver.credentials = stored.options, stored.credentials
    session.add(receiver)
    session.flush()  # Inserted before the subscription is set: an INSERT replaces null by the column's default.
    set_subscription(session, receiver, subscription)
    session.flush()
    return AddedReceiver(receiver, signing_secrets.to_text(secret))


def require_name(name: str) -> None:
    """Raise InvalidInput if a receiver can't have a name."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise errors.InvalidInput(f"A receiver's name has 1 to {LONGEST_NAME} printable characters.")


def _require_free_name(session: Session, name: str) -> None:
    require_name(name)
    if session.scalar(select(Webhook.id).where(Webhook.name == name)):
        raise errors.Conflict(f'There is a receiver {name!r} already. Change it with "dcmon receiver set".')


def set_subscription(session: Session, receiver: Webhook, subscription: Subscription) -> None:
    """Change which notifications a receiver gets. Raises InvalidInput or ModelNotFound."""
    severities = list(Severity) if subscription.severities is None else subscription.severities
    for name in severities:
        severity.parse(name)
    if subscription.cap is not None and subscription.cap < 1:
        raise errors.InvalidInput('A cap is a number of messages a minute, from 1 on, or "none".')
    if subscription.repeat_every is not None and subscription.repeat_every < SHORTEST_REPEAT:
        shortest = durations.to_text(SHORTEST_REPEAT)
        raise errors.InvalidInput(f"A notification can't be repeated more often than every {shortest}.")
    if set(severities) != set(receiver.severities):  # else their order stays as it was chosen
        receiver.severities = [level for level in Severity if level in severities]
    models = subscription.models
    receiver.model_ids = None if models is None else [_model_id(session, name) for name in models]
    receiver.cap, receiver.repeat_every = subscription.cap, subscription.repeat_every


def subscription(session: Session, receiver: Webhook) -> Subscription:
    """Return which notifications a receiver gets."""
    return Subscription(receiver.severities, _model_names(session, receiver), receiver.cap, receiver.repeat_every)


def rename(session: Session, receiver: Webhook, name: str) -> None:
    """Rename a receiver. Raises InvalidInput or Conflict."""
    if name != receiver.name:
        _require_free_name(session, name)
    receiver.name = name
    session.flush()


def clear_headers(receiver: Webhook) -> None:
    """Remove the headers of a receiver's own."""
    names = receiver.options.get("headers", ())
    receiver.credentials = {name: value for name, value in receiver.credentials.items() if name not in names}
    receiver.options = {**receiver.options, "headers": []}


def set_address(receiver: Webhook, address: Address, settings: Webhooks) -> None:
    """Change a receiver's address. Raises InvalidInput.

    Parts that are empty in `address` do not change. Messages that wait go to the new address. Headers are not kept for
    another host: they may hold a token that is meant for the old host only.
    """
    if address.kind != receiver.kind:
        raise errors.InvalidInput(
            f"Receiver {receiver.name!r} is of kind {receiver.kind}, which can't change. "
            'Delete it with "dcmon receiver delete" and add another.'
        )
    old = receiver_addresses.readable(receiver)
    options, credentials = old.options, old.credentials
    old_targets: list[str] = options.get("to") or options.get("argv") or ([old.url] if old.url else [])
    is_same_host = not address.targets or _host(address.targets[0]) == _host(old.url)
    old_headers = {str(name): credentials[name] for name in options.get("headers", ())} if is_same_host else {}
    old_options: dict[str, str] = {name: options[name] for name in ("group", "class", "method") if name in options}
    merged = Address(
        receiver.kind,
        address.targets or old_targets,
        address.headers or old_headers,
        address.key or credentials.get("routing_key"),
        old_options | dict(address.options),
    )
    stored = registry.find(receiver.kind).validate(merged, settings)
    receiver.url, receiver.options, receiver.credentials = stored.url, stored.options, stored.credentials


def replace_address(receiver: Webhook, address: Address, settings: Webhooks) -> None:
    """Replace a receiver's whole address by another one of its kind. Raises InvalidInput."""
    stored = registry.find(receiver.kind).validate(address, settings)
    receiver.url, receiver.options, receiver.credentials = stored.url, stored.options, stored.credentials


def _host(url: str) -> str:
    return egress_guard.parse(url).host if url.startswith("http") else ""


def _model_id(session: Session, name: str) -> int:
    model_id = session.scalar(select(Model.id).where(Model.name == name))
    if model_id is None:
        raise errors.ModelNotFound(name=name, known=session.scalars(select(Model.name)))
    return model_id


def _model_names(session: Session, receiver: Webhook) -> list[str] | None:
    if receiver.model_ids is None:
        return None
    return list(session.scalars(select(Model.name).where(Model.id.in_(receiver.model_ids)).order_by(Model.name)))


def remove_model(session: Session, model_id: int) -> None:
    """Remove a deleted model from all subscriptions.

    A subscription that is empty afterwards stays empty: it never becomes one to all models.
    """
    # Locked, so that a change of the same subscription is not lost, and in the order of ids, to avoid deadlocks.
    for receiver in session.scalars(select(Webhook).order_by(Webhook.id).with_for_update()):
        if receiver.model_ids is not None and model_id in receiver.model_ids:
            receiver.model_ids = [other_id for other_id in receiver.model_ids if other_id != model_id]
    session.flush()


def entries(session: Session) -> list[Webhook]:
    """Return all receivers, by name."""
    return list(session.scalars(select(Webhook).order_by(Webhook.name)))


def find(session: Session, name: str, *, is_locked: bool = False) -> Webhook:
    """Return the receiver of that name. Raises ReceiverNotFound.

    `is_locked`: another transaction can't change it before this one ends. Lock a receiver to change it: new values
    depend on its old ones, and a second change at the same time would be lost.
    """
    statement = select(Webhook).where(Webhook.name == name)
    if is_locked:
        statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    receiver = session.scalar(statement)
    if receiver is None:
        raise errors.ReceiverNotFound(name=name, known=session.scalars(select(Webhook.name)))
    return receiver


def delete(session: Session, receiver: Webhook) -> None:
    """Delete a receiver, with the notifications that were not delivered to it."""
    session.delete(receiver)
    session.flush()


def is_subscribed(receiver: Webhook, alert_severity: str, model_id: int | None) -> bool:
    """True if a receiver gets alerts of this severity and model."""
    return alert_severity in receiver.severities and (receiver.model_ids is None or model_id in receiver.model_ids)


def rotate_secret(
    session: Session, receiver: Webhook, *, now: datetime | None = None, secret: bytes | None = None
) -> str:
    """Set a new signing secret and return it; None: a random one. Raises InvalidInput.

    For a day, the old secret also signs, if it can be decrypted.
    """
    if not registry.find(receiver.kind).IS_SIGNED:
        raise errors.InvalidInput(
            f"Receiver {receiver.name!r} is of kind {receiver.kind}: its messages have no signature."
        )
    try:
        receiver.old_secret = receiver.secret
    except errors.SecretUnreadable:
        receiver.old_secret = None
    receiver.secret = secrets.token_bytes(32) if secret is None else secret
    receiver.old_secret_until = (now or database_time(session)) + OLD_SECRET_LIFETIME
    session.flush()
    return signing_secrets.to_text(receiver.secret)


def renew_encryption(session: Session) -> int:
    """Encrypt the secrets of all receivers with the newest key; return how many receivers changed.

    Raises SecretUnreadable if a secret is encrypted with a key that this process does not have.
    """
    stored = session.scalars(select(Webhook).order_by(Webhook.id).with_for_update()).all()
    return sum(map(encryption.renew, stored))


def delivery_target(receiver: Webhook, now: datetime, recipients: Sequence[str] | None = None) -> DeliveryTarget:
    """Return where messages to a receiver go, with its secrets.

    `recipients`: only these of its e-mail addresses. Where the secrets can't be decrypted, the target says so: sending
    to it fails, and other receivers get their messages.
    """
    try:
        return _readable_target(receiver, now, recipients)
    except errors.SecretUnreadable as error:
        return DeliveryTarget(receiver.kind, receiver.name, "", unreadable=str(error))


def _readable_target(receiver: Webhook, now: datetime, recipients: Sequence[str] | None) -> DeliveryTarget:
    has_old_secret = receiver.old_secret is not None and receiver.old_secret_until is not None
    is_old_valid = has_old_secret and now < (receiver.old_secret_until or now)
    signing = [bytes(receiver.secret), *([bytes(receiver.old_secret or b"")] if is_old_valid else [])]
    options = receiver.options
    if remaining := [email for email in options.get("to", ()) if email in (recipients or ())]:
        options = {**options, "to": remaining}
    return DeliveryTarget(receiver.kind, receiver.name, receiver.url, tuple(signing), options, receiver.credentials)


def pause(session: Session, receiver: Webhook, until: datetime | None, reason: str | None = None) -> None:
    """Pause a receiver until a moment (None: until it is resumed). Its notifications wait."""
    receiver.paused_at, receiver.paused_until, receiver.paused_because = func.now(), until, reason
    session.flush()
    session.refresh(receiver)


def resume(session: Session, receiver: Webhook) -> int:
    """End a pause and make all waiting notifications due now; return how many wait.

    All their attempts begin again.
    """
    receiver.paused_at = receiver.paused_until = receiver.paused_because = receiver.not_before = None
    session.flush()
    resumed = session.execute(
        text(
            "update notifications set due_at = now(), tried_at = null, attempts = 0"
            " where webhook_id = :webhook and delivered_at is null and dead_at is null"
            " and (lease_until is null or lease_until < now())"
        ),
        {"webhook": receiver.id},
    )
    return int(resumed.rowcount)  # type: ignore[attr-defined]


def is_paused(receiver: Webhook, now: datetime) -> bool:
    """True if the receiver is paused now."""
    return receiver.paused_at is not None and (receiver.paused_until is None or now < receiver.paused_until)


def state(receiver: Webhook, now: datetime) -> ReceiverState:
    """Return whether a receiver gets messages now."""
    if is_paused(receiver, now):
        return ReceiverState.PAUSED
    is_asked_to_wait = receiver.not_before is not None and now < receiver.not_before
    return ReceiverState.ASKED_TO_WAIT if is_asked_to_wait else ReceiverState.ACTIVE


def database_time(session: Session) -> datetime:
    """Return PostgreSQL's time, which all workers share."""
    now: datetime = session.scalar(text("select now()"))
    return now


def delivery_counts(session: Session) -> dict[int, DeliveryCounts]:
    """Return the delivery counts of each receiver, by the receiver's id."""
    rows = session.execute(
        select(
            Notification.webhook_id,
            func.count().filter(notification_conditions.is_open()),
            func.count().filter(notification_conditions.is_given_up()),
            func.max(Notification.delivered_at),
        ).group_by(Notification.webhook_id)
    )
    last_errors = _last_errors(session)
    return {id_: DeliveryCounts(waiting, dead, at, last_errors.get(id_)) for id_, waiting, dead, at in rows}


def _last_errors(session: Session) -> dict[int, str]:
    """Return the error of each receiver whose newest attempt failed, by the receiver's id."""
    statement = (
        "select distinct on (webhook_id) webhook_id, delivered_at, last_error from notifications"
        " where tried_at is not null and not is_superseded order by webhook_id, tried_at desc, position desc"
    )
    return {row.webhook_id: row.last_error for row in session.execute(text(statement)) if row.delivered_at is None}


def row(session: Session, receiver: Webhook, counts: DeliveryCounts, now: datetime) -> dict[str, Any]:
    """Return a receiver as a row for an output, without its secrets."""
    has_old_secret = receiver.old_secret_until is not None and now < receiver.old_secret_until
    is_paused_now = is_paused(receiver, now)
    return {
        "name": receiver.name,
        "kind": receiver.kind,
        "to": receiver_addresses.shown(receiver),
        "severities": receiver.severities,
        "models": _model_names(session, receiver),
        "cap": receiver.cap,
        "repeat": receiver.repeat_every,
        "options": receiver_addresses.shown_options(receiver),
        "state": state(receiver, now),
        "paused_until": receiver.paused_until if is_paused_now else None,
        "paused_because": receiver.paused_because if is_paused_now else None,
        "old_secret_until": receiver.old_secret_until if has_old_secret else None,
        "waiting": counts.waiting,
        "dead": counts.dead,
        "last_delivery": counts.delivered_at,
        "last_error": counts.last_error,
        "created_at": receiver.created_at,
    }
