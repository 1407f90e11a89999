"""Group, hold, supersede, repeat, digest and give up notifications over simulated days."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from dcmon import errors
from dcmon.app import App
from dcmon.notifications import manual_retry, notification_views, receivers
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import Address
from dcmon.notifications.notification_views import NotificationFilter
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.helpers.examples import examples
from tests.helpers.outbox import DELIVERED, REFUSED, OutboxDriver, alert_ids
from tests.integration.conftest import Target, single


@pytest.fixture
def driver(app: App, target: Target) -> OutboxDriver:
    created = OutboxDriver(app, target)
    created.add_receiver()
    return created


# Groups.


def test_alerts_are_grouped_by_model(driver: OutboxDriver) -> None:
    """Alerts of one model share a message; another model has its own message."""
    first, second = driver.insert_alert("low"), driver.insert_alert("critical")
    with driver.app.org(driver.target.org) as session:
        other_alert = models.create(session, NewModel("fraud", "binary"))
        version = versions.create(session, other_alert, NewVersion("v1", {"a": "numeric"}, classes=["0", "1"]))
    third = driver.insert_alert()
    for alert_id in (first, second):
        driver.write(alert_id)
    driver.write(third, version_id=version.id)
    together, alone = sorted(driver.deliver(), key=lambda body: body["type"], reverse=True)
    assert (together["type"], together["model"], together["count"]) == ("alerts", "credit", 2)
    assert together["counts"] == {"severity": {"critical": 1, "low": 1}}
    assert [notification["alert"]["id"] for notification in together["notifications"]] == [second, first]
    assert (alone["type"], alone["alert"]["id"]) == ("alert.firing", third)
    assert driver.states() == ["delivered"] * 3


def test_new_notification_waits_for_group_wait(driver: OutboxDriver) -> None:
    driver.write(driver.insert_alert())
    driver.now = driver.target.scalar("select created_at from notifications") + timedelta(milliseconds=100)
    assert driver.claim() == []
    assert driver.next_due_in() == timedelta(milliseconds=200)
    driver.advance(milliseconds=200)
    assert len(driver.claim()) == 1


def test_message_keeps_id_and_content_over_attempts(driver: OutboxDriver) -> None:
    for _ in range(3):
        driver.write(driver.insert_alert())
    first = single(driver.claim())
    driver.record([first], REFUSED)
    driver.advance(seconds=5)
    driver.write(driver.insert_alert())
    again, other = sorted(driver.claim(), key=lambda claimed_message: -claimed_message.notification_count)
    assert (again.id, again.message) == (first.id, first.message)
    assert (other.id != first.id, other.notification_count) == (True, 1)


def test_message_of_a_dead_worker_is_sent_again_with_its_id(driver: OutboxDriver) -> None:
    driver.write(driver.insert_alert())
    first = single(driver.claim())
    assert driver.claim() == []
    driver.advance(seconds=60)
    again = single(driver.claim())
    assert (again.id, again.message) == (first.id, first.message)
    driver.record([first])  # the first worker was only slow
    driver.record([again], REFUSED)
    assert driver.states() == ["delivered"]


# Order.


def test_newer_state_supersedes_undelivered_ones(driver: OutboxDriver) -> None:
    about = driver.insert_alert()
    for kind in ("firing", "escalated", "resolved"):
        driver.write(about, kind)
    assert driver.deliver_kinds() == ["resolved"]
    assert driver.states() == ["superseded", "superseded", "delivered"]


def test_newer_state_waits_for_an_older_one_in_flight(driver: OutboxDriver) -> None:
    about = driver.insert_alert()
    driver.write(about)
    sending = driver.claim()
    driver.write(about, "resolved", state="resolved")
    assert driver.claim() == []
    driver.record(sending)
    assert driver.deliver_kinds() == ["resolved"]
    assert driver.states() == ["delivered", "delivered"]


def test_message_that_loses_a_notification_gets_a_new_id(driver: OutboxDriver) -> None:
    """If one notification of a message is superseded, the others get a new message id."""
    superseded, stays = driver.insert_alert(), driver.insert_alert()
    driver.write(superseded)
    driver.write(stays)
    first = single(driver.claim())
    driver.record([first], REFUSED)
    driver.write(superseded, "resolved", state="resolved")
    driver.advance(seconds=10)
    again = single(driver.claim())
    assert again.id != first.id
    notified = {
        notification["alert"]["id"]: notification["type"]
        for notification in message_text.notifications(again.message.body)
    }
    assert notified == {superseded: "alert.resolved", stays: "alert.firing"}


@given(st.lists(st.sampled_from(["firing", "escalated", "resolved", "send", "fail", "wait"]), max_size=25))
@settings(max_examples=examples(25))
def test_receiver_always_ends_with_the_newest_state(driver: OutboxDriver, steps: list[str]) -> None:
    alert_id, received, written = driver.insert_alert(), list[tuple[int, str]](), list[str]()
    for step in [*steps, "wait", "send"]:
        if step == "wait":
            driver.advance(hours=2)
        elif step in ("send", "fail"):
            claimed = [message for message in driver.claim() if alert_id in alert_ids(message)]
            if step == "send":
                received += [
                    (notification.message.body["alert"]["id"], notification.message.body["type"][6:])
                    for notification in claimed
                ]
            driver.record(claimed, DELIVERED if step == "send" else REFUSED)
        else:
            driver.write(alert_id, step, state="resolved" if step == "resolved" else "firing")
            written += (
                [step] if written or step != "resolved" else []
            )  # a receiver that was not notified of the start is not notified of the end
    kinds = [kind for id_, kind in received if id_ == alert_id and kind != "repeated"]
    assert kinds[-1:] == written[-1:]
    remaining = iter(written)
    assert all(kind in remaining for kind in kinds)  # in the order in which they were written
    driver.write(alert_id, "resolved", state="resolved")
    driver.deliver()


def test_mail_is_retried_only_for_remaining_addresses(driver: OutboxDriver) -> None:
    with driver.app.org(driver.target.org) as session:
        receivers.delete(session, receivers.find(session, "team"))
        both = Address("email", ["ann@a.example", "bob@a.example"])
        receivers.add(session, "mail", both, driver.settings)
    about = driver.insert_alert()
    driver.write(about)
    first = single(driver.claim())
    assert first.target.options["to"] == ["ann@a.example", "bob@a.example"]
    driver.record([first], Attempt(None, "refused bob", is_accepted=True, remaining=("bob@a.example",)))
    driver.advance(minutes=1)
    again = single(driver.claim())
    assert (again.id, again.target.options["to"]) == (first.id, ["bob@a.example"])
    driver.record([again], REFUSED)
    driver.advance(minutes=1)
    assert single(driver.claim()).target.options["to"] == ["bob@a.example"]
    driver.write(about, "resolved", state="resolved")
    driver.advance(minutes=5)
    assert single(driver.claim()).target.options["to"] == ["ann@a.example", "bob@a.example"]


# Given up, paused, left alone.


def test_notification_is_dead_after_three_days_and_retryable(driver: OutboxDriver) -> None:
    driver.write(driver.insert_alert())
    tries = 0
    started_at = driver.now
    while driver.states() == ["waiting"]:
        claimed = driver.claim()
        tries += len(claimed)
        driver.record(claimed, REFUSED)
        if driver.states() == ["waiting"]:
            driver.advance(seconds=(driver.next_due_in() or timedelta(seconds=1)).total_seconds())
    assert timedelta(hours=72) < driver.now - started_at < timedelta(hours=75)
    assert 75 < tries < 95
    assert driver.states() == ["dead"]
    with driver.app.org(driver.target.org) as session:
        view = single(notification_views.entries(session, NotificationFilter(state="dead")))
        assert notification_views.row(view, driver.now)["reason"] == "The receiver answered 500."
        assert manual_retry.retry(session) == {"retried": 1, "superseded": 0}
    assert driver.deliver_kinds() == ["firing"]


def test_retry_supersedes_outdated_dead_notifications(driver: OutboxDriver) -> None:
    about = driver.insert_alert()
    driver.write(about)
    claimed = driver.claim()
    with driver.app.org(driver.target.org) as session:
        session.execute(text("update notifications set tried_at = tried_at - interval '73 hours'"))
    driver.record(claimed, REFUSED)
    driver.write(about, "resolved", state="resolved")
    assert driver.deliver_kinds() == ["resolved"]
    with driver.app.org(driver.target.org) as session:
        assert manual_retry.retry(session) == {"retried": 0, "superseded": 1}
    assert driver.states() == ["superseded", "delivered"]


def test_receiver_with_retry_after_gets_nothing_until_then(driver: OutboxDriver) -> None:
    driver.write(driver.insert_alert())
    driver.record(driver.claim(), Attempt(429, "The receiver answered 429.", retry_after=timedelta(minutes=10)))
    driver.write(driver.insert_alert())
    driver.advance(minutes=9)
    assert driver.claim() == []
    assert driver.next_due_in() == timedelta(minutes=1)
    driver.advance(minutes=1)
    assert len(driver.deliver_kinds()) == 2


def test_receiver_that_answers_410_is_paused(driver: OutboxDriver) -> None:
    """The receiver is paused, and its notifications wait."""
    driver.write(driver.insert_alert())
    driver.record(driver.claim(), Attempt(410, "The receiver answered 410."))
    driver.advance(days=30)
    assert (driver.claim(), driver.next_due_in(), driver.states()) == ([], None, ["waiting"])
    with driver.app.org(driver.target.org) as session:
        assert receivers.resume(session, receivers.find(session, "team")) == 1
    assert driver.deliver_kinds() == ["firing"]


def test_pause_ends_and_waiting_notifications_are_sent(driver: OutboxDriver) -> None:
    with driver.app.org(driver.target.org) as session:
        receivers.pause(session, receivers.find(session, "team"), driver.now + timedelta(hours=2))
    driver.write(driver.insert_alert())
    assert driver.claim() == []
    assert driver.next_due_in() == timedelta(hours=2)
    driver.advance(hours=2)
    assert driver.deliver_kinds() == ["firing"]


# Subscriptions.


def test_subscribed_alert_brings_all_later_changes(app: App, target: Target) -> None:
    """Only subscribed alerts are delivered, and then also all their later changes."""
    driver = OutboxDriver(app, target)
    driver.add_receiver("critical only", severities=["critical"])
    driver.add_receiver("of credit", models=["credit"])
    with app.org(target.org) as session:
        models.create(session, NewModel("fraud", "binary"))
    driver.add_receiver("of fraud", models=["fraud"])
    about = driver.insert_alert("critical")
    driver.write(about)
    driver.write(about, "deescalated", severity="low")
    with app.org(target.org) as session:
        notified = [(entry.receiver.name, entry.notification.kind) for entry in notification_views.entries(session)]
    assert sorted(notified) == [
        ("critical only", "deescalated"), ("critical only", "firing"),
        ("of credit", "deescalated"), ("of credit", "firing"),
    ]  # fmt: skip


def test_subscription_to_an_unknown_model_is_refused(app: App, target: Target) -> None:
    with pytest.raises(errors.ModelNotFound, match="nothing"):
        OutboxDriver(app, target).add_receiver(models=["nothing"])


def test_notification_is_found_by_an_id_prefix(driver: OutboxDriver) -> None:
    driver.write(driver.insert_alert())
    with driver.app.org(driver.target.org) as session:
        full_id = str(single(notification_views.entries(session)).notification.id)
        for given_id in (full_id, full_id[:8], full_id[:13], full_id.replace("-", "")):
            assert str(notification_views.find(session, given_id).notification.id) == full_id
        with pytest.raises(errors.NotFound):
            notification_views.find(session, str(uuid.uuid4()))
        for bad in ("", "ab", "no hex at all", "%%%%"):
            with pytest.raises(errors.InvalidInput):
                notification_views.find(session, bad)
