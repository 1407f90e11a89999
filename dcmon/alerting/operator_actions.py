"""The actions of an operator on an alert: resolve, reopen, acknowledge.

Each function locks the alert's rule, so that no result is judged at the same time, and writes notifications when the
context has a public URL. `context.by` is the operator. Raises AlertNotFound when the alert was deleted meanwhile.
`apply` runs one of them on the alert with an id.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import func
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import alert_sync, alert_views, replay, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.alerting.change_context import Actor, ChangeContext
from dcmon.alerting.notify_policy import record_change, write_notifications
from dcmon.alerting.stored_alerts import JudgeRequest
from dcmon.db.tables.org import Alert, AlertRule
from dcmon.states import AlertChangeKind, AlertState, ResolvedBy

Action = Callable[[Session, Alert, ChangeContext], bool]


class ActionOutcome(NamedTuple):
    """An alert after an action, and whether the action changed it."""

    view: AlertView
    is_changed: bool


def apply(session: Session, actor: Actor, alert_id: int, action: Action, note: str | None = None) -> ActionOutcome:
    """Apply an action to an alert; the note is kept in its history. Raises AlertNotFound or Conflict."""
    view = alert_views.get_alert(session, alert_id)
    return ActionOutcome(view, action(session, view.alert, actor.context(note)))


def resolve(session: Session, alert: Alert, context: ChangeContext) -> bool:
    """Resolve an alert. Return False if it was resolved before.

    A later window that violates the rule opens another alert.
    """
    _lock_and_refresh(session, alert)
    if alert.state == AlertState.RESOLVED:
        return False
    alert.state, alert.resolved_at, alert.resolved_by = AlertState.RESOLVED, func.now(), ResolvedBy.OPERATOR
    record_change(session, alert, AlertChangeKind.RESOLVED, context, alert.last_window_end)
    write_notifications(session, context, alert, AlertChangeKind.RESOLVED)
    return True


def reopen(session: Session, alert: Alert, context: ChangeContext) -> bool:
    """Reopen an alert that an operator resolved. Return False if the alert is open.

    The alert's windows are judged again. If they recovered meanwhile, the alert stays resolved, with both changes in
    its history. Raises Conflict for an alert that was not resolved by an operator.
    """
    rule = _lock_and_refresh(session, alert)
    if alert.state != AlertState.RESOLVED:
        return False
    if alert.resolved_by != ResolvedBy.OPERATOR or not rule.is_active:
        raise errors.Conflict(
            f"Alert {alert.id} was not resolved by an operator: dcmon reopens it when its windows are violated again."
        )
    # While its windows are judged again, the alert is neither settled nor retracted: else it would not be replayed.
    alert.resolved_by, alert.rule_revision = None, rule.revision
    session.flush()
    settled_until = replay.settled_until(session, rule, alert.version_id)
    if settled_until is not None and settled_until >= alert.last_window_end:
        raise errors.Conflict(
            f'A later alert of rule {rule.id} was resolved. Reopen that one: "dcmon alert list --all" lists the alerts.'
        )
    context = replace(context, recent=None)
    alert_sync.sync_alerts(session, [JudgeRequest(rule, alert.version_id, alert.first_window_end, context)])
    if alert.state == AlertState.RESOLVED and alert.resolved_by is None:  # its windows are no longer violated
        alert.resolved_by = ResolvedBy.RECOVERY
        record_change(session, alert, AlertChangeKind.REOPENED, context, alert.last_window_end)
        recovery = replace(context, by=None, note="its windows recovered meanwhile")
        record_change(session, alert, AlertChangeKind.RESOLVED, recovery, None)
    return True


def acknowledge(session: Session, alert: Alert, context: ChangeContext) -> bool:
    """Record that an operator works on an alert. Return False if it was acknowledged before.

    Raises Conflict for a resolved alert.
    """
    _lock_and_require_open(session, alert)
    if alert.acknowledged_at is not None:
        return False
    alert.acknowledged_at = func.now()
    alert.acknowledged_by, alert.acknowledgement = context.by, context.note
    record_change(session, alert, AlertChangeKind.ACKNOWLEDGED, context, alert.last_window_end)
    if alert.told_severity is not None:
        write_notifications(session, context, alert, AlertChangeKind.ACKNOWLEDGED)
    return True


def unacknowledge(session: Session, alert: Alert, context: ChangeContext) -> bool:
    """Remove an acknowledgement. Return False if the alert has none.

    Receivers are not notified. Raises Conflict for a resolved alert.
    """
    _lock_and_require_open(session, alert)
    if alert.acknowledged_at is None:
        return False
    alert.acknowledged_at = alert.acknowledged_by = alert.acknowledgement = None
    record_change(session, alert, AlertChangeKind.UNACKNOWLEDGED, context, alert.last_window_end)
    return True


def _lock_and_refresh(session: Session, alert: Alert) -> AlertRule:
    """Lock the alert's rule, read the alert again, and return the rule. Raises AlertNotFound."""
    rule = rules.lock(session, alert.rule_id)
    if session.get(Alert, alert.id, populate_existing=True) is None:
        raise errors.AlertNotFound(name=alert.id)
    return rule


def _lock_and_require_open(session: Session, alert: Alert) -> None:
    _lock_and_refresh(session, alert)
    if alert.state == AlertState.RESOLVED:
        raise errors.Conflict(
            f"Alert {alert.id} is resolved: only open alerts can be acknowledged."
            f' "dcmon alert history {alert.id}" shows who resolved it.'
        )
