"""Group the notifications that a receiver may get now into messages.

Messages are grouped by model and limited by the receiver's cap. They leave out notifications that a silence, a mute
time or another alert holds back, and follow-ups to a receiver that was not notified before. A message that was tried
before is sent again unchanged.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, select, text
from sqlalchemy.orm import Session

from dcmon import severity
from dcmon.db import sql
from dcmon.db.tables.org import Alert, Notification, Webhook
from dcmon.notifications import notification_conditions, silences
from dcmon.notifications.integrations import registry
from dcmon.notifications.message_types import is_problem_type
from dcmon.notifications.notification_writer import FOLLOW_UP_KINDS, AlertRenderer
from dcmon.notifications.silences import Hold
from dcmon.settings import Webhooks
from dcmon.states import CLOSING_KINDS, AlertState, NotificationKind

# An operator may end a silence, or an alert may resolve, before the hold ends.
HOLD_CHECK_INTERVAL = timedelta(seconds=15)
MINUTE = timedelta(minutes=1)
READ_AT_MOST = 2000  # notifications of one receiver in one claim
GROUP_SIZE = 50

SQL = sql.read(__name__)
IS_OPEN, PROBLEM_ID = SQL.statement("is_open"), SQL.statement("problem_id")
HAS_EARLIER_IN_FLIGHT = SQL.statement("has_earlier", earlier="e.lease_until >= :now")
# The claim has just superseded earlier notifications, except those in flight. If another one is still open, `n` was
# written in between: both would be sent at once and in any order, so `n` waits for the next claim.
_SEVERITIES = ", ".join(f"'{level}'" for level in reversed(severity.Severity))
SELECT_DUE = text(SQL.statement("select_due", earlier="true", severities=_SEVERITIES))
RECENT_MESSAGES = text(SQL.statement("recent_messages"))


@dataclass(frozen=True)
class ClaimContext:
    """The transaction that claims from an organization's outbox, with its settings and its time."""

    session: Session
    renderer: AlertRenderer
    settings: Webhooks
    now: datetime
    _holds: dict[int, Hold | None] = field(default_factory=dict)

    def find_hold(self, alert: Alert) -> Hold | None:
        """Return what holds back notifications about an alert now; read once for each alert."""
        if alert.id not in self._holds:
            self._holds[alert.id] = silences.find_hold(self.session, alert, self.now)
        return self._holds[alert.id]

    def render(self, alert: Alert, kind: str) -> dict[str, Any]:
        """Render the body of a notification about the alert as it is now."""
        return self.renderer.body(self.session, alert, kind)


class Urgency(NamedTuple):
    """Sort key of notifications: the most severe first, then the oldest."""

    severity: int  # 0: the most severe
    position: int


@dataclass(frozen=True)
class PendingMessage:
    """Notifications that are sent in one message."""

    notifications: Sequence[Notification]
    is_digest: bool = False

    @property
    def urgency(self) -> Urgency:
        """The urgency of the most urgent notification."""
        return min(map(urgency, self.notifications))


def urgency(notification: Notification) -> Urgency:
    """Return the sort key of a notification."""
    return Urgency(severity.descending_rank(notification.severity), notification.position)


def next_messages(claim: ClaimContext, receiver: Webhook) -> list[PendingMessage]:
    """Return the messages that a receiver may get now, most urgent first, digests last."""
    due = _read_due(claim, receiver)
    is_per_alert = registry.find(receiver.kind).IS_PER_ALERT
    retried = _retried_messages(claim, due, is_per_alert)
    new = [
        notification
        for notification in due
        if notification.message_id is None and _is_sendable(claim, notification, is_per_alert)
    ]
    groups = [PendingMessage([notification]) for notification in new] if is_per_alert else _group_by_model(claim, new)
    capped = _apply_cap(claim, receiver, sorted(groups, key=lambda message: message.urgency), is_per_alert)
    return sorted([*retried, *capped], key=lambda message: (message.is_digest, message.urgency))


def _read_due(claim: ClaimContext, receiver: Webhook) -> list[Notification]:
    """Read the notifications that are due to a receiver, the most urgent first.

    When one notification of a message that was tried before is due, all notifications of the message are returned.
    """
    values = {"webhook": receiver.id, "now": claim.now, "limit": READ_AT_MOST}
    ids = claim.session.scalars(SELECT_DUE, values).all()
    due = claim.session.scalars(select(Notification).where(Notification.id.in_(ids))).all()
    message_ids = {notification.message_id for notification in due if notification.message_id is not None}
    in_messages = select(Notification).where(
        Notification.message_id.in_(message_ids), notification_conditions.is_open()
    )
    by_id = {notification.id: notification for notification in (*due, *claim.session.scalars(in_messages).all())}
    return sorted(by_id.values(), key=urgency)


def _retried_messages(claim: ClaimContext, due: Sequence[Notification], is_per_alert: bool) -> list[PendingMessage]:
    """Return messages that were tried before, unchanged.

    If one of its notifications is held back now, a message is dissolved: the others get a message with a new id.
    """
    by_message: dict[uuid.UUID, list[Notification]] = {}
    for notification in due:
        if notification.message_id is not None:
            by_message.setdefault(notification.message_id, []).append(notification)
    for message_id, notifications in list(by_message.items()):
        if any(_find_hold(claim, notification, is_per_alert) for notification in notifications):
            for notification in by_message.pop(message_id):
                notification.message_id, notification.is_digest = None, False
                notification.tried_at = notification.left_to = None
    return [PendingMessage(notifications, notifications[0].is_digest) for notifications in by_message.values()]


