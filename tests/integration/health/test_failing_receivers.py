"""A receiver that fails is named, of whatever kind and with whatever error, from what is stored of its messages."""

import pytest
from sqlalchemy import text

from dcmon.app import App
from dcmon.health import checks, collector
from dcmon.health.problem import Problem
from dcmon.notifications.attempt import Attempt
from dcmon.settings import Health
from tests.helpers.outbox import OutboxDriver
from tests.integration.conftest import Target

FAILED = Attempt(None, "The command ended with exit code 1.")
SHOW = "dcmon --org acme receiver show cmd && dcmon --org acme receiver test cmd"


def problems(app: App) -> dict[str, Problem]:
    snapshot = collector.collect(app.engine, app.settings)
    return {problem.name: problem for problem in checks.find_problems(snapshot, Health())}


def execute(driver: OutboxDriver, statement: str) -> None:
    with driver.app.org(driver.target.org) as session:
        session.execute(text(statement))


def fail(driver: OutboxDriver) -> dict[str, Problem]:
    """Let an attempt fail, and return the problems while it goes on."""
    claimed = driver.claim()
    during = problems(driver.app)
    driver.record(claimed, FAILED)
    driver.advance(hours=2)
    return during


@pytest.fixture
def driver(app: App, target: Target) -> OutboxDriver:
    """Return the outbox of an organization with a receiver."""
    driver = OutboxDriver(app, target)
    driver.add_receiver("cmd")
    return driver


def test_receiver_is_named_after_three_failures(driver: OutboxDriver) -> None:
    driver.write(driver.insert_alert())
    for _ in range(3):
        assert "receiver fails" not in fail(driver)
    problem = problems(driver.app)["receiver fails"]
    assert problem.sentence.startswith("Receiver cmd of acme failed 3 times one after the other, and 1 notification")
    assert problem.sentence.endswith("for it: The command ended with exit code 1.")
    assert problem.command == SHOW

    assert "receiver fails" in fail(driver)  # while the next attempt goes on
    driver.deliver()
    assert problems(driver.app) == {}


def test_receiver_that_took_another_message_is_not_named(driver: OutboxDriver) -> None:
    driver.write(driver.insert_alert())
    for _ in range(3):
        fail(driver)
    assert "receiver fails" in problems(driver.app)
    execute(
        driver,
        "insert into notifications (webhook_id, kind, body, delivered_at)"
        " select webhook_id, 'firing', '{}', tried_at + interval '1 second' from notifications",
    )
    assert "receiver fails" not in problems(driver.app)


def test_critical_alert_that_failed_everywhere_is_told_at_once(driver: OutboxDriver) -> None:
    driver.add_receiver("desk")
    driver.write(driver.insert_alert("critical"))
    execute(driver, "update alerts set opened_at = now()")
    assert "alert undelivered" not in problems(driver.app)
    claimed = driver.claim()
    driver.record(claimed[:1], FAILED)  # that of cmd
    assert "alert undelivered" not in problems(driver.app)  # the other receiver may get it

    execute(driver, "delete from notifications where attempts > 0 and last_error is null")

    problem = problems(driver.app)["alert undelivered"]
    assert (problem.severity, problem.command) == ("critical", SHOW)
    assert problem.sentence == (
        "1 critical alert of acme fires, and no receiver has got a notification of it: cmd (The command ended with exit"
        " code 1)."
    )


def test_receivers_of_what_was_given_up_are_named(driver: OutboxDriver) -> None:
    driver.write(driver.insert_alert())
    execute(driver, "update notifications set dead_at = now()")
    assert problems(driver.app)["notifications given up"].sentence.startswith("1 notification of acme to cmd was given")
