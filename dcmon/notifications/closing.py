"""Closing notifications: notify receivers of the end of alerts before the alerts are deleted.

When an alert is deleted, its notifications are deleted too (a cascade). So a closing notification belongs to no alert:
it repeats the last body that its receiver got, with the state resolved.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon import formatting
from dcmon.db.tables.org import Alert, Notification, Webhook
from dcmon.notifications.message_types import alert_type
from dcmon.states import CLOSING_KINDS, AlertState, NotificationKind, ResolvedBy

NOTE = "the alert was deleted with its rule, monitor, check, version or model"


def write_notifications(session: Session, are_deleted: ColumnElement[bool]) -> int:
    """Write closing notifications for alerts that will be deleted; return how many.

    A receiver gets one for each alert that may be firing as far as the receiver knows. `are_deleted`: a condition on
    Alert. Call it before the alerts are deleted, in the same transaction.
    """
    is_end = Notification.kind.in_(CLOSING_KINDS)
    # An end counts when it was delivered. Other kinds count from their first attempt on: they may have arrived.
    was_notified = or_(and_(is_end, Notification.delivered_at.is_not(None)), and_(~is_end, Notification.attempts > 0))
    last = (
        select(Notification)
        .join(Alert, Alert.id == Notification.alert_id)
        .join(Webhook, Webhook.id == Notification.webhook_id)
        .where(are_deleted, Webhook.is_active, was_notified)
        .ext(distinct_on(Notification.alert_id, Notification.webhook_id))
        .order_by(Notification.alert_id, Notification.webhook_id, Notification.position.desc())
    )
    open_notifications = [row for row in session.scalars(last).all() if row.kind not in CLOSING_KINDS]
    session.add_all([_closing_notification(notification) for notification in open_notifications])
    session.flush()
    return len(open_notifications)


def _closing_notification(last: Notification) -> Notification:
    """Build the closing notification that follows a receiver's last one.

    While the last one is in flight, the closing notification is due after its lease.
    """
    closing = Notification(alert_id=None, webhook_id=last.webhook_id, kind=NotificationKind.RESOLVED)
    closing.body = _closing_body(last.body)
    closing.model_id, closing.severity = last.model_id, last.severity
    if last.lease_until is not None:
        closing.due_at = last.lease_until
    return closing


def _closing_body(last: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last body with the state resolved.

    A deleted alert has no page, so the command lists the alerts of the organization.
    """
    now = datetime.now(UTC).isoformat()
    alert = {
        **last["alert"],
        "state": AlertState.RESOLVED,
        "resolved_by": ResolvedBy.DELETION,
        "resolved_at": now,
        "by": None,
        "note": NOTE,
    }
    org_name = last.get("organization")
    command = f"{formatting.command_prefix(str(org_name)) if org_name else 'dcmon'} alert list --all"
    return {
        **last,
        "type": alert_type(NotificationKind.RESOLVED),
        "timestamp": now,
        "alert": alert,
        "link": None,
        "command": command,
    }
