"""Evaluators survive a failing window, version or organization; schedulers survive their leader."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from dcmon import db
from dcmon.alerting import rule_failures, rules
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.leader_lock import Leadership
from dcmon.db.tables.org import Alert, Monitor, Result, Version
from dcmon.ingestion import store
from dcmon.ingestion.row_batch import RowBatch
from dcmon.jobs import evaluate, schedule
from dcmon.monitoring import (
    due_windows,
    evaluation,
    lifecycle,
    model_checks,
    monitors,
    reevaluation,
    window_expansion,
)
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.tenancy import provisioning
from dcmon.windows import Frequency
from tests.integration.conftest import Target, eventually, new_target, running
from tests.integration.conftest import rows as target_rows

START = datetime(2026, 3, 1, tzinfo=UTC)
LEASE = timedelta(minutes=30)


def create_monitor(app: App, target: Target, **more: object) -> int:
    """Create a daily monitor of nulls, which needs no reference."""
    with app.org(target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "PercentOfNulls")
        return monitors.create(session, check, MonitorSpec("Nulls", Frequency.DAY, **more)).id  # type: ignore[arg-type]


def log(app: App, target: Target, first: int = 0, count: int = 6000) -> None:
    """Log a sample for each 30 seconds; 2880 samples are a day."""
    app.ingestion.ingest_samples(target.org, target.version_id, target_rows(first, count))


def stored_windows(target: Target) -> list[tuple[datetime, int, str]]:
    with db.org_session(target.engine, target.org) as session:
        rows = session.scalars(select(Result).order_by(Result.window_end, Result.revision)).all()
        return [(row.window_start, row.revision, row.state) for row in rows]


BOTH = [(START, 1, "OK"), (START + timedelta(days=1), 1, "OK")]


def test_unreadable_window_is_put_off_and_delays_no_other(
    app: App, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable window is postponed and delays no other window."""
    # After three tries the window has an ERROR: none of the later ones comes before the other window, however long.
    monkeypatch.setattr(evaluate, "PAUSE", timedelta(hours=1))
    other_target = new_target(
        app.engine, provisioning.create_organization(app.engine, "other", "o@other.example").organization
    )
    for watched_target in (target, other_target):
        create_monitor(app, watched_target)
    with app.org(target.org) as session:
        table = f"samples_{session.get_one(Version, target.version_id).relation}"
    log(app, target)
    with app.org(target.org) as session:
        session.execute(text(f"alter table {table} rename to away"))
    with running(evaluate.run, app):
        assert eventually(lambda: target.scalar("select count(*) from due_windows where due_at > now()") == 2)
        log(app, other_target)
        assert eventually(lambda: stored_windows(other_target) == BOTH)
        assert stored_windows(target) == []
        with app.org(target.org) as session:
            session.execute(text(f"alter table away rename to {table}"))
            session.execute(text("update due_windows set due_at = now()"))
        with app.public() as session:
            work_queue.enqueue(session, target.org.id, work_queue.Work.evaluate)
        assert eventually(lambda: stored_windows(target) == BOTH)


def test_refused_alerts_cost_only_their_rule_in_the_worker(app: App, target: Target) -> None:
    """The worker writes all alerts without a savepoint first; when PostgreSQL refuses them, rule by rule."""
    monitor_id = create_monitor(app, target)
    with app.org(target.org) as session:
        fine, refused = [rules.create(session, monitor_id, rules.parse(f"< 0.{n}"), "high").id for n in (5, 6)]
        session.execute(text(f"alter table alerts add constraint refused check (rule_id <> {refused})"))
    log(app, target)
    with running(evaluate.run, app):
        assert eventually(lambda: stored_windows(target) == BOTH)
    with app.org(target.org) as session:
        alerts = session.scalars(select(Alert)).all()
        assert [(alert.rule_id, alert.windows, alert.state) for alert in alerts] == [(fine, 2, "firing")]
        assert list(rule_failures.failing(session)) == [refused]


def test_organization_deleted_meanwhile_does_not_stop_the_worker(app: App, target: Target) -> None:
    deleted_org = provisioning.create_organization(app.engine, "gone", "g@gone.example").organization
    with app.engine.begin() as connection:
        connection.execute(text(f"drop schema {deleted_org.schema} cascade"))
    with app.public() as session:
        work_queue.enqueue(session, deleted_org.id, work_queue.Work.evaluate)
    create_monitor(app, target)
    with running(evaluate.run, app):
        log(app, target)
        assert eventually(lambda: stored_windows(target) == BOTH)


