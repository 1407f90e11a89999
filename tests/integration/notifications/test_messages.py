"""Messages to receivers about alerts of results that the test stores."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, update

from dcmon.alerting import alert_payload, alert_views, operator_actions
from dcmon.alerting.change_context import ChangeContext
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.tables.org import Notification
from dcmon.jobs import notify
from dcmon.notifications import notification_views, outbox, receivers
from dcmon.notifications.integrations import registry, webhook
from dcmon.notifications.integrations.base import DeliverySettings
from dcmon.notifications.notification_writer import AlertRenderer
from tests.helpers.evaluation import day, monitor_drift_of_age, store_result, stored_alerts
from tests.helpers.http_receiver import HttpReceiver, http_receiver
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, running, single


@pytest.fixture
def watched(app: App, target: Target) -> Target:
    return monitor_drift_of_age(app, target)


def spans(app: App, target: Target) -> list[tuple[datetime, datetime, int, float, str]]:
    return [
        (
            stored_alert.first_window_end,
            stored_alert.last_window_end,
            stored_alert.windows,
            stored_alert.worst_value,
            stored_alert.state,
        )
        for stored_alert in stored_alerts(app, target)
    ]


VALUES = [0.1, 0.5, 0.9, 0.1, 0.3, 0.3, 0.1, 0.1, 0.4]


@pytest.mark.parametrize("seed", range(6))
def test_windows_out_of_order_give_the_same_alerts(app: App, watched: Target, seed: int) -> None:
    order = list(range(len(VALUES)))
    random.Random(seed).shuffle(order)
    for number in order:
        store_result(app, watched, number, VALUES[number])
    assert spans(app, watched) == [
        (day(1).end, day(2).end, 2, 0.9, "resolved"),
        (day(4).end, day(5).end, 2, 0.3, "resolved"),
        (day(8).end, day(8).end, 1, 0.4, "firing"),
    ]


def test_revision_can_retract_an_alert(app: App, watched: Target) -> None:
    store_result(app, watched, 0, 0.5)
    store_result(app, watched, 0, 0.1, revision=2)
    alert = single(stored_alerts(app, watched))
    assert (alert.state, alert.resolved_by) == ("resolved", "revision")


def test_resolved_alert_stays_and_next_violation_opens_another(app: App, watched: Target) -> None:
    """An operator resolved the alert."""
    store_result(app, watched, 0, 0.5)
    with app.org(watched.org) as session:
        view = single(alert_views.list_alerts(session))
        assert operator_actions.resolve(session, view.alert, ChangeContext(watched.org, None))
        assert not operator_actions.resolve(session, view.alert, ChangeContext(watched.org, None))
    store_result(app, watched, 1, 0.6)
    assert [(alert.state, alert.resolved_by, alert.windows) for alert in stored_alerts(app, watched)] == [
        ("resolved", "operator", 1), ("firing", None, 1),
    ]  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as new_receiver:
        yield new_receiver


@pytest.fixture
def notifying_app(app: App, watched: Target, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return the App with a webhook to the receiver and short pauses."""
    monkeypatch.setattr(outbox, "SHORTEST_DELAY", timedelta(milliseconds=100))
    allowed = app.settings.webhooks.model_copy(update={"allow": ["127.0.0.1"], "timeout": timedelta(seconds=PATIENCE)})
    new_app = App(app.settings.model_copy(update={"webhooks": allowed}), app.output)
    with new_app.org(watched.org) as session:
        receivers.add(session, "team", f"{receiver.url}/", allowed)
    return new_app


def enqueue_notifying(app: App, target: Target) -> None:
    with app.public() as session:
        work_queue.enqueue(session, target.org.id, work_queue.Work.notify)


