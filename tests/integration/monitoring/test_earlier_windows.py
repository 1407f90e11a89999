"""A drift check can compare a window with an earlier one; late rows there make the later window due again."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from dcmon import errors
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.tables.org import Result
from dcmon.jobs import evaluate
from dcmon.monitoring import complete_windows, lifecycle, manual_runs, model_checks, monitors
from dcmon.monitoring.complete_windows import EndRange
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from dcmon.windows import ComparedWith, Frequency
from tests.helpers.evaluation import day, log_day, rows
from tests.integration.conftest import Target, eventually, running

NAMES = ("age", "job", "_dc_prediction")


def create_comparing_monitor(
    app: App, target: Target, compared_with: ComparedWith, check: str = "FeatureDrift", **more: Any
) -> int:
    with app.org(target.org) as session:
        on = model_checks.get_or_create_check(session, models.get(session, target.model_id), check)
        kwargs = {"check_conf": {"feature": ["age"]}, "res_conf": None} if check == "FeatureDrift" else None
        new = MonitorSpec(
            f"{check} {compared_with}", Frequency.DAY, additional_kwargs=kwargs, compared_with=compared_with, **more
        )
        return monitors.create(session, on, new).id


def stored(app: App, target: Target) -> list[Result]:
    with app.org(target.org) as session:
        return list(session.scalars(select(Result).order_by(Result.window_end, Result.revision, Result.id)))


def settle(app: App, target: Target) -> None:
    """Evaluate until no complete window is due, without waiting periods."""
    with app.org(target.org) as session:
        session.execute(text("update due_windows set due_at = now()"))
    with app.public() as session:
        work_queue.enqueue(session, target.org.id, work_queue.Work.evaluate)
    open_window = "select count(*) from due_windows d, versions v where d.version_id = v.id and window_end <= watermark"
    untouched = "select count(*) from quarter_hours where is_touched"
    with running(evaluate.run, app):
        assert eventually(lambda: target.scalar(f"select ({open_window}) + ({untouched})") == 0)


def drift(app: App, target: Target, number: int, before: int, counts: tuple[int, int]) -> float:
    """Return the drift of age between two days, computed by the library."""
    import pandas as pd
    from deepchecks.tabular import Dataset, checks

    sides = [
        Dataset(pd.DataFrame({"age": [json.loads(row)["age"] for row in rows(day_number, 0, count)]}), cat_features=[])
        for day_number, count in zip((before, number), counts, strict=True)
    ]
    check = checks.FeatureDrift(n_samples=None)
    reduced = check.reduce_output(check.run(*sides, with_display=False))
    return float(next(iter(reduced.values())))


def test_window_is_compared_with_the_previous_one(app: App, target: Target) -> None:
    create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    for number in range(4):
        log_day(app, target, number)
    settle(app, target)
    first, *later_results = stored(app, target)
    assert (first.state, first.window_start) == ("NO_DATA", day(0).start)
    assert first.reason is not None
    assert "2026-03-01 00:00 to 2026-03-02 00:00 UTC, has no row" in first.reason
    assert [(result.compared_start, result.compared_end, result.compared_n) for result in later_results] == [
        (day(number - 1).start, day(number - 1).end, 300) for number in (1, 2)
    ]
    for number, result in enumerate(later_results, 1):
        value = drift(app, target, number, number - 1, (300, 300))
        assert result.metrics == pytest.approx({"L3 Weighted Drift Score": value}, rel=0, abs=1e-12)


def test_late_rows_in_compared_window_cause_reevaluation(app: App, target: Target) -> None:
    create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    for number in range(4):
        log_day(app, target, number, count=200)
    settle(app, target)
    before = {result.window_start: result.compared_rows_revision for result in stored(app, target)}
    log_day(app, target, 0, count=300)
    settle(app, target)
    again = [stored_result for stored_result in stored(app, target) if stored_result.revision == 2]
    assert [(result.window_start, result.n, result.compared_n) for result in again] == [
        (day(0).start, 300, 0), (day(1).start, 200, 300),
    ]  # fmt: skip
    assert again[1].compared_rows_revision > before[day(1).start]
    value = drift(app, target, 1, 0, (300, 200))
    assert again[1].metrics == pytest.approx({"L3 Weighted Drift Score": value}, rel=0, abs=1e-12)


def test_few_late_rows_in_compared_window_wait_for_quiet(app: App, target: Target) -> None:
    """The later window is evaluated again after a quiet period."""
    create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    for number in range(3):
        log_day(app, target, number, count=200)
    settle(app, target)
    log_day(app, target, 0, count=205)
    waiting = (
        "select count(*) from due_windows where window_start < '2026-03-04' and due_at > now() + interval '1 minute'"
    )
    with running(evaluate.run, app):
        assert eventually(lambda: target.scalar("select count(*) from quarter_hours where is_touched") == 0)
        assert eventually(lambda: target.scalar(waiting) == 2)
    assert {result.revision for result in stored(app, target)} == {1}


def test_window_is_compared_with_the_same_weekday(app: App, target: Target) -> None:
    create_comparing_monitor(app, target, ComparedWith.WEEK_BEFORE)
    for number in (0, 7, 8):
        log_day(app, target, number)
    settle(app, target)
    results = {result.window_start: result for result in stored(app, target)}
    assert (results[day(7).start].compared_start, results[day(7).start].state) == (day(0).start, "OK")
    assert results[day(0).start].state == "NO_DATA"
    log_day(app, target, 0, count=400)
    settle(app, target)
    assert [stored_result.window_start for stored_result in stored(app, target) if stored_result.revision == 2] == [
        day(0).start,
        day(7).start,
    ]


def test_new_reference_does_not_affect_window_comparisons(app: App, target: Target) -> None:
    """A new reference re-evaluates only monitors that compare with the reference."""
    create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    for number in range(3):
        log_day(app, target, number)
    settle(app, target)
    parsed = [json.loads(row) for row in rows(-1)]
    document = {"columns": [*NAMES], "data": [[row[name] for name in NAMES] for row in parsed]}
    with app.org(target.org) as session:
        lifecycle.append_reference(session, *versions.get(session, target.version_id), json.dumps(document).encode())
    settle(app, target)
    assert {result.revision for result in stored(app, target)} == {1}


def test_version_is_compared_with_its_own_windows(app: App, target: Target) -> None:
    create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        other_version_id = versions.create(session, model, columns).id
    for number in range(4):
        log_day(app, target, number)
    for number in (2, 3):
        renamed = [row.replace(b'"_dc_sample_id": "', b'"_dc_sample_id": "b') for row in rows(number, 40, 250)]
        app.ingestion.ingest_samples(target.org, other_version_id, renamed)
    settle(app, target)
    results = {(result.version_id, result.window_start): result for result in stored(app, target)}
    assert results[other_version_id, day(2).start].state == "NO_DATA"
    assert results[target.version_id, day(2).start].state == "OK"
    assert (results[target.version_id, day(2).start].n, results[other_version_id, day(2).start].n) == (300, 250)


def test_late_labels_in_compared_window_matter_to_label_checks(app: App, target: Target) -> None:
    """Checks without labels are not evaluated again."""
    create_comparing_monitor(app, target, ComparedWith.PREVIOUS, "LabelDrift")
    with app.org(target.org) as session:
        models.get(session, target.model_id).label_delay = timedelta()
    for number in range(3):
        log_day(app, target, number, count=60)

    def label(number: int, first: int, last: int) -> None:
        message = [{"_dc_sample_id": f"{number}/{index}", "_dc_label": str(index % 2)} for index in range(first, last)]
        app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(row).encode() for row in message])

    for number, label_count in ((0, 30), (1, 60), (2, 60)):
        label(number, 0, label_count)
    settle(app, target)
    label(0, 30, 60)
    settle(app, target)
    again = [result for result in stored(app, target) if result.window_start == day(1).start]
    assert [(result.revision, result.compared_n, result.state) for result in again] == [(1, 30, "OK"), (2, 60, "OK")]


def test_monitor_that_can_not_compare_is_refused(app: App, target: Target) -> None:
    with pytest.raises(errors.InvalidInput, match="Checks that compare: FeatureDrift, PredictionDrift, LabelDrift"):
        create_comparing_monitor(app, target, ComparedWith.PREVIOUS, "MixedNulls")
    with pytest.raises(errors.InvalidInput, match="longer than a week"):
        create_comparing_monitor(app, target, ComparedWith.WEEK_BEFORE, aggregation_window=8)


def test_time_zone_decides_the_compared_hours(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        models.get(session, target.model_id).time_zone = "Europe/Berlin"
    create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    start = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)  # half an hour before the Sunday with the clock change
    times = [start + timedelta(hours=hour) for hour in range(60)]
    created = [
        json.dumps(
            {"_dc_sample_id": f"h{number}-{index}", "_dc_time": time.isoformat(), "_dc_prediction": "0", "age": index,
             "job": "x"}
        ).encode()
        for number, time in enumerate(times) for index in range(10)
    ]  # fmt: skip
    app.ingestion.ingest_samples(target.org, target.version_id, created)
    settle(app, target)
    results = {result.window_end: result for result in stored(app, target)}
    monday = results[datetime(2026, 3, 30, 22, tzinfo=UTC)]
    assert monday.compared_start == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert (monday.n, monday.compared_n) == (240, 230)


def label(app: App, target: Target, number: int, first: int, last: int) -> None:
    message = [{"_dc_sample_id": f"{number}/{index}", "_dc_label": str(index % 2)} for index in range(first, last)]
    app.ingestion.ingest_labels(target.org, target.model_id, [json.dumps(row).encode() for row in message])


def test_first_evaluation_waits_for_compared_labels(app: App, target: Target) -> None:
    """The labels are those of the window that it is compared with."""
    monitor = create_comparing_monitor(app, target, ComparedWith.PREVIOUS, "LabelDrift")
    with app.org(target.org) as session:
        models.get(session, target.model_id).label_delay = timedelta(hours=1)
    for number in range(3):
        log_day(app, target, number, count=60)
    label(app, target, 1, 0, 60)
    label(app, target, 0, 0, 30)
    waits = "select count(*) from due_windows where window_start = :start and due_at > now() + interval '50 minutes'"
    with app.public() as session:
        work_queue.enqueue(session, target.org.id, work_queue.Work.evaluate)
    with running(evaluate.run, app):
        assert eventually(lambda: target.scalar(waits, start=day(1).start) == 1)
    assert stored(app, target) == []
    with app.org(target.org) as session:
        _, reason = manual_runs.readiness(session, monitor, day(1).end, datetime.now(UTC))
        assert reason is not None
        assert "labels have come for 30 of 60 samples of the window that it is compared with" in reason
    label(app, target, 0, 30, 60)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, target)) == 2)
    results = {result.window_start: result for result in stored(app, target)}
    assert (results[day(1).start].state, results[day(1).start].compared_n) == ("OK", 60)


def test_result_compared_with_pruned_rows_stays(app: App, target: Target) -> None:
    """Late rows do not replace a result whose compared rows were pruned."""
    monitor = create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    first = datetime(2026, 2, 28, tzinfo=UTC)  # the last day of a month that is pruned, and the first of the next one
    for days in (0, 1, 2):
        log_day(app, target, (first - day(0).start).days + days, count=60)
    settle(app, target)
    before = {result.window_start: (result.revision, result.state, result.metrics) for result in stored(app, target)}
    compared = first + timedelta(days=1)
    assert before[compared][:2] == (1, "OK")
    age = timedelta(days=(datetime.now(UTC) - datetime(2026, 3, 15, tzinfo=UTC)).days)
    with app.public() as session:
        session.execute(text("update organizations set retention = :kept"), {"kept": age})
    with app.org(target.org) as session:
        session.execute(text("delete from quarter_hours where at < '2026-03-01'"))
    late = replace(target.org, retention=age)
    log_day(app, target, (compared - day(0).start).days, 60, 120)
    settle(app, target)
    after = {
        stored_result.window_start: (stored_result.revision, stored_result.state, stored_result.metrics)
        for stored_result in stored(app, target)
    }
    assert after[compared] == before[compared]
    with app.org(target.org) as session:
        asked = complete_windows.in_range(
            session, monitor, EndRange(compared, compared + timedelta(days=1)), datetime.now(UTC)
        )
        assert manual_runs.unevaluated_windows(session, monitor, asked, app.settings.evaluate, age) == []
    [shown] = manual_runs.evaluate_windows(app.engine, late, monitor, asked, app.settings.evaluate, None)
    assert (shown.revision, shown.state) == before[compared][:2]


def test_first_comparison_with_pruned_rows_has_a_reason(app: App, target: Target) -> None:
    first = datetime(2026, 2, 28, tzinfo=UTC)
    for days in (0, 1, 2):
        log_day(app, target, (first - day(0).start).days + days, count=60)
    monitor = create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    age = timedelta(days=(datetime.now(UTC) - datetime(2026, 3, 15, tzinfo=UTC)).days)
    with app.org(target.org) as session:
        asked = complete_windows.in_range(
            session, monitor, EndRange(first + timedelta(days=1), first + timedelta(days=2)), datetime.now(UTC)
        )
    evaluated = manual_runs.evaluate_windows(
        app.engine, replace(target.org, retention=age), monitor, asked, app.settings.evaluate, None
    )
    [result] = evaluated
    assert (result.state, "its rows are pruned" in (result.reason or "")) == ("NO_DATA", True)
