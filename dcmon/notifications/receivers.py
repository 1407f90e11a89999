"""Receivers of notifications: webhooks, and whatever else notifications.integrations knows.

What is secret is never shown.
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from dcmon import durations, errors, severity
from dcmon.db.tables.org import Model, Notification, Webhook
from dcmon.notifications import egress_guard, integrations
from dcmon.notifications.integrations.base import DeliveryTarget, Given
from dcmon.settings import Webhooks
from dcmon.severity import Severity

CAP, REPEAT_EVERY = 20, timedelta(hours=24)
OLD_SECRET_COUNTS = timedelta(hours=24)
SHORTEST_REPEAT = timedelta(minutes=5)


@dataclass(frozen=True)
class Subscription:
    """What is chosen about a receiver of any kind. None of `models`: all; of `cap`, `repeat_every`: none."""

    severities: Sequence[str] = ()
    models: Sequence[str] | None = None
    cap: int | None = CAP
    repeat_every: timedelta | None = REPEAT_EVERY


@dataclass(frozen=True)
class DeliveryCounts:
    """What became of a receiver's notifications."""

    waiting: int = 0
    dead: int = 0
    delivered_at: datetime | None = None
    last_error: str | None = None


@dataclass(frozen=True)
class Address:
    """Where a receiver of a kind is, as it is typed: see dcmon.notifications.integrations.base."""

    kind: str = "webhook"
    targets: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    choices: Mapping[str, str] = field(default_factory=dict)


def add(
    session: Session, name: str, where: str | Address, severities: Sequence[str], settings: Webhooks,
    choices: Subscription | None = None,
) -> tuple[Webhook, str]:  # fmt: skip
    """Add a receiver: a URL is a webhook. Its signing secret (whsec_…, or "") is given back once.

    Raises InvalidInput, ModelNotFound or Conflict.
    """
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise errors.InvalidInput("A receiver's name has 1 to 100 characters that can be printed.")
    where = Address(targets=[where]) if isinstance(where, str) else where
    kind = integrations.find(where.kind)
    accepted = kind.accept(Given(where.targets, where.headers, where.key, where.choices), settings)
    if session.scalar(select(Webhook.id).where(Webhook.name == name)):
        raise errors.Conflict(f'There is a receiver {name!r} already. "dcmon webhook set" changes it.')
    secret = secrets.token_bytes(32) if kind.IS_SIGNED else b""
    webhook = Webhook(name=name, kind=where.kind, url=accepted.url, secret=secret, severities=list(Severity))
    webhook.options, webhook.credentials = accepted.options, accepted.credentials
    session.add(webhook)
    session.flush()  # first: where nothing is chosen, a new row would get the column's default
    set_subscription(session, webhook, choices or Subscription(severities))
    session.flush()
    set_subscription(
        session, webhook, choices or Subscription(severities)
    )  # after the insert, in which null would be the default
    session.flush()
    return webhook, _written(secret)


