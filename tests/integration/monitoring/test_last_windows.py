"""The last windows of loaded history: no newer sample completes them, so the clock does."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from dcmon import db, errors
from dcmon.app import App
from dcmon.db.tables.org import DueWindow, Monitor, Version
from dcmon.jobs import evaluate, schedule
from dcmon.monitoring import complete_windows, due_windows, elapsed_windows, model_checks, monitors, window_expansion
from dcmon.monitoring.complete_windows import EndRange
from dcmon.monitoring.due_windows import GRACE, VersionWindow
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from dcmon.windows import Frequency, Window, WindowGrid, time_zone
from tests.helpers.evaluation import day, log_day, monitor_drift_of_age, stored_results
from tests.helpers.examples import examples
from tests.helpers.waiting import wait_for_the_middle_of_the_hour
from tests.integration.conftest import Target, eventually, running, single

LEASE, NO_PAUSE = timedelta(minutes=30), timedelta()
HOUR = timedelta(hours=1)
ALL = EndRange(datetime(1970, 1, 1, tzinfo=UTC), None)


@pytest.fixture
def watched(app: App, target: Target) -> Target:
    return monitor_drift_of_age(app, target)


def impatient(app: App) -> App:
    """Return an App whose evaluator does not wait for the rest of a load."""
    at_once = app.settings.evaluate.model_copy(update={"last_window_quiet": NO_PAUSE})
    return App(app.settings.model_copy(update={"evaluate": at_once}), app.output)


def create_monitor(app: App, target: Target, spec: MonitorSpec, check: str = "PercentOfNulls") -> int:
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        return monitors.create(session, model_checks.get_or_create_check(session, model, check), spec).id


def claimed(app: App, target: Target, pause: timedelta | None = NO_PAUSE) -> list[Window]:
    """Expand touched rows, and return the windows that can be claimed now; they are not held."""
    with app.org(target.org) as session:
        window_expansion.expand(session)
    with app.org(target.org) as session:
        windows = [claim.window for claim in due_windows.claim(session, 99, LEASE, last_window_pause=pause)]
        session.rollback()
    return windows


def log_hourly(app: App, target: Target, start: datetime, hours: int) -> None:
    """Log a row for each hour, all at once."""
    rows = [
        {"_dc_sample_id": f"{start:%s}/{number}", "_dc_time": (start + number * HOUR).isoformat(),
         "_dc_prediction": "1", "age": 40, "job": "j"}
        for number in range(hours)
    ]  # fmt: skip
    app.ingestion.ingest_samples(target.org, target.version_id, [json.dumps(row).encode() for row in rows])


# The evaluator.


def test_loaded_day_is_evaluated_without_a_newer_sample(app: App, watched: Target) -> None:
    """A nightly batch sees yesterday's result, and once only."""
    log_day(app, watched, 0)
    with impatient(app) as batch_app, running(schedule.run, batch_app), running(evaluate.run, batch_app):
        assert eventually(lambda: len(stored_results(app, watched)) == 1)
        log_day(app, watched, 1)
        assert eventually(lambda: len(stored_results(app, watched)) == 2)
        assert eventually(lambda: watched.scalar("select count(*) from due_windows") == 0)
    results = [
        (result.window_start, result.n, result.state, result.revision) for result in stored_results(app, watched)
    ]
    assert results == [(day(0).start, 300, "OK", 1), (day(1).start, 300, "OK", 1)]


def test_late_rows_of_the_last_window_revise_its_result(app: App, watched: Target) -> None:
    log_day(app, watched, 0, count=200)
    with impatient(app) as batch_app, running(evaluate.run, batch_app):
        assert eventually(lambda: len(stored_results(app, watched)) == 1)
        log_day(app, watched, 0, count=300)
        assert eventually(lambda: len(stored_results(app, watched)) == 2)
    assert [(result.revision, result.n) for result in stored_results(app, watched)] == [(1, 200), (2, 300)]


