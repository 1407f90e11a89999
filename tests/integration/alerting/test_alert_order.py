"""Stored alerts equal a replay of the newest results in any order of arrival."""

import random
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from dcmon import db
from dcmon.alerting import alert_views, operator_actions
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rule_conditions import Condition
from dcmon.alerting.state_machine import Policy, find_spans
from dcmon.app import App
from dcmon.db.tables.org import Alert, AlertRule, Result
from tests.helpers.evaluation import START
from tests.helpers.judged_results import (
    URL,
    create_rule,
    newest_results,
    notified_states,
    require_last_notification_matches,
    store_and_judge,
    stored_alerts,
)
from tests.integration.conftest import Target, single


@pytest.fixture
def monitored(target: Target) -> Target:
    """Create a monitor with a rule and a subscribed webhook."""
    create_rule(target, "> 0.2")
    return target


def alerts_by_window(target: Target) -> list[Alert]:
    """Return the alerts in order of their first window."""
    return sorted(stored_alerts(target), key=lambda alert: (alert.first_window_end, alert.id))


def require_replayed_alerts(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        spans = find_spans(newest_results(session), Policy(Condition("greater_than", 0.2)))
    wanted = [
        (e.first.window_end, e.last.window_end, e.windows, e.worst_value, e.current_value, e.is_open) for e in spans
    ]
    assert [
        (a.first_window_end, a.last_window_end, a.windows, a.worst_value, a.current_value, a.state == "firing")
        for a in alerts_by_window(target)
        if a.resolved_by != "revision"
    ] == wanted


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_windows_and_revisions_ends_as_replay(monitored: Target, seed: int) -> None:
    chance = random.Random(seed)
    values: Sequence[float | str] = (0.1, 0.1, 0.3, 0.5, 0.9, "NO_DATA")
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
    first, second = alerts_by_window(monitored)
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
    assert [alert.state for alert in alerts_by_window(monitored)] == ["resolved", "firing"]


def test_windows_before_an_operator_resolution_open_nothing(app: App, monitored: Target) -> None:
    store_and_judge(monitored, 3, 0.5)
    with db.org_session(monitored.engine, monitored.org) as session:
        assert operator_actions.resolve(
            session, session.scalars(select(Alert)).one(), ChangeContext(monitored.org, URL)
        )
    for number in (0, 2, 3):
        store_and_judge(monitored, number, 0.9, revision=2)
    assert [alert.resolved_by for alert in alerts_by_window(monitored)] == ["operator"]
    store_and_judge(monitored, 4, 0.1)
    store_and_judge(monitored, 5, 0.3)
    assert [alert.state for alert in alerts_by_window(monitored)] == ["resolved", "firing"]
    assert notified_states(monitored) == [(1, "firing"), (1, "resolved"), (2, "firing")]


def test_alert_that_ended_before_evaluation_is_not_notified(monitored: Target) -> None:
    store_and_judge(monitored, 1, 0.1)
    store_and_judge(monitored, 0, 0.5)
    assert [alert.state for alert in alerts_by_window(monitored)] == ["resolved"]
    assert notified_states(monitored) == []


def test_inactive_rule_judges_nothing(monitored: Target) -> None:
    with db.org_session(monitored.engine, monitored.org) as session:
        single(session.scalars(select(AlertRule)).all()).is_active = False
    store_and_judge(monitored, 0, 0.9)
    assert alerts_by_window(monitored) == []


def test_confirmed_window_is_recorded_with_its_own_value(monitored: Target) -> None:
    store_and_judge(monitored, 0, 0.5)
    store_and_judge(monitored, 1, 0.3)
    store_and_judge(monitored, 0, 0.6, revision=2)
    (alert,) = alerts_by_window(monitored)
    with db.org_session(monitored.engine, monitored.org) as session:
        last = alert_views.list_changes(session, alert.id)[-1]
        assert (last.kind, last.window_end, last.value) == ("confirmed", START + timedelta(days=1), 0.6)