def _written(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode() if secret else ""


def set_subscription(session: Session, webhook: Webhook, choices: Subscription) -> None:
    """Set what is chosen about a receiver. Raises InvalidInput or ModelNotFound."""
    for name in choices.severities:
        severity.parse(name)
    if choices.cap is not None and choices.cap < 1:
        raise errors.InvalidInput("A cap is a number of messages a minute above 0, or none.")
    if choices.repeat_every is not None and choices.repeat_every < SHORTEST_REPEAT:
        raise errors.InvalidInput(f"What still fires is repeated every {durations.to_text(SHORTEST_REPEAT)} at most.")
    webhook.severities = [each for each in Severity if each in choices.severities] or list(Severity)
    webhook.model_ids = None if choices.models is None else [_model_id(session, each) for each in choices.models]
    webhook.cap, webhook.repeat_every = choices.cap, choices.repeat_every


def subscription(session: Session, webhook: Webhook) -> Subscription:
    """What is chosen about a receiver now."""
    return Subscription(webhook.severities, _models(session, webhook), webhook.cap, webhook.repeat_every)


def set_address(webhook: Webhook, where: Address, settings: Webhooks) -> None:
    """Give a receiver another address of its kind; what waits goes there. What is not said stays. Raises InvalidInput.

    A header is not kept for another host: it may be a token, and not meant for it.
    """
    if where.kind != webhook.kind:
        raise errors.InvalidInput(f"{webhook.name!r} is of kind {webhook.kind}: delete it, and add another.")
    options, old = webhook.options, webhook.credentials
    before: list[str] = options.get("to") or options.get("argv") or [webhook.url]
    is_same_host = not where.targets or _host(where.targets[0]) == _host(webhook.url)
    kept = {str(name): old[name] for name in options.get("headers", ())} if is_same_host else {}
    choices: dict[str, str] = {name: options[name] for name in ("group", "class") if name in options}
    given = Given(
        where.targets or before,
        where.headers or kept,
        where.key or old.get("routing_key"),
        choices | dict(where.choices),
    )
    accepted = integrations.find(webhook.kind).accept(given, settings)
    webhook.url, webhook.options, webhook.credentials = accepted.url, accepted.options, accepted.credentials


def _host(url: str) -> str:
    return egress_guard.parse(url).host if url.startswith("http") else ""


def _model_id(session: Session, name: str) -> int:
    found = session.scalar(select(Model.id).where(Model.name == name))
    if found is None:
        raise errors.ModelNotFound(name=name)
    return found


def _models(session: Session, webhook: Webhook) -> list[str] | None:
    if webhook.model_ids is None:
        return None
    return list(session.scalars(select(Model.name).where(Model.id.in_(webhook.model_ids)).order_by(Model.name)))


def remove_model(session: Session, model_id: int) -> None:
    """Take a model that is deleted out of all choices. What is left of one may be none, and is never all models."""
    for webhook in session.scalars(select(Webhook).order_by(Webhook.id).with_for_update()):
        if webhook.model_ids is not None and model_id in webhook.model_ids:
            webhook.model_ids = [each for each in webhook.model_ids if each != model_id]
    session.flush()


def entries(session: Session) -> list[Webhook]:
    """All receivers, by name."""
    return list(session.scalars(select(Webhook).order_by(Webhook.name)))


def find(session: Session, name: str) -> Webhook:
    """The receiver of that name. Raises NotFound."""
    webhook = session.scalar(select(Webhook).where(Webhook.name == name))
    if webhook is None:
        raise errors.WebhookNotFound(name=name)
    return webhook


def delete(session: Session, webhook: Webhook) -> None:
    """Delete a receiver; what was not delivered to it yet goes with it."""
    session.delete(webhook)
    session.flush()


def is_subscribed(webhook: Webhook, severity: str, model_id: int | None) -> bool:
    """Whether a receiver is told of alerts like this one."""
    return severity in webhook.severities and (webhook.model_ids is None or model_id in webhook.model_ids)


def rotate_secret(session: Session, webhook: Webhook, *, now: datetime | None = None) -> str:
    """Draw a new signing secret, given back once; the old one signs too for a day. Raises InvalidInput."""
    if not integrations.find(webhook.kind).IS_SIGNED:
        raise errors.InvalidInput(f"{webhook.name!r} is of kind {webhook.kind}, whose messages are not signed.")
    webhook.old_secret, webhook.secret = webhook.secret, secrets.token_bytes(32)
    webhook.old_secret_until = (now or database_time(session)) + OLD_SECRET_COUNTS
    session.flush()
    return _written(webhook.secret)


def delivery_target(webhook: Webhook, now: datetime, left_to: Sequence[str] | None = None) -> DeliveryTarget:
    """Where messages go, with what signs and opens; `left_to`: only to these of several people."""
    is_old_good = webhook.old_secret is not None and webhook.old_secret_until is not None
    is_old_good = is_old_good and now < (webhook.old_secret_until or now)
    signing = [bytes(webhook.secret), *([bytes(webhook.old_secret or b"")] if is_old_good else [])]
    options, people = webhook.options, webhook.options.get("to", ())
    if left := [each for each in people if each in (left_to or ())]:
        options = {**options, "to": left}
    return DeliveryTarget(webhook.kind, webhook.name, webhook.url, tuple(signing), options, webhook.credentials)


def pause(session: Session, webhook: Webhook, until: datetime | None, because: str | None = None) -> None:
    """Send nothing until a moment (None: until it is resumed): what comes waits."""
    webhook.paused_at, webhook.paused_until, webhook.paused_because = func.now(), until, because
    session.flush()
    session.refresh(webhook)


def resume(session: Session, webhook: Webhook) -> int:
    """Send again, at once, what waited: with all its time before it is given up. Returns how much waits."""
    webhook.paused_at = webhook.paused_until = webhook.paused_because = webhook.not_before = None
    session.flush()
    freed = session.execute(
        text(
            "update notifications set due_at = now(), tried_at = null, attempts = 0"
            " where webhook_id = :webhook and delivered_at is null and dead_at is null"
            " and (lease_until is null or lease_until < now())"
        ),
        {"webhook": webhook.id},
    )
    return int(freed.rowcount)  # type: ignore[attr-defined]


def is_paused(webhook: Webhook, now: datetime) -> bool:
    """Whether nothing is sent just now."""
    return webhook.paused_at is not None and (webhook.paused_until is None or now < webhook.paused_until)


def database_time(session: Session) -> datetime:
    """PostgreSQL's time, which all workers share."""
    found: datetime = session.scalar(text("select now()"))
    return found


def delivery_counts(session: Session) -> dict[int, DeliveryCounts]:
    """What became of each receiver's notifications, by its id."""
    is_open = Notification.delivered_at.is_(None) & Notification.dead_at.is_(None)
    is_dead = Notification.dead_at.is_not(None) & ~Notification.is_superseded
    found = session.execute(
        select(
            Notification.webhook_id,
            func.count().filter(is_open),
            func.count().filter(is_dead),
            func.max(Notification.delivered_at),
        ).group_by(Notification.webhook_id)
    )
    errors_now = _errors(session)
    return {id_: DeliveryCounts(open_, dead, at, errors_now.get(id_)) for id_, open_, dead, at in found}


def _errors(session: Session) -> dict[int, str]:
    """What kept each receiver's newest tried notification from being delivered, where something did."""
    statement = (
        "select distinct on (webhook_id) webhook_id, delivered_at, last_error from notifications"
        " where tried_at is not null and not is_superseded order by webhook_id, tried_at desc, position desc"
    )
    return {row.webhook_id: row.last_error for row in session.execute(text(statement)) if row.delivered_at is None}


def row(session: Session, webhook: Webhook, counted: DeliveryCounts, now: datetime) -> dict[str, Any]:
    """A receiver as a row for an output: nothing secret in it."""
    options = {key: value for key, value in webhook.options.items() if key not in ("argv", "to")}
    is_rotating = webhook.old_secret_until is not None and now < webhook.old_secret_until
    return {
        "name": webhook.name,
        "kind": webhook.kind,
        "to": integrations.find(webhook.kind).shown(webhook.url, webhook.options),
        "severities": webhook.severities,
        "models": _models(session, webhook),
        "cap": webhook.cap,
        "repeat": webhook.repeat_every,
        "options": options,
        "state": state(webhook, now),
        "paused_until": webhook.paused_until if is_paused(webhook, now) else None,
        "paused_because": webhook.paused_because if is_paused(webhook, now) else None,
        "old_secret_until": webhook.old_secret_until if is_rotating else None,
        "waiting": counted.waiting,
        "dead": counted.dead,
        "last_delivery": counted.delivered_at,
        "last_error": counted.last_error,
        "created_at": webhook.created_at,
    }


def state(webhook: Webhook, now: datetime) -> str:
    """One of: active, paused, asked to wait."""
    if is_paused(webhook, now):
        return "paused"
    return "asked to wait" if webhook.not_before is not None and now < webhook.not_before else "active"
