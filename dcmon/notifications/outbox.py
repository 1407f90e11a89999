"""The outbox: claim notifications, group them into messages, and record how each message went.

Delivery is at least once and in order per alert: only the newest open notification about an alert is sent, and not
while an older one is in flight. A message keeps its id and its notifications from its first attempt on. When one of
them is superseded or held back, the others go into a message with a new id, because an id stands for one content.
"""

import random
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon.db import locks, sql
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Alert, Notification, Webhook
from dcmon.notifications import batching, message_body, notification_conditions, receivers
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.batching import ClaimContext, PendingMessage
from dcmon.notifications.integrations import registry
from dcmon.notifications.integrations.base import DeliveryTarget, Message
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.notifications.receivers import ReceiverState
from dcmon.settings import Webhooks
from dcmon.states import NotificationKind

SHORTEST_DELAY, LONGEST_DELAY = timedelta(seconds=5), timedelta(hours=1)
REPEAT_CHECK_INTERVAL = timedelta(minutes=1)

SQL = sql.read(__name__)
_OPEN = {"is_open": batching.IS_OPEN}
SUPERSEDE = text(SQL.statement("supersede", subject="n.alert_id", has_subject="n.alert_id is not null", **_OPEN))
SUPERSEDE_PROBLEMS = text(
    SQL.statement("supersede", subject=batching.PROBLEM_ID, has_subject="n.alert_id is null", **_OPEN)
)
RECEIVERS_WITH_DUE = text(SQL.statement("receivers_with_due", **_OPEN))
DUE_REPEATS = text(SQL.statement("due_repeats"))
NEXT_REPEAT_AT = text(SQL.statement("next_repeat_at"))
NEXT_DUE_AT = text(SQL.statement("next_due_at", has_earlier_in_flight=batching.HAS_EARLIER_IN_FLIGHT, **_OPEN))
HAS_WORK = SQL.statement("has_work")  # an expression, for statements that look at several kinds of work

# The number of messages that a receiver may get now, from its id and how many this claim has claimed for others.
Capacity = Callable[[int, int], int]


@dataclass(frozen=True)
class ClaimedMessage:
    """A message that this worker may send.

    `send_before`: the worker must begin to send before this time.monotonic(), which is half of the lease. A worker that
    was stopped for longer must not send, because another worker may have sent a newer message meanwhile.
    """

    id: uuid.UUID
    receiver_id: int
    target: DeliveryTarget
    message: Message
    notification_count: int
    send_before: float


def claim(
    session: Session, renderer: AlertRenderer, settings: Webhooks, *,
    capacity: Capacity = lambda _, __: 4, lease: timedelta | None = None, now: datetime | None = None,
) -> list[ClaimedMessage]:  # fmt: skip
    """Claim what is due in an organization, as messages. One worker claims at a time.

    `lease`: None stands for twice the delivery timeout and 5 s; `now`: None stands for PostgreSQL's time.
    """
    locks.acquire(session, LockSpace.NOTIFICATION_CLAIM, renderer.org.id)
    context = ClaimContext(session, renderer, settings, now or receivers.database_time(session))
    session.execute(SUPERSEDE, {"now": context.now})
    session.execute(SUPERSEDE_PROBLEMS, {"now": context.now})
    _write_repeats(context)
    lease_until = context.now + (lease or settings.timeout * 2 + timedelta(seconds=5))
    claimed: list[ClaimedMessage] = []
    for receiver_id in session.scalars(RECEIVERS_WITH_DUE, {"now": context.now}).all():
        receiver, free = session.get_one(Webhook, receiver_id), capacity(receiver_id, len(claimed))
        if free > 0 and receivers.state(receiver, context.now) is ReceiverState.ACTIVE:
            messages = batching.next_messages(context, receiver)[:free]
            claimed += [_lease(receiver, message, context.now, lease_until) for message in messages]
    session.flush()
    return claimed


def _write_repeats(context: ClaimContext) -> None:
    """Write notifications about alerts that still fire.

    A receiver gets one when its last notification about the alert is older than its `repeat_every`.
    """
    session = context.session
    for due in session.execute(DUE_REPEATS, {"now": context.now}).all():
        alert, receiver = session.get_one(Alert, due.alert_id), session.get_one(Webhook, due.webhook_id)
        model_id = session.get_one(Notification, due.id).model_id
        if context.find_hold(alert) is None and receivers.is_subscribed(receiver, alert.severity, model_id):
            body = context.render(alert, NotificationKind.REPEATED)
            repeated = Notification(
                alert_id=alert.id, webhook_id=receiver.id, kind=NotificationKind.REPEATED, body=body
            )
            repeated.model_id, repeated.severity = model_id, alert.severity
            # All repeats that are due are written in this transaction: a repeat does not wait for others of its group.
            repeated.created_at = repeated.due_at = context.now - context.settings.group_wait
            session.add(repeated)
    session.flush()


