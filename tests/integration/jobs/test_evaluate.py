"""Each due window is evaluated once by any number of workers, and alerts follow."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text, update

from dcmon import db
from dcmon.alerting import drivers, rules
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.leader_lock import Leadership
from dcmon.db.tables.org import DueWindow, Monitor, Notification
from dcmon.ingestion import reference_loading, store
from dcmon.ingestion.row_batch import RowBatch
from dcmon.jobs import evaluate, schedule
from dcmon.monitoring import (
    complete_windows,
    due_windows,
    elapsed_windows,
    lifecycle,
    manual_runs,
    model_checks,
    monitors,
    row_loader,
    window_expansion,
)
from dcmon.monitoring.complete_windows import EndRange
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications import receivers
from dcmon.settings import Webhooks
from dcmon.storage import models, versions
from dcmon.windows import Frequency
from tests.helpers.evaluation import (
    START,
    day,
    log_day,
    monitor_drift_of_age,
    rows,
    store_result,
    stored_alerts,
    stored_results,
)
from tests.integration.conftest import Target, eventually, running, single

REPLACE = reference_loading.LoadOptions(replace=True)


@pytest.fixture
def watched(app: App, target: Target) -> Target:
    return monitor_drift_of_age(app, target)


def test_complete_windows_are_evaluated_and_the_open_one_waits(app: App, watched: Target) -> None:
    for number in range(4):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 3)
    assert [
        (stored_result.window_start, stored_result.n, stored_result.state)
        for stored_result in stored_results(app, watched)
    ] == [(day(number).start, 300, "OK") for number in range(3)]


def test_two_workers_store_each_window_once(app: App, watched: Target) -> None:
    for number in range(12):
        log_day(app, watched, number)
    with running(evaluate.run, app), App(app.settings, app.output) as second_app, running(evaluate.run, second_app):
        assert eventually(lambda: len(stored_results(app, watched)) >= 11)
    assert [stored_result.window_start for stored_result in stored_results(app, watched)] == [
        day(number).start for number in range(11)
    ]


def test_late_rows_revise_only_the_window_they_touch(app: App, watched: Target) -> None:
    """Its result gets a second revision."""
    for number in range(3):
        log_day(app, watched, number, count=200)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 2)
        log_day(app, watched, 0, count=300)
        assert eventually(lambda: len(stored_results(app, watched)) == 3)
    assert [(result.window_start, result.revision, result.n) for result in stored_results(app, watched)] == [
        (day(0).start, 1, 200), (day(0).start, 2, 300), (day(1).start, 1, 200),
    ]  # fmt: skip


def test_new_reference_reevaluates_the_last_windows(app: App, watched: Target) -> None:
    """A new reference re-evaluates the last windows; each result names its reference."""
    for number in range(3):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 2)
    names, parsed_rows = ("age", "job", "_dc_prediction"), [json.loads(row) for row in rows(-2, 60)]
    new_rows = [msgspec.Raw(json.dumps({name: row[name] for name in names}).encode()) for row in parsed_rows]
    with app.org(watched.org) as session:
        model_and_version = versions.get(session, watched.version_id)
        lifecycle.load_reference(session, *model_and_version, reference_loading.ReferenceTable(new_rows), REPLACE)
        session.execute(text("update due_windows set due_at = now() where due_at > now()"))
    with app.public() as session:
        work_queue.enqueue(session, watched.org.id, work_queue.Work.evaluate)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 4)
    revisions = [
        (result.window_start, result.revision, result.reference_revision) for result in stored_results(app, watched)
    ]
    assert revisions == [
        (day(0).start, 1, 1), (day(0).start, 2, 2), (day(1).start, 1, 1), (day(1).start, 2, 2),
    ]  # fmt: skip


def test_new_reference_leaves_other_monitors_alone(app: App, watched: Target) -> None:
    """A new reference re-evaluates no monitor that does not compare with it."""
    with app.org(watched.org) as session:
        model, _ = versions.get(session, watched.version_id)
        check = model_checks.get_or_create_check(session, model, "PercentOfNulls")
        nulls = monitors.create(session, check, MonitorSpec("Nulls", Frequency.DAY)).id
    for number in range(2):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 2)
    with app.org(watched.org) as session:
        model_and_version = versions.get(session, watched.version_id)
        row = msgspec.Raw(b'{"age": 1.0, "job": "j1", "_dc_prediction": "1"}')
        lifecycle.load_reference(session, *model_and_version, reference_loading.ReferenceTable([row] * 60), REPLACE)
        session.execute(text("update due_windows set due_at = now() where due_at > now()"))
    with app.public() as session:
        work_queue.enqueue(session, watched.org.id, work_queue.Work.evaluate)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) >= 3)
    found_results = [
        (stored_result.monitor_id == nulls, stored_result.revision) for stored_result in stored_results(app, watched)
    ]
    assert sorted(found_results) == [(False, 1), (False, 2), (True, 1)]


def test_one_alert_spans_bad_windows_and_then_resolves(app: App, watched: Target) -> None:
    for number, shift in enumerate((0, 30, 60, 0, 0)):
        log_day(app, watched, number, shift)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 4)
    alert = single(stored_alerts(app, watched))
    assert (alert.state, alert.resolved_by, alert.windows) == ("resolved", "recovery", 2)
    assert (alert.first_window_end, alert.last_window_end) == (day(1).end, day(2).end)
    assert alert.worst_window_end == day(2).end
    assert list(alert.drivers) == ["age"]


def test_monitor_without_reference_shows_its_reason(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "FeatureDrift")
        monitors.create(session, check, MonitorSpec("Drift", Frequency.DAY))
    for number in range(2):
        log_day(app, target, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, target)) == 1)
    result = single(stored_results(app, target))
    assert result.state == "NO_DATA"
    assert "reference" in result.reason


def test_filter_on_a_dropped_column_is_an_error_without_retry(app: App, watched: Target) -> None:
    """A filter on a dropped column is an error and is not retried."""
    with app.org(watched.org) as session:
        wrong = {"filters": [{"column": "nope", "operator": "equals", "value": 1}]}
        session.execute(update(Monitor).values(data_filters=wrong))
    for number in range(2):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 1)
        assert eventually(
            lambda: watched.scalar("select count(*) from due_windows where window_end < '2026-03-04'") == 0
        )
    assert "nope" in single(stored_results(app, watched)).reason


def test_failing_window_is_retried_then_stored_as_an_error(
    app: App, watched: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing window is retried, then stored as an error; others are evaluated."""
    monkeypatch.setattr(evaluate, "PAUSE", timedelta(milliseconds=10))
    gather = row_loader.build_workload

    def broken(session: Any, org: Any, plan: Any, limit: int, cached: Any) -> Any:
        if plan.window == day(1):
            raise RuntimeError("a stranger's fault")
        return gather(session, org, plan, limit, cached)

    monkeypatch.setattr(row_loader, "build_workload", broken)
    for number in range(4):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 3)
    assert [(stored_result.state, stored_result.reason) for stored_result in stored_results(app, watched)] == [
        ("OK", None), ("ERROR", "RuntimeError: a stranger's fault"), ("OK", None),
    ]  # fmt: skip


