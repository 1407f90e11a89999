"""Find notifications and show them to an operator.

The operator sees their state, their receiver, and why they wait or failed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, cast, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Notification, Webhook
from dcmon.notifications import notification_conditions, receivers
from dcmon.states import NotificationState

SHORTEST_ID = 4  # digits of an id that an operator must type


@dataclass(frozen=True)
class NotificationView:
    """A notification with its receiver."""

    notification: Notification
    receiver: Webhook


@dataclass(frozen=True)
class NotificationFilter:
    """Which notifications to list; None stands for all. `message_id`: msg_…, or the first digits of it."""

    state: str | None = None
    receiver: str | None = None
    alert_id: int | None = None
    message_id: str | None = None


def for_alert(session: Session, alert_id: int) -> list[NotificationView]:
    """List the notifications about an alert, the oldest first."""
    statement = _with_receivers().where(Notification.alert_id == alert_id).order_by(Notification.position)
    return [NotificationView(notification, receiver) for notification, receiver in session.execute(statement)]


def entries(session: Session, only: NotificationFilter | None = None, limit: int = 100) -> list[NotificationView]:
    """List notifications, the newest first. Raises InvalidInput for an unknown state or id, ReceiverNotFound."""
    only, statement = only or NotificationFilter(), _with_receivers()
    if only.state is not None:
        statement = statement.where(_has_state(_parse_state(only.state)))
    if only.receiver is not None:
        statement = statement.where(Webhook.id == receivers.find(session, only.receiver).id)
    if only.alert_id is not None:
        statement = statement.where(Notification.alert_id == only.alert_id)
    if only.message_id is not None:
        statement = statement.where(_has_prefix(Notification.message_id, only.message_id.removeprefix("msg_")))
    rows = session.execute(statement.order_by(Notification.position.desc()).limit(limit))
    return [NotificationView(notification, receiver) for notification, receiver in rows]


def find(session: Session, id_prefix: str) -> NotificationView:
    """Return the notification whose id begins with a prefix. Raises InvalidInput or NotificationNotFound."""
    rows = session.execute(_with_receivers().where(_has_prefix(Notification.id, id_prefix)).limit(2)).all()
    if len(rows) > 1:
        raise errors.InvalidInput(f"Several notifications begin with {id_prefix!r}: type more digits of the id.")
    if not rows:
        raise errors.NotificationNotFound(name=id_prefix)
    notification, receiver = rows[0]
    return NotificationView(notification, receiver)


def _with_receivers() -> Select[Notification, Webhook]:
    return select(Notification, Webhook).join(Webhook, Webhook.id == Notification.webhook_id)


def _parse_state(name: str) -> NotificationState:
    try:
        return NotificationState(name)
    except ValueError:
        raise errors.UnknownChoice("state", name, NotificationState) from None


def _has_prefix(column: Any, prefix: str) -> ColumnElement[bool]:
    """Compare the beginning of an id, typed with dashes or without. Raises InvalidInput."""
    digits = prefix.replace("-", "").lower()
    if len(digits) < SHORTEST_ID or not all(digit in "0123456789abcdef" for digit in digits):
        raise errors.InvalidInput(
            f"{prefix!r} is neither the id of a notification nor its first {SHORTEST_ID} or more digits: "
            'see "dcmon notification list".'
        )
    groups = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return cast(column, String).startswith("-".join(group for group in groups if group))


def state(notification: Notification) -> NotificationState:
    """Return the notification's state."""
    if notification.delivered_at is not None:
        return NotificationState.DELIVERED
    if notification.dead_at is not None:
        return NotificationState.SUPERSEDED if notification.is_superseded else NotificationState.DEAD
    return NotificationState.HELD if notification.held_because else NotificationState.WAITING


def _has_state(state: NotificationState) -> ColumnElement[bool]:
    """Return the condition for notifications in a state, as `state` decides it."""
    is_open = notification_conditions.is_open()
    return {
        NotificationState.DELIVERED: Notification.delivered_at.is_not(None),
        NotificationState.DEAD: notification_conditions.is_given_up(),
        NotificationState.SUPERSEDED: and_(Notification.dead_at.is_not(None), Notification.is_superseded),
        NotificationState.HELD: and_(is_open, Notification.held_because.is_not(None)),
        NotificationState.WAITING: and_(is_open, Notification.held_because.is_(None)),
    }[state]


def row(view: NotificationView, now: datetime) -> dict[str, Any]:
    """Return a notification as a row for an output."""
    notification = view.notification
    alert = notification.body.get("alert", {})
    return {
        "id": str(notification.id),
        "state": state(notification),
        "kind": notification.kind,
        "severity": notification.severity,
        "alert": notification.alert_id,
        "monitor": "/".join(str(alert[key]) for key in ("model", "monitor") if alert.get(key)),
        "receiver": view.receiver.name,
        "created_at": notification.created_at,
        "attempts": notification.attempts,
        "next_attempt": _next_attempt_at(view, now),
        "delivered_at": notification.delivered_at,
        "message": f"msg_{notification.message_id.hex}" if notification.message_id else None,
        "in_digest": notification.is_digest,
        "reason": _undelivered_reason(view, now),
    }


def _next_attempt_at(view: NotificationView, now: datetime) -> datetime | None:
    """Return when dcmon sends the notification.

    None: it is delivered or dead, or its receiver is paused without an end.
    """
    notification, receiver = view.notification, view.receiver
    if notification.delivered_at is not None or notification.dead_at is not None:
        return None
    if receivers.is_paused(receiver, now):
        return receiver.paused_until
    return max(moment for moment in (notification.due_at, receiver.not_before) if moment is not None)


def _undelivered_reason(view: NotificationView, now: datetime) -> str | None:
    """Return why the notification waits or is held back; otherwise return the last error."""
    notification, receiver = view.notification, view.receiver
    if state(notification) in (NotificationState.WAITING, NotificationState.HELD) and receivers.is_paused(
        receiver, now
    ):
        return f"The receiver is paused{f': {receiver.paused_because}' if receiver.paused_because else '.'}"
    return notification.held_because if state(notification) is NotificationState.HELD else notification.last_error
