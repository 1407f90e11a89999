"""Notifications: written in the transaction that moves an alert, listed, and tried again.

notifications.outbox sends them.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, String, and_, cast, select, text
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Alert, Notification, Version, Webhook
from dcmon.notifications import receivers

FORMAT = 1  # of a message's body: grows when a key changes its meaning or goes
ENDS = ("resolved", "retracted")
ONLY_TO_THE_TOLD = ("acknowledged", *ENDS)  # no news to who never heard of the alert
STATES = ("waiting", "held", "delivered", "dead", "superseded")
SHORTEST_ID = 4


Describe = Callable[[Session, Organization, Alert, str, str | None], dict[str, Any]]


@dataclass(frozen=True)
class NotificationView:
    """A notification with its receiver."""

    notification: Notification
    webhook: Webhook


def write(session: Session, org: Organization, alert: Alert, kind: str, public_url: str, describe: Describe) -> int:
    """Write one notification for each receiver that wants it; returns how many. Kinds: states.NOTIFIED_KINDS.

    Whoever was told of the alert is told how it goes on, though it is less severe now; nobody else hears of its end.
    """
    locks.acquire(session, LockSpace.NOTIFICATION_WRITE, org.id, shared=True)
    told = set(session.scalars(select(Notification.webhook_id).where(Notification.alert_id == alert.id)))
    model_id = _model_id(session, alert)
    wanted = [
        webhook
        for webhook in session.scalars(select(Webhook).where(Webhook.is_active).order_by(Webhook.id))
        if webhook.id in told
        or (kind not in ONLY_TO_THE_TOLD and receivers.is_subscribed(webhook, alert.severity, model_id))
    ]
    return write_to(session, org, wanted, alert, kind, public_url, describe)


def write_to(
    session: Session,
    org: Organization,
    receivers: Sequence[Webhook],
    alert: Alert,
    kind: str,
    public_url: str,
    describe: Describe,
) -> int:
    """Write one notification for each of these receivers; returns how many."""
    if not receivers:
        return 0
    body, model_id = message(session, org, alert, kind, public_url, describe), _model_id(session, alert)
    for webhook in receivers:
        made = Notification(alert_id=alert.id, webhook_id=webhook.id, kind=kind, body=body)
        made.model_id, made.severity = model_id, alert.severity
        session.add(made)
    session.flush()
    return len(receivers)


def stop_telling(session: Session, org: Organization) -> None:
    """Until the end of the transaction nobody writes notifications: a receiver that is added now misses none."""
    locks.acquire(session, LockSpace.NOTIFICATION_WRITE, org.id)


def _model_id(session: Session, alert: Alert) -> int | None:
    return session.scalar(select(Version.model_id).where(Version.id == alert.version_id))


def message(
    session: Session, org: Organization, alert: Alert, kind: str, public_url: str, describe: Describe
) -> dict[str, Any]:
    """What a receiver is told, see docs/notifications.md."""
    return body(describe(session, org, alert, public_url, kind), org.name, kind)


def body(about: Mapping[str, Any], org: str, kind: str) -> dict[str, Any]:
    """The body of a message of a kind about an alert."""
    return {
        "format": FORMAT,
        "type": f"alert.{kind}",
        "timestamp": datetime.now(UTC).isoformat(),
        "organization": org,
        "alert": {key: value for key, value in about.items() if key not in ("link", "command")},
        "link": about["link"],
        "command": about["command"],
    }


def of_alert(session: Session, alert_id: int) -> list[tuple[Notification, Webhook]]:
    """The notifications about an alert, oldest first, with their receivers."""
    statement = select(Notification, Webhook).join(Webhook, Webhook.id == Notification.webhook_id)
    found = session.execute(statement.where(Notification.alert_id == alert_id).order_by(Notification.position))
    return [(notification, webhook) for notification, webhook in found]


def state(notification: Notification) -> str:
    """One of STATES."""
    if notification.delivered_at is not None:
        return "delivered"
    if notification.dead_at is not None:
        return "superseded" if notification.is_superseded else "dead"
    return "held" if notification.held_because else "waiting"


def _is(state: str) -> ColumnElement[bool]:
    is_open = and_(Notification.delivered_at.is_(None), Notification.dead_at.is_(None))
    is_over = Notification.dead_at.is_not(None)
    return {
        "delivered": Notification.delivered_at.is_not(None),
        "dead": and_(is_over, ~Notification.is_superseded),
        "superseded": and_(is_over, Notification.is_superseded),
        "held": and_(is_open, Notification.held_because.is_not(None)),
        "waiting": and_(is_open, Notification.held_because.is_(None)),
    }[state]


def listed(
    session: Session,
    *,
    state: str | None = None,
    receiver: str | None = None,
    alert_id: int | None = None,
    message_id: str | None = None,
    limit: int = 100,
) -> list[NotificationView]:
    """Notifications, the newest first. Raises InvalidInput for a state that is none, NotFound for a receiver."""
    statement = select(Notification, Webhook).join(Webhook, Webhook.id == Notification.webhook_id)
    if state is not None:
        if state not in STATES:
            raise errors.InvalidInput(f"There is no state {state!r}: it is one of {', '.join(STATES)}.")
        statement = statement.where(_is(state))
    if receiver is not None:
        statement = statement.where(Webhook.id == receivers.find(session, receiver).id)
    if alert_id is not None:
        statement = statement.where(Notification.alert_id == alert_id)
    if message_id is not None:
        statement = statement.where(_begins(Notification.message_id, message_id.removeprefix("msg_")))
    found = session.execute(statement.order_by(Notification.position.desc()).limit(limit))
    return [NotificationView(*each) for each in found]


def _begins(column: Any, text: str) -> ColumnElement[bool]:
    """Whether an id begins so, with dashes or without."""
    digits = text.replace("-", "").lower()
    if len(digits) < SHORTEST_ID or not all(each in "0123456789abcdef" for each in digits):
        raise errors.InvalidInput(
            f"{text!r} is no id of a notification, nor {SHORTEST_ID} or more of its first digits."
        )
    written = "-".join(part for part in (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]) if part)
    return cast(column, String).startswith(written)


def find(session: Session, given: str) -> NotificationView:
    """The notification of an id, or of the beginning of one. Raises InvalidInput or NotFound."""
    statement = select(Notification, Webhook).join(Webhook, Webhook.id == Notification.webhook_id)
    found = session.execute(statement.where(_begins(Notification.id, given)).limit(2)).all()
    if len(found) > 1:
        raise errors.InvalidInput(f"Several notifications begin with {given!r}: say more of the id.")
    if not found:
        raise errors.NotificationNotFound(name=given)
    return NotificationView(*found[0])


def row(view: NotificationView, now: datetime) -> dict[str, Any]:
    """A notification as a row for an output."""
    notification, webhook = view.notification, view.webhook
    about = notification.body.get("alert", {})
    return {
        "id": str(notification.id),
        "state": state(notification),
        "kind": notification.kind,
        "severity": notification.severity,
        "alert": notification.alert_id,
        "monitor": "/".join(str(about[key]) for key in ("model", "monitor") if about.get(key)),
        "receiver": webhook.name,
        "created_at": notification.created_at,
        "attempts": notification.attempts,
        "next_try": _next_try(view, now),
        "delivered_at": notification.delivered_at,
        "message": f"msg_{notification.message_id.hex}" if notification.message_id else None,
        "in_digest": notification.is_digest,
        "why": why(view, now),
    }


def _next_try(view: NotificationView, now: datetime) -> datetime | None:
    notification, webhook = view.notification, view.webhook
    if notification.delivered_at is not None or notification.dead_at is not None:
        return None
    if receivers.is_paused(webhook, now):
        return webhook.paused_until
    return max(each for each in (notification.due_at, webhook.not_before) if each is not None)


def why(view: NotificationView, now: datetime) -> str | None:
    """Why a notification is not delivered, or what its receiver said."""
    notification, webhook = view.notification, view.webhook
    if state(notification) in ("waiting", "held") and receivers.is_paused(webhook, now):
        return f"The receiver is paused{f': {webhook.paused_because}' if webhook.paused_because else '.'}"
    return notification.held_because if state(notification) == "held" else notification.last_error


def retry(session: Session, ids: Sequence[uuid.UUID] | None = None) -> dict[str, int]:
    """Try given up notifications once more, for as long as a new one: those named, or all. Says how many.

    One whose alert has moved on since is superseded, not sent: its receiver knows better. What still waits is tried at
    once.
    """
    chosen = "dead_at is not null and not is_superseded" if ids is None else "id = any(:ids)"
    values = {} if ids is None else {"ids": list(ids)}
    outdated = session.execute(text(OUTDATED.format(chosen=chosen)), values)
    retried = session.execute(text(AGAIN.format(chosen=chosen)), values)
    return {"retried": retried.rowcount, "superseded": outdated.rowcount}  # type: ignore[attr-defined]


OUTDATED = """
    update notifications old set is_superseded = true
     where {chosen} and old.dead_at is not null and not old.is_superseded
       and exists (select 1 from notifications newer
                    where newer.alert_id = old.alert_id and newer.webhook_id = old.webhook_id
                      and newer.position > old.position and not newer.is_superseded)
"""
AGAIN = """
    update notifications set dead_at = null, due_at = now(), attempts = 0, tried_at = null
     where {chosen} and delivered_at is null and not is_superseded and (lease_until is null or lease_until < now())
"""