def test_last_window_waits_while_its_rows_come(app: App, watched: Target) -> None:
    log_day(app, watched, 0)
    log_day(app, watched, 1)
    assert claimed(app, watched, HOUR) == [day(0)]
    with app.org(watched.org) as session:
        next_at = due_windows.next_claimable_at(session, last_window_pause=HOUR)
        assert next_at is not None
        assert next_at <= datetime.now(UTC)  # the first day
        session.execute(text("delete from due_windows where window_start = :start"), {"start": day(0).start})
        touched_at = session.scalars(select(DueWindow.touched_at)).one()
        assert due_windows.next_claimable_at(session, last_window_pause=HOUR) == touched_at + HOUR
        assert due_windows.next_claimable_at(session) is None
        session.execute(text("update due_windows set touched_at = touched_at - interval '1 hour'"))
    assert claimed(app, watched, HOUR) == [day(1)]
    assert claimed(app, watched, None) == []


def test_last_window_waits_for_its_end_and_the_lateness(app: App, target: Target) -> None:
    wait_for_the_middle_of_the_hour()
    create_monitor(app, target, MonitorSpec("Nulls", Frequency.HOUR))
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    log_hourly(app, target, hour - 9 * HOUR, 7)  # the newest row is two hours old: the version is loaded
    with app.org(target.org) as session:
        models.get(session, target.model_id).lateness = timedelta(minutes=30)
        session.execute(text("update versions set newest_logged_at = watermark + interval '2 hours'"))
    assert len(claimed(app, target)) == 7
    with app.org(target.org) as session:
        models.get(session, target.model_id).lateness = 4 * HOUR
        session.execute(text("update versions set newest_logged_at = watermark + interval '6 hours'"))
    open_ends = {hour - number * HOUR for number in (1, 2, 3)}
    assert {window.end for window in claimed(app, target)} == {
        hour - number * HOUR for number in range(2, 9)
    } - open_ends


def test_live_window_is_claimed_at_its_end_not_before(app: App, target: Target) -> None:
    """The pause of loaded history does not concern a live version."""
    wait_for_the_middle_of_the_hour()
    create_monitor(app, target, MonitorSpec("Nulls", Frequency.HOUR))
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    log_hourly(app, target, hour - 3 * HOUR, 4)
    with app.org(target.org) as session:
        session.execute(text("update versions set newest_logged_at = watermark + interval '1 minute'"))
    assert [window.end for window in claimed(app, target)] == [hour - number * HOUR for number in (2, 1, 0)]
    with app.org(target.org) as session:
        next_at = session.scalar(text("select max(window_end) from due_windows"))
        session.execute(text("delete from due_windows where window_end <= :hour"), {"hour": hour})
        assert due_windows.next_claimable_at(session, last_window_pause=NO_PAUSE) == next_at + GRACE


def test_dead_history_gets_no_windows_after_its_last(app: App, target: Target) -> None:
    """Windows of three days end up to two days after the newest row; no further window is due, also by the clock."""
    create_monitor(app, target, MonitorSpec("Nulls", Frequency.DAY, 3))
    flow = create_monitor(app, target, MonitorSpec("Flow", Frequency.DAY, 3), "DataFlow")
    for number in range(2):
        log_day(app, target, number, count=10)
    with impatient(app) as batch_app, running(evaluate.run, batch_app):
        assert eventually(lambda: len(stored_results(app, target)) == 8)
        with app.org(target.org) as session:
            assert elapsed_windows.enqueue_elapsed(session, datetime.now(UTC)) == 0
    # The window of today, in which the rows were received, is due for the flow monitor.
    results = [result for result in stored_results(app, target) if result.window_end < day(30).end]
    ends = {(result.monitor_id == flow, result.window_end, result.n) for result in results}
    assert ends == {
        (is_flow, day(number).end, n) for is_flow in (False, True) for number, n in enumerate((10, 20, 20, 10))
    }


