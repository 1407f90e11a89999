"""A receiver added, widened or resumed late is notified once of firing alerts."""

from datetime import timedelta
from threading import Event, Thread

import pytest

from dcmon.alerting import operator_actions
from dcmon.alerting.change_context import ChangeContext
from dcmon.app import App
from dcmon.db.tables.org import Alert, Notification
from dcmon.notifications import catch_up, notification_writer, receivers
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations.base import Address
from dcmon.notifications.receivers import Subscription
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.helpers.outbox import REFUSED, URL, OutboxDriver
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target


@pytest.fixture
def driver(app: App, target: Target) -> OutboxDriver:
    created = OutboxDriver(app, target)
    created.add_receiver("first")
    return created


def fire(driver: OutboxDriver, severity: str = "high") -> int:
    """Create a firing alert of which the receivers were notified."""
    about = driver.insert_alert(severity)
    driver.write(about, told_severity=severity)
    driver.deliver()
    return about


def add(driver: OutboxDriver, name: str, **chosen: object) -> int:
    with driver.app.org(driver.target.org) as session:
        where = Address("webhook", ["https://late.example.org/x"])
        created = receivers.add(session, name, where, driver.settings, Subscription(**chosen)).receiver  # type: ignore[arg-type]
        return catch_up.notify(session, driver.renderer, created)


def widen(driver: OutboxDriver, name: str, **chosen: object) -> int:
    with driver.app.org(driver.target.org) as session:
        webhook = receivers.find(session, name)
        known = catch_up.pending_alerts(session, driver.target.org, webhook)
        receivers.set_subscription(session, webhook, Subscription(**chosen))  # type: ignore[arg-type]
        return catch_up.notify(session, driver.renderer, webhook, excluding=known)


def written_for(driver: OutboxDriver, name: str) -> list[tuple[int | None, str]]:
    """Return the alert and kind of each notification written for a receiver."""
    with driver.app.org(driver.target.org) as session:
        query = session.query(Notification).filter_by(webhook_id=receivers.find(session, name).id)
        return [(row.alert_id, row.kind) for row in query.order_by(Notification.position)]


def test_new_receiver_is_notified_once_of_firing_alerts(driver: OutboxDriver) -> None:
    firing, over, low, quiet = fire(driver), fire(driver), fire(driver, "low"), driver.insert_alert()
    driver.write(over, "resolved", state="resolved", told_severity=None)
    driver.deliver()
    assert add(driver, "late", severities=["high"]) == 1
    assert written_for(driver, "late") == [(firing, "firing")]
    assert driver.deliver_kinds() == ["firing"]
    with driver.app.org(driver.target.org) as session:
        assert catch_up.notify(session, driver.renderer, receivers.find(session, "late")) == 0
    driver.write(firing, "resolved", state="resolved", told_severity=None)
    driver.write(low, "resolved", state="resolved", told_severity=None)
    assert written_for(driver, "late") == [(firing, "firing"), (firing, "resolved")]
    assert quiet not in [id_ for id_, _ in written_for(driver, "late")]  # no receiver was notified of it


def test_new_receiver_gets_no_acknowledged_alert(driver: OutboxDriver) -> None:
    about = fire(driver)
    with driver.app.org(driver.target.org) as session:
        operator_actions.acknowledge(
            session, session.get_one(Alert, about), ChangeContext(driver.target.org, URL, by="ann")
        )
    assert add(driver, "late") == 0


def test_widened_subscription_brings_alerts_that_fire(driver: OutboxDriver) -> None:
    low = fire(driver, "low")
    add(driver, "some", severities=["critical"])
    assert written_for(driver, "some") == []
    assert widen(driver, "some", severities=["critical", "low"]) == 1
    assert written_for(driver, "some") == [(low, "firing")]
    assert widen(driver, "some", severities=["critical", "low"], cap=5) == 0


def test_alerts_left_out_by_only_new_stay_out(driver: OutboxDriver) -> None:
    fire(driver)
    driver.add_receiver("late")
    assert widen(driver, "late", cap=3) == 0
    assert written_for(driver, "late") == []


