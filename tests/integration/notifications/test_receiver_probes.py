"""Probes of receivers' addresses: what the status says of a receiver that no message has reached yet."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from dcmon.app import App
from dcmon.health import checks, collector
from dcmon.health.organization_healths import COMPLETE_LOOK
from dcmon.health.problem import Problem
from dcmon.jobs import notify, schedule
from dcmon.notifications import receiver_probes
from dcmon.settings import Health, Webhooks
from tests.helpers.alerts import ALLOWED, OK, add_receiver, receiver, respond_with
from tests.helpers.ports import free_port
from tests.integration.conftest import Target, eventually, running


@pytest.fixture
def notifying(app: App) -> Iterator[App]:
    """Return an App that may notify receivers on this machine."""
    with App(app.settings.model_copy(update={"webhooks": ALLOWED}), app.output) as new_app:
        yield new_app


def probed(app: App, target: Target) -> bool:
    """Let the sweep find a due probe, and a worker make it."""
    schedule.sweep(app)
    done = "select count(*) from receiver_probes where connected_at is not null or failures > 0"
    with running(notify.run, app):
        return eventually(lambda: target.scalar(done) == 1)


def receiver_problems(app: App) -> list[Problem]:
    snapshot = collector.collect(app.engine, app.settings, COMPLETE_LOOK)
    return [problem for problem in checks.find_problems(snapshot, Health()) if problem.code == "receiver-not-reachable"]


def test_receiver_that_refuses_connections_is_a_problem(notifying: App, target: Target) -> None:
    """No message waits for it; it is the only one for critical alerts."""
    add_receiver(notifying, target.org, f"http://127.0.0.1:{free_port()}/x")

    assert probed(notifying, target)

    (problem,) = receiver_problems(notifying)
    assert problem.severity == "critical"
    assert "efused" in problem.sentence
    assert "It was never reached, and no other receiver" in problem.sentence
    assert problem.command == "dcmon --org acme receiver set team URL && dcmon --org acme receiver test team"


def test_receiver_that_is_reached_gets_no_message(notifying: App, target: Target) -> None:
    with receiver(respond_with(OK)) as at:
        add_receiver(notifying, target.org, at.url)
        assert probed(notifying, target)

    assert at.requests == []
    assert receiver_problems(notifying) == []


def test_new_address_is_probed_again(notifying: App, target: Target) -> None:
    """What was found out about the old address says nothing about the new one."""
    add_receiver(notifying, target.org, f"http://127.0.0.1:{free_port()}/x")
    assert probed(notifying, target)
    with notifying.org(target.org) as session:
        assert receiver_probes.claim(session, ALLOWED) == []
        session.execute(text("update webhooks set url = url || '/other'"))

    assert receiver_problems(notifying) == []
    with notifying.org(target.org) as session:
        (claimed,) = receiver_probes.claim(session, ALLOWED)
        assert claimed.url.endswith("/other")


def test_receiver_is_not_probed_without_an_interval(app: App, target: Target) -> None:
    settings = Webhooks(probe_every="0")  # type: ignore[arg-type]
    add_receiver(app, target.org, "https://hooks.example.org/x")
    with app.org(target.org) as session:
        assert receiver_probes.claim(session, settings) == []
        assert not session.scalar(text(f"select {receiver_probes.has_work(settings)}"))
        assert session.scalar(text(f"select {receiver_probes.has_work(Webhooks())}"))