def _find_hold(claim: ClaimContext, notification: Notification, is_per_alert: bool) -> Hold | None:
    """Return what holds a notification back now.

    The end of an incident is never held back, because it does not page a person.
    """
    if is_per_alert and notification.kind in CLOSING_KINDS:
        return None
    alert = _read_alert(claim, notification)
    if alert is not None:
        return claim.find_hold(alert)
    if not _is_about_dcmon(notification):
        return None
    return silences.find_hold_for_labels(claim.session, problem_labels(notification.body), claim.now)


def _read_alert(claim: ClaimContext, notification: Notification) -> Alert | None:
    return claim.session.get(Alert, notification.alert_id) if notification.alert_id is not None else None


def _is_about_dcmon(notification: Notification) -> bool:
    return is_problem_type(notification.body["type"])


def problem_labels(body: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the labels of a problem of dcmon itself.

    `rule` is the name of the problem, `monitor` its name and its subject.
    """
    problem = body["alert"]
    name = str(problem["monitor"])
    return {"model": str(problem["model"]), "monitor": name, "rule": name.partition(": ")[0],
            "severity": str(problem["severity"]), "alert": str(problem["id"])}  # fmt: skip


def _is_sendable(claim: ClaimContext, notification: Notification, is_per_alert: bool) -> bool:
    """Return True if a notification that is in no message yet may be sent now.

    Otherwise the notification is held back or superseded.
    """
    needs_earlier = notification.kind == NotificationKind.RETRACTED or (
        notification.held_because and notification.kind in FOLLOW_UP_KINDS
    )
    if needs_earlier and not _is_firing_for_receiver(claim, notification):
        _supersede(claim, notification, "The receiver was not notified of the alert before.")
        return False
    hold = _find_hold(claim, notification, is_per_alert)
    if hold is not None:
        check_at = claim.now + HOLD_CHECK_INTERVAL
        notification.held_because, notification.due_at = hold.reason, min(hold.until or check_at, check_at)
        return False
    return notification.held_because is None or _release(claim, notification)


def _release(claim: ClaimContext, notification: Notification) -> bool:
    """Render a notification that is no longer held back: the alert may have changed.

    Return False, and supersede the notification, when the alert is resolved.
    """
    alert, notification.held_because = _read_alert(claim, notification), None
    if alert is None:
        return True
    if notification.kind not in CLOSING_KINDS and alert.state == AlertState.RESOLVED:
        _supersede(claim, notification, "The alert was resolved before the receiver was notified of it.")
        return False
    notification.body = claim.render(alert, notification.kind)
    return True


def _supersede(claim: ClaimContext, notification: Notification, reason: str) -> None:
    notification.dead_at, notification.is_superseded, notification.last_error = claim.now, True, reason


def _is_firing_for_receiver(claim: ClaimContext, notification: Notification) -> bool:
    """True if the receiver may know of the alert, but not of its end.

    The last earlier notification that was tried decides.
    """
    last_kind = claim.session.scalar(
        select(Notification.kind)
        .where(
            _is_about_same(notification),
            Notification.webhook_id == notification.webhook_id,
            Notification.position < notification.position,
            Notification.attempts > 0,
        )
        .order_by(Notification.position.desc())
        .limit(1)
    )
    return last_kind is not None and last_kind not in CLOSING_KINDS


def _is_about_same(notification: Notification) -> ColumnElement[bool]:
    """Return the condition for notifications about the same alert, or the same problem of dcmon."""
    if notification.alert_id is not None:
        return Notification.alert_id == notification.alert_id
    problem_id = Notification.body["alert"]["id"].as_string()
    return and_(Notification.alert_id.is_(None), problem_id == str(notification.body["alert"]["id"]))


def _group_by_model(claim: ClaimContext, new: Sequence[Notification]) -> list[PendingMessage]:
    """Group notifications by model, and return the groups that may be sent now.

    A group is sent when its first notification has waited `group_wait`, or when one of them was tried before.
    """
    written_before = claim.now - claim.settings.group_wait
    by_model: dict[int | None, list[Notification]] = {}
    for notification in new:
        by_model.setdefault(notification.model_id, []).append(notification)
    return [
        PendingMessage(group[start : start + GROUP_SIZE])
        for group in by_model.values()
        if min(member.created_at for member in group) <= written_before or any(member.attempts for member in group)
        for start in range(0, len(group), GROUP_SIZE)
    ]


def _apply_cap(
    claim: ClaimContext, receiver: Webhook, messages: list[PendingMessage], is_per_alert: bool
) -> list[PendingMessage]:
    """Return the messages that the receiver's cap allows now.

    The most urgent messages are sent alone, the others in one digest. When the cap of this minute is used up, all wait
    until the minute is over. An integration that keeps a state for each alert gets no digest, because a digest can't be
    resolved: its other messages wait.
    """
    if receiver.cap is None:
        return messages
    values = {"webhook": receiver.id, "since": claim.now - MINUTE}
    sent_at = claim.session.scalars(RECENT_MESSAGES, values).all()
    free = max(0, receiver.cap - len(sent_at))
    if len(messages) <= free:
        return messages
    if free > 0 and not is_per_alert:
        of_digest = [member for message in messages[free - 1 :] for member in message.notifications]
        return [*messages[: free - 1], PendingMessage(of_digest, is_digest=True)]
    for notification in (member for message in messages[free:] for member in message.notifications):
        notification.due_at = (sent_at[0] if sent_at else claim.now) + MINUTE
    return messages[:free]
