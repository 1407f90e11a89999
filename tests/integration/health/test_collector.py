"""Collect the health of a real system, store and notify problems, send pings."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select, text

from dcmon import db
from dcmon.app import App
from dcmon.db import Organization
from dcmon.db.leader_lock import Leadership
from dcmon.db.tables.org import Alert, Notification
from dcmon.health import (
    checks,
    collector,
    dead_mans_switch,
    organization_healths,
    problem_notifications,
    problems,
    process_heartbeats,
    status,
)
from dcmon.health.organization_healths import COMPLETE_LOOK, LOOK_OF_SCHEDULER, Look
from dcmon.health.problem import Problem
from dcmon.health.problems import ProblemChanges
from dcmon.health.process_heartbeats import HeartbeatSender, WatchedStopEvent
from dcmon.health.snapshot import HealthSnapshot, OrganizationHealth
from dcmon.jobs import health as job
from dcmon.jobs import schedule
from dcmon.notifications import mute_times, receivers, silences
from dcmon.notifications.silences import NewSilence
from dcmon.output import Output
from dcmon.settings import Health, Ping, Settings, Webhooks
from dcmon.severity import Severity
from dcmon.states import HeldBy
from dcmon.storage import versions
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning
from tests.helpers.alerts import add_receiver, insert_alert, write_notifications
from tests.helpers.http_receiver import HttpReceiver, http_receiver
from tests.helpers.statements import recorded_statements
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, labels, rows, running, single

NOW = datetime.now(UTC)
BOUNDS = Health()


def gather(app: App) -> HealthSnapshot:
    return collector.collect(app.engine, app.settings)


def tenant(app: App) -> OrganizationHealth:
    organization: OrganizationHealth = single(gather(app).organizations)
    return organization


def execute(engine: Engine, org: Organization, statement: str, **values: object) -> None:
    with db.org_session(engine, org) as session:
        session.execute(text(statement), values)


@pytest.fixture
def pager(engine: Engine, org: Organization) -> Organization:
    """Create an organization with a receiver."""
    execute(
        engine,
        org,
        "insert into webhooks (name, url, secret, severities)"
        """ values ('w', 'https://x.example/', 'x', '["high", "critical"]')""",
    )
    return org


NOTE = """
    insert into notifications (webhook_id, kind, body, created_at, dead_at)
    select id, 'firing', '{}', :at, :dead from webhooks
