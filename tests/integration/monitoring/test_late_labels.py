"""Labels that are three months late, and receivers that are unavailable for hours: one notification each, no flood."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from dcmon import db
from dcmon.alerting import rules
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.tables.org import Alert, Notification, Version
from dcmon.embedded.environment import child_environment
from dcmon.ingestion import store
from dcmon.ingestion.row_batch import RowBatch
from dcmon.jobs import evaluate, notify
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications import outbox
from dcmon.output import Output
from dcmon.storage import models
from dcmon.windows import Frequency
from tests.helpers.alerts import (
    ALLOWED,
    OK,
    Receiver,
    add_receiver,
    insert_alert,
    notification_states,
    receiver,
    respond_with,
    write_notifications,
)
from tests.integration.conftest import Target, eventually, running, single

DAYS, ROWS = 32, 12
LONG_AGO = (10, 11, 12)  # days on which the model was wrong; later it was right again
LATELY = (30, 31)  # and the last ones
DOWN = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture
def notifying_app(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """Return an App that may notify receivers on this machine."""
    monkeypatch.setattr(outbox, "SHORTEST_DELAY", outbox.LONGEST_DELAY)
    with App(app.settings.model_copy(update={"webhooks": ALLOWED}), Output(quiet=True)) as new_app:
        yield new_app


def begins() -> datetime:
    """Return the first day, such that the last day ended three months ago."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=90 + DAYS)


def name(day: int, number: int) -> str:
    return f"d{day}-{number}"


def log(app: App, target: Target, first: datetime) -> None:
    """Log each sample near its time, and one of the next day, which ends the last window."""
    with app.org(target.org) as session:
        model, version = models.get(session, target.model_id), session.get_one(Version, target.version_id)
        for day in range(DAYS + 1):
            times = [first + timedelta(days=day, minutes=number) for number in range(ROWS if day < DAYS else 1)]
            rows = [
                json.dumps({
                    "_dc_sample_id": name(day, number), "_dc_time": time.isoformat(), "age": number, "job": "a",
                    "_dc_prediction": str(number % 2), "_dc_prediction_probabilities": [0.5, 0.5],
                }).encode()
                for number, time in enumerate(times)
            ]  # fmt: skip
            store.restore_samples(
                session, model, version, [RowBatch(rows, times[-1] + timedelta(minutes=1), f"day {day}")]
            )
    enqueue_all_work(app, target)


def enqueue_all_work(app: App, target: Target) -> None:
    for work in work_queue.Work:
        work_queue.enqueue_now(app.engine, target.org.id, work)


def labels(day: int) -> list[bytes]:
    is_wrong = day in (*LONG_AGO, *LATELY)
    return [
        json.dumps({"_dc_sample_id": name(day, number), "_dc_label": str((number + is_wrong) % 2)}).encode()
        for number in range(ROWS)
    ]


def count_results(target: Target, state: str, revision: int) -> int:
    return int(
        target.scalar("select count(*) from results where state = :state and revision = :r", state=state, r=revision)
    )


def test_labels_three_months_late_revise_each_window(notifying_app: App, target: Target) -> None:
    """Receivers are notified only of the current state."""
    first = begins()
    with notifying_app.org(target.org) as session:
        check = model_checks.get_or_create_check(
            session, models.get(session, target.model_id), "SingleDatasetPerformance", {"scorers": ["accuracy"]}
        )
        monitor = monitors.create(session, check, MonitorSpec("Right", Frequency.DAY))
        rules.create(session, monitor.id, rules.parse("< 0.6"), "high")
    with receiver(respond_with(OK)) as to, running(evaluate.run, notifying_app), running(notify.run, notifying_app):
        add_receiver(notifying_app, target.org, to.url)
        log(notifying_app, target, first)
        # This includes the last window, which is complete by its row and the clock.
        assert eventually(lambda: count_results(target, "NO_DATA", 1) == DAYS + 1), (
            "without labels no window has a value"
        )
        assert target.scalar("select count(*) from alerts") == 0

        notifying_app.ingestion.ingest_labels(
            target.org, target.model_id, [row for day in range(DAYS) for row in labels(day)]
        )
        assert eventually(lambda: count_results(target, "OK", 2) == DAYS)
        assert eventually(lambda: len(to.requests) == 1)
        assert eventually(lambda: notification_states(notifying_app, target) == ["delivered"])

    with notifying_app.org(target.org) as session:
        past, now = session.scalars(select(Alert).order_by(Alert.first_window_end)).all()
    assert span(past, first) == LONG_AGO
    assert (past.state, past.told_severity) == ("resolved", None)
    assert span(now, first) == LATELY
    assert (now.state, now.told_severity) == ("firing", "high")
    (body,) = to.bodies()
    assert (body["type"], body["alert"]["id"], body["alert"]["value"]) == ("alert.firing", now.id, 0.0)


def span(one: Alert, first: datetime) -> tuple[int, ...]:
    """Return the days of an alert."""
    ends = one.first_window_end, one.last_window_end
    begin, end = ((end_time - first).days - 1 for end_time in ends)
    return tuple(range(begin, end + 1))


