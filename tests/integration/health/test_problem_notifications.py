"""Problems of dcmon itself are held, superseded and repeated like alerts."""

from datetime import timedelta

import pytest

from dcmon import db
from dcmon.app import App
from dcmon.health import problem_notifications, problems
from dcmon.health.problem import Problem
from dcmon.health.problems import ProblemChanges
from dcmon.notifications import mute_times, receivers, silences
from dcmon.notifications.integrations import message_text
from dcmon.notifications.silences import NewSilence
from dcmon.settings import Health
from dcmon.severity import Severity
from tests.helpers.outbox import REFUSED, OutboxDriver
from tests.integration.conftest import Target, single


@pytest.fixture
def driver(app: App, target: Target) -> OutboxDriver:
    created = OutboxDriver(app, target)
    created.add_receiver()
    return created


def make_problem(
    driver: OutboxDriver, name: str = "no worker", subject: str = "evaluate", severity: str = "critical"
) -> Problem:
    since = driver.target.scalar("select created_at from webhooks limit 1")
    return Problem(
        name, Severity(severity), "No worker evaluates windows.", f"dcmon worker start {subject}", since, subject
    )


def write_problems(driver: OutboxDriver, **sent_problems: list[Problem]) -> int:
    with driver.app.org(driver.target.org) as session:
        return problem_notifications.write(session, driver.target.org, ProblemChanges(**sent_problems), driver.now)


def silence(driver: OutboxDriver, *matchers: str, **span: float) -> None:
    with driver.app.org(driver.target.org) as session:
        silences.add(
            session,
            NewSilence(matchers, driver.now - timedelta(seconds=1), driver.now + timedelta(**span), "why", "ann"),
        )


def sent_problems(driver: OutboxDriver) -> list[str]:
    return [notification["type"] for body in driver.deliver() for notification in message_text.notifications(body)]


@pytest.mark.parametrize(
    "matcher", ["model=dcmon", "monitor=no worker: evaluate", "rule=no worker", "severity=critical", "model=~.*"]
)
def test_matching_silence_holds_a_problem(driver: OutboxDriver, matcher: str) -> None:
    silence(driver, matcher, hours=1)
    write_problems(driver, started=[make_problem(driver)])
    assert sent_problems(driver) == []
    assert driver.states() == ["held"]
    driver.advance(hours=1)
    assert sent_problems(driver) == ["dcmon.firing"]


@pytest.mark.parametrize("matcher", ["model=credit", "severity=low", "rule=disk full", "version=v1", "alert=1"])
def test_other_silence_does_not_hold_a_problem(driver: OutboxDriver, matcher: str) -> None:
    silence(driver, matcher, hours=1)
    write_problems(driver, started=[make_problem(driver)])
    assert sent_problems(driver) == ["dcmon.firing"]


def test_mute_time_holds_a_problem(driver: OutboxDriver) -> None:
    with driver.app.org(driver.target.org) as session:
        mute_times.add(session, "always", "mon-sun", "0-24", "UTC", ["model=dcmon"])
    write_problems(driver, started=[make_problem(driver)])
    assert sent_problems(driver) == []


def test_problem_that_ends_in_a_silence_is_not_notified(driver: OutboxDriver) -> None:
    silence(driver, "model=dcmon", hours=1)
    write_problems(driver, started=[make_problem(driver)])
    assert sent_problems(driver) == []
    write_problems(driver, resolved=[make_problem(driver)])
    driver.advance(hours=2)
    assert sent_problems(driver) == []
    assert driver.states() == ["superseded", "superseded"]


def test_end_supersedes_a_start_that_was_refused(driver: OutboxDriver) -> None:
    write_problems(driver, started=[make_problem(driver), make_problem(driver, "disk full", "")])
    driver.record(driver.claim(), REFUSED)
    write_problems(driver, resolved=[make_problem(driver)])
    driver.advance(minutes=1)
    assert sorted(sent_problems(driver)) == ["dcmon.firing", "dcmon.resolved"]
    assert sorted(driver.states()) == ["delivered", "delivered", "superseded"]


def test_end_waits_for_a_start_in_flight(driver: OutboxDriver) -> None:
    write_problems(driver, started=[make_problem(driver)])
    sending = driver.claim()
    write_problems(driver, resolved=[make_problem(driver)])
    assert driver.claim() == []
    driver.record(sending)
    assert sent_problems(driver) == ["dcmon.resolved"]


def test_ongoing_problem_is_repeated_as_often_as_subscribed(driver: OutboxDriver) -> None:
    driver.add_receiver("never", repeat_every=None)
    assert write_problems(driver, started=[make_problem(driver)]) == 2
    sent_problems(driver)
    driver.advance(hours=23)
    assert write_problems(driver, ongoing=[make_problem(driver)]) == 0
    driver.advance(hours=1)
    assert write_problems(driver, ongoing=[make_problem(driver)]) == 1
    assert write_problems(driver, ongoing=[make_problem(driver)]) == 0
    body = single(driver.deliver())
    assert body["type"] == "dcmon.repeated"
    assert message_text.subject(body) == "[acme] CRITICAL still firing: dcmon/no worker: evaluate"
    driver.advance(hours=24)
    assert write_problems(driver, ongoing=[make_problem(driver)]) == 1


def test_new_receiver_is_notified_of_known_problems(driver: OutboxDriver) -> None:
    problem = make_problem(driver)
    with db.public_session(driver.app.engine) as session:
        problems.store(session, [problem, make_problem(driver, "disk full", "")], driver.now, timedelta())
        problems.mark_notified(session, [problem], driver.now)
        existing = problems.notified(session)
    assert [existing_problem.key for existing_problem in existing] == [problem.key]
    driver.add_receiver("late")
    with driver.app.org(driver.target.org) as session:
        late = receivers.find(session, "late")
        assert problem_notifications.write_for_receiver(session, driver.target.org, late, existing, driver.now) == 1
        assert problem_notifications.write_for_receiver(session, driver.target.org, late, existing, driver.now) == 0


def test_ongoing_problem_counts_as_started_only_once(driver: OutboxDriver) -> None:
    with db.public_session(driver.app.engine) as session:
        first = problems.store(session, [make_problem(driver)], driver.now, timedelta())
        problems.mark_notified(session, first.started, driver.now)
        second = problems.store(session, [make_problem(driver)], driver.now, Health().heartbeat_timeout)
    assert (len(first.started), first.ongoing) == (1, [])
    assert (second.started, len(second.ongoing), second.resolved) == ([], 1, [])


def test_renamed_problem_is_resolved_under_its_former_name(driver: OutboxDriver) -> None:
    """After an upgrade the end has the name and the id that receivers know."""
    earlier, renamed = (
        make_problem(driver, "evaluation stands", "acme"),
        make_problem(driver, "evaluation stuck", "acme"),
    )
    with db.public_session(driver.app.engine) as session:
        problems.store(session, [earlier], driver.now, timedelta())
        problems.mark_notified(session, [earlier], driver.now)
        changes = problems.store(session, [renamed], driver.now, timedelta())
    assert (changes.started, changes.ongoing, changes.resolved) == ([renamed], [], [earlier])
