"""The outbox: notifications are written in the transaction that moves an alert, and delivered at least once.

Per alert and webhook they go out in order; a newer state of the same alert supersedes an undelivered older one.
"""

import json
import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import descriptions
from dcmon.db import Organization
from dcmon.settings import Webhooks
from dcmon.tables.org import Alert, Notification, Webhook
from dcmon.webhooks import Delivery

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)

CLAIM = text("""
    update notifications as taken set lease_until = now() + :lease, attempts = taken.attempts + 1
      from (select n.id from notifications n
             where n.delivered_at is null and n.dead_at is null and n.due_at <= now()
               and (n.lease_until is null or n.lease_until < now())
               and not exists (select 1 from notifications earlier
                                where earlier.alert_id = n.alert_id and earlier.webhook_id = n.webhook_id
                                  and earlier.position < n.position
                                  and earlier.delivered_at is null and earlier.dead_at is null)
             order by n.position limit :limit for update skip locked) found
      join notifications same on same.id = found.id join webhooks w on w.id = same.webhook_id
     where taken.id = found.id
    returning taken.id, taken.body, w.url, w.secret
""")
SUPERSEDE = text("""
    update notifications older set dead_at = now(), last_error = 'superseded by a newer state'
     where older.delivered_at is null and older.dead_at is null
       and (older.lease_until is null or older.lease_until < now()) and older.attempts > 0
       and exists (select 1 from notifications newer
                    where newer.alert_id = older.alert_id and newer.webhook_id = older.webhook_id
                      and newer.position > older.position)
""")


@dataclass(frozen=True)
class Claimed:
    """A notification that this worker may send until the lease ends."""

    id: uuid.UUID
    body: bytes
    url: str
    secret: bytes


def write(session: Session, org: Organization, alert: Alert, kind: str, public_url: str) -> int:
    """Write one notification, of a kind of dcmon.episodes.TOLD, for each webhook that wants it; returns how many."""
    wanted = [
        webhook
        for webhook in session.scalars(select(Webhook).where(Webhook.is_active).order_by(Webhook.id))
        if alert.severity in webhook.severities
    ]
    if not wanted:
        return 0
    body = message(session, org, alert, kind, public_url)
    for webhook in wanted:
        session.add(Notification(alert_id=alert.id, webhook_id=webhook.id, kind=kind, body=body))
    session.flush()
    return len(wanted)


def message(session: Session, org: Organization, alert: Alert, kind: str, public_url: str) -> dict[str, Any]:
    """What a receiver is told, see docs/operating.md."""
    about = descriptions.describe(session, org, alert, public_url)
    return {
        "type": f"alert.{kind}",
        "timestamp": datetime.now(UTC).isoformat(),
        "organization": org.name,
        "link": about.pop("link"),
        "command": about.pop("command"),
        "alert": about,
    }


def claim(session: Session, limit: int, lease: timedelta) -> list[Claimed]:
    """Claim what is due: of each alert and webhook only the oldest that is not delivered."""
    session.execute(SUPERSEDE)
    found = session.execute(CLAIM, {"limit": limit, "lease": lease})
    return [Claimed(row.id, encode(row.body), row.url, bytes(row.secret)) for row in found]


def encode(body: dict[str, Any]) -> bytes:
    """A message's bytes: what is signed is what is sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def record(session: Session, notification_id: uuid.UUID, delivery: Delivery, settings: Webhooks) -> None:
    """Write down how a delivery went: done, to be tried again later, or given up."""
    notification = session.get(Notification, notification_id)
    if notification is None:
        return
    now = datetime.now(UTC)
    notification.last_status, notification.last_error = delivery.status, delivery.error
    notification.lease_until = None
    if delivery.is_delivered:
        notification.delivered_at = now
    elif now - notification.created_at > settings.retry_for:
        notification.dead_at = now
    else:
        notification.due_at = now + pause(notification.attempts)
    session.flush()


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubling from 5 s to 1 h, a tenth of it by chance."""
    longest: timedelta = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 20))
    return longest * (0.9 + 0.1 * random.random())


WAITS = "exists (select 1 from notifications where delivered_at is null and dead_at is null)"


def next_at(session: Session) -> datetime | None:
    """When the next notification is due; None when none waits."""
    found: datetime | None = session.scalar(
        text(
            "select min(greatest(due_at, coalesce(lease_until, due_at))) from notifications"
            " where delivered_at is null and dead_at is null"
        )
    )
    return found


def of_alert(session: Session, alert_id: int) -> list[tuple[Notification, Webhook]]:
    """The notifications about an alert, oldest first, with their receivers."""
    statement = select(Notification, Webhook).join(Webhook, Webhook.id == Notification.webhook_id)
    found = session.execute(statement.where(Notification.alert_id == alert_id).order_by(Notification.position))
    return [(notification, webhook) for notification, webhook in found]


def state(notification: Notification) -> str:
    """One of: delivered, given up, superseded, waiting, retrying."""
    if notification.delivered_at is not None:
        return "delivered"
    if notification.dead_at is not None:
        return "superseded" if (notification.last_error or "").startswith("superseded") else "given up"
    return "retrying" if notification.attempts else "waiting"
