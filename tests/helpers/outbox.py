"""The outbox of an organization at a time that the test sets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dcmon.alerting import alert_payload
from dcmon.app import App
from dcmon.db.tables.org import Alert, Notification
from dcmon.notifications import notification_views, notification_writer, outbox, receivers, silences
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import Address
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.notifications.outbox import ClaimedMessage
from dcmon.notifications.receivers import Subscription
from dcmon.notifications.silences import NewSilence
from dcmon.settings import Webhooks
from tests.helpers.alerts import insert_alert
from tests.integration.conftest import Target

URL = "https://dcmon.example"
DELIVERED, REFUSED = Attempt(200, None), Attempt(500, "The receiver answered 500.")


@dataclass
class OutboxDriver:
    """Drives the outbox of an organization, with a clock that the test sets."""

    app: App
    target: Target
    now: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(hours=1))
    settings: Webhooks = field(default_factory=Webhooks)

    @property
    def renderer(self) -> AlertRenderer:
        return AlertRenderer(self.target.org, URL, alert_payload.describe)

    def add_receiver(self, name: str = "team", kind: str = "webhook", **chosen: Any) -> None:
        targets = {"webhook": ["https://hooks.example.org/x"], "pagerduty": [], "email": ["a@b.example"]}[kind]
        with self.app.org(self.target.org) as session:
            where = Address(kind, targets, key="R0UTINGKEY" if kind == "pagerduty" else None)
            receivers.add(session, name, where, self.settings, Subscription(**chosen))

    def insert_alert(self, severity: str = "high") -> int:
        return insert_alert(self.app, self.target, severity)

    def write(self, alert_id: int, kind: str = "firing", **changed: Any) -> None:
        with self.app.org(self.target.org) as session:
            about = session.get_one(Alert, alert_id)
            for name, value in changed.items():
                setattr(about, name, value)
            session.flush()
            notification_writer.write(session, self.renderer, about, kind)

    def claim(self, room: int = 64) -> list[ClaimedMessage]:
        with self.app.org(self.target.org) as session:
            return outbox.claim(session, self.renderer, self.settings, capacity=lambda _, __: room, now=self.now)

    def record(self, claimed: Sequence[ClaimedMessage], sent: Attempt = DELIVERED) -> None:
        for message in claimed:
            with self.app.org(self.target.org) as session:
                outbox.record(session, message, sent, self.settings, self.now)

    def deliver(self) -> list[dict[str, Any]]:
        """Claim all due messages, record their delivery, and return their bodies."""
        claimed = self.claim()
        self.record(claimed)
        return [dict(claimed_message.message.body) for claimed_message in claimed]

    def deliver_kinds(self) -> list[str]:
        return [
            notification["type"].removeprefix("alert.")
            for body in self.deliver()
            for notification in message_text.notifications(body)
        ]

    def advance(self, **spans: float) -> None:
        self.now += timedelta(**spans)

    def states(self) -> list[str]:
        with self.app.org(self.target.org) as session:
            return [
                notification_views.state(notification)
                for notification in session.query(Notification).order_by(Notification.position)
            ]

    def next_due_in(self) -> timedelta | None:
        with self.app.org(self.target.org) as session:
            due_at = outbox.next_due_at(session, self.settings, now=self.now)
        return None if due_at is None else due_at - self.now

    def silence(self, **spans: float) -> int:
        with self.app.org(self.target.org) as session:
            begins = self.now - timedelta(seconds=1)
            return silences.add(
                session, NewSilence(["model=credit"], begins, self.now + timedelta(**spans), "why", "ann")
            ).id


def alert_ids(claimed: ClaimedMessage) -> list[int]:
    """Return the ids of the alerts in a message."""
    return [notification["alert"]["id"] for notification in message_text.notifications(claimed.message.body)]
