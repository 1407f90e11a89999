"""Probes of receivers' addresses: what the status says of a receiver that no message has reached yet."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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


def probed(app: App, target: Target, outcomes: int = 1) -> bool:
    """Let the sweep find due probes, and a worker make them until so many were made in all."""
    schedule.sweep(app)
    done = "select count(connected_at) + coalesce(sum(failures), 0) from receiver_probes"
    with running(notify.run, app):
        return eventually(lambda: target.scalar(done) == outcomes)


def fail_twice(app: App, target: Target) -> None:
    """Let both probes of a receiver fail that make a problem."""
    assert probed(app, target)
    make_due(app, target)
    assert probed(app, target, 2)


def make_due(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        session.execute(text("update receiver_probes set probed_at = probed_at - interval '2 hours'"))


def receiver_problems(app: App) -> list[Problem]:
    snapshot = collector.collect(app.engine, app.settings, COMPLETE_LOOK)
    return [problem for problem in checks.find_problems(snapshot, Health()) if problem.code == "receiver-not-reachable"]


def test_receiver_that_refuses_connections_is_a_problem(notifying: App, target: Target) -> None:
    """No message waits for it; it is the only one for critical alerts. Once may be its restart."""
    add_receiver(notifying, target.org, f"http://127.0.0.1:{free_port()}/x")

    assert probed(notifying, target)
    assert receiver_problems(notifying) == []
    make_due(notifying, target)
    assert probed(notifying, target, 2)

    (problem,) = receiver_problems(notifying)
    assert problem.severity == "critical"
    assert "efused" in problem.sentence
    assert "It was never reached, and no other receiver" in problem.sentence
    assert problem.command == "dcmon --org acme receiver set team URL && dcmon --org acme receiver test team"


def test_receiver_that_got_a_message_was_reached(notifying: App, target: Target) -> None:
    """It was never probed then; that it does not answer now is less than an address that was always wrong."""
    add_receiver(notifying, target.org, f"http://127.0.0.1:{free_port()}/x")
    with notifying.org(target.org) as session:
        session.execute(
            text("""insert into notifications (webhook_id, kind, body, delivered_at)
                    select id, 'firing', '{}', '2026-01-02 03:04+00' from webhooks""")
        )

    fail_twice(notifying, target)

    (problem,) = receiver_problems(notifying)
    assert problem.severity == "high"
    assert "It was reached last 2026-01-02 03:04" in problem.sentence


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
        assert receiver_probes.claim(session, ALLOWED, 4) == []
        session.execute(text("update webhooks set url = url || '/other'"))

    assert receiver_problems(notifying) == []
    with notifying.org(target.org) as session:
        (claimed,) = receiver_probes.claim(session, ALLOWED, 4)
        assert claimed.url.endswith("/other")


def test_time_of_the_last_connection_is_kept(notifying: App, target: Target) -> None:
    """Another address may be the same one, encrypted with a new key: the receiver was reached."""
    with receiver(respond_with(OK)) as at:
        add_receiver(notifying, target.org, at.url)
        assert probed(notifying, target)
    with notifying.org(target.org) as session:
        session.execute(text("update webhooks set url = url || '/other'"))
        assert len(receiver_probes.claim(session, ALLOWED, 4)) == 1

    assert target.scalar("select count(connected_at) from receiver_probes") == 1


def test_all_receivers_are_probed_in_turn(notifying: App, target: Target) -> None:
    """A worker claims no more than it has threads for; those that come again do not keep the others waiting."""
    names = ["first", "second", "third"]
    for name in names:
        add_receiver(notifying, target.org, "https://hooks.example.org/x", name)
    with notifying.org(target.org) as session:
        assert receiver_probes.claim(session, ALLOWED, 0) == []
        assert [probe.name for probe in receiver_probes.claim(session, ALLOWED, 2)] == names[:2]
    make_due(notifying, target)
    with notifying.org(target.org) as session:
        assert [probe.name for probe in receiver_probes.claim(session, ALLOWED, 1)] == ["third"]


def test_more_receivers_than_threads_need_one_sweep(notifying: App, target: Target) -> None:
    with receiver(respond_with(OK)) as at:
        for number in range(notify.MAX_PROBES + 2):
            add_receiver(notifying, target.org, at.url, f"team {number}")
        assert probed(notifying, target, notify.MAX_PROBES + 2)


def test_probes_that_hang_leave_no_capacity_for_others(notifying: App, target: Target) -> None:
    """None waits for a thread: the rest stays due. A server that says nothing hangs in the TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(notify.MAX_PROBES) as threads:
        for number in range(notify.MAX_PROBES):
            url = f"https://127.0.0.1:{silent.getsockname()[1]}/x"
            add_receiver(notifying, target.org, url, f"team {number}")
        pool = notify.ProbePool(notifying, threads)
        with notifying.org(target.org) as session:
            claimed = receiver_probes.claim(session, ALLOWED, pool.capacity())
        for probe in claimed:
            pool.make(target.org, probe)
        assert pool.capacity() == 0
        silent.close()
        assert eventually(lambda: pool.capacity() == notify.MAX_PROBES)


def test_email_receiver_is_not_probed(app: App, target: Target) -> None:
    """One mail server would be as many problems as there are receivers."""
    with app.org(target.org) as session:
        session.execute(
            text("insert into webhooks (name, kind, url, secret, severities) values ('m', 'email', '', '', '[]')")
        )
        assert receiver_probes.claim(session, Webhooks(), 4) == []
        assert not session.scalar(text(f"select {receiver_probes.has_work(Webhooks())}"))


def test_receiver_is_not_probed_without_an_interval(app: App, target: Target) -> None:
    settings = Webhooks(probe_every="0")  # type: ignore[arg-type]
    add_receiver(app, target.org, "https://hooks.example.org/x")
    with app.org(target.org) as session:
        assert receiver_probes.claim(session, settings, 4) == []
        assert not session.scalar(text(f"select {receiver_probes.has_work(settings)}"))
        assert session.scalar(text(f"select {receiver_probes.has_work(Webhooks())}"))
