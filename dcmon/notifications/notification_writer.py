"""Write notifications into the outbox, in the transaction that changes the alert.

notifications.outbox claims them later, and a notify worker sends them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Integer, ScalarSelect, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from dcmon.db import Organization, bulk, locks
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
        return notification_body(self.payload(session, alert, kind), self.org.name, kind)

    def payload(self, session: Session, alert: Alert, kind: str) -> dict[str, Any]:
        """Describe the alert as it is now."""
        return self.describe_alert(session, self.org, alert, self.public_url, kind)


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


class AlertUpdate(NamedTuple):
    """A change of an alert, of which receivers may be notified."""

    alert: Alert
    model_id: int | None
    kind: NotificationKind


class _Delivery(NamedTuple):
    """A change, and a receiver that must be notified of it."""

    update: AlertUpdate
    receiver: Webhook


# Returns the payloads of some changes, in their order.
Payloads = Callable[[Sequence[AlertUpdate]], Sequence[Mapping[str, Any]]]


def write(session: Session, renderer: AlertRenderer, alert: Alert, kind: NotificationKind) -> int:
    """Write one notification for each receiver that must know of the change; return how many.

    A receiver that was notified of the alert gets every later change, also when it no longer subscribes to the alert's
    severity. A receiver that was not notified of the alert gets no FOLLOW_UP_KINDS.
    """
    update = AlertUpdate(alert, _model_id(session, alert), kind)
    locks.acquire(session, LockSpace.NOTIFICATION_WRITE, renderer.org.id, shared=True)
    return write_all(session, renderer.org, [update], lambda _: [renderer.payload(session, alert, kind)])


def write_all(session: Session, org: Organization, updates: Sequence[AlertUpdate], payloads: Payloads) -> int:
    """Write the notifications of several changes, as `write` does, in a fixed number of statements.

    `payloads` is called once, with the changes that have a receiver. An earlier statement of the transaction has waited
    for `write_lock`.
    """
    deliveries = _deliveries(session, updates)
    chosen = [update for update in updates if any(delivery.update is update for delivery in deliveries)]
    bodies = {
        id(update): notification_body(payload, org.name, update.kind)
        for update, payload in zip(chosen, payloads(chosen) if chosen else (), strict=True)
    }
    _insert(session, [(delivery, bodies[id(delivery.update)]) for delivery in deliveries])
    return len(deliveries)


def _deliveries(session: Session, updates: Sequence[AlertUpdate]) -> list[_Delivery]:
    """Return the notifications to write, in the order of the changes and of the receivers' ids."""
    alert_ids = sorted({update.alert.id for update in updates})
    about = select(Notification.alert_id).where(
        Notification.webhook_id == Webhook.id,
        Notification.alert_id == any_(bindparam("alert_ids", type_=ARRAY(Integer))),
    )
    of_receiver = func.array(about.distinct().correlate(Webhook).scalar_subquery(), type_=ARRAY(Integer))
    statement = select(Webhook, of_receiver).where(Webhook.is_active).order_by(Webhook.id)
    rows = session.execute(statement, {"alert_ids": alert_ids}).all()
    active = [receiver for receiver, _ in rows]
    notified = {(alert_id, receiver.id) for receiver, known_ids in rows for alert_id in known_ids}
    deliveries = list[_Delivery]()
    for update in updates:
        recipients = [
            receiver
            for receiver in active
            if (update.alert.id, receiver.id) in notified
            or (
                update.kind not in FOLLOW_UP_KINDS
                and receivers.is_subscribed(receiver, update.alert.severity, update.model_id)
            )
        ]
        notified |= {(update.alert.id, receiver.id) for receiver in recipients}
        deliveries += [_Delivery(update, receiver) for receiver in recipients]
    return deliveries


def write_for_receivers(
    session: Session, renderer: AlertRenderer, recipients: Sequence[Webhook], alert: Alert, kind: NotificationKind
) -> int:
    """Write one notification for each of these receivers; return how many."""
    if not recipients:
        return 0
    update, body = AlertUpdate(alert, _model_id(session, alert), kind), renderer.body(session, alert, kind)
    _insert(session, [(_Delivery(update, receiver), body) for receiver in recipients])
    return len(recipients)


def _insert(session: Session, notifications: Sequence[tuple[_Delivery, Mapping[str, Any]]]) -> None:
    rows = [
        {
            "alert_id": delivery.update.alert.id,
            "webhook_id": delivery.receiver.id,
            "model_id": delivery.update.model_id,
            "kind": delivery.update.kind,
            "severity": delivery.update.alert.severity,
            "body": body,
        }
        for delivery, body in notifications
    ]
    bulk.insert(session, Notification, rows)


def write_lock(org: Organization) -> ScalarSelect[Any]:
    """Return a column that waits until this transaction may write notifications, in a statement that returns rows.

    Shared: writers do not wait for each other, only for a transaction that holds `block_writers`.
    """
    return locks.subquery(LockSpace.NOTIFICATION_WRITE, org.id, shared=True)


def block_writers(session: Session, org: Organization) -> None:
    """Block other writers of notifications until this transaction ends.

    So a new receiver misses no alert.
    """
    locks.acquire(session, LockSpace.NOTIFICATION_WRITE, org.id)


def _model_id(session: Session, alert: Alert) -> int | None:
    return session.scalar(select(Version.model_id).where(Version.id == alert.version_id))
