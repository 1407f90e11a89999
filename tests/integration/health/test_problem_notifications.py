"""What is wrong with dcmon itself, in the outbox: held back, superseded and repeated as alerts are."""

from datetime import timedelta

import pytest

from dcmon import db
from dcmon.app import App
from dcmon.health import problem_notifications, problems
from dcmon.health.checks import Problem
from dcmon.health.problems import ProblemChanges
from dcmon.notifications import mute_times, receivers, silences
from dcmon.notifications.integrations import message_text
from dcmon.notifications.silences import NewSilence
from dcmon.settings import Watch
from dcmon.severity import Severity
from tests.helpers.outbox import REFUSED, Box
from tests.integration.conftest import Target, only


@pytest.fixture
def box(app: App, target: Target) -> Box:
    made = Box(app, target)
    made.add()
    return made


def wrong(box: Box, name: str = "no worker", subject: str = "evaluate", severity: str = "critical") -> Problem:
    since = box.target.scalar("select created_at from webhooks limit 1")
    return Problem(
        name, Severity(severity), "No worker evaluates windows.", f"dcmon worker start {subject}", since, subject
    )


def say(box: Box, **told: list[Problem]) -> int:
    with box.app.org(box.target.org) as session:
        return problem_notifications.write(session, box.target.org, ProblemChanges(**told), box.now)


def silence(box: Box, *matchers: str, **span: float) -> None:
    with box.app.org(box.target.org) as session:
        silences.add(
            session, NewSilence(matchers, box.now - timedelta(seconds=1), box.now + timedelta(**span), "why", "ann")
        )


def told(box: Box) -> list[str]:
    return [each["type"] for body in box.deliver() for each in message_text.notifications(body)]


@pytest.mark.parametrize(
    "matcher", ["model=dcmon", "monitor=no worker: evaluate", "rule=no worker", "severity=critical", "model=~.*"]
)
def test_matching_silence_holds_a_problem(box: Box, matcher: str) -> None:
    silence(box, matcher, hours=1)
    say(box, started=[wrong(box)])
    assert told(box) == []
    assert box.states() == ["held"]
    box.wait(hours=1)
    assert told(box) == ["dcmon.firing"]


@pytest.mark.parametrize("matcher", ["model=credit", "severity=low", "rule=disk full", "version=v1", "alert=1"])
def test_other_silence_does_not_hold_a_problem(box: Box, matcher: str) -> None:
    silence(box, matcher, hours=1)
    say(box, started=[wrong(box)])
    assert told(box) == ["dcmon.firing"]


def test_mute_time_holds_a_problem(box: Box) -> None:
    with box.app.org(box.target.org) as session:
        mute_times.add(session, "always", "mon-sun", "0-24", "UTC", ["model=dcmon"])
    say(box, started=[wrong(box)])
    assert told(box) == []


def test_problem_that_ends_in_a_silence_is_not_notified(box: Box) -> None:
    silence(box, "model=dcmon", hours=1)
    say(box, started=[wrong(box)])
    assert told(box) == []
    say(box, resolved=[wrong(box)])
    box.wait(hours=2)
    assert told(box) == []
    assert box.states() == ["superseded", "superseded"]


def test_end_supersedes_a_start_that_was_refused(box: Box) -> None:
    say(box, started=[wrong(box), wrong(box, "disk full", "")])
    box.record(box.claim(), REFUSED)
    say(box, resolved=[wrong(box)])
    box.wait(minutes=1)
    assert sorted(told(box)) == ["dcmon.firing", "dcmon.resolved"]
    assert sorted(box.states()) == ["delivered", "delivered", "superseded"]


def test_end_waits_for_a_start_in_flight(box: Box) -> None:
    say(box, started=[wrong(box)])
    sending = box.claim()
    say(box, resolved=[wrong(box)])
    assert box.claim() == []
    box.record(sending)
    assert told(box) == ["dcmon.resolved"]


def test_ongoing_problem_is_repeated_as_often_as_subscribed(box: Box) -> None:
    box.add("never", repeat_every=None)
    assert say(box, started=[wrong(box)]) == 2
    told(box)
    box.wait(hours=23)
    assert say(box, ongoing=[wrong(box)]) == 0
    box.wait(hours=1)
    assert say(box, ongoing=[wrong(box)]) == 1
    assert say(box, ongoing=[wrong(box)]) == 0
    body = only(box.deliver())
    assert body["type"] == "dcmon.repeated"
    assert message_text.subject(body) == "[acme] CRITICAL still firing: dcmon/no worker: evaluate"
    box.wait(hours=24)
    assert say(box, ongoing=[wrong(box)]) == 1


def test_new_receiver_is_notified_of_known_problems(box: Box) -> None:
    found = wrong(box)
    with db.public_session(box.app.engine) as session:
        problems.store(session, [found, wrong(box, "disk full", "")], box.now, timedelta())
        problems.mark_notified(session, [found], box.now)
        there = problems.notified(session)
    assert [each.key for each in there] == [found.key]
    box.add("late")
    with box.app.org(box.target.org) as session:
        late = receivers.find(session, "late")
        assert problem_notifications.write_for_receiver(session, box.target.org, late, there, box.now) == 1
        assert problem_notifications.write_for_receiver(session, box.target.org, late, there, box.now) == 0


def test_ongoing_problem_counts_as_started_only_once(box: Box) -> None:
    with db.public_session(box.app.engine) as session:
        first = problems.store(session, [wrong(box)], box.now, timedelta())
        problems.mark_notified(session, first.started, box.now)
        second = problems.store(session, [wrong(box)], box.now, Watch().sign)
    assert (len(first.started), first.ongoing) == (1, [])
    assert (second.started, len(second.ongoing), second.resolved) == ([], 1, [])