def test_paused_load_is_continued_in_a_second_revision(app: App, watched: Target) -> None:
    log_day(app, watched, 0, count=100)
    with impatient(app) as batch_app, running(evaluate.run, batch_app):
        assert eventually(lambda: len(stored_results(app, watched)) == 1)
        log_day(app, watched, 0, count=300)
        log_day(app, watched, 1)
        assert eventually(lambda: len(stored_results(app, watched)) == 3)
    with app.org(watched.org) as session:
        assert single(session.scalars(select(Monitor)).all()).revision == 1
    newest = {result.window_start: result.n for result in stored_results(app, watched)}
    assert newest == {day(0).start: 300, day(1).start: 300}


# What a person asks for.


def ends_of(windows: Sequence[VersionWindow]) -> list[datetime]:
    return [window.end for _, window in windows]


def in_range(app: App, target: Target, monitor_id: int, ends: EndRange, now: datetime) -> list[datetime]:
    with app.org(target.org) as session:
        return ends_of(complete_windows.in_range(session, monitor_id, ends, now))


def test_range_includes_the_last_month_of_a_file(app: App, target: Target) -> None:
    """The time zone decides when the month ends."""
    monitor_id = create_monitor(app, target, MonitorSpec("Nulls", Frequency.MONTH))
    log_hourly(app, target, datetime(2009, 11, 10, tzinfo=UTC), 1)
    log_hourly(app, target, datetime(2009, 12, 1, 9, tzinfo=UTC), 1)
    with app.org(target.org) as session:
        models.get(session, target.model_id).time_zone = "America/Los_Angeles"
    december, january = datetime(2009, 12, 1, 8, tzinfo=UTC), datetime(2010, 1, 1, 8, tzinfo=UTC)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert in_range(app, target, monitor_id, ALL, now) == [december, january]
    assert in_range(app, target, monitor_id, EndRange(december, january), now) == [january]
    assert in_range(app, target, monitor_id, EndRange(None, None), now) == [january]
    assert in_range(app, target, monitor_id, ALL, january - timedelta(seconds=1)) == [december]
    assert in_range(app, target, monitor_id, ALL, january) == [december, january]
    with app.org(target.org) as session:
        models.get(session, target.model_id).lateness = HOUR
    assert in_range(app, target, monitor_id, ALL, january) == [december]
    assert in_range(app, target, monitor_id, ALL, january + HOUR) == [december, january]


def test_time_outside_names_the_windows_around_it(app: App, target: Target) -> None:
    monitor_id = create_monitor(app, target, MonitorSpec("Nulls", Frequency.DAY))
    for number in range(3):
        log_day(app, target, number, count=5)
    open_day = day(2).start + 12 * HOUR
    for at, now, parts in (
        (day(0).start, open_day, ("from 2026-03-01 00:00 UTC to 2026-03-02 00:00 UTC", "first complete window ends at",
                                  "(--at 2026-03-03)")),
        (day(2).end, open_day, ("it is complete at 2026-03-05 00:00 UTC, or when a newer sample comes",
                                "last complete window ends at 2026-03-04 00:00 UTC (--at 2026-03-04)")),
        (day(3).start + HOUR, day(9).end, ("from 2026-03-05 00:00 UTC to 2026-03-06 00:00 UTC",
                                           "its newest sample is of 2026-03-04 00:04 UTC", "(--at 2026-03-05)")),
    ):  # fmt: skip
        with app.org(target.org) as session, pytest.raises(errors.NoWindowAt) as refused:
            complete_windows.ending_at(session, monitor_id, at, now)
        assert refused.value.exit_code == 8
        assert [part for part in parts if part not in str(refused.value)] == [], str(refused.value)


