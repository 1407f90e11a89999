"""The notification levels of an organization, as the old API knows them."""

from dcmon.app import App
from dcmon.notifications import notification_levels, receivers
from dcmon.notifications.integrations.base import Address
from dcmon.notifications.notification_levels import NotificationLevels
from dcmon.settings import Webhooks
from dcmon.severity import Severity
from tests.integration.conftest import Target

LOW_AND_HIGH = [Severity.LOW, Severity.HIGH]


def test_levels_are_those_of_the_oldest_receiver(app: App, target: Target) -> None:
    """Levels of e-mail are set for all addresses, and those of webhooks for the oldest one only."""
    with app.org(target.org) as session:
        assert notification_levels.current(session).levels == NotificationLevels()
        for name in ("old", "new"):
            receivers.add(session, name, f"https://{name}.example.org/x", Webhooks())
            receivers.add(session, f"{name} mail", Address("email", ["a@b.example"]), Webhooks())
        notification_levels.change(session, NotificationLevels(email=LOW_AND_HIGH, webhook=[Severity.CRITICAL]))
        assert notification_levels.current(session).levels == NotificationLevels(
            None, LOW_AND_HIGH, [Severity.CRITICAL]
        )
        assert receivers.find(session, "new mail").severities == ["low", "high"]
        assert receivers.find(session, "new").severities == list(Severity)
        notification_levels.change(session, NotificationLevels(webhook=[]))
        assert notification_levels.current(session).levels == NotificationLevels(None, LOW_AND_HIGH, [])


def test_levels_without_a_receiver_are_kept(app: App, target: Target) -> None:
    """As in the old system; here a receiver that is added later gets them."""
    with app.org(target.org) as session:
        notification_levels.change(session, NotificationLevels(slack=[Severity.HIGH], webhook=[Severity.LOW]))
        current = notification_levels.current(session)
        assert (current.levels, current.connected) == (NotificationLevels([Severity.HIGH], None, [Severity.LOW]), set())
        assert notification_levels.of_new_receiver(session, "slack") == [Severity.HIGH]
        assert notification_levels.of_new_receiver(session, "pagerduty") == [Severity.LOW]
        assert notification_levels.of_new_receiver(session, "teams") is None
        notification_levels.change(session, NotificationLevels(slack=[]))
        assert notification_levels.of_new_receiver(session, "slack") is None
