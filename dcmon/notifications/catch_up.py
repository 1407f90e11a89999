"""Notify a receiver of alerts that fire already, after it was added, changed, or resumed.

The receiver gets one notification for each alert that other receivers were notified of, as if the alert fired now,
except for acknowledged alerts. A silence holds these notifications back like all others.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.db import Organization
from dcmon.db.tables.org import Alert, Notification, Version, Webhook
from dcmon.notifications import manual_retry, notification_writer, receivers
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.states import CLOSING_KINDS, AlertState, NotificationKind


def pending_alerts(session: Session, org: Organization, receiver: Webhook) -> list[int]:
    """Return the ids of firing alerts of which a receiver must still be notified.

    The receiver subscribes to these alerts and was not notified of them. Blocks other writers of notifications until
    the transaction ends, so that no alert is missed in between.
    """
    notification_writer.block_writers(session, org)
    newest = _newest_notifications(session, receiver)
    notified = {last.alert_id for last in newest if last.kind not in CLOSING_KINDS and not last.is_superseded}
    firing = session.execute(
        select(Alert.id, Alert.severity, Version.model_id)
        .join(Version, Version.id == Alert.version_id)
        .where(Alert.state == AlertState.FIRING, Alert.told_severity.is_not(None), Alert.acknowledged_at.is_(None))
        .order_by(Alert.id)
    )
    return [
        alert_id
        for alert_id, severity, model_id in firing
        if alert_id not in notified and receivers.is_subscribed(receiver, severity, model_id)
    ]


def _newest_notifications(session: Session, receiver: Webhook) -> Sequence[Notification]:
    """Return a receiver's newest notification about each alert that fires."""
    return session.scalars(
        select(Notification)
        .join(Alert, Alert.id == Notification.alert_id)
        .where(Notification.webhook_id == receiver.id, Alert.state == AlertState.FIRING)
        .ext(distinct_on(Notification.alert_id))
        .order_by(Notification.alert_id, Notification.position.desc())
    ).all()


def notify(session: Session, renderer: AlertRenderer, receiver: Webhook, *, excluding: Collection[int] = ()) -> int:
    """Write a notification for each pending alert; return how many.

    `excluding`: ids of alerts to leave out.
    """
    alert_ids = [id_ for id_ in pending_alerts(session, renderer.org, receiver) if id_ not in excluding]
    for alert_id in alert_ids:
        alert = session.get_one(Alert, alert_id)
        notification_writer.write_for_receivers(session, renderer, [receiver], alert, NotificationKind.FIRING)
    return len(alert_ids)


def retry_given_up(session: Session, receiver: Webhook) -> int:
    """Retry notifications of firing alerts that were given up; return how many.

    Only the newest notification about each alert is sent again.
    """
    newest = _newest_notifications(session, receiver)
    given_up = [last.id for last in newest if last.dead_at is not None and not last.is_superseded]
    return manual_retry.retry(session, given_up)["retried"] if given_up else 0
