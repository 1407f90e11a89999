"""A receiver that is added, widened or resumed late hears once of what fires already."""

from datetime import timedelta
from threading import Event, Thread

import pytest

from dcmon.alerting import operator_actions
from dcmon.alerting.change_context import ChangeContext
from dcmon.app import App
from dcmon.db.tables.org import Alert, Notification
from dcmon.notifications import catch_up, notification_writer, receivers
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations.base import Address
from dcmon.notifications.receivers import Subscription
from tests.helpers.outbox import REFUSED, URL, Box
from tests.integration.conftest import Target


@pytest.fixture
def box(app: App, target: Target) -> Box:
    made = Box(app, target)
    made.add("first")
    return made


def fire(box: Box, severity: str = "high") -> int:
    """An alert that receivers were told of."""
    about = box.alert(severity)
    box.tell(about, told_severity=severity)
    box.deliver()
    return about


def add(box: Box, name: str, **chosen: object) -> int:
    with box.app.org(box.target.org) as session:
        where = Address("webhook", ["https://late.example.org/x"])
        made = receivers.add(session, name, where, box.settings, Subscription(**chosen)).receiver  # type: ignore[arg-type]
        return catch_up.notify(session, box.renderer, made)


def widen(box: Box, name: str, **chosen: object) -> int:
    with box.app.org(box.target.org) as session:
        webhook = receivers.find(session, name)
        known = catch_up.pending_alerts(session, box.target.org, webhook)
        receivers.set_subscription(session, webhook, Subscription(**chosen))  # type: ignore[arg-type]
        return catch_up.notify(session, box.renderer, webhook, excluding=known)


def told(box: Box, name: str) -> list[tuple[int | None, str]]:
    """What was written for a receiver, of which alert."""
    with box.app.org(box.target.org) as session:
        mine = session.query(Notification).filter_by(webhook_id=receivers.find(session, name).id)
        return [(each.alert_id, each.kind) for each in mine.order_by(Notification.position)]


def test_new_receiver_is_notified_once_of_firing_alerts(box: Box) -> None:
    firing, over, low, quiet = fire(box), fire(box), fire(box, "low"), box.alert()
    box.tell(over, "resolved", state="resolved", told_severity=None)
    box.deliver()
    assert add(box, "late", severities=["high"]) == 1
    assert told(box, "late") == [(firing, "firing")]
    assert box.told() == ["firing"]
    with box.app.org(box.target.org) as session:
        assert catch_up.notify(session, box.renderer, receivers.find(session, "late")) == 0
    box.tell(firing, "resolved", state="resolved", told_severity=None)
    box.tell(low, "resolved", state="resolved", told_severity=None)
    assert told(box, "late") == [(firing, "firing"), (firing, "resolved")]
    assert quiet not in [id_ for id_, _ in told(box, "late")]  # nobody was told of it


def test_new_receiver_gets_no_acknowledged_alert(box: Box) -> None:
    about = fire(box)
    with box.app.org(box.target.org) as session:
        operator_actions.acknowledge(
            session, session.get_one(Alert, about), ChangeContext(box.target.org, URL, by="ann")
        )
    assert add(box, "late") == 0


def test_widened_subscription_brings_alerts_that_fire(box: Box) -> None:
    low = fire(box, "low")
    add(box, "some", severities=["critical"])
    assert told(box, "some") == []
    assert widen(box, "some", severities=["critical", "low"]) == 1
    assert told(box, "some") == [(low, "firing")]
    assert widen(box, "some", severities=["critical", "low"], cap=5) == 0


def test_alerts_left_out_by_only_new_stay_out(box: Box) -> None:
    fire(box)
    box.add("late")
    assert widen(box, "late", cap=3) == 0
    assert told(box, "late") == []


def test_alert_that_fires_again_unsubscribed_is_caught_up(
    box: Box,
) -> None:
    """A receiver was notified of the end; the alert fires again while the receiver is not subscribed."""
    about = fire(box)
    box.tell(about, "resolved", state="resolved", told_severity=None)
    box.deliver()
    widen(box, "first", severities=["critical"])
    with box.app.org(box.target.org) as session:
        again = session.get_one(Alert, about)
        again.state, again.told_severity = "firing", "high"
    assert widen(box, "first", severities=["high"]) == 1
    assert told(box, "first")[-1] == (about, "firing")


def test_catch_up_waits_for_the_end_of_a_silence(box: Box) -> None:
    fire(box)
    box.silence(hours=2)
    add(box, "late")
    assert box.told() == []
    box.wait(hours=2)
    assert box.told() == ["firing"]


def test_resume_retries_given_up_alerts_that_still_fire(box: Box) -> None:
    firing, over = box.alert(), box.alert()
    for each in (firing, over):
        box.tell(each, told_severity="high")
    box.record(box.claim(), REFUSED)
    box.wait(hours=73)
    box.record(box.claim(), Attempt(500, "no"))
    assert box.states() == ["dead", "dead"]
    with box.app.org(box.target.org) as session:
        session.get_one(Alert, over).state = "resolved"
        webhook = receivers.find(session, "first")
        receivers.resume(session, webhook)
        assert catch_up.retry_given_up(session, webhook) == 1
        assert catch_up.retry_given_up(session, webhook) == 0
    assert [each["alert"]["id"] for each in box.deliver()] == [firing]


@pytest.mark.parametrize("is_first", [True, False])
def test_alert_that_fires_during_the_addition_is_not_missed(box: Box, is_first: bool) -> None:
    about = box.alert()

    def tells() -> None:
        with box.app.org(box.target.org) as session:
            found = session.get_one(Alert, about)
            found.told_severity = "high"
            session.flush()
            notification_writer.write(session, box.renderer, found, "firing")
            begun.set()
            go_on.wait(1)

    def adds() -> None:
        with box.app.org(box.target.org) as session:
            where = Address("webhook", ["https://late.example.org/x"])
            made = receivers.add(session, "late", where, box.settings).receiver
            catch_up.notify(session, box.renderer, made)
            begun.set()
            go_on.wait(1)

    begun, go_on, steps = Event(), Event(), [tells, adds] if is_first else [adds, tells]
    threads: list[Thread] = [Thread(target=step) for step in steps]
    _one_after_the_other(threads, begun)
    assert told(box, "late") == [(about, "firing")]


def _one_after_the_other(threads: list[Thread], begun: Event) -> None:
    """The second begins when the first has done its work and not committed yet."""
    threads[0].start()
    begun.wait(300)
    threads[1].start()
    for each in threads:
        each.join(300)


def test_catch_up_is_not_repeated_at_once(box: Box) -> None:
    fire(box)
    add(box, "late", repeat_every=timedelta(hours=4))
    assert box.told() == ["firing"]
    box.wait(hours=4)
    assert box.told() == ["repeated"]