def test_alert_without_features_names_drifted_features(app: App, watched: Target) -> None:
    """An alert of a check without features names the features that drifted."""
    with app.org(watched.org) as session:
        model = models.get(session, watched.model_id)
        monitor = monitors.create(
            session, model_checks.get_or_create_check(session, model, "PercentOfNulls"), MonitorSpec("N", Frequency.DAY)
        )
        rules.create(session, monitor.id, rules.parse(">= 0"), "low")
    for number, shift in enumerate((0, 60, 0)):
        log_day(app, watched, number, shift)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 4)
    with app.org(watched.org) as session:
        drifted = drivers.drifting_features(session, watched.version_id, day(1).start, day(1).end)
    assert list(drifted) == ["age"]
    assert drifted["age"] > 0.5


# The queue of due windows.


def expanded(app: App, target: Target, days: int) -> None:
    for number in range(days):
        log_day(app, target, number, count=10)
    with app.org(target.org) as session:
        window_expansion.expand(session)


def test_claim_excludes_other_workers_until_its_lease_ends(app: App, watched: Target) -> None:
    expanded(app, watched, 3)
    with app.org(watched.org) as session:
        assert len(due_windows.claim(session, 8, timedelta(minutes=30))) == 2
    with app.org(watched.org) as session:
        assert due_windows.claim(session, 8, timedelta(minutes=30)) == []
        session.execute(update(DueWindow).values(lease_until=func.now() - timedelta(seconds=1)))
    with app.org(watched.org) as session:
        again = due_windows.claim(session, 8, timedelta(minutes=30))
    assert [(claimed_window.window, claimed_window.attempts) for claimed_window in again] == [(day(0), 2), (day(1), 2)]


def test_window_touched_during_evaluation_is_due_again(app: App, watched: Target) -> None:
    """A window touched during its evaluation is due again at once."""
    expanded(app, watched, 2)
    with app.org(watched.org) as session:
        claim = single(due_windows.claim(session, 8, timedelta(minutes=30)))
    app.ingestion.ingest_samples(watched.org, watched.version_id, rows(0, count=20))
    with app.org(watched.org) as session:
        window_expansion.expand(session)
    with app.org(watched.org) as session:
        due_windows.finish(session, claim, None)
    with app.org(watched.org) as session:
        assert single(due_windows.claim(session, 8, timedelta(minutes=30))).window == day(0)