def test_each_change_is_delivered_once_signed_and_in_order(
    notifying_app: App, watched: Target, receiver: HttpReceiver
) -> None:
    with running(notify.run, notifying_app):
        for number, value in enumerate((0.5, 0.6, 0.1)):
            store_result(notifying_app, watched, number, value)
            enqueue_notifying(notifying_app, watched)
            assert eventually(lambda: len(receiver.requests) == max(1, number))  # noqa: B023
    assert [notification["type"] for notification in receiver.notifications()] == ["alert.firing", "alert.resolved"]
    headers, body = receiver.requests[0].headers, receiver.requests[0].document
    with notifying_app.org(watched.org) as session:
        secret = receivers.find(session, "team").secret
    signed = webhook.sign([secret], headers["webhook-id"], int(headers["webhook-timestamp"]), webhook.encode(body))
    assert headers["webhook-signature"] == signed["webhook-signature"]
    assert body["alert"]["monitor"] == "Age"
    assert body["command"].startswith("dcmon --org acme alert show")
    notifying_app.close()


def test_refused_delivery_is_retried_with_the_same_id(
    notifying_app: App, watched: Target, receiver: HttpReceiver
) -> None:
    receiver.statuses = [500, 302]
    store_result(notifying_app, watched, 0, 0.5)
    enqueue_notifying(notifying_app, watched)
    with running(notify.run, notifying_app):
        assert eventually(lambda: len(receiver.requests) == 3)
        assert eventually(lambda: watched.scalar("select delivered_at is not null from notifications") is True)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert watched.scalar("select attempts from notifications") == 3
    notifying_app.close()


def test_crash_before_recording_delivers_again_with_same_id(
    notifying_app: App, watched: Target, receiver: HttpReceiver
) -> None:
    store_result(notifying_app, watched, 0, 0.5)
    with notifying_app.org(watched.org) as session:
        soon = {"lease": timedelta(milliseconds=1), "now": datetime.now(UTC) + timedelta(seconds=1)}
        renderer = AlertRenderer(watched.org, "https://d.example", alert_payload.describe)
        claimed = single(outbox.claim(session, renderer, notifying_app.settings.webhooks, **soon))
    sent = registry.send(claimed.target, claimed.message, DeliverySettings(notifying_app.settings.webhooks))
    assert sent.is_delivered
    enqueue_notifying(notifying_app, watched)
    with running(notify.run, notifying_app):
        assert eventually(lambda: len(receiver.requests) == 2)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    notifying_app.close()


def test_loopback_is_refused_without_the_allow_list(
    app: App, notifying_app: App, watched: Target, receiver: HttpReceiver
) -> None:
    store_result(notifying_app, watched, 0, 0.5)
    enqueue_notifying(notifying_app, watched)
    with running(notify.run, app):
        assert eventually(lambda: watched.scalar("select last_error from notifications") is not None)
    assert receiver.requests == []
    assert "not public" in str(watched.scalar("select last_error from notifications"))
    notifying_app.close()


def test_undeliverable_notification_is_given_up_with_a_reason(
    notifying_app: App, watched: Target, receiver: HttpReceiver
) -> None:
    receiver.statuses = [500] * 50
    store_result(notifying_app, watched, 0, 0.5)
    with notifying_app.org(watched.org) as session:
        session.execute(update(Notification).values(tried_at=func.now() - timedelta(hours=73)))
    enqueue_notifying(notifying_app, watched)
    with running(notify.run, notifying_app):
        assert eventually(lambda: watched.scalar("select dead_at from notifications") is not None)
    with notifying_app.org(watched.org) as session:
        shown = [notification_views.state(view.notification) for view in notification_views.for_alert(session, 1)]
    assert shown == ["dead"]
    notifying_app.close()


def test_only_subscribed_severities_are_delivered(notifying_app: App, watched: Target, receiver: HttpReceiver) -> None:
    with notifying_app.org(watched.org) as session:
        receivers.find(session, "team").severities = ["critical"]
    store_result(notifying_app, watched, 0, 0.5)
    assert watched.scalar("select count(*) from notifications") == 0
    notifying_app.close()
