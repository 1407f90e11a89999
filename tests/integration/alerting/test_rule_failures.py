"""A rule whose alerts can't be written fails alone, although the alerts of all rules are written together."""

from sqlalchemy import select, text

from dcmon import db
from dcmon.alerting import rule_failures, rules
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, Notification
from tests.helpers.judged_results import create_rule, notified_states, store_and_judge
from tests.integration.conftest import Target


def refuse_alerts_of(target: Target, rule_id: int) -> None:
    """Let PostgreSQL refuse the alerts of a rule."""
    with db.org_session(target.engine, target.org) as session:
        session.execute(text(f"alter table alerts add constraint refused check (rule_id <> {rule_id})"))


def create_rules(target: Target, *conditions: str) -> list[int]:
    """Create rules on one monitor, and return their ids."""
    first = create_rule(target, conditions[0])
    with db.org_session(target.engine, target.org) as session:
        monitor_id = session.get_one(AlertRule, first).monitor_id
        more = [rules.create(session, monitor_id, rules.parse(text), "high") for text in conditions[1:]]
        return [first, *(rule.id for rule in more)]


def test_alerts_that_cannot_be_written_cost_only_their_rule(target: Target) -> None:
    first, refused, last = create_rules(target, "> 0.2", "> 0.3", "> 0.4")
    refuse_alerts_of(target, refused)
    store_and_judge(target, 0, 0.1)
    result = store_and_judge(target, 1, 0.5)
    with db.org_session(target.engine, target.org) as session:
        alerts = session.scalars(select(Alert).order_by(Alert.rule_id)).all()
        assert [(alert.rule_id, alert.state, alert.worst_value) for alert in alerts] == [
            (first, "firing", 0.5), (last, "firing", 0.5),
        ]  # fmt: skip
        lines = session.scalars(select(AlertChange).order_by(AlertChange.id)).all()
        assert [(line.alert_id, line.kind) for line in lines] == [(alert.id, "firing") for alert in alerts]
        assert list(rule_failures.failing(session)) == [refused]
        assert "refused" in rule_failures.failing(session)[refused]
    assert notified_states(target) == [(alert.id, "firing") for alert in alerts]
    assert set(rule_failures.of_result(result)) == {str(refused)}


def test_rule_that_can_be_written_again_opens_its_alert(target: Target) -> None:
    _, refused = create_rules(target, "> 0.2", "> 0.3")
    refuse_alerts_of(target, refused)
    store_and_judge(target, 0, 0.5)
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("alter table alerts drop constraint refused"))
    store_and_judge(target, 1, 0.6)
    with db.org_session(target.engine, target.org) as session:
        alerts = session.scalars(select(Alert).order_by(Alert.rule_id)).all()
        assert [(alert.windows, alert.worst_value) for alert in alerts] == [(2, 0.6), (1, 0.6)]
        assert rule_failures.failing(session) == {}
        bodies = session.scalars(select(Notification.body).order_by(Notification.position)).all()
    assert [(body["alert"]["id"], body["alert"]["windows"]) for body in bodies] == [
        (alerts[0].id, 1), (alerts[1].id, 1),
    ]  # fmt: skip


def test_stored_alert_that_cannot_be_changed_costs_only_its_rule(target: Target) -> None:
    """The first rule's alert is updated and the second rule's alert stays as it was."""
    first, refused = create_rules(target, "> 0.2", "> 0.3")
    store_and_judge(target, 0, 0.5)
    with db.org_session(target.engine, target.org) as session:
        refused_update = f"check (rule_id <> {refused} or windows = 1)"
        session.execute(text(f"alter table alerts add constraint refused {refused_update}"))
    store_and_judge(target, 1, 0.6)
    with db.org_session(target.engine, target.org) as session:
        alerts = session.scalars(select(Alert).order_by(Alert.rule_id)).all()
        assert [(alert.rule_id, alert.windows, alert.current_value) for alert in alerts] == [
            (first, 2, 0.6), (refused, 1, 0.5),
        ]  # fmt: skip
        assert list(rule_failures.failing(session)) == [refused]
