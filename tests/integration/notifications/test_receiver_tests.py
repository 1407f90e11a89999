"""Tests of receivers, sent by notify workers: outcomes, workers that are killed, and no worker at all."""

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from dcmon import errors
from dcmon.app import App
from dcmon.db.tables.org import ReceiverTest
from dcmon.db.tables.public import Worker
from dcmon.jobs import notify, schedule
from dcmon.notifications import receiver_tests, receivers
from dcmon.notifications.receiver_tests import Place, ReceiverTestOutcome
from dcmon.settings import Webhooks
from tests.helpers.alerts import ALLOWED, OK, add_receiver, receiver, respond_with
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, running, single

SETTINGS = Webhooks(allow=["127.0.0.1"], timeout=timedelta(seconds=5))


@pytest.fixture
def notifying(app: App) -> Iterator[App]:
    """Return an App that may notify receivers on this machine, with the heartbeat of a notify worker."""
    with App(app.settings.model_copy(update={"webhooks": ALLOWED}), app.output) as new_app:
        with new_app.public() as session:
            session.add(Worker(id=uuid.uuid4(), kind="notify", host=socket.gethostname(), pid=os.getpid()))
        yield new_app


def run_test(app: App, target: Target, seconds: float = PATIENCE) -> ReceiverTestOutcome:
    return receiver_tests.run(
        app.engine, target.org, lambda session: receivers.find(session, "team"), timedelta(minutes=5),
        timedelta(seconds=seconds),
    )  # fmt: skip


def stored(app: App, target: Target) -> list[ReceiverTest]:
    with app.org(target.org) as session:
        return session.query(ReceiverTest).all()


def request_and_claim(app: App, target: Target) -> None:
    """Ask for a test, and claim it as a worker that is killed at once: its lease is over."""
    with app.org(target.org) as session:
        if not session.query(ReceiverTest).count():
            receiver_tests._request(session, receivers.find(session, "team"), timedelta(minutes=5))
        single(receiver_tests.claim(session, target.org, Place("lost", 1), SETTINGS.timeout))
        session.execute(text("update receiver_tests set lease_until = now() - interval '1 second'"))


@pytest.mark.parametrize(
    ("answer", "is_delivered", "status"), [(OK, True, 200), (b"HTTP/1.1 500 X\r\n\r\n", False, 500)]
)
def test_worker_sends_the_test_and_stores_its_outcome(
    notifying: App, target: Target, answer: bytes, is_delivered: bool, status: int
) -> None:
    with receiver(respond_with(answer)) as at, running(notify.run, notifying):
        add_receiver(notifying, target.org, at.url)

        outcome = run_test(notifying, target)

    assert (outcome.is_delivered, outcome.status) == (is_delivered, status)
    assert (outcome.host, outcome.pid) == (socket.gethostname(), os.getpid())
    assert [body["type"] for body in at.bodies()] == ["test"]


def test_test_without_a_worker_says_what_to_type(app: App, target: Target) -> None:
    add_receiver(app, target.org, "https://hooks.example.org/x")

    with pytest.raises(errors.NoNotifyWorker, match="--here") as raised:
        run_test(app, target)

    assert raised.value.exit_code == 7
    assert stored(app, target) == []


def test_test_that_no_worker_takes_ends(notifying: App, target: Target) -> None:
    add_receiver(notifying, target.org, "https://hooks.example.org/x")

    with pytest.raises(errors.TestUnfinished):
        run_test(notifying, target, 0.3)

    assert stored(notifying, target) == []


def test_test_of_a_killed_worker_is_sent_by_the_next(notifying: App, target: Target) -> None:
    with receiver(respond_with(OK)) as at:
        add_receiver(notifying, target.org, at.url)
        request_and_claim(notifying, target)
        assert schedule.sweep(notifying) == 1
        with running(notify.run, notifying):
            assert eventually(lambda: single(stored(notifying, target)).is_delivered)
    assert single(stored(notifying, target)).attempts == 2


def test_test_of_two_killed_workers_has_failed(notifying: App, target: Target) -> None:
    add_receiver(notifying, target.org, "https://hooks.example.org/x")
    for _ in range(receiver_tests.MAX_ATTEMPTS):
        request_and_claim(notifying, target)

    assert schedule.sweep(notifying) == 1
    with running(notify.run, notifying):
        assert eventually(lambda: single(stored(notifying, target)).finished_at is not None)

    test = single(stored(notifying, target))
    assert (test.is_delivered, test.error) == (False, receiver_tests.LOST)
    assert schedule.sweep(notifying) == 0


def test_tests_at_once_all_get_their_outcome(notifying: App, target: Target) -> None:
    outcomes = list[ReceiverTestOutcome]()
    with receiver(respond_with(OK)) as at, running(notify.run, notifying):
        add_receiver(notifying, target.org, at.url)
        threads = [threading.Thread(target=lambda: outcomes.append(run_test(notifying, target))) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [outcome.is_delivered for outcome in outcomes] == [True] * 5


def test_old_tests_are_deleted_with_the_next_request(notifying: App, target: Target) -> None:
    add_receiver(notifying, target.org, "https://hooks.example.org/x")
    request_and_claim(notifying, target)
    with notifying.org(target.org) as session:
        session.execute(text("update receiver_tests set requested_at = now() - interval '2 days'"))

    with pytest.raises(errors.TestUnfinished):
        run_test(notifying, target, 0.3)

    assert stored(notifying, target) == []