def test_finished_window_is_deleted_and_a_waiting_one_returns(app: App, watched: Target) -> None:
    expanded(app, watched, 3)
    later = datetime.now(UTC) + timedelta(hours=1)
    with app.org(watched.org) as session:
        first, second = due_windows.claim(session, 8, timedelta(minutes=30))
        due_windows.finish(session, first, None)
        due_windows.finish(session, second, later)
        assert due_windows.claim(session, 8, timedelta(minutes=30)) == []
        assert due_windows.next_claimable_at(session) == later


def test_only_live_versions_are_judged_by_the_clock(app: App, watched: Target) -> None:
    """Windows that elapse without rows are due only for live versions."""
    log_day(app, watched, 0)
    with app.org(watched.org) as session:
        assert elapsed_windows.enqueue_elapsed(session, datetime.now(UTC)) == 0
        assert due_windows.claim(session, 8, timedelta(minutes=30)) == []
        session.execute(text("update versions set newest_logged_at = watermark + interval '1 minute'"))
    with app.org(watched.org) as session:
        assert elapsed_windows.enqueue_elapsed(session, datetime.now(UTC)) == elapsed_windows.MAX_ELAPSED_WINDOWS
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 4)
    assert [stored_result.state for stored_result in stored_results(app, watched)] == [
        "OK",
        "NO_DATA",
        "NO_DATA",
        "NO_DATA",
    ]
    with app.org(watched.org) as session:
        assert elapsed_windows.enqueue_elapsed(session, datetime.now(UTC)) == 0


def test_result_of_the_same_inputs_is_stored_once(app: App, watched: Target) -> None:
    store_result(app, watched, 0, 0.5)
    with pytest.raises(AssertionError):
        store_result(app, watched, 0, 0.7)
    assert len(stored_results(app, watched)) == 1


# The scheduler.


def test_one_scheduler_leads_and_the_next_takes_over(app: App) -> None:
    with (
        App(app.settings, app.output) as second_app,
        Leadership(app.engine) as first,
        Leadership(second_app.engine) as second,
    ):
        assert first.holds()
        assert not second.holds()
        assert first.holds()
        first.release()
        assert second.holds()
        assert not first.holds()


def test_leader_enqueues_work_whose_hint_was_lost(app: App, watched: Target) -> None:
    for number in range(2):
        log_day(app, watched, number)
    with app.public() as session:
        session.execute(text("delete from work_queue"))
    with running(schedule.run, app), running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == 1)


def test_direct_batch_is_recorded_in_the_ledger(app: App, watched: Target) -> None:
    with db.org_session(app.engine, watched.org) as session:
        delivery = RowBatch([*rows(0), b"{}"], START + timedelta(days=9), "request/1")
        outcome = store.store_samples(session, watched.org, watched.version_id, [delivery])
    line = "select taken || ' ' || stored || ' ' || duplicates || ' ' || quarantined from batches"
    assert watched.scalar(line) == "301 300 0 1"
    assert outcome.taken == outcome.stored + outcome.duplicates + outcome.quarantined


def test_worker_notifies_alerts_of_an_earlier_silent_run(app: App, watched: Target) -> None:
    """A worker without new results notifies alerts of an earlier run without notification."""
    with app.org(watched.org) as session:
        receivers.add(session, "team", "https://hooks.example.org/x", Webhooks())
        (monitor_id,) = session.scalars(select(Monitor.id))
    for number, shift in enumerate((0, 30, 0)):
        log_day(app, watched, number, shift)
    with app.org(watched.org) as session:
        wanted = complete_windows.in_range(session, monitor_id, EndRange(day(0).start, day(1).end), datetime.now(UTC))
    processed = list(
        manual_runs.evaluate_windows(app.engine, watched.org, monitor_id, wanted, app.settings.evaluate, None)
    )
    assert ([alert.state for alert in stored_alerts(app, watched)], notification_kinds(app, watched)) == (
        ["firing"],
        [],
    )
    with running(evaluate.run, app):
        assert eventually(lambda: notification_kinds(app, watched) == ["firing"])
    assert len(stored_results(app, watched)) == len(processed)


def test_repeated_manual_run_with_notify_sends_it(app: App, watched: Target) -> None:
    with app.org(watched.org) as session:
        receivers.add(session, "team", "https://hooks.example.org/x", Webhooks())
        (monitor_id,) = session.scalars(select(Monitor.id))
    for number, shift in enumerate((0, 30, 0)):
        log_day(app, watched, number, shift)
    for link, expected in ((None, []), ("https://dcmon.example", ["firing"]), ("https://dcmon.example", ["firing"])):
        with app.org(watched.org) as session:
            wanted = complete_windows.in_range(
                session, monitor_id, EndRange(day(0).start, day(1).end), datetime.now(UTC)
            )
        list(manual_runs.evaluate_windows(app.engine, watched.org, monitor_id, wanted, app.settings.evaluate, link))
        assert notification_kinds(app, watched) == expected


def notification_kinds(app: App, target: Target) -> list[str]:
    with app.org(target.org) as session:
        return list(session.scalars(select(Notification.kind).order_by(Notification.position)))
