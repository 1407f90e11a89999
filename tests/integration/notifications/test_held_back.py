"""Notifications that a silence holds, that are repeated, or that are not sent."""

from datetime import timedelta

import pytest

from dcmon.app import App
from dcmon.db.tables.org import Alert
from dcmon.notifications import batching, outbox, receivers, silences
from dcmon.notifications.silences import NewSilence
from tests.helpers.outbox import REFUSED, OutboxDriver, alert_ids
from tests.integration.conftest import Target, single


@pytest.fixture
def driver(app: App, target: Target) -> OutboxDriver:
    created = OutboxDriver(app, target)
    created.add_receiver()
    return created


# Held back.


def test_held_notification_is_sent_after_the_silence(driver: OutboxDriver) -> None:
    """The notification has the values at the time of sending."""
    about = driver.insert_alert()
    driver.silence(hours=2)
    driver.write(about)
    assert driver.deliver() == []
    assert driver.states() == ["held"]
    assert driver.target.scalar("select held_because from notifications").startswith("silence 1 by ann")
    assert driver.next_due_in() == batching.HOLD_CHECK_INTERVAL
    with driver.app.org(driver.target.org) as session:
        session.get_one(Alert, about).worst_value = 7.0
    driver.advance(hours=1)
    assert driver.deliver() == []
    driver.advance(hours=1)
    assert single(driver.deliver())["alert"]["worst_value"] == 7.0


def test_alert_that_ends_in_a_silence_is_not_notified(driver: OutboxDriver) -> None:
    about = driver.insert_alert()
    driver.silence(hours=2)
    driver.write(about)
    driver.deliver()
    driver.write(about, "resolved", state="resolved")
    assert driver.deliver() == []
    driver.advance(hours=3)
    assert driver.deliver() == []
    assert driver.states() == ["superseded", "superseded"]
    assert driver.next_due_in() is None


def test_end_in_a_silence_of_a_notified_alert_is_sent_later(driver: OutboxDriver) -> None:
    about = driver.insert_alert()
    driver.write(about)
    assert driver.deliver_kinds() == ["firing"]
    driver.silence(hours=2)
    driver.write(about, "resolved", state="resolved")
    assert driver.deliver() == []
    driver.advance(hours=2)
    assert driver.deliver_kinds() == ["resolved"]


def test_incident_is_resolved_during_a_silence(driver: OutboxDriver) -> None:
    """Resolving an incident needs no person, so a silence does not hold it."""
    driver.add_receiver("pager", "pagerduty")
    about = driver.insert_alert()
    driver.write(about)
    assert driver.deliver_kinds() == ["firing", "firing"]
    driver.silence(hours=2)
    driver.write(about, "resolved", state="resolved")
    assert driver.deliver_kinds() == ["resolved"]
    assert sorted(driver.states()) == ["delivered"] * 3 + ["held"]


def test_retraction_of_an_unnotified_alert_is_not_sent(driver: OutboxDriver) -> None:
    about = driver.insert_alert()
    driver.write(about)
    driver.write(about, "retracted", state="pending")
    assert driver.deliver() == []
    driver.write(about)
    assert driver.deliver_kinds() == ["firing"]
    driver.write(about, "retracted", state="pending")
    assert driver.deliver_kinds() == ["retracted"]


def test_silence_holds_part_of_a_message_tried_before(driver: OutboxDriver) -> None:
    """A silence holds one notification of a message already tried; the others are sent."""
    held, sent = driver.insert_alert("low"), driver.insert_alert("critical")
    driver.write(held)
    driver.write(sent)
    first = single(driver.claim())
    driver.record([first], REFUSED)
    with driver.app.org(driver.target.org) as session:
        silences.add(session, NewSilence(["severity=low"], driver.now, driver.now + timedelta(hours=2), "why", "ann"))
    driver.advance(minutes=1)
    again = single(driver.claim())
    assert (alert_ids(again), again.id == first.id) == ([sent], False)
    driver.record([again])
    assert driver.states() == ["held", "delivered"]
    driver.advance(hours=2)
    assert alert_ids(single(driver.claim())) == [held]


def test_end_is_not_sent_to_an_unnotified_receiver(driver: OutboxDriver) -> None:
    driver.add_receiver("loud", severities=["critical"])
    about = driver.insert_alert()
    driver.write(about)
    assert driver.deliver_kinds() == ["firing"]
    driver.write(about, "resolved", state="resolved", severity="critical")
    assert driver.deliver_kinds() == ["resolved"]
    assert driver.states() == ["delivered"] * 2


# Repeats.


def test_firing_alert_is_repeated_each_day(driver: OutboxDriver) -> None:
    """An alert that is acknowledged, silenced or resolved is not repeated."""
    about = driver.insert_alert()
    driver.write(about)
    assert driver.deliver_kinds() == ["firing"]
    assert driver.next_due_in() == timedelta(hours=24)
    driver.advance(hours=23)
    assert driver.deliver_kinds() == []
    driver.advance(hours=1)
    assert driver.deliver_kinds() == ["repeated"]
    driver.advance(hours=24)
    driver.silence(hours=1)
    assert driver.deliver_kinds() == []
    assert driver.next_due_in() == outbox.REPEAT_CHECK_INTERVAL
    driver.advance(hours=1)
    assert driver.deliver_kinds() == ["repeated"]
    driver.write(about, "acknowledged", acknowledged_at=driver.now)
    assert driver.deliver_kinds() == ["acknowledged"]
    driver.advance(days=3)
    assert driver.deliver_kinds() == []
    assert driver.next_due_in() is None
    driver.write(about, "resolved", state="resolved", acknowledged_at=None)
    assert driver.deliver_kinds() == ["resolved"]
    driver.advance(days=3)
    assert driver.deliver_kinds() == []


def test_unacknowledged_alert_is_repeated_again(driver: OutboxDriver) -> None:
    about = driver.insert_alert()
    driver.write(about)
    assert driver.deliver_kinds() == ["firing"]
    driver.write(about, "acknowledged", acknowledged_at=driver.now)
    assert driver.deliver_kinds() == ["acknowledged"]
    with driver.app.org(driver.target.org) as session:
        session.get_one(Alert, about).acknowledged_at = None
    driver.advance(hours=24)
    assert driver.deliver_kinds() == ["repeated"]


def test_receiver_without_repeats_gets_none(driver: OutboxDriver) -> None:
    driver.add_receiver("never", repeat_every=None, cap=None)
    with driver.app.org(driver.target.org) as session:
        receivers.delete(session, receivers.find(session, "team"))
        assert receivers.subscription(session, receivers.find(session, "never")).cap is None
    driver.write(driver.insert_alert())
    assert driver.deliver_kinds() == ["firing"]
    driver.advance(days=30)
    assert driver.deliver_kinds() == []