"""


def test_empty_system_has_no_problem(app: App, org: Organization) -> None:
    assert tenant(app) == OrganizationHealth("acme")
    assert checks.find_problems(gather(app), BOUNDS) == []


def test_waiting_and_given_up_notifications_are_counted(app: App, pager: Organization) -> None:
    execute(app.engine, pager, NOTE, at=NOW - timedelta(minutes=20), dead=None)
    execute(app.engine, pager, NOTE, at=NOW - timedelta(days=4), dead=NOW - timedelta(hours=1))
    execute(app.engine, pager, NOTE, at=NOW - timedelta(days=9), dead=NOW - timedelta(days=8))

    organization = tenant(app)

    assert (organization.unsent_notifications.count, organization.given_up_notifications.count) == (1, 1)
    message = [problem.name for problem in checks.find_problems(gather(app), BOUNDS)]
    assert message == ["notifications given up", "notifications stuck"]

    execute(app.engine, pager, "update webhooks set paused_at = now()")
    assert tenant(app).unsent_notifications.count == 0  # somebody wants it so


def test_alert_without_a_receiver_is_a_problem_at_once(app: App, target: Target) -> None:
    """With a receiver, its notification has a minute to arrive; without one, none will."""
    insert_alert(app, target, "critical")
    execute(app.engine, target.org, "update alerts set opened_at = now()")
    assert tenant(app).undelivered_alerts.count == 1
    (problem,) = checks.find_problems(gather(app), BOUNDS)
    assert problem.name == "alert undelivered"
    assert problem.command == "dcmon --org acme receiver create NAME URL --severity critical"

    add_receiver(app, target.org, "https://hooks.example.org/x")
    assert tenant(app).undelivered_alerts.count == 0


def test_alert_for_a_paused_receiver_is_not_missing(app: App, target: Target) -> None:
    """A pause is a wish while it lasts, unless dcmon itself paused the receiver because of an answer."""
    add_receiver(app, target.org, "https://hooks.example.org/x")
    write_notifications(app, target.org, insert_alert(app, target, "critical"), "firing")
    execute(app.engine, target.org, "update alerts set opened_at = now() - interval '5 minutes'")
    pause = (
        "update webhooks set paused_at = now(), paused_until = now() + cast(:end as interval), paused_because = :why"
    )

    missing = []
    for end, why in (("2 hours", None), (None, None), ("-1 hour", None), (None, "The receiver answered 410 (Gone).")):
        execute(app.engine, target.org, pause, end=end, why=why)
        missing.append(tenant(app).undelivered_alerts.count)

    assert missing == [0, 0, 1, 1]


def test_pause_of_one_receiver_holds_nothing_of_another(app: App, target: Target) -> None:
    for name in ("desk", "pager"):
        add_receiver(app, target.org, "https://hooks.example.org/x", name)
    write_notifications(app, target.org, insert_alert(app, target, "critical"), "firing")
    execute(app.engine, target.org, "update alerts set opened_at = now() - interval '5 minutes'")
    execute(app.engine, target.org, "update webhooks set paused_at = now() where name = 'desk'")
    assert tenant(app).undelivered_alerts.count == 1

    of_pager = "webhook_id = (select id from webhooks where name = 'pager')"
    execute(app.engine, target.org, f"update notifications set dead_at = now() where {of_pager}")
    assert tenant(app).undelivered_alerts.count == 1

    execute(app.engine, target.org, "update webhooks set paused_at = now()")
    assert tenant(app).undelivered_alerts.count == 0


def test_silence_with_a_new_end_holds_as_one(app: App, target: Target) -> None:
    """The reasons that are stored keep the old end until the next check; so do those of a mute time."""
    for name in ("old", "new"):
        add_receiver(app, target.org, "https://hooks.example.org/x", name)
    write_notifications(app, target.org, insert_alert(app, target, "critical"), "firing")
    hold = "update notifications set held_because = :holder || ' until 2026-12-0' || webhook_id || ' 08:00 UTC' || :why"

    for holder, why, by in (
        ("silence 3 by ann", ": until noon", HeldBy.SILENCE), ("mute time 'a until b UTC'", "", HeldBy.MUTE_TIME),
    ):  # fmt: skip
        execute(app.engine, target.org, hold, holder=holder, why=why)
        (held,) = tenant(app).held_notifications
        assert (held.by, held.count, held.alerts, held.critical_alerts) == (by, 2, 1, 1)
        assert held.until == datetime(2026, 12, 2, 8, tzinfo=UTC)


def test_what_holds_notifications_back_is_named(app: App, target: Target) -> None:
    """As the worker stores it: by a silence, by a mute time, and for a receiver that is paused."""
    name = "nights until 2026-01-01 00:00 UTC 'x'"
    for receiver in ("team", "paused"):
        add_receiver(app, target.org, "https://hooks.example.org/x", receiver)
    write_notifications(app, target.org, known := insert_alert(app, target, "low"), "firing")
    write_notifications(app, target.org, unknown := insert_alert(app, target, "critical"), "firing")
    execute(app.engine, target.org, "update notifications set delivered_at = now() where alert_id = :id", id=known)
    write_notifications(app, target.org, known, "repeated")
    with app.org(target.org) as session:
        now = datetime.now(UTC)
        silences.add(session, NewSilence([f"alert={known}"], now, now + timedelta(hours=2), "deploy until noon", "ann"))
        mute_times.add(session, name, "daily", "00:00-00:00", "UTC", [f"alert={unknown}"])
        for row in session.scalars(select(Notification).where(Notification.delivered_at.is_(None))):
            row.held_because = silences.hold_reason(session, session.get_one(Alert, row.alert_id), now)
        receivers.pause(session, receivers.find(session, "paused"), None)

    held = {entry.by: entry for entry in tenant(app).held_notifications}

    assert {by: (entry.name, entry.count, entry.alerts, entry.critical_alerts) for by, entry in held.items()} == {
        HeldBy.SILENCE: ("1", 1, 0, 0), HeldBy.MUTE_TIME: (name, 1, 1, 1), HeldBy.PAUSE: ("paused", 2, 1, 1),
    }  # fmt: skip
    assert held[HeldBy.SILENCE].until == (now + timedelta(hours=2)).replace(second=0, microsecond=0)
    assert held[HeldBy.PAUSE].until is None
    assert [(receiver.name, receiver.is_critical, receiver.is_last) for receiver in tenant(app).paused_receivers] == [
        ("paused", True, False)
    ]


def test_window_without_evaluation_is_a_problem(app: App, target: Target) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    execute(
        app.engine, target.org, "update versions set watermark = :at, earliest = :at, newest_logged_at = :at", at=hour
    )
    execute(
        app.engine, target.org,
        "insert into due_windows (version_id, window_start, window_end, due_at, touched_at)"
        " values (:version, :start, :end, :start, :start)",
        version=target.version_id, start=hour - timedelta(hours=3), end=hour - timedelta(hours=2),
    )  # fmt: skip

    assert tenant(app).due_windows.count == 1
    assert tenant(app).due_windows.oldest_at == hour - timedelta(hours=2)
    assert [problem.name for problem in checks.find_problems(gather(app), BOUNDS)] == ["evaluation stuck"]


def test_every_claimable_window_is_counted(app: App, target: Target) -> None:
    """A window that can be claimed is counted at any age."""
    now = datetime.now(UTC)
    long_ago = now - timedelta(hours=1)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    day = midnight - timedelta(days=1)  # long before it was logged, so that the version counts as loaded
    execute(
        app.engine, target.org, "update versions set watermark = :at, earliest = :at, newest_logged_at = :then",
        at=day, then=long_ago,
    )  # fmt: skip
    due = (
        "insert into due_windows (version_id, window_start, window_end, due_at, touched_at, is_backfill, waits_since)"
        " values (:version, :start, :end, :due, :touched, :backfill, :touched)"
    )
    for days, due_at, touched, backfill in (
        (40, long_ago, long_ago, False),  # waited for labels
        (41, now - timedelta(days=2), now - timedelta(days=2), True),
        (3, now + timedelta(days=1), long_ago, False),  # still waits for them
    ):
        execute(
            app.engine, target.org, due, version=target.version_id, start=day - timedelta(days=days + 1),
            end=day - timedelta(days=days), due=due_at, touched=touched, backfill=backfill,
        )  # fmt: skip

    organization = tenant(app)

    assert (organization.due_windows.count, organization.due_windows.oldest_at) == (2, long_ago)
    assert organization.recent_due_windows.count == 0
    assert [problem.name for problem in checks.find_problems(gather(app), BOUNDS)] == ["evaluation stuck"]

    later = "update due_windows set touched_at = now() + interval '1 hour', waits_since = now() + interval '1 hour'"
    execute(app.engine, target.org, f"{later} where is_backfill")
    assert tenant(app).due_windows.count == 1  # the backfill goes on


def test_last_loaded_window_counts_from_its_pause_on(app: App, target: Target) -> None:
    """The window of the newest rows of a loaded file waits for more rows, which is no problem."""
    now = datetime.now(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=9)
    execute(
        app.engine, target.org, "update versions set watermark = :at, earliest = :at, newest_logged_at = :now",
        at=day - timedelta(hours=1), now=now,
    )  # fmt: skip
    execute(
        app.engine, target.org,
        "insert into quarter_hours (version_id, at, n, logged_at, is_touched) values (:version, :at, 1, :now, false)",
        version=target.version_id, at=day - timedelta(hours=1), now=now,
    )  # fmt: skip
    execute(
        app.engine, target.org,
        "insert into due_windows (version_id, window_start, window_end, due_at, touched_at)"
        " values (:version, :start, :end, :now, :now)",
        version=target.version_id, start=day - timedelta(days=1), end=day, now=now,
    )  # fmt: skip
    assert tenant(app).due_windows.count == 0

    long_ago = now - 2 * app.settings.evaluate.last_window_quiet
    execute(app.engine, target.org, "update due_windows set touched_at = :at, due_at = :at", at=long_ago)

    due = tenant(app).due_windows
    assert (due.count, due.oldest_at) == (1, long_ago + app.settings.evaluate.last_window_quiet)
    assert [problem.name for problem in checks.find_problems(gather(app), BOUNDS)] == ["evaluation stuck"]


def test_quarantined_rows_of_the_last_hour_are_counted(app: App, target: Target) -> None:
    good = rows(0, 300)
    bad = [row.replace(b'"age": ', b'"age": "x" ,"was": ') for row in rows(300, 120)]
    app.ingestion.ingest_samples(target.org, target.version_id, [*good, *bad])

    (share,) = tenant(app).quarantined_shares
    assert (share.model, share.version, share.received, share.quarantined) == ("credit", "v1", 420, 120)
    assert share.reasons == ["wrong_type (age)"]
    assert gather(app).now - timedelta(minutes=5) < share.since <= gather(app).now
    assert [problem.name for problem in checks.find_problems(gather(app), BOUNDS)] == ["quarantine grows"]


def test_version_that_loses_its_rows_is_not_diluted(app: App, target: Target) -> None:
    """Another version of the model gets many more good rows, and its labels are good, too."""
    with db.org_session(app.engine, target.org) as session:
        columns = NewVersion("v 2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        model = versions.get(session, target.version_id)[0]
        small = versions.create(session, model, columns).id
    app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 2_000))
    app.ingestion.ingest_labels(target.org, target.model_id, labels(0, 100))
    bad = [row.replace(b'"job"', b'"work"') for row in rows(0, 12)]
    app.ingestion.ingest_samples(target.org, small, [*bad[:10], *rows(20, 2), b"null"])

    (problem,) = checks.find_problems(gather(app), BOUNDS)

    assert (problem.name, problem.subject, problem.severity) == ("quarantine grows", "acme/credit/v 2", "high")
    assert "85% of the new rows of credit v 2 in acme" in problem.sentence
    assert "(11 of 13)" in problem.sentence
    assert "wrong_type" in problem.sentence
    assert problem.command == "dcmon quarantine list --org acme --model credit --version 'v 2'"


def test_quarantined_labels_are_told_for_their_model(app: App, target: Target) -> None:
    app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 500))
    bad = [row.replace(b'"_dc_label": ', b'"_dc_label": [], "l": ') for row in labels(0, 30)]
    app.ingestion.ingest_labels(target.org, target.model_id, [*labels(30, 70), *bad])

    (problem,) = checks.find_problems(gather(app), BOUNDS)

    assert (problem.subject, problem.severity) == ("acme/credit (labels)", "medium")
    assert (
        "30% of the new labels of model credit in acme were quarantined within an hour (30 of 100)" in problem.sentence
    )


def test_duplicates_do_not_dilute_the_quarantined_share(app: App, target: Target) -> None:
    """A client repeats the same request again and again: its bad rows are 20 of 30, not of 300."""
    bad = [row.replace(b'"age": ', b'"age": "x" ,"was": ') for row in rows(0, 20)]
    for _ in range(10):
        app.ingestion.ingest_samples(target.org, target.version_id, [*bad, *rows(20, 10)])
        app.ingestion.ingest_labels(target.org, target.model_id, [*labels(0, 10), *[b"{}"] * 10])

    (share,) = [share for share in tenant(app).quarantined_shares if share.version]
    assert (share.received, share.quarantined) == (30, 20)
    (label_share,) = [share for share in tenant(app).quarantined_shares if share.version is None]
    assert (label_share.received, label_share.quarantined) == (11, 1)


def test_quarantine_problem_is_over_when_bad_rows_stop(app: App, target: Target) -> None:
    bad = [row.replace(b'"age": ', b'"age": "x" ,"was": ') for row in rows(0, 20)]
    app.ingestion.ingest_samples(target.org, target.version_id, [*bad, *rows(20, 20)])
    assert [problem.name for problem in checks.find_problems(gather(app), BOUNDS)] == ["quarantine grows"]

    for statement in (
        "update quarantine set logged_at = logged_at - interval '61 minutes'",
        "update receipts set at = at - interval '60 minutes'",
    ):
        execute(app.engine, target.org, statement)
    app.ingestion.ingest_samples(target.org, target.version_id, rows(40, 20))

    assert tenant(app).quarantined_shares == ()
    assert checks.find_problems(gather(app), BOUNDS) == []


def test_organization_with_old_schema_is_a_problem(app: App, org: Organization) -> None:
    execute(app.engine, org, "update alembic_version set version_num = '0001'")

    (row,) = checks.find_problems(gather(app), BOUNDS)

    assert (row.name, row.subject, row.command) == ("schema behind", "acme", "dcmon migrate")
    assert "0001" in row.sentence


def test_leader_is_visible_and_its_runs_are_recorded(app: App, org: Organization) -> None:
    assert not gather(app).has_leader
    with running(schedule.run, app):
        assert eventually(lambda: gather(app).has_leader)
        done = lambda: {name for name, run in gather(app).runs.items() if run.succeeded_at}  # noqa: E731
        assert eventually(lambda: done() >= {"clock", "prune", "check health", "fold ledger"})
    with Leadership(app.engine) as leadership:
        assert leadership.holds()
        assert gather(app).has_leader
    assert eventually(lambda: not gather(app).has_leader)


def test_slow_sweep_of_the_leader_does_not_flood_the_log(
    app: App, org: Organization, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """APScheduler warns at each time when the sweep should begin and the one before is not over: each second."""
    is_over = Event()
    monkeypatch.setattr(schedule, "SWEEP_STEP_INTERVAL", 0.01)
    monkeypatch.setattr(schedule.OrganizationSweep, "step", lambda _: is_over.wait())
    with running(schedule.run, app):
        assert eventually(lambda: "check health" in gather(app).runs and gather(app).runs["check health"].succeeded_at)
        is_over.set()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("apscheduler")] == []


def test_heartbeat_shows_a_hanging_loop_and_the_end(
    app: App, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_heartbeats, "INTERVAL", 0.05)
    stop = threading.Event()
    pulse = WatchedStopEvent(stop)
    with HeartbeatSender(app.engine, {"evaluate": pulse, "serve": None}):
        assert eventually(
            lambda: {process.kind for process in gather(app).alive(None, BOUNDS)} == {"evaluate", "serve"}
        )
        assert eventually(lambda: idle(app) > 0.3)  # the loop does not check for a stop
        hanging_since = evaluate_worker(app).polled_at
        assert not pulse.is_set()
        assert eventually(lambda: evaluate_worker(app).polled_at - hanging_since > timedelta(seconds=0.2))
        monkeypatch.setattr(process_heartbeats, "INTERVAL", PATIENCE)  # to wait for the thread that writes
    assert gather(app).alive(None, BOUNDS) == []
    pulse.set()
    assert stop.is_set()


def evaluate_worker(app: App) -> Any:
    return single(gather(app).alive("evaluate", BOUNDS))


def idle(app: App) -> float:
    worker = evaluate_worker(app)
    return float((worker.seen_at - worker.polled_at).total_seconds())


SICK = Problem("disk full", Severity.CRITICAL, "The disk is full.", "dcmon prune", NOW - timedelta(minutes=3), "")


def store_problems(engine: Engine, *found_problems: Problem, now: datetime = NOW) -> ProblemChanges:
    with db.public_session(engine) as session:
        return problems.store(session, found_problems, now, timedelta(seconds=30))


def write_changes(engine: Engine, org: Organization, changes: ProblemChanges) -> int:
    with db.org_session(engine, org) as session:
        return problem_notifications.write(session, org, changes, NOW)


def test_problem_is_notified_once_and_once_when_resolved(engine: Engine, pager: Organization) -> None:
    changes = store_problems(engine, SICK)
    assert [problem.key for problem in changes.started] == [SICK.key]
    assert write_changes(engine, pager, changes) == 1
    assert write_changes(engine, pager, changes) == 0  # a repeated write has the same id, so it stores nothing
    with db.public_session(engine) as session:
        problems.mark_notified(session, changes.started, NOW)
    assert store_problems(engine, SICK) == ProblemChanges([], changes.started, [])

    end_changes = store_problems(engine)
    assert [problem.key for problem in end_changes.resolved] == [SICK.key]
    assert write_changes(engine, pager, end_changes) == 1
    with db.public_session(engine) as session:
        problems.delete_problems(session, end_changes.resolved)
    assert store_problems(engine) == ProblemChanges([], [], [])
    with db.org_session(engine, pager) as session:
        bodies = session.scalars(select(Notification.body).order_by(Notification.position)).all()
    assert [body["type"] for body in bodies] == ["dcmon.firing", "dcmon.resolved"]
    assert bodies[0]["alert"]["reason"] == "The disk is full."


def test_problem_within_the_grace_time_is_not_notified(engine: Engine, org: Organization) -> None:
    moment = Problem("locked", Severity.HIGH, "It is locked.", "dcmon migrate status", NOW, "acme")

    assert store_problems(engine, moment).started == []
    assert store_problems(engine) == ProblemChanges([], [], [])


def test_problem_keeps_its_first_start(engine: Engine, org: Organization) -> None:
    store_problems(engine, SICK)
    store_problems(engine, Problem("disk full", Severity.CRITICAL, "Still full.", "dcmon prune", NOW, ""))

    with db.public_session(engine) as session:
        entry = single(problems.entries(session))
    assert (entry.since, entry.sentence) == (SICK.since, "Still full.")


def test_problem_of_unsubscribed_severity_is_not_notified(engine: Engine, pager: Organization) -> None:
    changes = ProblemChanges([Problem("dead letters", Severity.MEDIUM, "Two.", "dcmon audit", NOW)])
    assert write_changes(engine, pager, changes) == 0


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as new_receiver:
        yield new_receiver


def test_ping_calls_the_url_and_a_failure_its_fail_url(receiver: HttpReceiver) -> None:
    allowed, settings = Webhooks(allow=["127.0.0.1"]), Ping(url=SecretStr(f"{receiver.url}/ping/abc"), fail=True)

    well, ill = dead_mans_switch.ping([], settings, allowed), dead_mans_switch.ping(["No disk."], settings, allowed)

    assert well is not None
    assert ill is not None
    assert well.is_delivered
    assert [(request.path, request.body) for request in receiver.requests] == [
        ("/ping/abc", "dcmon works."),
        ("/ping/abc/fail", "No disk."),
    ]


def test_ping_to_a_non_public_address_is_refused(receiver: HttpReceiver) -> None:
    delivery = dead_mans_switch.ping([], Ping(url=SecretStr(f"{receiver.url}/ping/abc")), Webhooks())

    assert delivery is not None
    assert not delivery.is_delivered
    assert receiver.requests == []


def test_refused_ping_is_a_problem(app: App, org: Organization, receiver: HttpReceiver) -> None:
    receiver.status = 500
    settings = Settings(
        database_url=app.settings.database_url, data_dir=app.settings.data_dir,
        webhooks=Webhooks(allow=["127.0.0.1"]),
        ping=Ping(url=SecretStr(f"{receiver.url}/ping/abc"), every=timedelta(seconds=1), fail=True),
        health=Health(every=timedelta(seconds=1), heartbeat_timeout=timedelta(seconds=2)),
    )  # fmt: skip
    with App(settings, Output(quiet=True)) as beating, running(schedule.run, beating):
        assert eventually(
            lambda: "ping fails" in {problem.name for problem in checks.find_problems(gather(beating), settings.health)}
        )
    assert receiver.requests[0].path.endswith("/fail")  # no worker evaluates or notifies


def test_watch_organization_is_notified_of_problems(app: App, pager: Organization) -> None:
    settings = Settings(
        database_url=app.settings.database_url, data_dir=app.settings.data_dir, health=Health(org="acme")
    )
    execute(app.engine, pager, NOTE, at=NOW - timedelta(minutes=20), dead=None)
    with App(settings, Output(quiet=True)) as notified:
        assert job.check_health(notified) == "1 problems"
        assert job.check_health(notified) == "1 problems"
    with db.org_session(app.engine, pager) as session:
        bodies = session.scalars(select(Notification.body).where(Notification.body.is_not(None))).all()
    assert [body["alert"]["monitor"] for body in bodies if body] == ["notifications stuck: acme"]


def test_each_version_that_loses_rows_is_notified(app: App, pager: Organization, target: Target) -> None:
    """Each of two versions has its own notification, and its own end."""
    settings = Settings(
        database_url=app.settings.database_url, data_dir=app.settings.data_dir, health=Health(org="acme")
    )
    with db.org_session(app.engine, target.org) as session:
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        other = versions.create(session, versions.get(session, target.version_id)[0], columns).id
    for version_id in (target.version_id, other):
        app.ingestion.ingest_samples(target.org, version_id, [row.replace(b'"job"', b'"work"') for row in rows(0, 20)])
    execute(app.engine, target.org, "update quarantine set logged_at = logged_at - interval '2 minutes'")
    lost = "quarantine grows: acme/credit/"

    def told(app: App) -> list[tuple[str, str]]:
        job.check_health(app)
        with db.org_session(app.engine, pager) as session:
            bodies = session.scalars(select(Notification.body).order_by(Notification.position)).all()
        return sorted((body["alert"]["monitor"], body["type"]) for body in bodies if body)

    with App(settings, Output(quiet=True)) as notified:
        started = [(f"{lost}v1", "dcmon.firing"), (f"{lost}v2", "dcmon.firing")]
        assert told(notified) == started
        assert told(notified) == started

        app.ingestion.ingest_samples(target.org, other, rows(100, 400))

        assert told(notified) == sorted([*started, (f"{lost}v2", "dcmon.resolved")])


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two organizations be too many to read all of them each time."""
    monkeypatch.setattr(organization_healths, "MOST_DIRECT", 1)