def _lease(receiver: Webhook, message: PendingMessage, now: datetime, until: datetime) -> ClaimedMessage:
    """Give a message its lease and, before the first attempt, its id."""
    notifications = sorted(message.notifications, key=batching.urgency)
    message_id = notifications[0].message_id or uuid.uuid4()
    for notification in notifications:
        notification.message_id, notification.is_digest = message_id, message.is_digest
        notification.lease_until = until
        notification.attempts, notification.tried_at = notification.attempts + 1, notification.tried_at or now
    name = f"msg_{message_id.hex}"
    body = message_body.combine(
        [notification.body for notification in notifications], name, is_digest=message.is_digest
    )
    target = receivers.delivery_target(receiver, now, notifications[0].left_to)
    send_before = time.monotonic() + (until - now).total_seconds() / 2
    return ClaimedMessage(message_id, receiver.id, target, Message(name, body), len(notifications), send_before)


def record(
    session: Session, claimed: ClaimedMessage, attempt: Attempt, settings: Webhooks, now: datetime | None = None
) -> None:
    """Record an attempt to send a message.

    Its notifications are delivered, are tried again later, or are given up.
    """
    at = now or receivers.database_time(session)
    receiver = session.get(Webhook, claimed.receiver_id)
    in_message = select(Notification).where(Notification.message_id == claimed.id, notification_conditions.is_open())
    # Locked: if the attempt took longer than its lease, a claim may supersede or lease the same notifications.
    notifications = session.scalars(in_message.order_by(Notification.position).with_for_update()).all()
    # The receiver was deleted meanwhile, or all notifications of the message were superseded.
    if receiver is None or not notifications:
        return
    delay = max(retry_delay(notifications[0].attempts), attempt.retry_after or timedelta())
    for notification in notifications:
        notification.last_status, notification.last_error = attempt.status, attempt.error
        notification.lease_until = None
        notification.left_to = list(attempt.remaining) or notification.left_to
        if attempt.is_delivered:
            notification.delivered_at = at
        # After a 410 the receiver is paused, and its notifications wait: they are not given up.
        elif at - (notification.tried_at or at) > settings.retry_for and not attempt.is_gone:
            notification.dead_at = at
        else:
            notification.due_at = at + delay
    if attempt.retry_after is not None:
        receiver.not_before = at + attempt.retry_after
    if attempt.is_gone:
        reason = 'The receiver answered 410 (Gone). Set another URL with "dcmon receiver set".'
        receivers.pause(session, receiver, None, reason)
    session.flush()


def retry_delay(attempts: int) -> timedelta:
    """Return how long to wait after this number of attempts.

    5 s, doubled with each attempt up to 1 h, less up to 10 % at random.
    """
    longest: timedelta = min(LONGEST_DELAY, SHORTEST_DELAY * 2 ** min(attempts - 1, 20))
    return longest * (0.9 + 0.1 * random.random())


def next_due_at(
    session: Session, settings: Webhooks | None = None, *, busy: Collection[int] = (), now: datetime | None = None
) -> datetime | None:
    """Return when a notification may be due again; None when no notification waits.

    For receivers in `busy` only messages in flight count, with the end of their lease.
    """
    at = now or receivers.database_time(session)
    values = {
        "now": at,
        "busy": list(busy),
        "per_alert": [name for name, kind in registry.INTEGRATIONS.items() if kind.IS_PER_ALERT],
        "wait": (settings or Webhooks()).group_wait,
    }
    due_at = session.scalar(NEXT_DUE_AT, values)
    repeat_at = session.scalar(NEXT_REPEAT_AT, {"now": at})
    # A repeat that is due and was not written by `claim` is held back: it is checked again later.
    if repeat_at is not None and repeat_at <= at:
        repeat_at = max(repeat_at, at + REPEAT_CHECK_INTERVAL)
    return min((moment for moment in (due_at, repeat_at) if moment is not None), default=None)
