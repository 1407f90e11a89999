"""Stored alerts equal a replay of the newest results in any order of arrival."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select

from dcmon import db
from dcmon.alerting import alert_views, judging, operator_actions, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rule_conditions import Condition
from dcmon.alerting.state_machine import Policy, find_spans
from dcmon.app import App
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db.tables.org import Alert, AlertRule, Monitor, Notification, Result
from dcmon.monitoring import model_checks, monitors, results
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.results import CheckRun, ResultInputs, ResultKey
from dcmon.notifications import receivers
from dcmon.settings import Webhooks
from dcmon.storage import models
from dcmon.storage.sampling import WindowStatistics
from dcmon.windows import Frequency, Window
from tests.integration.conftest import Target, single

START = datetime(2026, 3, 2, tzinfo=UTC)
URL = "https://dcmon.example"


@pytest.fixture
def monitored(target: Target) -> Target:
    """Create a monitor with a rule and a subscribed webhook."""
    with db.org_session(target.engine, target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "FeatureDrift")
        monitor = monitors.create(session, check, MonitorSpec("Drift", Frequency.DAY))
        rules.create(session, monitor.id, rules.parse("> 0.2"), "high")
        receivers.add(session, "team", "https://hooks.example.org/x", Webhooks())
    return target


def store_and_judge(target: Target, number: int, value: float | None, revision: int = 1) -> None:
    """Store and judge the result of a day; None is a window without verdict."""
    window = Window(START + timedelta(days=number), START + timedelta(days=number + 1))
    check_value = CheckValue("OK", {"score": value}) if value is not None else CheckValue("NO_DATA", reason="none")
    with db.org_session(target.engine, target.org) as session:
        monitor = session.scalars(select(Monitor)).one()
        statistics = WindowStatistics(100, 0, revision, 0, START)
        last = results.lock_newest(session, target.version_id, window, [monitor.id]).get(monitor.id)
        key = ResultKey(monitor, target.version_id, window)
        result = results.store(session, key, check_value, ResultInputs(statistics, 1), CheckRun(100), last=last)
        assert result is not None
        session.flush()
        judging.judge_result(session, result, ChangeContext(target.org, URL))


def newest_results(target: Target) -> list[Result]:
    with db.org_session(target.engine, target.org) as session:
        stored_results = session.scalars(select(Result).order_by(Result.window_end, Result.revision))
        return sorted(
            {result.window_end: result for result in stored_results}.values(), key=lambda result: result.window_end
        )


def stored_alerts(target: Target) -> list[Alert]:
    with db.org_session(target.engine, target.org) as session:
        return list(session.scalars(select(Alert).order_by(Alert.first_window_end, Alert.id)))


def notified_states(target: Target) -> list[tuple[int | None, str]]:
    """Return the notified alerts and states in order."""
    with db.org_session(target.engine, target.org) as session:
        notifications = session.scalars(select(Notification).order_by(Notification.position))
        return [(notification.alert_id, notification.kind) for notification in notifications]


def require_replayed_alerts(target: Target) -> None:
    spans = find_spans(newest_results(target), Policy(Condition("greater_than", 0.2)))
    wanted = [
        (e.first.window_end, e.last.window_end, e.windows, e.worst_value, e.current_value, e.is_open) for e in spans
    ]
    assert [
        (a.first_window_end, a.last_window_end, a.windows, a.worst_value, a.current_value, a.state == "firing")
        for a in stored_alerts(target)
        if a.resolved_by != "revision"
    ] == wanted


def require_last_notification_matches(target: Target) -> None:
    """Check that the last notification matches the alert and no state repeats."""
    for alert in stored_alerts(target):
        kinds = [kind for about, kind in notified_states(target) if about == alert.id]
        assert all(a != b for a, b in pairwise(kinds))
        fires = {"firing": "firing", "reopened": "firing", "resolved": "resolved", "retracted": "resolved"}
        assert kinds == [] or fires[kinds[-1]] == alert.state
        assert kinds or alert.state == "resolved"


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_windows_and_revisions_ends_as_replay(monitored: Target, seed: int) -> None:
    chance = random.Random(seed)
    values: Sequence[float | None] = (0.1, 0.1, 0.3, 0.5, 0.9, None)
    work = [(number, revision) for number in range(10) for revision in range(1, chance.randrange(1, 4))]
    chance.shuffle(work)
    for number, _ in work:
        revision = 1 + sum(result.window_start == START + timedelta(days=number) for result in all_results(monitored))
        store_and_judge(monitored, number, chance.choice(values), revision)
        require_replayed_alerts(monitored)
    require_last_notification_matches(monitored)


def all_results(target: Target) -> list[Result]:
    with db.org_session(target.engine, target.org) as session:
        return list(session.scalars(select(Result)))


def test_late_violating_window_extends_the_alert_to_the_front(monitored: Target) -> None:
    store_and_judge(monitored, 3, 0.5)
    store_and_judge(monitored, 2, 0.9)
    assert notified_states(monitored) == [(1, "firing")]
    require_replayed_alerts(monitored)
    store_and_judge(monitored, 1, 0.1)
    store_and_judge(monitored, 0, 0.3)
    require_replayed_alerts(monitored)
    assert notified_states(monitored) == [(1, "firing")]


def test_adjacent_alerts_merge_into_one(monitored: Target) -> None:
    """One of the two alerts continues, and receivers are notified of the end of the other."""
    store_and_judge(monitored, 0, 0.5)
    store_and_judge(monitored, 1, 0.1)
    store_and_judge(monitored, 2, 0.5)
    store_and_judge(monitored, 1, 0.5, revision=2)
    first, second = stored_alerts(monitored)
    assert (first.state, first.windows) == ("firing", 3)
    assert (second.state, second.resolved_by) == ("resolved", "revision")
    assert notified_states(monitored) == [
        (1, "firing"),
        (1, "resolved"),
        (2, "firing"),
        (1, "reopened"),
        (2, "retracted"),
    ]


def test_retracted_middle_window_splits_the_alert(monitored: Target) -> None:
    for number in range(3):
        store_and_judge(monitored, number, 0.5)
    store_and_judge(monitored, 1, 0.1, revision=2)
    require_replayed_alerts(monitored)
    require_last_notification_matches(monitored)
    assert [alert.state for alert in stored_alerts(monitored)] == ["resolved", "firing"]


def test_windows_before_an_operator_resolution_open_nothing(app: App, monitored: Target) -> None:
    store_and_judge(monitored, 3, 0.5)
    with db.org_session(monitored.engine, monitored.org) as session:
        assert operator_actions.resolve(
            session, session.scalars(select(Alert)).one(), ChangeContext(monitored.org, URL)
        )
    for number in (0, 2, 3):
        store_and_judge(monitored, number, 0.9, revision=2)
    assert [alert.resolved_by for alert in stored_alerts(monitored)] == ["operator"]
    store_and_judge(monitored, 4, 0.1)
    store_and_judge(monitored, 5, 0.3)
    assert [alert.state for alert in stored_alerts(monitored)] == ["resolved", "firing"]
    assert notified_states(monitored) == [(1, "firing"), (1, "resolved"), (2, "firing")]


def test_alert_that_ended_before_evaluation_is_not_notified(monitored: Target) -> None:
    store_and_judge(monitored, 1, 0.1)
    store_and_judge(monitored, 0, 0.5)
    assert [alert.state for alert in stored_alerts(monitored)] == ["resolved"]
    assert notified_states(monitored) == []


def test_inactive_rule_judges_nothing(monitored: Target) -> None:
    with db.org_session(monitored.engine, monitored.org) as session:
        single(session.scalars(select(AlertRule)).all()).is_active = False
    store_and_judge(monitored, 0, 0.9)
    assert stored_alerts(monitored) == []


def test_confirmed_window_is_recorded_with_its_own_value(monitored: Target) -> None:
    store_and_judge(monitored, 0, 0.5)
    store_and_judge(monitored, 1, 0.3)
    store_and_judge(monitored, 0, 0.6, revision=2)
    (alert,) = stored_alerts(monitored)
    with db.org_session(monitored.engine, monitored.org) as session:
        last = alert_views.list_changes(session, alert.id)[-1]
        assert (last.kind, last.window_end, last.value) == ("confirmed", START + timedelta(days=1), 0.6)