@pytest.fixture
def other(engine: Engine, org: Organization) -> Organization:
    return provisioning.create_organization(engine, "other", "o@other.example").organization


def look(app: App, how: Look = LOOK_OF_SCHEDULER) -> tuple[list[str], list[OrganizationHealth]]:
    """Return the names of the organizations that a health check reads, and the health of all."""
    with recorded_statements() as recorded:
        snapshot = collector.collect(app.engine, app.settings, how)
    names = {f"'org_{org.id}'": org.name for org in app.every_organization()}
    peeks = [line.sql for line in recorded.statements if line.sql.startswith("begin read only")]
    read = [name for peek in peeks for schema, name in names.items() if schema in peek]
    return read, list(snapshot.organizations)


@pytest.mark.usefixtures("few_are_many")
def test_organizations_that_were_not_written_to_are_not_read(
    app: App, engine: Engine, org: Organization, other: Organization
) -> None:
    read, healths = look(app)
    assert (read, [health.read_at for health in healths]) == (["acme", "other"], [None, None])
    assert eventually(lambda: look(app)[0] == [])  # PostgreSQL counts changes seconds after them

    execute(engine, other, "update alembic_version set version_num = version_num")
    assert eventually(lambda: look(app)[0] == ["other"])


@pytest.mark.usefixtures("few_are_many", "other")
def test_organization_where_something_waits_is_read_again(app: App, engine: Engine, pager: Organization) -> None:
    execute(engine, pager, NOTE, at=NOW - timedelta(hours=1), dead=None)
    for _ in range(3):
        read, (acme, _) = look(app)
        assert "acme" in read
        assert acme.unsent_notifications.count == 1


