"""What is wrong with dcmon itself, kept from one judgement to the next: since when, and who was told.

What an organization's receivers are told is written into its outbox, in a transaction of its own: no transaction writes
two lineages. A message has an id that follows from what it says, so that one that is written twice is there once.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import notifications, webhooks
from dcmon.db import Organization
from dcmon.tables.org import Notification, Webhook
from dcmon.tables.public import Condition as Kept
from dcmon.watch import Condition

NAMESPACE = uuid.UUID("6f0a7b52-6c1e-4d55-9f0b-2f1d8f5c1a77")


@dataclass(frozen=True)
class News:
    """What there is to tell: what began to be wrong, and what was told before and is over."""

    firing: Sequence[Condition] = ()
    resolved: Sequence[Condition] = ()


def entries(session: Session) -> list[Condition]:
    """What was wrong when dcmon was judged last, the worst first."""
    return sorted((_read(each) for each in session.scalars(select(Kept))), key=lambda condition: condition.rank)


def keep(session: Session, found: Sequence[Condition], now: datetime, patience: timedelta) -> News:
    """Keep what was found, and let go of what is over; returns what there is to tell.

    What lasted for less than `patience` is not told yet: an organization that is migrated just now is locked for a
    second. What is over and was never told is forgotten at once.
    """
    for each in sorted(found, key=lambda condition: condition.key):
        said = {"severity": each.severity, "sentence": each.sentence, "command": each.command}
        statement = insert(Kept).values(name=each.name, subject=each.subject, since=each.since, **said)
        session.execute(statement.on_conflict_do_update(index_elements=["name", "subject"], set_=said))
    there = {each.key for each in found}
    kept = session.scalars(select(Kept).order_by(Kept.name, Kept.subject)).all()
    over = [each for each in kept if (each.name, each.subject) not in there]
    forget(session, [_read(each) for each in over if each.told_at is None])
    return News(
        [_read(each) for each in kept if each not in over and each.told_at is None and now - each.since >= patience],
        [_read(each) for each in over if each.told_at is not None],
    )


def _read(kept: Kept) -> Condition:
    return Condition(kept.name, kept.severity, kept.sentence, kept.command, kept.since, kept.subject)


def tell(session: Session, org: Organization, news: News, now: datetime) -> int:
    """Write the news into an organization's outbox, for each webhook that wants it; returns how many were written."""
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


def mark_told(session: Session, told: Iterable[Condition], now: datetime) -> None:
    """Write down that these were told."""
    for each in told:
        mine = (Kept.name == each.name, Kept.subject == each.subject)
        session.execute(update(Kept).where(*mine).values(told_at=now))


def forget(session: Session, over: Iterable[Condition]) -> None:
    """Let go of conditions that are over."""
    for each in over:
        session.execute(delete(Kept).where(Kept.name == each.name, Kept.subject == each.subject))