def let_time_pass(app: App, target: Target, passed: timedelta) -> bool:
    """Make waiting notifications older. Return False, for use in a condition that is waited for."""
    with app.org(target.org) as session:
        # In this mode no worker holds a row with FOR UPDATE: otherwise it and this update could wait for each other.
        session.execute(text("lock table notifications in exclusive mode"))
        session.execute(
            text(
                "update notifications set tried_at = tried_at - :passed, created_at = created_at - :passed,"
                " due_at = least(due_at - :passed, now()) where delivered_at is null and dead_at is null"
            ),
            {"passed": passed},
        )
    enqueue_all_work(app, target)
    return False


def become(app: App, target: Target, one: int, **values: Any) -> None:
    with db.org_session(app.engine, target.org) as session:
        for key, value in values.items():
            setattr(session.get_one(Alert, one), key, value)


def received_changes(to: Receiver, one: int) -> Sequence[str]:
    """Return the changes of an alert that a receiver was notified of, in order."""
    every = [notification for body in to.bodies() for notification in body.get("notifications", [body])]
    return [notification["type"].removeprefix("alert.") for notification in every if notification["alert"]["id"] == one]


def test_receiver_back_after_hours_gets_each_alert_once(notifying_app: App, target: Target) -> None:
    """The notification has the newest state."""
    one, other_alert, quiet = (insert_alert(notifying_app, target) for _ in range(3))
    message = [DOWN]
    with receiver(lambda wire, _: wire.sendall(message[0])) as to, running(notify.run, notifying_app):
        add_receiver(notifying_app, target.org, to.url)
        for alert_id in (one, other_alert):
            write_notifications(notifying_app, target.org, alert_id, "firing")
        assert eventually(lambda: {*received_changes(to, one), *received_changes(to, other_alert)} == {"firing"})
        for kind, severity in (("escalated", "critical"), ("deescalated", "high"), ("escalated", "critical")):
            become(notifying_app, target, one, severity=severity)
            write_notifications(notifying_app, target.org, one, kind)
            let_time_pass(notifying_app, target, timedelta(hours=2))
        become(notifying_app, target, other_alert, state="resolved")
        write_notifications(notifying_app, target.org, other_alert, "resolved")
        write_notifications(notifying_app, target.org, quiet, "firing")

        def is_resolved_later() -> bool:
            has_resolved = "resolved" in received_changes(to, other_alert)
            return has_resolved or let_time_pass(notifying_app, target, timedelta(hours=1))

        # Repeatedly, because an attempt in flight is postponed by hours when it ends.
        assert eventually(is_resolved_later, every=2)
        assert "delivered" not in notification_states(notifying_app, target)
        assert eventually(lambda: only_waiting(notifying_app, target) == 3), "of each alert the newest waits"

        missed, message[0] = len(to.requests), OK
        let_time_pass(notifying_app, target, timedelta(hours=1))
        assert eventually(lambda: notification_states(notifying_app, target).count("delivered") == 3)
    to.requests[:missed] = []
    changes = [received_changes(to, alert_id) for alert_id in (one, other_alert, quiet)]
    assert changes == [["escalated"], ["resolved"], ["firing"]]
    assert set(notification_states(notifying_app, target)) == {"delivered", "superseded"}


def only_waiting(app: App, target: Target) -> int:
    stored_states = notification_states(app, target)
    return stored_states.count("waiting") if set(stored_states) <= {"waiting", "superseded"} else 0


def dcmon(app: App, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dcmon", *arguments], env=child_environment(app.settings),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_notification_is_dead_after_three_days_and_can_retry(notifying_app: App, target: Target) -> None:
    one = insert_alert(notifying_app, target)
    message = [DOWN]
    with receiver(lambda wire, _: wire.sendall(message[0])) as to, running(notify.run, notifying_app):
        add_receiver(notifying_app, target.org, to.url)
        write_notifications(notifying_app, target.org, one, "firing")
        assert eventually(lambda: len(to.requests) == 1)
        assert eventually(lambda: target.scalar("select max(last_status) from notifications") == 503)
        let_time_pass(notifying_app, target, timedelta(hours=71))
        assert eventually(lambda: len(to.requests) == 2)
        assert notification_states(notifying_app, target) == ["waiting"]
        let_time_pass(notifying_app, target, timedelta(hours=2))
        assert eventually(lambda: notification_states(notifying_app, target) == ["dead"])
        (listed,) = json.loads(dcmon(notifying_app, "notification", "list", "--state", "dead", "-o", "json"))
        assert "503" in listed["reason"]

        message[0] = OK
        dcmon(notifying_app, "notification", "retry", listed["id"])
        assert eventually(lambda: notification_states(notifying_app, target) == ["delivered"])
    with notifying_app.org(target.org) as session:
        assert single(session.scalars(select(Notification)).all()).attempts == 1, "it is tried as a new one is"