@pytest.mark.usefixtures("few_are_many", "other", "org")
def test_look_without_time_tells_what_was_stored(app: App) -> None:
    no_time = Look(0.0)
    read, healths = look(app, no_time)
    assert (read, [health.is_counted for health in healths]) == ([], [False, False])
    snapshot = collector.collect(app.engine, app.settings, no_time)
    assert status.unknown(snapshot)["windows_due"] == "Organizations acme, other could not be read."

    _, stored = look(app)
    with app.public() as session:
        session.execute(text("update organization_health set read_at = read_at - interval '1 hour'"))
    read, healths = look(app, no_time)
    assert read == []
    without_time = [replace(health, read_at=None) for health in healths]
    assert msgspec.json.encode(without_time) == msgspec.json.encode(stored)
    assert all(health.read_at < datetime.now(UTC) - timedelta(minutes=50) for health in healths if health.read_at)
    assert look(app, COMPLETE_LOOK)[0] == ["acme", "other"]


@pytest.mark.usefixtures("few_are_many", "other", "org")
def test_health_that_another_release_stored_is_read_again(app: App) -> None:
    look(app)
    with app.public() as session:
        session.execute(text("""update organization_health set health = '{"due_windows": 5}'"""))
    assert look(app)[0] == ["acme", "other"]


def test_child_of_a_supervisor_sees_the_disk_of_its_database(tmp_path: Path) -> None:
    """It gets the URL of the embedded PostgreSQL as a setting: the leading scheduler notifies of a full disk."""
    (tmp_path / "postgres").mkdir()
    url = SecretStr("postgresql://dcmon:x@127.0.0.1:5432/dcmon")

    assert collector.read_own_disk(Settings(database_url=url, data_dir=tmp_path)) is not None
    assert collector.read_own_disk(Settings(database_url=url, data_dir=tmp_path / "none")) is None
