"""Notifications about problems of dcmon itself, in the outbox of the organization that DCMON_HEALTH__ORG names.

They are written in their own transaction: no transaction writes to both the public schema and an organization's schema.
The id of each is derived from its content, so that a repeated write after a crash changes nothing.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db import Organization
from dcmon.db.tables.org import Notification, Webhook
from dcmon.health.problem import Problem
from dcmon.health.problems import ProblemChanges
from dcmon.notifications import notification_writer, receivers
from dcmon.notifications.message_types import problem_type
from dcmon.states import NotificationKind

NAMESPACE = uuid.UUID("6f0a7b52-6c1e-4d55-9f0b-2f1d8f5c1a77")


@dataclass(frozen=True)
class _Writer:
    """Writes notifications to one receiver."""

    session: Session
    org: Organization
    receiver: Webhook
    now: datetime

    def write(self, kind: str, problem: Problem, after: str = "") -> int:
        """Write a notification unless it exists; return 1 if it is new. `after`: the id of the one that it repeats."""
        name = f"{problem_id(problem)}/{kind}/{self.receiver.id}{after}"
        statement = insert(Notification).values(
            id=uuid.uuid5(NAMESPACE, name),
            webhook_id=self.receiver.id,
            kind=kind,
            severity=problem.severity,
            body=problem_body(self.org, kind, problem, self.now),
        )
        statement = statement.on_conflict_do_nothing(index_elements=["id"])
        return int(self.session.scalar(statement.returning(Notification.id)) is not None)

    def write_subscribed(self, kind: str, problems: Sequence[Problem]) -> int:
        """Write notifications about the problems that the receiver subscribes to; return how many are new."""
        return sum(self.write(kind, problem) for problem in _subscribed(self.receiver, problems))

    def repeat(self, problem: Problem) -> int:
        """Write a repeated notification if the receiver's last one is older than its `repeat_every`."""
        if self.receiver.repeat_every is None or receivers.is_paused(self.receiver, self.now):
            return 0
        last = self.session.scalar(
            select(Notification)
            .where(
                Notification.webhook_id == self.receiver.id,
                Notification.alert_id.is_(None),
                Notification.body["alert"]["id"].as_string() == problem_id(problem),
                ~Notification.is_superseded,
            )
            .order_by(Notification.position.desc())
            .limit(1)
        )
        ended_at = None if last is None else last.delivered_at or last.dead_at
        if last is None or ended_at is None or self.now - ended_at < self.receiver.repeat_every:
            return 0
        return self.write(NotificationKind.REPEATED, problem, after=str(last.id))


def write(session: Session, org: Organization, changes: ProblemChanges, now: datetime) -> int:
    """Write notifications about changes for each subscribed receiver; return how many are new."""
    written = 0
    for receiver in session.scalars(select(Webhook).where(Webhook.is_active).order_by(Webhook.id)).all():
        writer = _Writer(session, org, receiver, now)
        written += writer.write_subscribed(NotificationKind.FIRING, changes.started)
        written += sum(writer.repeat(problem) for problem in _subscribed(receiver, changes.ongoing))
        written += writer.write_subscribed(NotificationKind.RESOLVED, changes.resolved)
    return written


def write_for_receiver(
    session: Session, org: Organization, receiver: Webhook, problems: Sequence[Problem], now: datetime
) -> int:
    """Notify a receiver of problems that it was not notified of; return how many.

    Only problems that it subscribes to are notified.
    """
    return _Writer(session, org, receiver, now).write_subscribed(NotificationKind.FIRING, problems)


def _subscribed(receiver: Webhook, problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if receivers.is_subscribed(receiver, problem.severity, None)]


def problem_id(problem: Problem) -> str:
    """Return the id of a problem in notifications. A problem that comes back gets another id."""
    return f"{problem.name}/{problem.subject}/{problem.since.isoformat()}"


def problem_body(org: Organization, kind: str, problem: Problem, now: datetime) -> dict[str, Any]:
    """Return the body of a notification: see docs/dcmon-health.md.

    It has the keys of an alert, so that all integrations can render it.
    """
    name = f"{problem.name}: {problem.subject}" if problem.subject else problem.name
    return {
        "format": notification_writer.FORMAT,
        "type": problem_type(kind),
        "timestamp": now.isoformat(),
        "organization": org.name,
        "alert": {
            "id": problem_id(problem),
            "model": "dcmon",
            "monitor": name,
            "severity": problem.severity,
            "state": kind,
            "since": problem.since.isoformat(),
            "reason": problem.sentence,
        },
        "command": problem.command,
    }
