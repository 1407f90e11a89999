"""The outbox over days, with the time given: what is grouped, held, superseded, repeated, digested and given up."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from dcmon import errors
from dcmon.app import App
from dcmon.notifications import notification_views, receivers, retries
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import Address
from dcmon.notifications.notification_views import NotificationFilter
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.helpers.examples import examples
from tests.helpers.outbox import DONE, REFUSED, Box, ids
from tests.integration.conftest import Target, only


@pytest.fixture
def box(app: App, target: Target) -> Box:
    made = Box(app, target)
    made.add()
    return made


# Groups.


def test_alerts_are_grouped_by_model(box: Box) -> None:
    """Alerts of a model that change together go in one message, those of another model in another one."""
    first, second = box.alert("low"), box.alert("critical")
    with box.app.org(box.target.org) as session:
        other = models.create(session, NewModel("fraud", "binary"))
        version = versions.create(session, other, NewVersion("v1", {"a": "numeric"}, classes=["0", "1"]))
    third = box.alert()
    for each in (first, second):
        box.tell(each)
    box.tell(third, version_id=version.id)
    together, alone = sorted(box.deliver(), key=lambda body: body["type"], reverse=True)
    assert (together["type"], together["model"], together["count"]) == ("alerts", "credit", 2)
    assert together["counts"] == {"severity": {"critical": 1, "low": 1}}
    assert [each["alert"]["id"] for each in together["notifications"]] == [second, first]
    assert (alone["type"], alone["alert"]["id"]) == ("alert.firing", third)
    assert box.states() == ["delivered"] * 3


def test_new_notification_waits_for_group_wait(box: Box) -> None:
    box.tell(box.alert())
    box.now = box.target.scalar("select created_at from notifications") + timedelta(milliseconds=100)
    assert box.claim() == []
    assert box.next_in() == timedelta(milliseconds=200)
    box.wait(milliseconds=200)
    assert len(box.claim()) == 1


def test_message_keeps_id_and_content_over_attempts(box: Box) -> None:
    for _ in range(3):
        box.tell(box.alert())
    first = only(box.claim())
    box.record([first], REFUSED)
    box.wait(seconds=5)
    box.tell(box.alert())
    again, other = sorted(box.claim(), key=lambda each: -each.notification_count)
    assert (again.id, again.message) == (first.id, first.message)
    assert (other.id != first.id, other.notification_count) == (True, 1)


def test_message_of_a_dead_worker_is_sent_again_with_its_id(box: Box) -> None:
    box.tell(box.alert())
    first = only(box.claim())
    assert box.claim() == []
    box.wait(seconds=60)
    again = only(box.claim())
    assert (again.id, again.message) == (first.id, first.message)
    box.record([first])  # the one that was thought dead was only slow
    box.record([again], REFUSED)
    assert box.states() == ["delivered"]


# Order.


def test_newer_state_supersedes_undelivered_ones(box: Box) -> None:
    about = box.alert()
    for kind in ("firing", "escalated", "resolved"):
        box.tell(about, kind)
    assert box.told() == ["resolved"]
    assert box.states() == ["superseded", "superseded", "delivered"]


def test_newer_state_waits_for_an_older_one_in_flight(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    sending = box.claim()
    box.tell(about, "resolved", state="resolved")
    assert box.claim() == []
    box.record(sending)
    assert box.told() == ["resolved"]
    assert box.states() == ["delivered", "delivered"]


def test_message_that_loses_a_notification_gets_a_new_id(box: Box) -> None:
    """When one of a message is superseded, the others go in a message of another id."""
    gone, stays = box.alert(), box.alert()
    box.tell(gone)
    box.tell(stays)
    first = only(box.claim())
    box.record([first], REFUSED)
    box.tell(gone, "resolved", state="resolved")
    box.wait(seconds=10)
    again = only(box.claim())
    assert again.id != first.id
    told = {each["alert"]["id"]: each["type"] for each in message_text.notifications(again.message.body)}
    assert told == {gone: "alert.resolved", stays: "alert.firing"}


@given(st.lists(st.sampled_from(["firing", "escalated", "resolved", "send", "fail", "wait"]), max_size=25))
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_receiver_always_ends_with_the_newest_state(box: Box, steps: list[str]) -> None:
    about, heard, written = box.alert(), list[tuple[int, str]](), list[str]()
    for step in [*steps, "wait", "send"]:
        if step == "wait":
            box.wait(hours=2)
        elif step in ("send", "fail"):
            claimed = [each for each in box.claim() if about in ids(each)]
            if step == "send":
                heard += [(each.message.body["alert"]["id"], each.message.body["type"][6:]) for each in claimed]
            box.record(claimed, DONE if step == "send" else REFUSED)
        else:
            box.tell(about, step, state="resolved" if step == "resolved" else "firing")
            written += [step] if written or step != "resolved" else []  # whoever was not told hears of no end
    kinds = [kind for id_, kind in heard if id_ == about and kind != "repeated"]
    assert kinds[-1:] == written[-1:]
    left = iter(written)
    assert all(kind in left for kind in kinds)  # in the order in which they were written
    box.tell(about, "resolved", state="resolved")
    box.deliver()


def test_mail_is_retried_only_for_remaining_addresses(box: Box) -> None:
    with box.app.org(box.target.org) as session:
        receivers.delete(session, receivers.find(session, "team"))
        both = Address("email", ["ann@a.example", "bob@a.example"])
        receivers.add(session, "mail", both, box.settings)
    about = box.alert()
    box.tell(about)
    first = only(box.claim())
    assert first.target.options["to"] == ["ann@a.example", "bob@a.example"]
    box.record([first], Attempt(None, "refused bob", is_accepted=True, remaining=("bob@a.example",)))
    box.wait(minutes=1)
    again = only(box.claim())
    assert (again.id, again.target.options["to"]) == (first.id, ["bob@a.example"])
    box.record([again], REFUSED)
    box.wait(minutes=1)
    assert only(box.claim()).target.options["to"] == ["bob@a.example"]
    box.tell(about, "resolved", state="resolved")
    box.wait(minutes=5)
    assert only(box.claim()).target.options["to"] == ["ann@a.example", "bob@a.example"]


# Given up, paused, left alone.


def test_notification_is_dead_after_three_days_and_retryable(box: Box) -> None:
    box.tell(box.alert())
    tries = 0
    began = box.now
    while box.states() == ["waiting"]:
        claimed = box.claim()
        tries += len(claimed)
        box.record(claimed, REFUSED)
        if box.states() == ["waiting"]:
            box.wait(seconds=(box.next_in() or timedelta(seconds=1)).total_seconds())
    assert timedelta(hours=72) < box.now - began < timedelta(hours=75)
    assert 75 < tries < 95
    assert box.states() == ["dead"]
    with box.app.org(box.target.org) as session:
        view = only(notification_views.entries(session, NotificationFilter(state="dead")))
        assert notification_views.row(view, box.now)["why"] == "The receiver answered 500."
        assert retries.retry(session) == {"retried": 1, "superseded": 0}
    assert box.told() == ["firing"]


def test_retry_supersedes_outdated_dead_notifications(box: Box) -> None:
    about = box.alert()
    box.tell(about)
    claimed = box.claim()
    with box.app.org(box.target.org) as session:
        session.execute(text("update notifications set tried_at = tried_at - interval '73 hours'"))
    box.record(claimed, REFUSED)
    box.tell(about, "resolved", state="resolved")
    assert box.told() == ["resolved"]
    with box.app.org(box.target.org) as session:
        assert retries.retry(session) == {"retried": 0, "superseded": 1}
    assert box.states() == ["superseded", "delivered"]


def test_receiver_with_retry_after_gets_nothing_until_then(box: Box) -> None:
    box.tell(box.alert())
    box.record(box.claim(), Attempt(429, "The receiver answered 429.", retry_after=timedelta(minutes=10)))
    box.tell(box.alert())
    box.wait(minutes=9)
    assert box.claim() == []
    assert box.next_in() == timedelta(minutes=1)
    box.wait(minutes=1)
    assert len(box.told()) == 2


def test_receiver_that_answers_410_is_paused(box: Box) -> None:
    """It is paused, and its notifications wait."""
    box.tell(box.alert())
    box.record(box.claim(), Attempt(410, "The receiver answered 410."))
    box.wait(days=30)
    assert (box.claim(), box.next_in(), box.states()) == ([], None, ["waiting"])
    with box.app.org(box.target.org) as session:
        assert receivers.resume(session, receivers.find(session, "team")) == 1
    assert box.told() == ["firing"]


def test_pause_ends_and_waiting_notifications_are_sent(box: Box) -> None:
    with box.app.org(box.target.org) as session:
        receivers.pause(session, receivers.find(session, "team"), box.now + timedelta(hours=2))
    box.tell(box.alert())
    assert box.claim() == []
    assert box.next_in() == timedelta(hours=2)
    box.wait(hours=2)
    assert box.told() == ["firing"]


# Who is told.


def test_subscribed_alert_brings_all_later_changes(app: App, target: Target) -> None:
    """Only alerts of the subscribed models and severities, but then all that follows."""
    box = Box(app, target)
    box.add("critical only", severities=["critical"])
    box.add("of credit", models=["credit"])
    with app.org(target.org) as session:
        models.create(session, NewModel("fraud", "binary"))
    box.add("of fraud", models=["fraud"])
    about = box.alert("critical")
    box.tell(about)
    box.tell(about, "deescalated", severity="low")
    with app.org(target.org) as session:
        told = [(each.receiver.name, each.notification.kind) for each in notification_views.entries(session)]
    assert sorted(told) == [
        ("critical only", "deescalated"), ("critical only", "firing"),
        ("of credit", "deescalated"), ("of credit", "firing"),
    ]  # fmt: skip


def test_subscription_to_an_unknown_model_is_refused(app: App, target: Target) -> None:
    with pytest.raises(errors.ModelNotFound, match="nothing"):
        Box(app, target).add(models=["nothing"])


def test_notification_is_found_by_an_id_prefix(box: Box) -> None:
    box.tell(box.alert())
    with box.app.org(box.target.org) as session:
        whole = str(only(notification_views.entries(session)).notification.id)
        for given_id in (whole, whole[:8], whole[:13], whole.replace("-", "")):
            assert str(notification_views.find(session, given_id).notification.id) == whole
        with pytest.raises(errors.NotFound):
            notification_views.find(session, str(uuid.uuid4()))
        for bad in ("", "ab", "no hex at all", "%%%%"):
            with pytest.raises(errors.InvalidInput):
                notification_views.find(session, bad)
