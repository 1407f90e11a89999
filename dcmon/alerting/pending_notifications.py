"""Notify of changes to alerts of which an earlier run did not notify, for example `monitor run` without --notify."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import or_, select, true
from sqlalchemy.orm import Session

from dcmon.alerting import notify_policy, rule_failures, stored_alerts
from dcmon.alerting.alert_changes import AlertChanges
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rule_failures import RuleChanges
from dcmon.db.tables.org import Alert, AlertRule, Monitor, Result
from dcmon.states import AlertState, ResultState


class _Pending(NamedTuple):
    """The overdue alerts of each rule in order of id, and what decides whether an alert is recent, by monitor."""

    alerts: Mapping[int, Sequence[Alert]]
    frequencies: Mapping[int, str]
    judged_until: Mapping[int, datetime | None]
    newest_due: datetime | None


def notify_pending(session: Session, context: ChangeContext, version_id: int, *, monitor_id: int | None = None) -> int:
    """Notify of changes to a version's alerts that an earlier run did not notify of.

    Returns the number of notifications written. `monitor_id`: only alerts of this monitor; None: of all monitors.
    Locks the rules. Rules that another worker has locked are skipped, because that worker notifies.
    """
    if context.public_url is None:
        return 0
    rules = select(AlertRule).where(
        AlertRule.is_active,
        true() if monitor_id is None else AlertRule.monitor_id == monitor_id,
        AlertRule.id.in_(stored_alerts.pending_rule_ids([version_id])),
    )
    # A rule that is locked is being judged, and who judges it also notifies.
    locked = session.scalars(rules.order_by(AlertRule.id).with_for_update(skip_locked=True)).all()
    if not locked:
        return 0
    pending = _read_pending(session, locked, version_id)
    changes = [RuleChanges(rule, _changes(pending, context, rule)) for rule in locked]
    written = rule_failures.write_isolated(
        session, context, changes, lambda failed: _notify_again(session, context, failed, version_id)
    )
    return written.notifications


def _changes(pending: _Pending, context: ChangeContext, rule: AlertRule) -> AlertChanges:
    """Return the notifications about a rule's open alerts, and about ends that were not notified."""
    changes, alerts = AlertChanges(), pending.alerts.get(rule.id, ())
    is_recent = notify_policy.is_recent(
        context, pending.frequencies[rule.monitor_id], pending.judged_until[rule.monitor_id], pending.newest_due
    )
    for alert in alerts:
        kind = notify_policy.notified_kind(alert, is_recent=is_recent, is_reopened=False)
        if alert.state != AlertState.RESOLVED and kind is not None:
            changes.notify(alert, kind)
    for alert in alerts:
        if alert.state == AlertState.RESOLVED:
            changes.notify(alert, notify_policy.closing_kind(alert.resolved_by))
    return changes


def _notify_again(session: Session, context: ChangeContext, failed: RuleChanges, version_id: int) -> int:
    """Notify of the alerts of one rule, after the notifications of several rules could not be written together."""
    pending = _read_pending(session, [failed.rule], version_id)
    return _changes(pending, context, failed.rule).write(session, context)


def _read_pending(session: Session, rules: Sequence[AlertRule], version_id: int) -> _Pending:
    alerts: dict[int, list[Alert]] = {}
    overdue = or_(stored_alerts.is_unnotified_end(), (Alert.state != AlertState.RESOLVED) & stored_alerts.is_overdue())
    statement = select(Alert).where(
        Alert.rule_id.in_([rule.id for rule in rules]), Alert.version_id == version_id, overdue
    )
    for alert in session.scalars(statement.order_by(Alert.id)):
        alerts.setdefault(alert.rule_id, []).append(alert)
    newest_value_end = (
        select(Result.window_end)
        .where(Result.monitor_id == Monitor.id, Result.version_id == version_id, Result.state == ResultState.OK)
        .order_by(Result.window_end.desc())
        .limit(1)
        .correlate(Monitor)
        .scalar_subquery()
    )
    of_monitors = select(Monitor.id, Monitor.frequency, newest_value_end)
    rows = session.execute(of_monitors.where(Monitor.id.in_({rule.monitor_id for rule in rules}))).all()
    return _Pending(
        alerts,
        {monitor_id: frequency for monitor_id, frequency, _ in rows},
        {monitor_id: end for monitor_id, _, end in rows},
        notify_policy.newest_due_ends(session, [version_id]).get(version_id),
    )
