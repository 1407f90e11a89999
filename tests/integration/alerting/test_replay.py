"""For every kind of rule, stored alerts equal a replay of all newest results."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from dcmon import db, errors
from dcmon.alerting import alert_views, judging, operator_actions, rule_failures, rules, verdicts
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rules import Change
from dcmon.alerting.state_machine import find_spans
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, DueWindow, Monitor, Notification, Result
from dcmon.monitoring import lifecycle
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications.integrations import message_text
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from tests.helpers.evaluation import day
from tests.helpers.judged_results import (
    URL,
    create_rule,
    newest_results,
    notified_states,
    require_last_notification_matches,
    store_and_judge,
    stored_alerts,
)
from tests.integration.conftest import Target


def require_replayed_alerts(target: Target) -> list[tuple[Any, ...]]:
    """Return the stored alerts after comparing them with a replay of all results."""
    with db.org_session(target.engine, target.org) as session:
        rule = session.scalars(select(AlertRule)).one()
        wanted = [
            (e.first.window_end, e.fired and e.fired.window_end, e.last.window_end, e.windows, e.metric, e.worst_value,
             e.current_value, e.state, e.severity)
            for e in find_spans(newest_results(session), rules.policy(rule))
        ]  # fmt: skip
        alerts = session.scalars(
            select(Alert).where(Alert.resolved_by.is_distinct_from("revision")).order_by(Alert.first_window_end)
        )
        existing = [
            (a.first_window_end, a.fired_window_end, a.last_window_end, a.windows, a.metric, a.worst_value,
             a.current_value, a.state, a.severity)
            for a in alerts
        ]  # fmt: skip
        assert existing == wanted
        return existing


def history(target: Target) -> list[str]:
    with db.org_session(target.engine, target.org) as session:
        return list(session.scalars(select(AlertChange.kind).order_by(AlertChange.id)))


POLICIES: list[tuple[str, dict[str, Any]]] = [
    ("> 0.2", {"for_windows": 3}),
    ("> 0.2", {"keep_firing": 2}),
    ("> 0.5 warn 0.2", {"for_windows": 2, "keep_firing": 1}),
    ("> 0.2", {"no_data": "alert", "on_error": "ok", "min_n": 50}),
    ("change > 50%", {"for_windows": 2}),
    ("deviation > 1 over 4 min 2", {"keep_firing": 1, "no_data": "ok"}),
    ("any feature outside 0.1..0.4", {"for_windows": 2, "no_data": "alert"}),
    ("> 0.2 unless usual over 5", {"keep_firing": 1}),
    ("any feature > 0.3 warn 0.2 unless usual over 6", {"for_windows": 2}),
    ("> 0.2 unless usual over 12 steps 1.5", {}),
]


@pytest.mark.parametrize(("condition", "more"), POLICIES, ids=[f"{text} {more}" for text, more in POLICIES])
@pytest.mark.parametrize("seed", range(2))
def test_any_order_ends_as_the_replay_for_every_rule_kind(
    target: Target, condition: str, more: dict[str, Any], seed: int
) -> None:
    create_rule(target, condition, **more)
    chance = random.Random(seed)
    values = (0.1, 0.1, 0.3, 0.5, 0.9, 0.9, "NO_DATA", "ERROR", "INSUFFICIENT")
    work = [number for number in range(9) for _ in range(chance.randrange(1, 4))]
    chance.shuffle(work)
    seen: dict[int, int] = {}
    for number in work:
        seen[number] = seen.get(number, 0) + 1
        store_and_judge(target, number, chance.choice(values), seen[number], n=chance.choice((100, 100, 10)))
        require_replayed_alerts(target)
        require_last_notification_matches(target)


@pytest.mark.parametrize(("condition", "more"), POLICIES, ids=[f"{text} {more}" for text, more in POLICIES])
def test_shuffled_windows_end_in_the_same_alerts(target: Target, condition: str, more: dict[str, Any]) -> None:
    create_rule(target, condition, **more)
    values = [0.1, 0.1, 0.5, 0.6, 0.6, "NO_DATA", 0.1, 0.9, 0.9, 0.1, 0.1, 0.1, "ERROR", 0.3, 0.4]
    ends = []
    for seed in (None, 1, 2):
        order = list(range(len(values)))
        if seed is not None:
            random.Random(seed).shuffle(order)
        for number in order:
            store_and_judge(target, number, values[number])
        ends.append(require_replayed_alerts(target))
        with db.org_session(target.engine, target.org) as session:
            for row in session.scalars(select(Result)):
                session.delete(row)
            for alert in session.scalars(select(Alert)):
                session.delete(alert)
    assert ends[0] == ends[1] == ends[2]


def test_judging_a_result_twice_changes_nothing(target: Target) -> None:
    create_rule(target, "> 0.2", for_windows=2)
    for number, value in enumerate((0.5, 0.5, 0.1, 0.5)):
        result = store_and_judge(target, number, value)
        before = (require_replayed_alerts(target), notified_states(target), history(target))
        with db.org_session(target.engine, target.org) as session:
            judging.judge_result(session, session.merge(result), ChangeContext(target.org, URL))
        assert (require_replayed_alerts(target), notified_states(target), history(target)) == before


def test_pending_alert_that_never_fires_is_not_notified(target: Target) -> None:
    """A pending alert is not notified and is deleted when it does not fire."""
    create_rule(target, "> 0.2", for_windows=2)
    store_and_judge(target, 0, 0.5)
    assert [alert.state for alert in stored_alerts(target)] == ["pending"]
    store_and_judge(target, 1, 0.1)
    assert stored_alerts(target) == []
    store_and_judge(target, 2, 0.5)
    store_and_judge(target, 3, 0.5)
    assert [alert.state for alert in stored_alerts(target)] == ["firing"]
    assert [kind for _, kind in notified_states(target)] == ["firing"]


def test_alert_escalates_and_deescalates_with_notification(target: Target) -> None:
    create_rule(target, "> 0.5 warn 0.2", "critical")
    for number, value in enumerate((0.3, 0.6, 0.3, 0.1)):
        store_and_judge(target, number, value)
    assert [kind for _, kind in notified_states(target)] == ["firing", "escalated", "deescalated", "resolved"]
    assert [alert.severity for alert in stored_alerts(target)] == ["high"]


def test_revision_confirms_retracts_and_reopens_an_alert(target: Target) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    store_and_judge(target, 0, 0.6, 2)
    assert notified_states(target) == [(1, "firing")]
    store_and_judge(target, 0, 0.1, 3)
    assert [(alert.state, alert.resolved_by) for alert in stored_alerts(target)] == [("resolved", "revision")]
    store_and_judge(target, 0, 0.7, 4)
    store_and_judge(target, 1, 0.1)
    store_and_judge(target, 1, 0.5, 2)
    assert history(target) == ["firing", "confirmed", "retracted", "reopened", "resolved", "reopened"]
    assert notified_states(target) == [
        (1, kind) for kind in ("firing", "retracted", "reopened", "resolved", "reopened")
    ]


def test_alert_names_drivers_since_the_last_good_window(target: Target) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.1)
    store_and_judge(target, 1, 0.9)
    (alert,) = stored_alerts(target)
    assert alert.details["moved"] == [
        {"name": "age", "before": 0.1, "after": 0.9}, {"name": "job", "before": 0.05, "after": 0.45},
    ]  # fmt: skip
    assert (alert.details["before_value"], alert.details["before_window_end"]) == (0.1, day(0).end.isoformat())
    with db.org_session(target.engine, target.org) as session:
        (body,) = session.scalars(select(Notification.body))
    about = body["alert"]
    assert about["summary"] == "credit/Drift (v1): score is 0.9 (> 0.2), 1 window since 2026-03-03"
    assert about["moved"][0] == {"name": "age", "before": 0.1, "after": 0.9}
    assert body["command"].endswith("alert show 1")


def test_messages_name_operator_action_and_comment(target: Target) -> None:
    create_rule(target, "> 0.2", name="drift", for_windows=1)
    store_and_judge(target, 0, 0.1)
    store_and_judge(target, 1, 0.9, n=70)
    with db.org_session(target.engine, target.org) as session:
        alert = session.scalars(select(Alert)).one()
        operator_actions.acknowledge(session, alert, ChangeContext(target.org, URL, by="ann", note="looking"))
        operator_actions.resolve(session, alert, ChangeContext(target.org, URL, by="bob", note="expected: new pricing"))
        operator_actions.reopen(session, alert, ChangeContext(target.org, URL, by="cem", note="it is not"))
    store_and_judge(target, 2, 0.1)
    with db.org_session(target.engine, target.org) as session:
        bodies = list(session.scalars(select(Notification.body).order_by(Notification.position)))
    notified = [(body["type"], body["alert"]["by"], body["alert"]["note"]) for body in bodies]
    assert notified == [
        ("alert.firing", None, None), ("alert.acknowledged", "ann", "looking"),
        ("alert.resolved", "bob", "expected: new pricing"), ("alert.reopened", "cem", "it is not"),
        ("alert.resolved", None, None),
    ]  # fmt: skip
    assert "resolved by bob" in message_text.plain(bodies[2])
    assert "note: expected: new pricing" in message_text.plain(bodies[2])
    assert "acknowledged: by ann: looking" in message_text.plain(bodies[2])
    about = bodies[0]["alert"]
    assert about["window"] == about["worst_window"] == [day(1).start.isoformat(), day(1).end.isoformat()]
    assert (about["n"], about["worst_n"], about["rule_name"]) == (70, 70, "drift")
    assert (about["sentence"], about["compared_with"]) == ("high when > 0.2", {"what": "reference", "revision": 1})
    assert bodies[0]["link"] == f"{URL}/alerts/1?org=acme"
    assert "window: 2026-03-03 to 2026-03-04" in message_text.plain(bodies[0])


def test_message_about_a_change_names_the_earlier_value(target: Target) -> None:
    create_rule(target, "rise > 20%")
    store_and_judge(target, 0, 0.1)
    store_and_judge(target, 1, 0.4)
    with db.org_session(target.engine, target.org) as session:
        (body,) = session.scalars(select(Notification.body))
    assert body["alert"]["measured_against"] == {"what": "previous", "value": 0.1}
    assert body["alert"]["measured"] == pytest.approx(300)
    assert "measured: 300, from 0.1 in the window before" in message_text.plain(body)


@pytest.mark.parametrize(
    ("condition", "rule"),
    [("> 0.2", "score > 0.2"), ("score > 0.2", "score > 0.2"), ("feature age > 0.2", "feature age > 0.2"),
     ("any feature > 0.2", "any feature > 0.2 (age)"), ("all features > 0.2", "all features > 0.2 (age)")],
)  # fmt: skip
def test_message_names_the_metric_of_its_rule_once(target: Target, condition: str, rule: str) -> None:
    rule_id = create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.1)  # a rule may name what results have, here the metric "score"
    with db.org_session(target.engine, target.org) as session:
        rules.change(session, rules.get(session, rule_id), rules.Change(condition=rules.parse(condition)))
    store_and_judge(target, 1, 0.9)
    with db.org_session(target.engine, target.org) as session:
        (body,) = session.scalars(select(Notification.body))
    assert body["alert"]["rule"] == rule


def test_message_shows_other_versions_in_the_same_window(target: Target) -> None:
    create_rule(target, "> 0.2")
    with db.org_session(target.engine, target.org) as session:
        model = models.get(session, target.model_id)
        other_version = versions.create(session, model, NewVersion("v2", {"age": "numeric"}, classes=["0", "1"]))
    store_and_judge(replace(target, version_id=other_version.id), 0, 0.05, n=30)
    store_and_judge(target, 0, 0.9)
    with db.org_session(target.engine, target.org) as session:
        (body,) = session.scalars(select(Notification.body))
    assert body["alert"]["versions"] == [{"version": "v2", "value": 0.05, "n": 30, "state": "OK"}]
    assert "other versions: v2 0.05 (n 30)" in message_text.plain(body)


def test_window_without_data_can_alert_with_its_reason(target: Target) -> None:
    create_rule(target, "> 0.2", no_data="alert")
    store_and_judge(target, 0, "NO_DATA")
    (alert,) = stored_alerts(target)
    assert (alert.metric, alert.worst_value, alert.details["reason"]) == ("NO_DATA", None, "no row")
    assert [kind for _, kind in notified_states(target)] == ["firing"]
    store_and_judge(target, 1, 0.1)
    assert [kind for _, kind in notified_states(target)] == ["firing", "resolved"]


def insert_due_window(target: Target, number: int, age: timedelta) -> None:
    """Create a due window that waits for evaluation."""
    with db.org_session(target.engine, target.org) as session:
        now = datetime.now(UTC)
        for row in session.scalars(select(DueWindow)):
            session.delete(row)
        session.flush()
        session.add(
            DueWindow(version_id=target.version_id, window_start=day(number).start, window_end=day(number).end,
                      due_at=now + age, touched_at=now)
        )  # fmt: skip


def test_backfilled_alert_is_notified_only_if_it_still_fires(target: Target) -> None:
    """The rule is checked at the end of the backfill."""
    create_rule(target, "> 0.2")
    insert_due_window(target, 30, -timedelta(minutes=1))
    for number, value in enumerate((0.5, 0.1, 0.5, 0.5)):
        store_and_judge(target, number, value)
    assert [alert.state for alert in stored_alerts(target)] == ["resolved", "firing"]
    assert notified_states(target) == []
    for number in range(4, 30):
        store_and_judge(target, number, 0.5)
    assert notified_states(target) == [(2, "firing")]
    store_and_judge(target, 30, 0.1)
    assert notified_states(target) == [(2, "firing"), (2, "resolved")]


def test_window_delayed_by_labels_is_notified_at_any_age(target: Target) -> None:
    create_rule(target, "> 0.2")
    insert_due_window(target, 30, timedelta(hours=1))
    store_and_judge(target, 0, 0.5)
    assert notified_states(target) == [(1, "firing")]


def test_change_of_a_notified_alert_is_notified_at_any_age(target: Target) -> None:
    """A change of a notified alert is notified, even when its window is old."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    insert_due_window(target, 30, -timedelta(minutes=1))
    store_and_judge(target, 1, 0.1)
    assert notified_states(target) == [(1, "firing"), (1, "resolved")]


