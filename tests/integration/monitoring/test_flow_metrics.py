"""Monitors of the data flow: counts per window, and repeated counts."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from dcmon import db, errors
from dcmon.alerting import backtest, baselines, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.app import App
from dcmon.db.tables.org import Alert, AlertRule, Check, Monitor, MonitorWithCheck, Result, Version
from dcmon.ingestion import quarantine_corrections, store
from dcmon.ingestion.quarantine import QuarantineFilter
from dcmon.ingestion.row_batch import RowBatch
from dcmon.jobs import evaluate, schedule
from dcmon.monitoring import (
    complete_windows,
    elapsed_windows,
    evaluation,
    manual_runs,
    model_checks,
    monitors,
    planner,
    results,
    row_loader,
    window_expansion,
)
from dcmon.monitoring import due_windows as due
from dcmon.monitoring.complete_windows import EndRange
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.planner import PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.settings import Evaluate
from dcmon.storage import models
from dcmon.windows import Frequency
from tests.helpers.waiting import wait_for_the_middle_of_the_hour
from tests.integration.conftest import Target, eventually, running

HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC)


def this_hour() -> datetime:
    """Return the start of the current hour."""
    return now().replace(minute=0, second=0, microsecond=0)


@pytest.fixture(autouse=True)
def _in_the_middle_of_the_hour() -> None:
    wait_for_the_middle_of_the_hour()


def create_monitor(
    target: Target, metric: str | None = None, frequency: Frequency = Frequency.HOUR, rule: str = ""
) -> int:
    """Create a data flow monitor with a rule."""
    kwargs = {"check_conf": {}, "res_conf": [metric]} if metric else None
    with db.org_session(target.engine, target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "DataFlow")
        monitor = monitors.create(session, check, MonitorSpec("Traffic", frequency, additional_kwargs=kwargs))
        if rule:
            rules.create(session, monitor.id, rules.parse(rule))
        return monitor.id


def row(number: int, time: datetime, **changes: Any) -> bytes:
    known = {"_dc_sample_id": f"s{number}", "age": 3, "job": "a", "_dc_time": time.isoformat(), "_dc_prediction": "1"}
    return json.dumps({**known, "_dc_prediction_probabilities": [0.5, 0.5], **changes}).encode()


def log(target: Target, rows: Sequence[bytes], logged_at: datetime) -> None:
    """Log rows with a given time of receipt."""
    with db.org_session(target.engine, target.org) as session:
        delivery = RowBatch(rows, logged_at, f"test/{logged_at.isoformat()}")  # type: ignore[arg-type]
        store.store_samples(session, target.org, target.version_id, [delivery])


def log_hours(target: Target, counts: dict[int, int]) -> None:
    """Log rows into the given number of hours before the current one, all received now."""
    for hours_ago, count in sorted(counts.items(), reverse=True):
        start = this_hour() - hours_ago * HOUR
        log(
            target,
            [row(1000 * hours_ago + number, start + timedelta(seconds=number)) for number in range(count)],
            start + HOUR / 2,
        )


def evaluate_due(target: Target) -> int:
    """Evaluate all due windows as a worker does; return their number."""
    settings, done = Evaluate(), 0
    with db.org_session(target.engine, target.org) as session:
        window_expansion.expand(session)
        session.execute(text("update due_windows set due_at = now() where due_at < now() + interval '10 minutes'"))
    with db.org_session(target.engine, target.org) as session:
        claims = due.claim(session, 1000, timedelta(seconds=30))
    for claim in claims:
        with db.org_session(target.engine, target.org) as session:
            request = PlanRequest(claim.version_id, claim.window, claim.touched_at, now(), is_flow=claim.is_flow)
            plan = planner.plan(session, request, settings)
            workload, known = row_loader.build_workload(session, target.org, plan, settings, ReferenceCache())
            assert workload.requests == []
            evaluation.lock_results(session, plan, known)
            evaluation.store(session, plan, known, ChangeContext(target.org))
            due.finish(session, claim, plan.again_at)
        done += 1
    return done


def by_clock(target: Target) -> int:
    with db.org_session(target.engine, target.org) as session:
        return elapsed_windows.enqueue_elapsed(session, now())


def metrics_by_hour(target: Target) -> dict[int, dict[str, float]]:
    """Return the newest metrics of each window by its start, in hours before the current one."""
    with db.org_session(target.engine, target.org) as session:
        results = session.scalars(select(Result).order_by(Result.window_end, Result.revision)).all()
        return {round((this_hour() - result.window_start) / HOUR): result.metrics for result in results}


def rows_by_hour(target: Target) -> dict[int, float]:
    return {hour: metrics["rows"] for hour, metrics in metrics_by_hour(target).items() if "rows" in metrics}


def alerts(target: Target) -> list[tuple[str, float]]:
    with db.org_session(target.engine, target.org) as session:
        return [
            (alert_row.state, alert_row.worst_value) for alert_row in session.scalars(select(Alert).order_by(Alert.id))
        ]


def test_empty_window_between_others_counts_0_and_alerts(target: Target) -> None:
    create_monitor(target, "rows", rule="< 1")
    log_hours(target, {8: 5, 7: 4, 4: 3, 3: 2})

    evaluate_due(target)

    assert rows_by_hour(target) == {8: 5, 7: 4, 6: 0, 5: 0, 4: 3, 3: 2}
    assert alerts(target) == [("resolved", 0.0)]


def test_late_rows_are_counted_in_a_new_revision(target: Target) -> None:
    monitor_id = create_monitor(target, "rows")
    log_hours(target, {8: 5, 4: 3})
    evaluate_due(target)
    start = this_hour() - 6 * HOUR

    log(target, [row(number, start) for number in range(7)], now())
    evaluate_due(target)

    assert rows_by_hour(target) == {8: 5, 7: 0, 6: 7, 5: 0, 4: 3}
    with db.org_session(target.engine, target.org) as session:
        last = evaluation.results.newest_by_monitor(
            session, target.version_id, planner.Window(start, start + HOUR), [monitor_id]
        )
        assert (last[monitor_id].revision, last[monitor_id].state, last[monitor_id].n) == (2, "OK", 7)


def test_silent_live_version_counts_0_for_24_windows(target: Target) -> None:
    """After a day without rows the version is stale."""
    create_monitor(target, rule="< 1", metric="rows")
    log_hours(target, {30: 5, 29: 5})

    assert by_clock(target) == 24
    evaluate_due(target)

    zeros = dict.fromkeys(range(28, 4, -1), 0.0)
    assert rows_by_hour(target) == {30: 5, 29: 5, **zeros}
    assert alerts(target) == [("firing", 0.0)]
    assert by_clock(target) == 0


def test_loaded_history_is_not_expected_to_continue(target: Target) -> None:
    create_monitor(target, "rows", rule="< 1")
    long_ago = this_hour() - 100 * HOUR
    log(target, [row(number, long_ago + number * HOUR) for number in range(3)], now())

    assert by_clock(target) == 0
    evaluate_due(target)

    assert rows_by_hour(target) == {100: 1, 99: 1}
    assert alerts(target) == []


def test_version_without_rows_counts_0_from_its_creation(target: Target) -> None:
    create_monitor(target, "rows", rule="< 1")
    with db.org_session(target.engine, target.org) as session:
        session.get_one(Version, target.version_id).created_at = now() - 3 * HOUR

    by_clock(target)
    evaluate_due(target)

    assert list(rows_by_hour(target).values()) in ([0.0, 0.0], [0.0])
    assert [state for state, _ in alerts(target)] == ["firing"]
    assert by_clock(target) == 0


def test_flow_windows_are_not_evaluated_by_other_monitors(target: Target) -> None:
    """Windows that are due for data flow only have no results of other monitors."""
    create_monitor(target, "rows")
    with db.org_session(target.engine, target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "PercentOfNulls")
        nulls = monitors.create(session, check, MonitorSpec("Nulls", Frequency.HOUR)).id
    log_hours(target, {30: 5, 25: 5})
    by_clock(target)
    with db.org_session(target.engine, target.org) as session:
        window_expansion.expand(session)
        waiting = session.execute(text("select window_start, is_flow from due_windows order by 1")).all()
        plans = {
            window.window_start: planner.plan(
                session,
                PlanRequest(
                    target.version_id, planner.Window(window.window_start, window.window_start + HOUR), now(), now(),
                    is_flow=window.is_flow,
                ),
                Evaluate(),
            )
            for window in waiting
        }  # fmt: skip

    looked_at = [round((this_hour() - start) / HOUR) for start, plan in plans.items() if nulls in _ids(plan)]
    assert looked_at == [30, 25, 24, 23, 22]  # with rows; and three silent ones, as before
    assert len(plans) == 2 + 4 + 24


def _ids(plan: planner.Plan) -> list[int]:
    return [monitor.id for monitor, _ in plan.monitors]


def bad(target: Target, hours_ago: int, good: int, wrong: int) -> None:
    """Return rows of an hour, some of them invalid, received in that hour."""
    start = this_hour() - hours_ago * HOUR
    rows = [row(1000 * hours_ago + number, start) for number in range(good)]
    rows += [row(1000 * hours_ago + 500 + index, start, age="old") for index in range(wrong)]
    log(target, rows, start + timedelta(minutes=20))


def test_quarantined_rows_count_in_the_hour_of_receipt(target: Target) -> None:
    """A rule on their share of all rows fires."""
    create_monitor(target, "quarantine share", rule="> 0.2")
    bad(target, 5, good=9, wrong=1)
    bad(target, 4, good=3, wrong=1)
    bad(target, 3, good=5, wrong=0)

    evaluate_due(target)

    assert metrics_by_hour(target) == {
        hour: {"quarantine share": share} for hour, share in ((5, 0.1), (4, 0.25), (3, 0.0))
    }
    assert alerts(target) == [("resolved", 0.25)]
    with db.org_session(target.engine, target.org) as session:
        shown = {result.metrics["quarantine share"]: result.intervals for result in session.scalars(select(Result))}
    assert shown[0.25] == {"quarantine share": pytest.approx([0.0128, 0.6994], abs=1e-3)}


def test_version_with_only_quarantined_rows_alerts(target: Target) -> None:
    create_monitor(target, rule="> 0.5", metric="quarantine share")
    bad(target, 3, good=0, wrong=7)

    evaluate_due(target)

    assert metrics_by_hour(target) == {3: {"quarantine share": 1.0}}
    assert alerts(target) == [("firing", 1.0)]


def test_dropped_or_retried_rows_are_not_counted(target: Target) -> None:
    create_monitor(target, "quarantined")
    bad(target, 4, good=3, wrong=5)
    evaluate_due(target)
    assert metrics_by_hour(target)[4] == {"quarantined": 5.0}

    quarantine_corrections.drop_quarantined(target.engine, target.org, QuarantineFilter(model="credit"), "me")
    evaluate_due(target)

    assert metrics_by_hour(target)[4] == {"quarantined": 0.0}


def test_quarantined_old_rows_do_not_count_as_traffic(target: Target) -> None:
    """The rows are of last year and are quarantined now."""
    create_monitor(target, rule="")
    last_year = this_hour() - 9000 * HOUR
    log(target, [row(1, last_year), row(2, last_year + 2 * HOUR), row(3, last_year, age="old")], this_hour() - HOUR / 2)

    evaluate_due(target)

    assert metrics_by_hour(target)[1].keys() == {"quarantined", "quarantine share", "lag"}
    assert metrics_by_hour(target)[1]["quarantine share"] == pytest.approx(1 / 3)


def test_lag_is_the_longest_wait_of_a_row(target: Target) -> None:
    """The lag is the longest time from receipt to storage."""
    create_monitor(target, "lag")
    log_hours(target, {3: 1, 2: 1})

    evaluate_due(target)

    waited = (now() - (this_hour() - 2.5 * HOUR)).total_seconds()
    assert metrics_by_hour(target)[3]["lag"] == pytest.approx(waited, abs=600)


def test_flow_awaits_labels_as_label_checks_do(target: Target) -> None:
    create_monitor(target, "label ratio", rule="< 0.9")
    log_hours(target, {5: 4, 3: 4, 1: 1})
    evaluate_due(target)
    assert metrics_by_hour(target) == {4: {}, 2: {}}  # without rows there is no ratio

    with db.org_session(target.engine, target.org) as session:
        rows = [json.dumps({"_dc_sample_id": f"s{5000 + number}", "_dc_label": 1}).encode() for number in range(4)]
        store.restore_labels(session, models.get(session, target.model_id), [RowBatch(rows, now(), "labels")])  # type: ignore[arg-type]
    evaluate_due(target)
    assert metrics_by_hour(target)[5] == {"label ratio": 1.0}
    assert 3 not in metrics_by_hour(target)
    assert alerts(target) == []

    with db.org_session(target.engine, target.org) as session:
        models.get(session, target.model_id).label_delay = timedelta(seconds=1)
        session.execute(text("update due_windows set due_at = now()"))  # as after the label delay
    evaluate_due(target)
    assert metrics_by_hour(target)[3] == {"label ratio": 0.0}
    assert alerts(target) == [("firing", 0.0)]


def test_flow_metrics_without_labels_do_not_wait(target: Target) -> None:
    """Metrics of labels are stored when labels are due."""
    create_monitor(target)
    log_hours(target, {5: 4, 4: 1})
    evaluate_due(target)
    assert metrics_by_hour(target)[5].keys() == {"rows", "quarantined", "quarantine share", "lag"}

    with db.org_session(target.engine, target.org) as session:
        models.get(session, target.model_id).label_delay = timedelta(seconds=1)
        session.execute(text("update due_windows set due_at = now()"))
    evaluate_due(target)

    names = {"rows", "labels", "label ratio", "quarantined", "quarantine share", "lag"}
    assert metrics_by_hour(target)[5].keys() == names


def test_flow_monitor_with_filter_or_unknown_metric_is_refused(target: Target) -> None:
    with pytest.raises(errors.InvalidInput, match="quarantine share"):
        create_monitor(target, "traffic")
    with db.org_session(target.engine, target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "DataFlow")
        wanted = {"filters": [{"column": "age", "operator": "greater_than", "value": 3}]}
        with pytest.raises(errors.InvalidInput, match="takes no filter"):
            monitors.create(session, check, MonitorSpec("Old", Frequency.DAY, data_filters=wanted))


def test_running_workers_evaluate_the_data_flow(app: App, target: Target) -> None:
    create_monitor(target, "rows", rule="< 1")
    log_hours(target, {4: 5, 3: 5})
    with running(schedule.run, app), running(evaluate.run, app):
        assert eventually(lambda: rows_by_hour(target).get(2) == 0.0)
        assert eventually(lambda: alerts(target) == [("firing", 0.0)])


def test_manual_run_reaches_the_last_complete_hour(app: App, target: Target) -> None:
    monitor_id = create_monitor(target)
    log_hours(target, {4: 5, 3: 5})

    with app.org(target.org) as session:
        due = complete_windows.in_range(session, monitor_id, EndRange(None, None), datetime.now(UTC))
    (newest,) = manual_runs.evaluate_windows(app.engine, target.org, monitor_id, due, Evaluate(), None)

    assert newest.window_end == this_hour()
    assert newest.metrics["rows"] == 0.0


def test_rule_without_a_metric_on_the_flow_is_refused(target: Target) -> None:
    """Every command and request that creates or changes a rule refuses it."""
    monitor_id = create_monitor(target)
    with db.org_session(target.engine, target.org) as session:
        rule = rules.create(session, monitor_id, rules.parse("Rows < 100"))
        for condition, reason in (
            ("< 100", "Name the metric"),
            ("drop > 20%", "Name the metric"),
            ("traffic < 100", "has no metric 'traffic'"),
            ("rows drop > 20% against reference", "leave out 'against reference'"),
        ):
            wanted = rules.parse(condition)
            with pytest.raises(errors.InvalidInput, match=reason):
                rules.create(session, monitor_id, wanted)
            with pytest.raises(errors.InvalidInput, match=reason):
                rules.change(session, rule, rules.Change(condition=wanted))
            with pytest.raises(errors.InvalidInput, match=reason):
                backtest.run(
                    session,
                    monitor_id,
                    rules.policy(AlertRule(**POLICY, condition=condition)),
                    results.recent_series(session, monitor_id, HOUR),
                )
        assert not rules.change(session, rule, rules.Change(is_inhibited=False))
        assert len(rules.for_monitor(session, monitor_id)) == 1


POLICY = {"severity": "low", "for_windows": 1, "keep_firing": 0, "min_n": 0, "no_data": "keep", "on_error": "keep"}


def test_old_reference_rule_on_the_flow_spares_others(target: Target) -> None:
    """A rule of an older release against the reference does not affect other monitors."""
    monitor_id = create_monitor(target, "rows", rule="< 1")
    with db.org_session(target.engine, target.org) as session:
        created = session.scalars(select(AlertRule)).one()
        created.condition = "drop > 20% against reference"
        session.execute(text("update versions set reference_revision = 1"))
        monitor, version = session.get_one(Monitor, monitor_id), session.get_one(Version, target.version_id)
        with_check = MonitorWithCheck(monitor, session.get_one(Check, monitor.check_id))
        assert baselines.missing(session, version, [with_check]) == []
