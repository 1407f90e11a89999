"""What fires already, for a receiver that comes late: added, widened, or sent to again after long.

It is told once of each alert that others were told of, as if it fired now; not of one that somebody acknowledged.
Whatever is held back by a silence waits in the outbox as ever.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.db import Organization
from dcmon.db.tables.org import Alert, Notification, Version, Webhook
from dcmon.notifications import notifications, receivers
from dcmon.notifications.notifications import ENDS
from dcmon.states import AlertState


def pending_alerts(session: Session, org: Organization, webhook: Webhook) -> list[int]:
    """The ids of alerts that fire, that a receiver wants to hear of, and that it was not told of.

    Until the end of the transaction nobody is told of any other.
    """
    notifications.stop_telling(session, org)
    heard = {each.alert_id for each in _newest(session, webhook) if each.kind not in ENDS and not each.is_superseded}
    firing = session.execute(
        select(Alert.id, Alert.severity, Version.model_id)
        .join(Version, Version.id == Alert.version_id)
        .where(Alert.state == AlertState.FIRING, Alert.told_severity.is_not(None), Alert.acknowledged_at.is_(None))
        .order_by(Alert.id)
    )
    return [
        id_
        for id_, severity, model_id in firing
        if id_ not in heard and receivers.is_subscribed(webhook, severity, model_id)
    ]


def _newest(session: Session, webhook: Webhook) -> Sequence[Notification]:
    """The newest that a receiver was, or is to be, told of each alert that fires."""
    return session.scalars(
        select(Notification)
        .join(Alert, Alert.id == Notification.alert_id)
        .where(Notification.webhook_id == webhook.id, Alert.state == AlertState.FIRING)
        .ext(distinct_on(Notification.alert_id))
        .order_by(Notification.alert_id, Notification.position.desc())
    ).all()


def notify(
    session: Session,
    org: Organization,
    webhook: Webhook,
    public_url: str,
    describe: notifications.Describe,
    *,
    but: Collection[int] = (),
) -> int:
    """Tell a receiver of what fires and it was not told of, `but` these alerts; returns of how many."""
    late = [id_ for id_ in pending_alerts(session, org, webhook) if id_ not in but]
    for id_ in late:
        notifications.write_to(session, org, [webhook], session.get_one(Alert, id_), "firing", public_url, describe)
    return len(late)


def retry_given_up(session: Session, webhook: Webhook) -> int:
    """Try once more what was given up and is true still: the newest of alerts that fire; returns how many."""
    given_up = [each.id for each in _newest(session, webhook) if each.dead_at is not None and not each.is_superseded]
    return notifications.retry(session, given_up)["retried"] if given_up else 0