def test_missing_age_limit_notifies_and_missing_url_does_not(target: Target) -> None:
    """Without an age limit an old window is notified; without a base URL no window is."""
    create_rule(target, "> 0.2")
    insert_due_window(target, 30, -timedelta(minutes=1))
    store_and_judge(target, 0, 0.5, recent=None)
    assert notified_states(target) == [(1, "firing")]
    store_and_judge(target, 1, 0.1, url=None)
    assert notified_states(target) == [(1, "firing")]
    store_and_judge(target, 2, 0.1)
    assert notified_states(target) == [(1, "firing"), (1, "resolved")]


def test_silent_retraction_is_notified_with_the_next_window(target: Target) -> None:
    """A retraction that was stored without notification is notified later."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    store_and_judge(target, 0, 0.1, 2, url=None)
    assert notified_states(target) == [(1, "firing")]
    store_and_judge(target, 1, 0.1)
    assert notified_states(target) == [(1, "firing"), (1, "retracted")]


def test_new_rule_judges_stored_results(target: Target) -> None:
    first = create_rule(target, "> 0.9")
    for number, value in enumerate((0.5, 0.1, 0.5, 0.5)):
        store_and_judge(target, number, value)
    with db.org_session(target.engine, target.org) as session:
        rule = rules.create(session, session.get_one(AlertRule, first).monitor_id, rules.parse("> 0.2"))
        judging.rejudge_rule(session, rule, ChangeContext(target.org, URL))
    assert [(alert.state, alert.windows) for alert in stored_alerts(target)] == [("resolved", 1), ("firing", 2)]
    assert notified_states(target) == [(2, "firing")]


def test_new_rule_notifies_only_about_recent_windows(target: Target) -> None:
    first = create_rule(target, "> 0.9")
    store_and_judge(target, 0, 0.5)
    insert_due_window(target, 30, -timedelta(minutes=1))
    for recent, expected in ((timedelta(days=2), []), (timedelta(days=60), [(2, "firing")])):
        with db.org_session(target.engine, target.org) as session:
            rule = rules.create(session, session.get_one(AlertRule, first).monitor_id, rules.parse("> 0.2"))
            judging.rejudge_rule(session, rule, ChangeContext(target.org, URL, recent=recent))
        assert notified_states(target) == expected


def test_changed_rule_judges_only_its_open_alerts_again(target: Target) -> None:
    """A changed rule judges its open alerts again and keeps the ended ones."""
    rule_id = create_rule(target, "> 0.2")
    for number, value in enumerate((0.5, 0.1, 0.3, 0.5)):
        store_and_judge(target, number, value)

    def change(**wanted: Any) -> None:
        with db.org_session(target.engine, target.org) as session:
            rule = session.get_one(AlertRule, rule_id)
            assert rules.change(session, rule, Change(**wanted))
            judging.rejudge_rule(session, rule, ChangeContext(target.org, URL, by="ann", note="the rule was changed"))

    change(condition=rules.parse("> 0.4"))
    assert [(a.state, a.resolved_by, a.windows) for a in stored_alerts(target)] == [
        ("resolved", "recovery", 1), ("firing", None, 1),
    ]  # fmt: skip
    change(severity="critical")
    assert notified_states(target)[-1] == (2, "escalated")
    change(condition=rules.parse("> 0.8"))
    assert [(a.state, a.resolved_by) for a in stored_alerts(target)][1] == ("resolved", "rule")
    assert notified_states(target)[-1] == (2, "resolved")
    change(condition=rules.parse("> 0.2"))  # the changed rule is violated in the newest window
    assert notified_states(target)[-1] == (2, "reopened")
    store_and_judge(target, 3, 0.6, 2)
    store_and_judge(target, 4, 0.5)
    assert [(a.state, a.windows) for a in stored_alerts(target)][1:] == [("firing", 3)]
    change(is_active=False)
    assert [a.state for a in stored_alerts(target)] == ["resolved"] * 2
    store_and_judge(target, 5, 0.1)
    change(is_active=True)  # the newest window is OK, so ended alerts stay ended
    store_and_judge(target, 4, 0.55, 2)
    assert [a.state for a in stored_alerts(target)] == ["resolved"] * 2
    store_and_judge(target, 6, 0.5)
    assert [a.state for a in stored_alerts(target)] == ["resolved", "resolved", "firing"]


def test_changed_monitor_ends_open_alerts_and_retracts_none(target: Target) -> None:
    create_rule(target, "> 0.2")
    for number, value in enumerate((0.5, 0.1, 0.5, 0.1, 0.5)):
        store_and_judge(target, number, value)
    with db.org_session(target.engine, target.org) as session:
        monitor = session.scalars(select(Monitor)).one()

        def with_fifty_rows(spec: MonitorSpec, _: object) -> lifecycle.MonitorEdit:
            return lifecycle.MonitorEdit(replace(spec, rows=50))

        assert lifecycle.change_monitor(session, target.org, monitor, with_fifty_rows, URL).revision == 2
        rule = session.scalars(select(AlertRule)).one()
        assert (rule.revision, rule.start_time) == (2, None)
        last = alert_views.list_changes(session, 3)[-1]
        assert (last.kind, last.note) == ("resolved", "the monitor was changed")
    over = [(alert.state, alert.resolved_by) for alert in stored_alerts(target)]
    assert over == [("resolved", "recovery"), ("resolved", "recovery"), ("resolved", "rule")]
    before = notified_states(target)
    assert before[-1] == (3, "resolved")
    for number in range(6):
        store_and_judge(target, number, 0.1, 2)
    assert [(alert.state, alert.resolved_by) for alert in stored_alerts(target)] == over
    assert notified_states(target) == before
    store_and_judge(target, 6, 0.5)
    assert notified_states(target) == [*before, (4, "firing")]


def test_operator_actions_on_an_alert_are_recorded(target: Target) -> None:
    """Acknowledging, resolving and reopening an alert are recorded in its history."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    with db.org_session(target.engine, target.org) as session:
        alert = session.scalars(select(Alert)).one()
        assert operator_actions.acknowledge(session, alert, ChangeContext(target.org, URL, by="ann", note="on it"))
        assert not operator_actions.acknowledge(session, alert, ChangeContext(target.org, URL, by="bob"))
        assert operator_actions.resolve(session, alert, ChangeContext(target.org, URL, by="ann", note="a fluke"))
        assert operator_actions.reopen(session, alert, ChangeContext(target.org, URL, by="bob"))
        assert (alert.state, alert.acknowledged_by) == ("firing", None)
        assert not operator_actions.reopen(session, alert, ChangeContext(target.org, URL, by="bob"))
        history_lines = [(line.kind, line.by, line.note) for line in alert_views.list_changes(session, alert.id)]
    assert history_lines == [
        ("firing", None, None), ("acknowledged", "ann", "on it"), ("resolved", "ann", "a fluke"),
        ("reopened", "bob", None),
    ]  # fmt: skip
    assert [kind for _, kind in notified_states(target)] == ["firing", "acknowledged", "resolved", "reopened"]
    store_and_judge(target, 1, 0.1)
    require_replayed_alerts(target)


