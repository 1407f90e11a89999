"""What is held back by a silence, told again while it lasts, or told to nobody."""

from datetime import timedelta

import pytest

from dcmon.app import App
from dcmon.db.tables.org import Alert
from dcmon.notifications import batching, outbox, receivers, silences
from dcmon.notifications.silences import NewSilence
from tests.helpers.outbox import REFUSED, Box, ids
from tests.integration.conftest import Target, only


@pytest.fixture
def box(app: App, target: Target) -> Box:
    made = Box(app, target)
    made.add()
    return made


# Held back.


def test_held_notification_is_sent_after_the_silence(box: Box) -> None:
    """It has the values of the time at which it is sent."""
    about = box.alert()
    box.silence(hours=2)
    box.tell(about)
    assert box.deliver() == []
    assert box.states() == ["held"]
    assert box.target.scalar("select held_because from notifications").startswith("silence 1 by ann")
    assert box.next_in() == batching.HOLD_CHECK_INTERVAL
    with box.app.org(box.target.org) as session:
        session.get_one(Alert, about).worst_value = 7.0
    box.wait(hours=1)
    assert box.deliver() == []
    box.wait(hours=1)
    assert only(box.deliver())["alert"]["worst_value"] == 7.0


def test_alert_that_ends_in_a_silence_is_not_notified(box: Box) -> None:
    about = box.alert()
    box.silence(hours=2)
    box.tell(about)
    box.deliver()
    box.tell(about, "resolved", state="resolved")
    assert box.deliver() == []
    box.wait(hours=3)
    assert box.deliver() == []
    assert box.states() == ["superseded", "superseded"]
    assert box.next_in() is None


def test_end_in_a_silence_of_a_notified_alert_is_sent_later(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.silence(hours=2)
    box.tell(about, "resolved", state="resolved")
    assert box.deliver() == []
    box.wait(hours=2)
    assert box.told() == ["resolved"]


def test_incident_is_resolved_during_a_silence(box: Box) -> None:
    """Resolving an incident pages no one."""
    box.add("pager", "pagerduty")
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing", "firing"]
    box.silence(hours=2)
    box.tell(about, "resolved", state="resolved")
    assert box.told() == ["resolved"]
    assert sorted(box.states()) == ["delivered"] * 3 + ["held"]


def test_retraction_of_an_unnotified_alert_is_not_sent(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    box.tell(about, "retracted", state="pending")
    assert box.deliver() == []
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "retracted", state="pending")
    assert box.told() == ["retracted"]


def test_silence_holds_part_of_a_message_tried_before(box: Box) -> None:
    """A later silence holds one notification of a message that was tried; the others are sent."""
    held, other = box.alert("low"), box.alert("critical")
    box.tell(held)
    box.tell(other)
    first = only(box.claim())
    box.record([first], REFUSED)
    with box.app.org(box.target.org) as session:
        silences.add(session, NewSilence(["severity=low"], box.now, box.now + timedelta(hours=2), "why", "ann"))
    box.wait(minutes=1)
    again = only(box.claim())
    assert (ids(again), again.id == first.id) == ([other], False)
    box.record([again])
    assert box.states() == ["held", "delivered"]
    box.wait(hours=2)
    assert ids(only(box.claim())) == [held]


def test_end_is_not_sent_to_an_unnotified_receiver(box: Box) -> None:
    box.add("loud", severities=["critical"])
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "resolved", state="resolved", severity="critical")
    assert box.told() == ["resolved"]
    assert box.states() == ["delivered"] * 2


# Repeats.


def test_firing_alert_is_repeated_each_day(box: Box) -> None:
    """Not when it is acknowledged, silenced or over."""
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    assert box.next_in() == timedelta(hours=24)
    box.wait(hours=23)
    assert box.told() == []
    box.wait(hours=1)
    assert box.told() == ["repeated"]
    box.wait(hours=24)
    box.silence(hours=1)
    assert box.told() == []
    assert box.next_in() == outbox.REPEAT_CHECK_INTERVAL
    box.wait(hours=1)
    assert box.told() == ["repeated"]
    box.tell(about, "acknowledged", acknowledged_at=box.now)
    assert box.told() == ["acknowledged"]
    box.wait(days=3)
    assert box.told() == []
    assert box.next_in() is None
    box.tell(about, "resolved", state="resolved", acknowledged_at=None)
    assert box.told() == ["resolved"]
    box.wait(days=3)
    assert box.told() == []


def test_unacknowledged_alert_is_repeated_again(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "acknowledged", acknowledged_at=box.now)
    assert box.told() == ["acknowledged"]
    with box.app.org(box.target.org) as session:
        session.get_one(Alert, about).acknowledged_at = None
    box.wait(hours=24)
    assert box.told() == ["repeated"]


def test_receiver_without_repeats_gets_none(box: Box) -> None:
    box.add("never", repeat_every=None, cap=None)
    with box.app.org(box.target.org) as session:
        receivers.delete(session, receivers.find(session, "team"))
        assert receivers.subscription(session, receivers.find(session, "never")).cap is None
    box.tell(box.alert())
    assert box.told() == ["firing"]
    box.wait(days=30)
    assert box.told() == []
