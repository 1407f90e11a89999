"""The notification levels of an organization, as the old API knows them."""

import pytest

from dcmon.app import App
from dcmon.errors import InvalidInput
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
        assert notification_levels.current(session) == NotificationLevels()
        for name in ("old", "new"):
            receivers.add(session, name, f"https://{name}.example.org/x", Webhooks())
            receivers.add(session, f"{name} mail", Address("email", ["a@b.example"]), Webhooks())
        notification_levels.change(session, NotificationLevels(email=LOW_AND_HIGH, webhook=[Severity.CRITICAL]))
        assert notification_levels.current(session) == NotificationLevels(None, LOW_AND_HIGH, [Severity.CRITICAL])
        assert receivers.find(session, "new mail").severities == ["low", "high"]
        assert receivers.find(session, "new").severities == list(Severity)
        notification_levels.change(session, NotificationLevels(webhook=[]))
        assert notification_levels.current(session) == NotificationLevels(None, LOW_AND_HIGH, [])


def test_levels_without_a_receiver_are_refused(app: App, target: Target) -> None:
    """The old system kept such levels, and nothing was ever sent."""
    with app.org(target.org) as session:
        with pytest.raises(InvalidInput, match="no Slack receiver"):
            notification_levels.change(session, NotificationLevels(slack=[Severity.HIGH]))
        notification_levels.change(session, NotificationLevels(slack=[]))
