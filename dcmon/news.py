"""Telling an organization's receivers what is wrong with dcmon itself.

It is written into the organization's outbox, in a transaction of its own: no transaction writes two lineages. A message
has an id that follows from what it says, so that one that is written twice is there once.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import notifications, webhooks
from dcmon.conditions import News
from dcmon.db import Organization
from dcmon.tables.org import Notification, Webhook
from dcmon.watch import Condition

NAMESPACE = uuid.UUID("6f0a7b52-6c1e-4d55-9f0b-2f1d8f5c1a77")


def tell(session: Session, org: Organization, news: News, now: datetime) -> int:
    """Write the news into an organization's outbox, for each receiver that wants it; returns how many were written."""
    receivers = session.scalars(select(Webhook).where(Webhook.is_active).order_by(Webhook.id)).all()
    written = 0
    for kind, told in (("firing", news.firing), ("resolved", news.resolved)):
        for each in told:
            for webhook in receivers:
                if webhooks.wants(webhook, each.severity, None):
                    written += _write(session, org, webhook, kind, each, now)
    return written


def _write(session: Session, org: Organization, webhook: Webhook, kind: str, said: Condition, now: datetime) -> int:
    name = f"{said.name}/{said.subject}/{said.since.isoformat()}/{kind}/{webhook.id}"
    statement = insert(Notification).values(
        id=uuid.uuid5(NAMESPACE, name),
        webhook_id=webhook.id,
        kind=kind,
        severity=said.severity,
        body=message(org, kind, said, now),
    )
    found = session.scalar(statement.on_conflict_do_nothing(index_elements=["id"]).returning(Notification.id))
    return int(found is not None)


def message(org: Organization, kind: str, said: Condition, now: datetime) -> dict[str, Any]:
    """What a receiver is told, see docs/watching.md: with the keys of an alert, so that each kind can say it."""
    name = f"{said.name}: {said.subject}" if said.subject else said.name
    return {
        "format": notifications.FORMAT,
        "type": f"dcmon.{kind}",
        "timestamp": now.isoformat(),
        "organization": org.name,
        "alert": {
            "id": f"{said.name}/{said.subject}/{said.since.isoformat()}",
            "model": "dcmon",
            "monitor": name,
            "severity": said.severity,
            "state": kind,
            "since": said.since.isoformat(),
            "reason": said.sentence,
        },
        "command": said.command,
    }
