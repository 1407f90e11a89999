"""Claims of due windows: taken over after a kill, fair between organizations, stored once, cheap when idle."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, text

from dcmon import db
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.tables.org import Monitor, Result, Version
from dcmon.jobs import evaluate, schedule
from dcmon.monitoring import due_windows, elapsed_windows, liveness, model_checks, monitors, window_expansion
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning
from dcmon.windows import Frequency
from tests.integration.conftest import Target, eventually, new_target, rows, running


def create_monitor(app: App, target: Target, frequency: Frequency = Frequency.DAY) -> int:
    with app.org(target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "PercentOfNulls")
        return monitors.create(session, check, MonitorSpec("Nulls", frequency)).id


def log(app: App, target: Target, count: int) -> None:
    """Log a sample for each 30 seconds."""
    app.ingestion.ingest_samples(target.org, target.version_id, rows(0, count))


def stored(target: Target) -> list[tuple[datetime, int]]:
    with db.org_session(target.engine, target.org) as session:
        stored_results = session.scalars(select(Result).order_by(Result.window_end, Result.revision)).all()
        return [(stored_result.window_end, stored_result.revision) for stored_result in stored_results]


def test_claims_of_a_killed_worker_are_taken_over_in_15_s(app: App, target: Target, database_url: str) -> None:
    create_monitor(app, target)
    with app.org(target.org) as session:
        table = f"samples_{session.get_one(Version, target.version_id).relation}"
    log(app, target, 9000)
    quiet = {"DCMON_EVALUATE__BACKFILL_QUIET": "0", "DCMON_EVALUATE__LAST_WINDOW_QUIET": "3600"}
    environment = {**os.environ, **quiet, "DCMON_DATABASE_URL": database_url}
    with app.engine.connect() as holding:
        # The process that reads rows hangs with its claim until it is killed.
        holding.execute(text(f"lock table {target.org.schema}.{table} in access exclusive mode"))
        worker = subprocess.Popen([sys.executable, "-m", "dcmon", "worker", "start", "evaluate"], env=environment)
        assert eventually(lambda: target.scalar("select count(*) from due_windows where lease_until > now()") == 3)
        assert target.scalar("select max(lease_until) - now() <= interval '15 seconds' from due_windows")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()

    def taken_over() -> bool:
        with app.public() as session:
            picked = work_queue.claim(session, work_queue.Work.evaluate, timedelta(0))
        with app.org(target.org) as session:
            return picked is not None and len(due_windows.claim(session, 8, timedelta(0))) == 3

    assert eventually(taken_over)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(target)) == 3)
    assert [revision for _, revision in stored(target)] == [1, 1, 1]


def test_organization_with_many_windows_delays_no_other(app: App, target: Target) -> None:
    other_target = new_target(
        app.engine, provisioning.create_organization(app.engine, "other", "o@other.example").organization
    )
    create_monitor(app, target, Frequency.HOUR)
    create_monitor(app, other_target)
    log(app, target, 24 * 120 * 20)
    with app.org(target.org) as session:
        window_expansion.expand(session)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(target)) > 8)
        log(app, other_target, 3000)
        assert eventually(lambda: stored(other_target) != [])
        assert target.scalar("select count(*) from due_windows where window_end < '2026-03-20'") > 100


def test_store_of_a_lost_claim_is_refused(app: App, target: Target) -> None:
    create_monitor(app, target)
    log(app, target, 3000)
    with app.org(target.org) as session:
        window_expansion.expand(session)
    with app.org(target.org) as session:
        [late] = due_windows.claim(session, 8, timedelta(0))
    with app.org(target.org) as session:
        [heir] = due_windows.claim(session, 8, timedelta(minutes=30))
    with app.org(target.org) as session:
        assert not due_windows.hold(session, late)
        assert due_windows.hold(session, heir)
        due_windows.finish(session, heir, None)
    with app.org(target.org) as session:
        assert not due_windows.hold(session, heir)


def test_released_claim_counts_no_attempt(app: App, target: Target) -> None:
    create_monitor(app, target)
    log(app, target, 3000)
    with app.org(target.org) as session:
        window_expansion.expand(session)
    for _ in range(3):
        with app.org(target.org) as session:
            [claim] = due_windows.claim(session, 8, timedelta(minutes=30))
            assert claim.attempts == 1
            due_windows.release(session, claim)


def test_silent_live_version_is_stale_until_new_samples(app: App, target: Target) -> None:
    """The change to stale is reported once."""
    create_monitor(app, target)
    log(app, target, 3000)
    with app.org(target.org) as session:
        session.execute(text("update versions set newest_logged_at = watermark"))
    now = datetime(2026, 3, 3, tzinfo=UTC)
    with app.org(target.org) as session:
        version = session.get_one(Version, target.version_id)
        model = models.get(session, version.model_id)
        assert liveness.classify(model, version) == "live"
        assert elapsed_windows.mark_stale(session, now) == []
        assert elapsed_windows.mark_stale(session, now + timedelta(days=4)) == ["credit/v1"]
        assert elapsed_windows.mark_stale(session, now + timedelta(days=5)) == []
        session.refresh(version)
        assert liveness.classify(model, version) == "stale"
        assert elapsed_windows.enqueue_elapsed(session, now + timedelta(days=5)) == 0
        version.watermark = version.newest_logged_at = now + timedelta(days=6)
        assert liveness.classify(model, version) == "live"


def test_scheduler_run_checks_each_organization_once(app: App, target: Target) -> None:
    """A sweep looks once at each organization that has versions, and enqueues the one with work."""
    for number in range(5):
        idle = provisioning.create_organization(app.engine, f"idle{number}", f"o@idle{number}.example").organization
        with app.org(idle) as session:
            model = models.create(session, NewModel("credit", "binary"))
            versions.create(session, model, NewVersion("v1", {"age": "numeric"}))
    provisioning.create_organization(app.engine, "empty", "o@empty.example")
    create_monitor(app, target)
    log(app, target, 3000)
    with app.public() as session:
        session.execute(text("delete from work_queue"))
    sweep = schedule.OrganizationSweep(app)
    assert sum(sweep.step() for _ in range(6)) == 1
    with app.public() as session:
        picked = work_queue.claim(session, work_queue.Work.evaluate, timedelta(seconds=1))
    assert picked is not None
    assert picked[0] == target.org.id


def test_window_larger_than_its_bound_is_an_error(app: App, target: Target) -> None:
    """The error has the next step."""
    create_monitor(app, target)
    with app.org(target.org) as session:
        session.scalars(select(Monitor)).one().rows = 0
    small = app.settings.model_copy(update={"evaluate": app.settings.evaluate.model_copy(update={"memory": 50_000})})
    with App(small, app.output) as bounded, running(evaluate.run, bounded):
        log(app, target, 3000)
        assert eventually(lambda: stored(target) != [])
    assert "take more than 12,500 bytes" in target.scalar("select reason from results")
    assert target.scalar("select state from results") == "ERROR"