def test_reopened_alert_that_recovered_meanwhile_is_resolved(
    target: Target,
) -> None:
    """A reopened alert that recovered is resolved; an automatically resolved one can't be reopened."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    with db.org_session(target.engine, target.org) as session:
        operator_actions.resolve(
            session, session.scalars(select(Alert)).one(), ChangeContext(target.org, URL, by="ann")
        )
    store_and_judge(target, 1, 0.1)
    with db.org_session(target.engine, target.org) as session:
        alert = session.scalars(select(Alert)).one()
        assert operator_actions.reopen(session, alert, ChangeContext(target.org, URL, by="ann"))
        assert (alert.state, alert.resolved_by) == ("resolved", "recovery")
    with (
        db.org_session(target.engine, target.org) as session,
        pytest.raises(Exception, match="not resolved by an operator"),
    ):
        operator_actions.reopen(session, session.scalars(select(Alert)).one(), ChangeContext(target.org, URL, by="ann"))
    require_replayed_alerts(target)


def test_violated_conditions_of_one_window_are_listed(target: Target) -> None:
    create_rule(target, "rise > 50% warn 10%", for_windows=3)
    store_and_judge(target, 0, 0.1)
    for number, value, expected in ((1, 0.2, ["high: score"]), (2, 0.23, ["medium: score"]), (3, 0.23, [])):
        result = store_and_judge(target, number, value)
        with db.org_session(target.engine, target.org) as session:
            assert verdicts.for_result(session, result).violations == expected


def test_missing_verdict_of_a_rule_has_its_reason(target: Target) -> None:
    create_rule(target, "rise > 50%", min_n=50)
    for number, few, expected in ((0, 100, "no earlier window"), (1, 100, None), (2, 10, "10 of 50 rows")):
        result = store_and_judge(target, number, 0.1, n=few)
        with db.org_session(target.engine, target.org) as session:
            reason = verdicts.for_result(session, result).no_verdict_reason
            assert (reason is None) if expected is None else expected in (reason or "")
            assert verdicts.for_result(session, result).violations == []


def test_concurrent_workers_and_operators_end_as_a_replay_does(target: Target) -> None:
    """Concurrent workers and operators end in the state that a replay computes."""
    create_rule(target, "> 0.2", for_windows=2, keep_firing=1)
    values = [0.1, 0.5, 0.5, 0.1, 0.5, 0.5, 0.1, 0.1, 0.5, 0.5, 0.5, 0.1, 0.5, 0.5]
    order = list(range(len(values)))
    random.Random(3).shuffle(order)

    def acknowledge() -> None:
        with db.org_session(target.engine, target.org) as session:
            for alert in session.scalars(select(Alert).where(Alert.state == "firing")):
                with suppress(errors.Conflict, errors.NotFound):  # over, or one with another, by now
                    operator_actions.acknowledge(session, alert, ChangeContext(target.org, URL, by="ann"))

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(store_and_judge, target, number, values[number]) for number in order]
        work += [pool.submit(acknowledge) for _ in range(4)]
        for future in work:
            future.result()
    require_replayed_alerts(target)
    require_last_notification_matches(target)


def test_rule_against_reference_is_refused_for_a_comparing_check(target: Target) -> None:
    """A check that itself compares with the reference refuses a rule against the reference."""
    rule_id = create_rule(target, "> 0.2")
    with db.org_session(target.engine, target.org) as session, pytest.raises(errors.InvalidInput, match="already"):
        rules.change(session, session.get_one(AlertRule, rule_id), Change(condition=rules.parse(AGAINST)))


AGAINST = "rise > 20% against reference"


def history_lines(target: Target) -> list[tuple[str, float | None]]:
    with db.org_session(target.engine, target.org) as session:
        alert_changes = session.scalars(select(AlertChange).order_by(AlertChange.id))
        return [(alert_change.kind, alert_change.value) for alert_change in alert_changes]


def test_first_and_last_value_follow_revisions(target: Target) -> None:
    create_rule(target, "> 0.2")
    for number, value in enumerate((0.3, 0.6, 0.4)):
        store_and_judge(target, number, value)
    (alert,) = stored_alerts(target)
    assert (alert.details["first_value"], alert.details["last_value"]) == (0.3, 0.4)
    store_and_judge(target, 0, 0.35, 2)
    store_and_judge(target, 2, 0.45, 2)
    (alert,) = stored_alerts(target)
    assert (alert.details["first_value"], alert.details["last_value"]) == (0.35, 0.45)
    store_and_judge(target, 0, 0.1, 3)
    assert stored_alerts(target)[0].details["first_value"] == 0.6


def test_alert_that_ended_before_evaluation_keeps_bad_value(target: Target) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 2, 0.0)
    store_and_judge(target, 1, 0.5143)
    assert history_lines(target) == [("firing", 0.5143), ("resolved", 0.0)]


def test_retraction_has_the_revised_value(target: Target) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 1, 0.857)
    store_and_judge(target, 1, 0.043, 2)
    assert history_lines(target) == [("firing", 0.857), ("retracted", 0.043)]
    assert [(alert.current_value, alert.worst_value) for alert in stored_alerts(target)] == [(0.043, 0.857)]


def test_resolved_alert_keeps_its_newest_value_when_retracted(target: Target) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 1, 0.857)
    store_and_judge(target, 2, 0.12)
    store_and_judge(target, 1, 0.043, 2)
    assert history_lines(target) == [("firing", 0.857), ("resolved", 0.12), ("retracted", 0.043)]
    assert [alert.current_value for alert in stored_alerts(target)] == [0.12]


def test_failing_rule_is_named_and_affects_no_other(target: Target) -> None:
    broken = create_rule(target, "> 0.9")
    with db.org_session(target.engine, target.org) as session:
        rule = session.get_one(AlertRule, broken)
        rule.condition = "as no dcmon writes it"
        rules.create(session, rule.monitor_id, rules.parse("> 0.2"), "high")
    store_and_judge(target, 1, 0.5)
    assert [(alert.rule_id, alert.state) for alert in stored_alerts(target)] == [(broken + 1, "firing")]
    with db.org_session(target.engine, target.org) as session:
        assert list(rule_failures.failing(session)) == [broken]
        assert "as no dcmon writes it" in rule_failures.failing(session)[broken]
        ruling = verdicts.for_result(session, session.scalars(select(Result)).one())
        assert ruling.no_verdict_reason is not None
        assert f"Rule {broken} could not judge it" in ruling.no_verdict_reason

        rule = session.get_one(AlertRule, broken)
        rule.condition = None
        session.flush()
        judging.rejudge_rule(session, rule, ChangeContext(target.org, URL))
        assert rule_failures.failing(session) == {}


def test_rule_failure_under_the_old_key_is_found_and_cleared(target: Target) -> None:
    """Results of an earlier version have the failures of rules under the key `unjudged`."""
    rule_id = create_rule(target, "> 0.2")
    store_and_judge(target, 1, 0.5)
    with db.org_session(target.engine, target.org) as session:
        result = session.scalars(select(Result)).one()
        result.how = {**result.how, "unjudged": {str(rule_id): "ValueError: earlier"}}
        session.flush()
        assert rule_failures.failing(session) == {rule_id: "ValueError: earlier"}
        assert f"Rule {rule_id} could not judge it" in (verdicts.for_result(session, result).no_verdict_reason or "")
        with rule_failures.isolated(session, session.get_one(AlertRule, rule_id), result):
            raise ValueError("now")
        assert rule_failures.failing(session) == {rule_id: "ValueError: now"}

        rule_failures.clear(session, session.get_one(AlertRule, rule_id))
        session.refresh(result)
        assert rule_failures.failing(session) == {}
        assert "unjudged" not in result.how or result.how["unjudged"] == {}


def change_rule(target: Target, rule_id: int, **wanted: Any) -> None:
    with db.org_session(target.engine, target.org) as session:
        rule = session.get_one(AlertRule, rule_id)
        assert rules.change(session, rule, Change(**wanted))
        judging.rejudge_rule(session, rule, ChangeContext(target.org, URL, by="ann", note="the rule was changed"))


def spans(target: Target) -> list[tuple[int, str, str | None, int]]:
    return [(alert.id, alert.state, alert.resolved_by, alert.windows) for alert in stored_alerts(target)]


@pytest.mark.parametrize(
    ("slip", "restored"),
    [
        ({"condition": rules.parse("> 0.9")}, {"condition": rules.parse("> 0.2")}),
        ({"is_active": False}, {"is_active": True}),
        ({"min_n": 1000}, {"min_n": 0}),
    ],
    ids=["condition", "inactive", "min-n"],
)
def test_restored_rule_reopens_alerts_ended_by_a_mistake(
    target: Target, slip: dict[str, Any], restored: dict[str, Any]
) -> None:
    """Alerts that a mistaken rule ended fire again when the rule is restored."""
    rule_id = create_rule(target, "> 0.2")
    for number, value in enumerate((0.1, 0.5, 0.6)):
        store_and_judge(target, number, value)
    (alert,) = stored_alerts(target)
    change_rule(target, rule_id, **slip)
    assert [state for _, state, _, _ in spans(target)] == ["resolved"]
    change_rule(target, rule_id, **restored)
    assert spans(target) == [(alert.id, "firing", None, 2)]
    assert history(target) == ["firing", "resolved", "reopened"]
    assert [kind for _, kind in notified_states(target)] == ["firing", "resolved", "reopened"]
    store_and_judge(target, 3, 0.7)
    assert spans(target) == [(alert.id, "firing", None, 3)]
    store_and_judge(target, 4, 0.1)
    assert spans(target) == [(alert.id, "resolved", "recovery", 3)]
    require_replayed_alerts(target)


def test_rule_change_that_fires_nothing_keeps_ended_alerts(target: Target) -> None:
    rule_id = create_rule(target, "> 0.2")
    for number, value in enumerate((0.1, 0.5, 0.6)):
        store_and_judge(target, number, value)
    change_rule(target, rule_id, condition=rules.parse("> 0.9"))
    before = spans(target), history(target), notified_states(target)
    change_rule(target, rule_id, condition=rules.parse("> 0.8"))
    assert (spans(target), history(target), notified_states(target)) == before
    store_and_judge(target, 3, 0.1)
    change_rule(target, rule_id, condition=rules.parse("> 0.2"))  # the newest window is ok, so old alerts stay ended
    assert (spans(target), history(target), notified_states(target)) == before


def test_alert_resolved_by_operator_stays_so_after_a_rule_change(target: Target) -> None:
    """An alert that an operator resolved stays resolved when the rule changes."""
    rule_id = create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    with db.org_session(target.engine, target.org) as session:
        operator_actions.resolve(
            session, session.scalars(select(Alert)).one(), ChangeContext(target.org, URL, by="ann")
        )
    change_rule(target, rule_id, condition=rules.parse("> 0.3"))
    assert [(state, by) for _, state, by, _ in spans(target)] == [("resolved", "operator")]
