"""Telling an organization's receivers what is wrong with dcmon itself.

It is written into the organization's outbox, in a transaction of its own: no transaction writes two lineages. A message
has an id that follows from what it says, so that one that is written twice is there once.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db import Organization
from dcmon.db.tables.org import Notification, Webhook
from dcmon.health.checks import Problem
from dcmon.health.problems import ProblemChanges
from dcmon.notifications import notification_writer, receivers

NAMESPACE = uuid.UUID("6f0a7b52-6c1e-4d55-9f0b-2f1d8f5c1a77")


def write(session: Session, org: Organization, news: ProblemChanges, now: datetime) -> int:
    """Write the news into an organization's outbox, for each receiver that wants it; returns how many were written."""
    written = 0
    for webhook in session.scalars(select(Webhook).where(Webhook.is_active).order_by(Webhook.id)).all():
        written += write_for_receiver(session, org, webhook, news.firing, now)
        for each in _wanted(webhook, news.lasting):
            written += _repeat(session, org, webhook, each, now)
        for each in _wanted(webhook, news.resolved):
            written += _write(session, org, webhook, "resolved", each, now)
    return written


def write_for_receiver(
    session: Session, org: Organization, webhook: Webhook, wrong: Sequence[Problem], now: datetime
) -> int:
    """Tell one receiver what is wrong, as far as it wants to know and was not told; returns of how much."""
    return sum(_write(session, org, webhook, "firing", each, now) for each in _wanted(webhook, wrong))


def _wanted(webhook: Webhook, told: Sequence[Problem]) -> list[Problem]:
    return [each for each in told if receivers.is_subscribed(webhook, each.severity, None)]


def _repeat(session: Session, org: Organization, webhook: Webhook, said: Problem, now: datetime) -> int:
    """Tell a receiver again of what lasts, where the last that it was told of it is old enough."""
    last = session.scalar(
        select(Notification)
        .where(
            Notification.webhook_id == webhook.id,
            Notification.alert_id.is_(None),
            Notification.body["alert"]["id"].as_string() == problem_id(said),
            ~Notification.is_superseded,
        )
        .order_by(Notification.position.desc())
        .limit(1)
    )
    at = None if last is None else last.delivered_at or last.dead_at
    if last is None or at is None or webhook.repeat_every is None or receivers.is_paused(webhook, now):
        return 0
    return _write(session, org, webhook, "repeated", said, now, str(last.id)) if now - at >= webhook.repeat_every else 0


def problem_id(said: Problem) -> str:
    """What a condition is known by to receivers: it is another one when it comes again."""
    return f"{said.name}/{said.subject}/{said.since.isoformat()}"


def _write(
    session: Session, org: Organization, webhook: Webhook, kind: str, said: Problem, now: datetime, after: str = ""
) -> int:
    name = f"{problem_id(said)}/{kind}/{webhook.id}{after}"
    statement = insert(Notification).values(
        id=uuid.uuid5(NAMESPACE, name),
        webhook_id=webhook.id,
        kind=kind,
        severity=said.severity,
        body=problem_body(org, kind, said, now),
    )
    found = session.scalar(statement.on_conflict_do_nothing(index_elements=["id"]).returning(Notification.id))
    return int(found is not None)


def problem_body(org: Organization, kind: str, said: Problem, now: datetime) -> dict[str, Any]:
    """What a receiver is told, see docs/watching.md: with the keys of an alert, so that each kind can say it."""
    name = f"{said.name}: {said.subject}" if said.subject else said.name
    return {
        "format": notification_writer.FORMAT,
        "type": f"dcmon.{kind}",
        "timestamp": now.isoformat(),
        "organization": org.name,
        "alert": {
            "id": problem_id(said),
            "model": "dcmon",
            "monitor": name,
            "severity": said.severity,
            "state": kind,
            "since": said.since.isoformat(),
            "reason": said.sentence,
        },
        "command": said.command,
    }