def test_version_deleted_in_evaluation_does_not_stop_the_worker(app: App, target: Target) -> None:
    create_monitor(app, target)
    with running(evaluate.run, app):
        for number in range(3):
            with app.org(target.org) as session:
                model = models.get(session, target.model_id)
                columns = versions.NewVersion(f"short-lived {number}", {"age": "numeric", "job": "categorical"})
                version = versions.create(session, model, columns)
                bare = [
                    row.replace(b'"_dc_prediction_probabilities": [0.5, 0.5], ', b"") for row in target_rows(0, 6000)
                ]
                delivery = RowBatch(bare, START + timedelta(days=9), "s")
                assert store.restore_samples(session, model, version, [delivery]).stored
            with app.public() as session:
                work_queue.enqueue(session, target.org.id, work_queue.Work.evaluate)
            threading.Event().wait(0.1 * number)
            with app.org(target.org) as session:
                lifecycle.delete_version(
                    session, models.get(session, target.model_id), session.get_one(Version, version.id)
                )
        log(app, target)
        assert eventually(lambda: stored_windows(target) == BOTH)


def test_monitor_deleted_in_evaluation_is_left_out(
    app: App, target: Target, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The results of the others are stored at once, and nothing is reported as a failure."""
    deleted, remaining = create_monitor(app, target), create_monitor(app, target)
    log(app, target)
    prepare = evaluation.prepare

    def prepare_and_delete(*arguments: Any) -> evaluation.PreparedWindow:
        prepared = prepare(*arguments)
        with app.org(target.org) as session:
            session.execute(text("delete from monitors where id = :id"), {"id": deleted})
        return prepared

    monkeypatch.setattr(evaluation, "prepare", prepare_and_delete)
    with running(evaluate.run, app):
        assert eventually(lambda: stored_windows(target) == BOTH)
    assert target.scalar("select array_agg(distinct monitor_id) from results") == [remaining]
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_quarter_hours_of_a_version_in_deletion_are_left_alone(app: App, target: Target) -> None:
    """Quarter hours of a version in deletion are not expanded into windows."""
    create_monitor(app, target)
    log(app, target)
    with app.org(target.org) as deleting:
        deleting.execute(text("select from versions where id = :id for update"), {"id": target.version_id})
        with db.org_session(app.engine, target.org, wait=timedelta(seconds=5)) as session:
            assert window_expansion.expand(session) == 0
        lifecycle.delete_version(
            deleting, models.get(deleting, target.model_id), deleting.get_one(Version, target.version_id)
        )
    assert target.scalar("select count(*) from quarter_hours") == 0


def test_times_do_not_depend_on_the_database_time_zone(app: App, target: Target) -> None:
    with app.engine.connect() as connection:
        name = connection.scalar(text("select current_database()"))
    with app.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"alter database {name} set timezone = 'Asia/Kathmandu'"))
    app.engine.dispose()
    create_monitor(app, target)
    with running(evaluate.run, app):
        log(app, target)
        assert eventually(lambda: stored_windows(target) == BOTH)


def test_windows_follow_the_models_time_zone(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        models.get(session, target.model_id).time_zone = "Asia/Kathmandu"
    create_monitor(app, target)
    with running(evaluate.run, app):
        log(app, target)
        assert eventually(lambda: len(stored_windows(target)) == 2)
    begins = datetime(2026, 2, 28, 18, 15, tzinfo=UTC)
    assert [start for start, _, _ in stored_windows(target)] == [begins, begins + timedelta(days=1)]
    assert target.scalar("select sum(n) from results") == 2880 * 2 - 5.75 * 120


@pytest.mark.parametrize(("operator", "value"), [("equals", 5), ("in", ["j1", 2]), ("greater_than", "j0")])
def test_filter_accepts_the_values_that_clients_send(app: App, target: Target, operator: str, value: object) -> None:
    create_monitor(app, target, data_filters={"filters": [{"column": "job", "operator": operator, "value": value}]})
    with running(evaluate.run, app):
        log(app, target)
        assert eventually(lambda: len(stored_windows(target)) == 2)


def test_incomparable_filter_is_an_error_without_retry(app: App, target: Target) -> None:
    """A filter with an incomparable value is an error and is not retried."""
    create_monitor(app, target)
    with app.org(target.org) as session:
        monitor = session.scalars(select(Monitor)).one()
        monitor.data_filters = {"filters": [{"column": "age", "operator": "equals", "value": "old"}]}
    with running(evaluate.run, app):
        log(app, target)
        assert eventually(lambda: [state for _, _, state in stored_windows(target)] == ["ERROR", "ERROR"])
        assert eventually(lambda: target.scalar("select count(*) from due_windows") == 1)


def test_quarter_hours_beyond_the_limit_need_no_scheduler(
    app: App, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one expansion can't take all touched quarter hours, the evaluator continues without a new hint."""
    monkeypatch.setattr(window_expansion, "MAX_QUARTER_HOURS", 1)
    create_monitor(app, target)
    log(app, target, count=120)  # four quarter hours, in a window that is not complete
    with running(evaluate.run, app):
        assert eventually(lambda: target.scalar("select count(*) from quarter_hours where is_touched") == 0)


def test_lease_taken_over_leaves_the_first_holder_nothing(app: App, target: Target) -> None:
    """After a lease is taken over, its first holder can't finish the window."""
    create_monitor(app, target)
    log(app, target)
    with app.org(target.org) as session:
        window_expansion.expand(session)
    with app.org(target.org) as session:
        zombie = due_windows.claim(session, 8, timedelta(0))
    with app.org(target.org) as session:
        heirs = due_windows.claim(session, 8, LEASE)
    with app.org(target.org) as session:
        for claim in zombie:
            due_windows.finish(session, claim, None)
            due_windows.retry_later(session, claim, LEASE)
        due_windows.extend_leases(session, zombie, timedelta(hours=9))
    held = "select count(*) from due_windows where lease_until between now() and now() + interval '1 hour'"
    assert [claim.window for claim in zombie] == [claim.window for claim in heirs]
    assert target.scalar(held) == 2


def test_failing_window_counts_its_attempts(app: App, target: Target) -> None:
    create_monitor(app, target)
    log(app, target, count=3000)
    with app.org(target.org) as session:
        window_expansion.expand(session)
    attempts = []
    for _ in range(3):
        with app.org(target.org) as session:
            [claim] = due_windows.claim(session, 8, LEASE)
            due_windows.retry_later(session, claim, timedelta(0))
            attempts.append(claim.attempts)
    assert attempts == [1, 2, 3]


def test_new_monitor_has_windows_due_for_the_last_weeks_only(app: App, target: Target) -> None:
    """A new monitor has due windows only for the last weeks, if its lookback is not longer."""
    for number in range(0, 40 * 2880, 2880):
        app.ingestion.ingest_samples(target.org, target.version_id, target_rows(number, 1))
    monitor = create_monitor(app, target, lookback=timedelta(days=7))
    assert target.scalar("select count(*) from due_windows") == reevaluation.WINDOWS_OF_A_NEW_MONITOR
    with app.org(target.org) as session:
        assert reevaluation.enqueue_for_monitor(session, monitor, START) == reevaluation.WINDOWS_OF_A_NEW_MONITOR
        assert (
            len(due_windows.claim(session, 99, LEASE)) == reevaluation.WINDOWS_OF_A_NEW_MONITOR - 1
        )  # the last one is open


@pytest.mark.parametrize(("days", "shown"), [(20, 20), (90, 31)])
def test_new_monitor_has_its_lookback_due(app: App, target: Target, days: int, shown: int) -> None:
    """Else each request for its values would compute the windows before the last 14. A request shows at most 31."""
    for number in range(0, 40 * 2880, 2880):
        app.ingestion.ingest_samples(target.org, target.version_id, target_rows(number, 1))
    monitor = create_monitor(app, target, lookback=timedelta(days=10))
    with app.org(target.org) as session:
        session.execute(text("delete from due_windows"))
        stored = monitors.get(session, monitor)
        monitors.change(session, stored, replace(monitors.current_spec(stored), lookback=timedelta(days=days)))
    assert target.scalar("select count(*) from due_windows") == shown
    with app.org(target.org) as session:
        session.execute(text("delete from due_windows"))
    create_monitor(app, target, lookback=timedelta(days=days))
    assert target.scalar("select count(*) from due_windows") == shown


def test_new_monitor_has_no_window_due_before_the_retention(app: App, target: Target) -> None:
    """A window that starts before the retention is not due for a new monitor."""
    for number in range(0, 40 * 2880, 2880):
        app.ingestion.ingest_samples(target.org, target.version_id, target_rows(number, 1))
    monitor = create_monitor(app, target)
    with app.org(target.org) as session:
        session.execute(text("delete from due_windows"))
        newest = session.get_one(Version, target.version_id).watermark
        assert newest is not None
        begins = (newest - timedelta(days=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        created = reevaluation.enqueue_for_monitor(session, monitor, newest, org_retention=timedelta(days=1))
        assert 0 < created < reevaluation.WINDOWS_OF_A_NEW_MONITOR
        assert session.scalar(text("select min(window_start) from due_windows")) == begins


def windows_claimed(app: App, target: Target, limit: int = 1) -> list[int]:
    """Claim windows and return their days, counted from the first day."""
    with app.org(target.org) as session:
        return [(claim.window.start - START).days for claim in due_windows.claim(session, limit, LEASE)]


def test_recent_windows_are_claimed_before_history(app: App, target: Target) -> None:
    """Recent windows are claimed newest first, then history from its start."""
    create_monitor(app, target)
    log(app, target, 0, 20_000)
    with app.org(target.org) as session:
        window_expansion.expand(session)
    assert [windows_claimed(app, target) for _ in range(7)] == [[5], [4], [0], [1], [2], [3], []]


def test_first_evaluations_are_claimed_before_repeated_ones(app: App, target: Target) -> None:
    create_monitor(app, target)
    log(app, target, 0, 20_000)
    with app.org(target.org) as session:
        window_expansion.expand(session)
        session.execute(text("update due_windows set is_first = false where window_start in (:a, :b)"),
                        {"a": START, "b": START + timedelta(days=5)})  # fmt: skip
    assert [windows_claimed(app, target) for _ in range(6)] == [[4], [5], [1], [2], [3], [0]]


def test_backfill_is_evaluated_at_a_pause_or_after_a_while(app: App, target: Target) -> None:
    """A backfill is evaluated when it pauses or has lasted for long."""
    create_monitor(app, target)
    log(app, target)
    quiet = timedelta(hours=1)
    with app.org(target.org) as session:
        window_expansion.expand(session)
    with app.org(target.org) as session:
        assert due_windows.claim(session, 8, LEASE, quiet) == []
        assert (
            timedelta(minutes=30)
            < (due_windows.next_claimable_at(session, quiet) or START) - datetime.now(UTC)
            <= quiet
        )
        since = "update due_windows set waits_since = now() - interval '10 hours' where window_start = :a"
        session.execute(text(since), {"a": START})
    with app.org(target.org) as session:
        assert len(due_windows.claim(session, 8, LEASE, quiet)) == 1
        session.execute(text("update due_windows set touched_at = now() - interval '1 hour'"))
    with app.org(target.org) as session:
        assert len(due_windows.claim(session, 8, LEASE, quiet)) == 1


def test_rows_in_time_do_not_delay_their_window(app: App, target: Target) -> None:
    create_monitor(app, target)
    log(app, target)
    with app.org(target.org) as session:
        session.execute(text("update quarter_hours set logged_at = at + interval '16 minutes'"))
    with app.org(target.org) as session:
        window_expansion.expand(session)
    with app.org(target.org) as session:
        assert len(due_windows.claim(session, 8, LEASE, timedelta(minutes=1))) == 2


# The scheduler.


def test_leader_without_its_connection_loses_leadership(app: App) -> None:
    with (
        App(app.settings, app.output) as second_app,
        Leadership(app.engine) as first,
        Leadership(second_app.engine) as second,
    ):
        assert first.holds()
        with second_app.engine.begin() as connection:
            connection.execute(
                text("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted")
            )
        assert eventually(second.holds)
        assert not first.holds()


def test_leadership_is_held_by_one_scheduler_at_a_time(app: App) -> None:
    leads, both = [0], list[int]()
    lock, stop = threading.Lock(), threading.Event()

    def lead() -> None:
        with App(app.settings, app.output) as own:
            while not stop.is_set():
                with Leadership(own.engine) as leadership:
                    if leadership.holds():
                        with lock:
                            leads[0] += 1
                            both.append(leads[0])
                        stop.wait(0.002)
                        with lock:
                            leads[0] -= 1

    threads = [threading.Thread(target=lead) for _ in range(3)]
    for thread in threads:
        thread.start()
    is_enough = eventually(lambda: len(both) >= 50)
    stop.set()
    for thread in threads:
        thread.join()
    assert is_enough
    assert set(both) == {1}


def test_scheduler_takes_over_from_a_stopped_one(app: App, target: Target) -> None:
    create_monitor(app, target)
    with App(app.settings, app.output) as second_app, running(schedule.run, second_app):
        with running(schedule.run, app):
            log(app, target)
            with app.public() as session:
                session.execute(text("delete from work_queue"))
        assert eventually(lambda: count_queued(app) == 1)


def count_queued(app: App) -> int:
    with app.public() as session:
        return session.scalar(text("select count(*) from work_queue")) or 0


def test_sweep_enqueues_only_organizations_with_work(app: App, target: Target) -> None:
    provisioning.create_organization(app.engine, "idle", "i@idle.example")
    create_monitor(app, target)
    log(app, target)
    with app.public() as session:
        session.execute(text("delete from work_queue"))
    assert schedule.sweep(app) == 1
    with app.public() as session:
        assert session.execute(text("select org_id, kind from work_queue")).all() == [(target.org.id, 0)]


def test_sweep_skips_an_organization_with_an_old_schema(app: App, target: Target) -> None:
    behind = provisioning.create_organization(app.engine, "behind", "b@behind.example").organization
    with app.engine.begin() as connection:
        connection.execute(text(f"update {behind.schema}.alembic_version set version_num = '0000'"))
    create_monitor(app, target)
    log(app, target)
    assert schedule.sweep(app) == 1