def test_time_without_any_samples_says_so(app: App, target: Target) -> None:
    monitor_id = create_monitor(app, target, MonitorSpec("Nulls", Frequency.DAY))
    with app.org(target.org) as session:
        with pytest.raises(errors.NoWindowAt, match="No version of credit has samples"):
            complete_windows.ending_at(session, monitor_id, day(0).end, datetime.now(UTC))
        assert complete_windows.describe_ends(session, monitor_id, datetime.now(UTC)) == (
            "There is no complete window with samples yet."
        )


def test_time_is_found_on_the_versions_that_have_it(app: App, target: Target) -> None:
    monitor_id = create_monitor(app, target, MonitorSpec("Nulls", Frequency.DAY))
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        newer = versions.create(session, model, NewVersion("v2", {"age": "numeric", "job": "categorical"})).id
    log_day(app, target, 0, count=5)
    log_hourly(app, Target(target.engine, target.org, target.model_id, newer), day(0).start, 40)
    with app.org(target.org) as session:
        now = datetime.now(UTC)
        first = complete_windows.ending_at(session, monitor_id, day(0).end, now)
        second = complete_windows.ending_at(session, monitor_id, day(1).end, now)
        assert (first, second) == (
            [VersionWindow(target.version_id, day(0)), VersionWindow(newer, day(0))],
            [VersionWindow(newer, day(1))],
        )
        with pytest.raises(errors.NoWindowAt, match=r"Version v2 .* Version v1 "):
            complete_windows.ending_at(session, monitor_id, day(2).end, now)


ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
FIRST = datetime(2011, 1, 1, tzinfo=UTC)
times = st.timedeltas(timedelta(), timedelta(days=800)).map(lambda since: FIRST + since)


@settings(max_examples=examples(40))
@given(
    zone=st.sampled_from(ZONES), frequency=st.sampled_from(list(Frequency)), units=st.integers(1, 4),
    span=st.timedeltas(timedelta(), timedelta(days=70)), earliest=times, lateness=st.integers(0, 50),
    passed=st.timedeltas(timedelta(), timedelta(days=100)), data=st.data(),
)  # fmt: skip
def test_time_and_range_agree_on_windows(
    app: App, target: Target, zone: str, frequency: Frequency, units: int, span: timedelta, earliest: datetime,
    lateness: int, passed: timedelta, data: st.DataObject,
) -> None:  # fmt: skip
    """A range has each complete window once, and a time gives the window that it is in, or an error."""
    watermark, local = earliest + span, time_zone(zone)
    now, grid = watermark + passed, WindowGrid(frequency, units)
    at = earliest + data.draw(st.timedeltas(timedelta(days=-40), timedelta(days=120)))
    with db.org_session(app.engine, target.org) as session:
        model, version = models.get(session, target.model_id), session.get_one(Version, target.version_id)
        model.time_zone, model.lateness = zone, lateness * HOUR
        version.earliest, version.watermark, version.newest_logged_at = earliest, watermark, watermark + 2 * HOUR
        check = model_checks.get_or_create_check(session, model, "PercentOfNulls")
        monitor_id = monitors.create(session, check, MonitorSpec("Nulls", frequency, units)).id
        found = [window for _, window in complete_windows.in_range(session, monitor_id, ALL, now)]
        expected = grid.first_ending(at, local)
        try:
            [(_, window)] = complete_windows.ending_at(session, monitor_id, at, now)
        except errors.NoWindowAt:
            assert expected not in found
        else:
            assert window == expected
            assert window in found
        session.rollback()
    assert all(
        earlier.end == WindowGrid(frequency, 1).ending(later.end, local).start for earlier, later in pairwise(found)
    )
    for window in found:
        assert grid.includes(window, local)
        assert window.end > earliest
        assert window.start <= watermark
        assert window.end <= watermark or window.end + lateness * HOUR <= now
    first = next(iter(grid.containing(earliest, local)))
    is_complete = first.end <= watermark or first.end + lateness * HOUR <= now
    assert (first in found) == is_complete
    last = list(grid.containing(watermark, local))[-1]
    assert (last in found) == (last.end + lateness * HOUR <= now)