def test_alert_that_fires_again_unsubscribed_is_caught_up(
    driver: OutboxDriver,
) -> None:
    """A receiver was notified of the end; the alert fires again while the receiver is not subscribed."""
    about = fire(driver)
    driver.write(about, "resolved", state="resolved", told_severity=None)
    driver.deliver()
    widen(driver, "first", severities=["critical"])
    with driver.app.org(driver.target.org) as session:
        again = session.get_one(Alert, about)
        again.state, again.told_severity = "firing", "high"
    assert widen(driver, "first", severities=["high"]) == 1
    assert written_for(driver, "first")[-1] == (about, "firing")


def test_catch_up_waits_for_the_end_of_a_silence(driver: OutboxDriver) -> None:
    fire(driver)
    driver.silence(hours=2)
    add(driver, "late")
    assert driver.deliver_kinds() == []
    driver.advance(hours=2)
    assert driver.deliver_kinds() == ["firing"]


def test_resume_retries_given_up_notifications_of_firing_alerts(driver: OutboxDriver) -> None:
    firing, over = driver.insert_alert(), driver.insert_alert()
    for alert_id in (firing, over):
        driver.write(alert_id, told_severity="high")
    driver.record(driver.claim(), REFUSED)
    driver.advance(hours=73)
    driver.record(driver.claim(), Attempt(500, "no"))
    assert driver.states() == ["dead", "dead"]
    with driver.app.org(driver.target.org) as session:
        session.get_one(Alert, over).state = "resolved"
        webhook = receivers.find(session, "first")
        receivers.resume(session, webhook)
        assert catch_up.retry_given_up(session, webhook) == 1
        assert catch_up.retry_given_up(session, webhook) == 0
    assert [alert_id["alert"]["id"] for alert_id in driver.deliver()] == [firing]


@pytest.mark.parametrize("is_first", [True, False])
def test_alert_that_fires_during_the_addition_is_not_missed(driver: OutboxDriver, is_first: bool) -> None:
    about = driver.insert_alert()

    def tells() -> None:
        with driver.app.org(driver.target.org) as session:
            alert_row = session.get_one(Alert, about)
            alert_row.told_severity = "high"
            session.flush()
            notification_writer.write(session, driver.renderer, alert_row, "firing")
            has_written.set()
            go_on.wait(300)

    def adds() -> None:
        with driver.app.org(driver.target.org) as session:
            where = Address("webhook", ["https://late.example.org/x"])
            created = receivers.add(session, "late", where, driver.settings).receiver
            catch_up.notify(session, driver.renderer, created)
            has_added.set()
            go_on.wait(300)

    has_written, has_added, go_on = Event(), Event(), Event()
    steps = [(Thread(target=tells), has_written), (Thread(target=adds), has_added)]
    (first, has_begun), (second, has_passed) = steps if is_first else reversed(steps)
    first.start()
    assert has_begun.wait(300)
    second.start()  # before the first commits
    assert eventually(lambda: has_passed.is_set() or is_waiting_for_a_lock(driver.app.engine))
    go_on.set()
    for thread in (first, second):
        thread.join(300)
    assert written_for(driver, "late") == [(about, "firing")]


def test_judging_waits_for_a_receiver_that_is_being_added(driver: OutboxDriver) -> None:
    """The receivers of an alert are read after the wait, so that the new one is notified, and only once."""
    create_rule(driver.target, "> 0.2")
    judging = Thread(target=store_and_judge, args=(driver.target, 0, 0.5))
    with driver.app.org(driver.target.org) as session:
        where = Address("webhook", ["https://late.example.org/x"])
        created = receivers.add(session, "late", where, driver.settings).receiver
        assert catch_up.notify(session, driver.renderer, created) == 0
        judging.start()
        assert eventually(lambda: is_waiting_for_a_lock(driver.app.engine))
    judging.join(300)
    assert [kind for _, kind in written_for(driver, "late")] == ["firing"]
    assert written_for(driver, "late") == written_for(driver, "first")


def test_catch_up_is_not_repeated_at_once(driver: OutboxDriver) -> None:
    fire(driver)
    add(driver, "late", repeat_every=timedelta(hours=4))
    assert driver.deliver_kinds() == ["firing"]
    driver.advance(hours=4)
    assert driver.deliver_kinds() == ["repeated"]
