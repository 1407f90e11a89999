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


def test_what_a_silence_holds_goes_out_when_it_ends_and_says_what_is_true_then(box: Box) -> None:
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


def test_an_alert_that_comes_and_goes_in_silence_is_told_to_nobody(box: Box) -> None:
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


def test_the_end_of_an_alert_that_was_told_before_the_silence_is_told_after_it(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.silence(hours=2)
    box.tell(about, "resolved", state="resolved")
    assert box.deliver() == []
    box.wait(hours=2)
    assert box.told() == ["resolved"]


def test_an_incident_is_resolved_in_a_silence_too_for_that_wakes_nobody(box: Box) -> None:
    box.add("pager", "pagerduty")
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing", "firing"]
    box.silence(hours=2)
    box.tell(about, "resolved", state="resolved")
    assert box.told() == ["resolved"]
    assert sorted(box.states()) == ["delivered"] * 3 + ["held"]


def test_what_is_retracted_before_anybody_heard_of_it_is_told_to_nobody(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    box.tell(about, "retracted", state="pending")
    assert box.deliver() == []
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "retracted", state="pending")
    assert box.told() == ["retracted"]


def test_what_was_tried_once_is_held_by_a_later_silence_and_the_rest_of_its_message_is_not(box: Box) -> None:
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


def test_who_did_not_want_an_alert_when_it_fired_is_not_told_of_its_end(box: Box) -> None:
    box.add("loud", severities=["critical"])
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "resolved", state="resolved", severity="critical")
    assert box.told() == ["resolved"]
    assert box.states() == ["delivered"] * 2


# Repeats.


def test_what_still_fires_is_told_again_each_day_and_not_when_acknowledged_silenced_or_over(box: Box) -> None:
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


def test_an_alert_whose_acknowledgement_was_taken_back_is_told_again(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    assert box.told() == ["firing"]
    box.tell(about, "acknowledged", acknowledged_at=box.now)
    assert box.told() == ["acknowledged"]
    with box.app.org(box.target.org) as session:
        session.get_one(Alert, about).acknowledged_at = None
    box.wait(hours=24)
    assert box.told() == ["repeated"]


def test_a_receiver_that_wants_no_repeats_gets_none(box: Box) -> None:
    box.add("never", repeat_every=None, cap=None)
    with box.app.org(box.target.org) as session:
        receivers.delete(session, receivers.find(session, "team"))
        assert receivers.subscription(session, receivers.find(session, "never")).cap is None
    box.tell(box.alert())
    assert box.told() == ["firing"]
    box.wait(days=30)
    assert box.told() == []
