"""Write notifications into the outbox, in the transaction that changes the alert.

notifications.outbox claims them later, and a notify worker sends them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Alert, Notification, Version, Webhook
from dcmon.notifications import receivers
from dcmon.notifications.message_types import alert_type
from dcmon.states import CLOSING_KINDS, NotificationKind

FORMAT = 1  # the version of the body: it grows when a key is removed or changes its meaning
# Only receivers that were notified of the alert before get notifications of these kinds.
FOLLOW_UP_KINDS = (NotificationKind.ACKNOWLEDGED, *CLOSING_KINDS)

DescribeAlert = Callable[[Session, Organization, Alert, str, str | None], dict[str, Any]]


@dataclass(frozen=True)
class AlertRenderer:
    """Renders bodies of notifications about the alerts of one organization.

    `describe_alert`: dcmon.alerting.alert_payload.describe. The caller passes it in, because this package lies below
    alerting and may not import it.
    """

    org: Organization
    public_url: str
    describe_alert: DescribeAlert

    def body(self, session: Session, alert: Alert, kind: str) -> dict[str, Any]:
        """Render the body of a notification about the alert as it is now.

        docs/notifications.md describes the body.
        """
        payload = self.describe_alert(session, self.org, alert, self.public_url, kind)
        return notification_body(payload, self.org.name, kind)


def notification_body(payload: Mapping[str, Any], org_name: str, kind: str) -> dict[str, Any]:
    """Wrap an alert's payload into the body of a notification."""
    return {
        "format": FORMAT,
        "type": alert_type(kind),
        "timestamp": datetime.now(UTC).isoformat(),
        "organization": org_name,
        "alert": {key: value for key, value in payload.items() if key not in ("link", "command")},
        "link": payload["link"],
        "command": payload["command"],
    }


def write(session: Session, renderer: AlertRenderer, alert: Alert, kind: NotificationKind) -> int:
    """Write one notification for each receiver that must know of the change; return how many.

    A receiver that was notified of the alert gets every later change, also when it no longer subscribes to the alert's
    severity. A receiver that was not notified of the alert gets no FOLLOW_UP_KINDS.
    """
    # Shared: writers do not wait for each other, only for a transaction that holds `block_writers`.
    locks.acquire(session, LockSpace.NOTIFICATION_WRITE, renderer.org.id, shared=True)
    notified_ids = set(session.scalars(select(Notification.webhook_id).where(Notification.alert_id == alert.id)))
    model_id = _model_id(session, alert)
    recipients = [
        receiver
        for receiver in session.scalars(select(Webhook).where(Webhook.is_active).order_by(Webhook.id))
        if receiver.id in notified_ids
        or (kind not in FOLLOW_UP_KINDS and receivers.is_subscribed(receiver, alert.severity, model_id))
    ]
    return write_for_receivers(session, renderer, recipients, alert, kind)


def write_for_receivers(
    session: Session, renderer: AlertRenderer, recipients: Sequence[Webhook], alert: Alert, kind: NotificationKind
) -> int:
    """Write one notification for each of these receivers; return how many."""
    if not recipients:
        return 0
    body, model_id = renderer.body(session, alert, kind), _model_id(session, alert)
    for receiver in recipients:
        notification = Notification(alert_id=alert.id, webhook_id=receiver.id, kind=kind, body=body)
        notification.model_id, notification.severity = model_id, alert.severity
        session.add(notification)
    session.flush()
    return len(recipients)


def block_writers(session: Session, org: Organization) -> None:
    """Block other writers of notifications until this transaction ends.

    So a new receiver misses no alert.
    """
    locks.acquire(session, LockSpace.NOTIFICATION_WRITE, org.id)


def _model_id(session: Session, alert: Alert) -> int | None:
    return session.scalar(select(Version.model_id).where(Version.id == alert.version_id))
