"""Manual runs: which windows already have a result, and what a run waits for."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from dcmon.app import App
from dcmon.db.tables.org import Version
from dcmon.monitoring import complete_windows, due_windows, liveness, manual_runs
from dcmon.monitoring.complete_windows import EndRange
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.storage import models
from dcmon.windows import ComparedWith
from tests.helpers.evaluation import day, log_day
from tests.integration.alerting.test_baselines import load_reference
from tests.integration.conftest import Target
from tests.integration.monitoring.test_earlier_windows import create_comparing_monitor
from tests.integration.monitoring.test_flow_metrics import HOUR, create_monitor, log_hours, now, this_hour


def asked(
    app: App, target: Target, monitor_id: int, after: datetime, until: datetime | None
) -> Sequence[VersionWindow]:
    with app.org(target.org) as session:
        return complete_windows.in_range(session, monitor_id, EndRange(after, until), datetime.now(UTC))


def missing(app: App, target: Target, monitor_id: int, wanted: Sequence[VersionWindow]) -> list[VersionWindow]:
    with app.org(target.org) as session:
        return manual_runs.unevaluated_windows(session, monitor_id, wanted, app.settings.evaluate)


def evaluate(app: App, target: Target, monitor_id: int, wanted: Sequence[VersionWindow]) -> None:
    assert list(manual_runs.evaluate_windows(app.engine, target.org, monitor_id, wanted, app.settings.evaluate, None))


def test_evaluated_flow_windows_are_not_evaluated_again(app: App, target: Target) -> None:
    monitor_id = create_monitor(target, "rows")
    log_hours(target, {6: 5, 5: 5, 4: 5})
    wanted = asked(app, target, monitor_id, this_hour() - 7 * HOUR, this_hour() - 3 * HOUR)
    assert len(missing(app, target, monitor_id, wanted)) == len(wanted) == 3
    evaluate(app, target, monitor_id, wanted)
    assert missing(app, target, monitor_id, wanted) == []


def test_new_reference_leaves_previous_comparisons_evaluated(app: App, target: Target) -> None:
    """Results of comparisons with the previous window stay valid."""
    load_reference(app, target, 90)
    monitor_id = create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    for number in range(4):
        log_day(app, target, number)
    wanted = asked(app, target, monitor_id, day(0).end, day(2).end)
    evaluate(app, target, monitor_id, wanted)
    load_reference(app, target, 60)
    assert missing(app, target, monitor_id, wanted) == []


def test_late_compared_rows_make_a_result_outdated(app: App, target: Target) -> None:
    """The rows are late in the window that the result is compared with."""
    monitor_id = create_comparing_monitor(app, target, ComparedWith.PREVIOUS)
    for number in range(4):
        log_day(app, target, number)
    wanted = asked(app, target, monitor_id, day(0).end, day(2).end)
    evaluate(app, target, monitor_id, wanted)
    log_day(app, target, 0, 300, 310)
    assert [window for _, window in missing(app, target, monitor_id, wanted)] == [day(1)]


def test_version_without_rows_has_ready_flow_windows(app: App, target: Target) -> None:
    monitor_id = create_monitor(target, "rows")
    with app.org(target.org) as session:
        session.get_one(Version, target.version_id).created_at = now() - 3 * HOUR
    with app.org(target.org) as session:
        ready, reason = manual_runs.readiness(session, monitor_id, None, datetime.now(UTC))
        assert reason is None
        assert [version for version, _ in ready] == [target.version_id]
        ready, reason = manual_runs.readiness(session, monitor_id, now() + 3 * HOUR, datetime.now(UTC))
        assert (ready, reason is None) == ([], False)


@pytest.mark.parametrize(("young", "lateness"), [(50, 0), (70, 0), (60, 0), (70, 30), (90, 30), (100, 30)])
def test_live_version_is_the_same_in_sql_and_python(app: App, target: Target, young: int, lateness: int) -> None:
    with app.org(target.org) as session:
        version = session.get_one(Version, target.version_id)
        model = models.get(session, target.model_id)
        model.lateness = timedelta(minutes=lateness)
        version.watermark = version.earliest = datetime(2026, 3, 2, 12, tzinfo=UTC)
        version.newest_logged_at = version.watermark + timedelta(minutes=young)
        session.flush()
        message = session.scalar(text(f"select {liveness.IS_LIVE} from versions v join models m on m.id = v.model_id"))
        is_live = young < 60 + lateness
        assert (message, liveness.is_live(model, version)) == (is_live, is_live)
        assert liveness.classify(model, version) == ("live" if is_live else "loaded")
        due_windows.add(session, {(version.id, day(0))})
        session.flush()
        complete = text(
            f"select {due_windows.IS_COMPLETE} from due_windows d join versions v on v.id = d.version_id"
            " join models m on m.id = v.model_id"
        )
        filled = (
            "insert into quarter_hours (version_id, at, n, logged_at, is_touched) values (:v, :at, 1, now(), false)"
        )
        session.execute(text(filled), {"v": version.id, "at": day(0).start})
        version.watermark = day(0).end - timedelta(minutes=1)
        version.newest_logged_at = version.watermark + timedelta(minutes=young)
        session.flush()
        assert session.scalar(complete) is is_live
