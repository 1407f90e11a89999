"""A reference that comes after the samples: which windows are evaluated with it, and in which order."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.tables.org import Version
from dcmon.jobs import evaluate
from dcmon.monitoring import due_windows, lifecycle, model_checks, monitors, reevaluation, window_expansion
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.windows import Frequency, Window, floor, quarter_hour_start, time_zone
from tests.helpers.evaluation import day, log_day, rows, stored_results
from tests.helpers.examples import examples
from tests.integration.conftest import Target, eventually, running

LEASE = timedelta(minutes=30)
DAYS, LOOKBACK = 24, 20


def create_monitor(app: App, target: Target, spec: MonitorSpec, check: str = "FeatureDrift") -> int:
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        return monitors.create(session, model_checks.get_or_create_check(session, model, check), spec).id


@pytest.fixture
def watched(app: App, target: Target) -> Target:
    """Create a daily monitor of drift that looks back 20 days, on 24 days of rows without a reference."""
    create_monitor(app, target, MonitorSpec("Drift", Frequency.DAY, lookback=timedelta(days=LOOKBACK)))
    for number in range(DAYS):
        log_day(app, target, number, count=15)
    return target


def append_reference(app: App, target: Target) -> None:
    """Append a reference. Its windows are due at once, not after the pause for further requests."""
    names = ["age", "job", "_dc_prediction"]
    parsed = [json.loads(row) for row in rows(-1, count=30)]
    document = {"columns": names, "data": [[row[name] for name in names] for row in parsed]}
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        lifecycle.append_reference(session, model, version, json.dumps(document).encode())
        session.execute(text("update due_windows set due_at = now() where due_at > now()"))
    with app.public() as session:
        work_queue.enqueue(session, target.org.id, work_queue.Work.evaluate)


def delete_due_windows(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update quarter_hours set is_touched = false"))
        session.execute(text("delete from due_windows"))


def claimed_days(app: App, target: Target, limit: int) -> list[int]:
    """Claim some windows, and return their days from the first day; they stay claimed."""
    with app.org(target.org) as session:
        window_expansion.expand(session)
    with app.org(target.org) as session:
        claims = due_windows.claim(session, limit, LEASE, last_window_pause=timedelta())
        return [(claim.window.start - day(0).start).days for claim in claims]


def test_late_reference_fills_the_lookback(app: App, watched: Target) -> None:
    """Windows that were NO_DATA, and a window that was never evaluated, get values back to the lookback."""

    def states() -> dict[int, str]:
        newest = {result.window_start: str(result.state) for result in stored_results(app, watched)}
        return {(start - day(0).start).days: state for start, state in newest.items()}

    with running(evaluate.run, app):
        assert eventually(lambda: len(stored_results(app, watched)) == DAYS - 1)
        assert set(states().values()) == {"NO_DATA"}
        with app.org(watched.org) as session:
            session.execute(text("delete from results where window_start = :start"), {"start": day(10).start})
        append_reference(app, watched)
        first = DAYS - LOOKBACK
        assert eventually(lambda: sum(state == "OK" for state in states().values()) == LOOKBACK - 1)
    expected = {number: "OK" if number >= first else "NO_DATA" for number in range(DAYS - 1)}
    assert states() == expected


def test_windows_of_a_reference_are_claimed_newest_first(app: App, watched: Target) -> None:
    delete_due_windows(watched)
    append_reference(app, watched)
    batches = [claimed_days(app, watched, 8) for _ in range(4)]
    # Each batch is in order of time.
    assert batches == [[*range(16, 24)], [*range(8, 16)], [*range(4, 8)], []]


def test_windows_of_a_reference_delay_no_new_rows(app: App, watched: Target) -> None:
    """New rows come first among the recent windows, and among those of history."""
    delete_due_windows(watched)
    append_reference(app, watched)
    log_day(app, watched, DAYS, count=15)
    log_day(app, watched, -3, count=15)
    log_day(app, watched, -2, count=15)
    log_day(app, watched, 6, count=40)
    assert [claimed_days(app, watched, 1) for _ in range(9)] == [[24], [23], [22], [-3], [-2], [6], [21], [20], [19]]


def test_reference_in_several_requests_is_due_once(app: App, watched: Target) -> None:
    delete_due_windows(watched)
    for _ in range(3):
        append_reference(app, watched)
    assert watched.scalar("select count(*) from due_windows") == LOOKBACK
    assert watched.scalar("select count(*) from due_windows where is_reevaluation") == LOOKBACK


@pytest.mark.parametrize(
    ("frequency", "lookback", "count"),
    [
        (Frequency.DAY, timedelta(days=3), 14),  # no fewer than a new monitor evaluates
        (Frequency.DAY, timedelta(days=500), DAYS - 1),  # all that have rows
        (Frequency.HOUR, timedelta(hours=30), 2),
        (Frequency.HOUR, timedelta(days=8), 8),
        (Frequency.WEEK, timedelta(days=500), 4),
    ],
)
def test_reference_takes_windows_with_rows_in_the_lookback(
    app: App, target: Target, frequency: Frequency, lookback: timedelta, count: int
) -> None:
    """Each day has rows in its first hour only, and one of the 24 days has none."""
    create_monitor(app, target, MonitorSpec("Drift", frequency, lookback=lookback))
    create_monitor(app, target, MonitorSpec("Other", Frequency.MONTH), "PercentOfNulls")
    for number in set(range(DAYS)) - {5}:
        log_day(app, target, number, count=3)
    with app.org(target.org) as session:
        window_expansion.expand(session)
        session.execute(text("delete from due_windows"))
        version = session.get_one(Version, target.version_id)
        assert reevaluation.enqueue_for_reference(session, version, datetime.now(UTC)) == count
    assert target.scalar("select count(*) from due_windows") == count


@settings(max_examples=examples(25))
@given(
    zone=st.sampled_from(
        ("Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo")),
    since=st.timedeltas(timedelta(), timedelta(days=365)), lookback=st.integers(1, 60), span=st.integers(0, 70),
)  # fmt: skip
def test_lookback_of_days_has_as_many_daily_windows(
    app: App, target: Target, zone: str, since: timedelta, lookback: int, span: int
) -> None:
    """Rows come at each noon of a time zone, through its clock changes."""
    local = time_zone(zone)
    first = (datetime(2011, 1, 2, tzinfo=UTC) + since).astimezone(local).replace(hour=12)
    noons = {(first + timedelta(days=number)).astimezone(UTC) for number in range(span + 1)}
    with db.org_session(app.engine, target.org) as session:
        model, version = models.get(session, target.model_id), session.get_one(Version, target.version_id)
        model.time_zone, version.earliest, version.watermark = zone, min(noons), max(noons)
        filled = (
            "insert into quarter_hours (version_id, at, n, logged_at, is_touched) values (:v, :at, 1, now(), false)"
        )
        session.execute(text(filled), [{"v": version.id, "at": quarter_hour_start(noon)} for noon in noons])
        check = model_checks.get_or_create_check(session, model, "FeatureDrift")
        monitors.create(session, check, MonitorSpec("Drift", Frequency.DAY, lookback=timedelta(days=lookback)))
        session.execute(text("delete from due_windows"))
        reevaluation.enqueue_for_reference(session, version, datetime.now(UTC))
        starts = session.scalars(text("select window_start from due_windows order by window_start")).all()
        session.rollback()
    days = sorted({floor(noon, Frequency.DAY, local) for noon in noons})
    assert list(starts) == days[-max(lookback, reevaluation.WINDOWS_OF_A_NEW_MONITOR) :]


def expected_order(windows: list[tuple[int, bool, bool]], newest: int) -> list[int]:
    """Return days in the order in which they must be claimed; a window has its day, is_reevaluation and is_first."""

    def key(window: tuple[int, bool, bool]) -> tuple[bool, bool, bool, int]:
        number, is_reevaluation, is_first = window
        is_recent = number + 1 > newest - 2
        is_newest_first = is_recent or is_reevaluation
        return (
            not is_recent, is_reevaluation, not is_first and not is_reevaluation, -number if is_newest_first else number
        )  # fmt: skip

    return [number for number, _, _ in sorted(windows, key=key)]


@settings(max_examples=examples(25))
@given(
    windows=st.lists(
        st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), max_size=12, unique_by=lambda window: window[0]
    ),
    newest=st.integers(0, 32),
)
def test_claims_follow_the_order_of_any_queue(
    app: App, target: Target, windows: list[tuple[int, bool, bool]], newest: int
) -> None:
    start = day(0).start
    with db.org_session(app.engine, target.org) as session:
        version = session.get_one(Version, target.version_id)
        version.earliest, version.watermark = start, start + timedelta(days=newest)
        version.newest_logged_at = version.watermark + timedelta(days=1)
        for number, is_reevaluation, is_first in windows:
            due_windows.add(session, [VersionWindow(version.id, day(number))], is_reevaluation=is_reevaluation)
            session.execute(
                text("update due_windows set is_first = :is_first where window_start = :start"),
                {"is_first": is_first, "start": day(number).start},
            )
        claim: Callable[[], list[Window]] = lambda: [  # noqa: E731
            claimed.window for claimed in due_windows.claim(session, 1, LEASE, last_window_pause=timedelta())
        ]
        claimed = [window for _ in windows for window in claim()]
        session.rollback()
    assert [(window.start - start).days for window in claimed] == expected_order(windows, newest)
