"""Actions on all alerts of a rule, and the deletion of an alert.

Each locks the rule, as alerting.operator_actions does for one alert.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import operator_actions, rules
from dcmon.alerting.change_context import Actor
from dcmon.db.tables.org import Alert, AlertRule
from dcmon.notifications import closing
from dcmon.states import AlertState


class BulkOutcome(NamedTuple):
    """How many alerts an action has changed, and how many it could not change."""

    changed: int
    refused: int = 0


def resolve_all(session: Session, actor: Actor, rule: AlertRule, note: str | None = None) -> BulkOutcome:
    """Resolve all open alerts of a rule."""
    rules.lock(session, rule.id)
    alerts = _alerts(session, rule, AlertState.FIRING)
    return BulkOutcome(sum(operator_actions.resolve(session, alert, actor.context(note)) for alert in alerts))


def reopen_all(session: Session, actor: Actor, rule: AlertRule, note: str | None = None) -> BulkOutcome:
    """Reopen all alerts of a rule that an operator resolved, where their windows still violate the rule.

    `refused` counts the alerts that dcmon resolved itself, because their windows recovered or the rule changed.
    """
    rules.lock(session, rule.id)
    changed = refused = 0
    # The newest first: an alert can't be reopened while a later one of its version is settled.
    for alert in reversed(_alerts(session, rule, AlertState.RESOLVED)):
        try:
            with session.begin_nested():
                changed += operator_actions.reopen(session, alert, actor.context(note))
        except (errors.Conflict, errors.AlertNotFound):
            refused += 1
    return BulkOutcome(changed, refused)


def delete_alert(session: Session, alert: Alert) -> None:
    """Delete an alert with its history. Receivers that know it as firing are notified that it ended.

    A later window that violates the rule opens another alert. After a change of the rule, all windows are judged again,
    also those of a deleted alert.
    """
    rules.lock(session, alert.rule_id)
    closing.write_notifications(session, Alert.id == alert.id)
    session.delete(alert)
    session.flush()


def _alerts(session: Session, rule: AlertRule, state: AlertState) -> Sequence[Alert]:
    """Return the alerts of a rule in a state, in the order of their windows."""
    statement = select(Alert).where(Alert.rule_id == rule.id, Alert.state == state)
    return session.scalars(statement.order_by(Alert.first_window_end, Alert.id)).all()
