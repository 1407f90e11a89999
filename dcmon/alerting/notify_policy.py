"""Record each change of an alert in its history, and decide whether receivers are notified.

`Alert.told_severity` is the severity that receivers were last notified of. It is compared with the alert as it is now:
so receivers are also notified of changes that were stored earlier without notifying, and of the end of each alert that
they were notified of.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select, true
from sqlalchemy.orm import Session

from dcmon.alerting import alert_payload, rule_failures
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.state_machine import WindowResult, value_in
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, DueWindow, Monitor, Notification, Result
from dcmon.notifications import notification_writer
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.severity import Severity
from dcmon.states import AlertChangeKind, AlertState, NotificationKind, ResolvedBy, ResultState
from dcmon.windows import Frequency

RECENT_WINDOWS = 2
FREQUENCY_LENGTH: dict[str, timedelta] = {
    Frequency.HOUR: timedelta(hours=1),
    Frequency.DAY: timedelta(days=1),
    Frequency.WEEK: timedelta(weeks=1),
    Frequency.MONTH: timedelta(days=31),
}
# The lines of history by the state after a change: for a retracted alert, for a pending or new one, and for any other.
_AFTER_RETRACTION = {
    AlertState.PENDING: [AlertChangeKind.PENDING],
    AlertState.FIRING: [AlertChangeKind.REOPENED],
    AlertState.RESOLVED: [AlertChangeKind.REOPENED, AlertChangeKind.RESOLVED],
}
_AFTER_PENDING = {
    AlertState.PENDING: [AlertChangeKind.PENDING],
    AlertState.FIRING: [AlertChangeKind.FIRING],
    AlertState.RESOLVED: [AlertChangeKind.FIRING, AlertChangeKind.RESOLVED],
}
_OTHERWISE = {
    AlertState.PENDING: [AlertChangeKind.RETRACTED],
    AlertState.FIRING: [AlertChangeKind.REOPENED],
    AlertState.RESOLVED: [AlertChangeKind.RESOLVED],
}


@dataclass(frozen=True)
class StoredState:
    """An alert's state before a change. `state`: None for a new alert."""

    state: AlertState | None
    severity: str
    is_retracted: bool

    @classmethod
    def of_alert(cls, alert: Alert) -> "StoredState":
        """Return the state that the alert has now."""
        state = None if alert.state is None else AlertState(alert.state)
        return cls(state, alert.severity, alert.resolved_by == ResolvedBy.REVISION)


def change_kinds(before: StoredState, alert: Alert) -> list[AlertChangeKind]:
    """Return the lines of history for a change to the alert's state now."""
    after = AlertState(alert.state)
    if before.is_retracted:
        return _AFTER_RETRACTION[after]
    if before.state == after:
        is_severity_change = after == AlertState.FIRING and before.severity != alert.severity
        return [_severity_change(before.severity, alert.severity)] if is_severity_change else []
    if before.state in (None, AlertState.PENDING):
        return _AFTER_PENDING[after]
    return _OTHERWISE[after]


def _severity_change(before: str, after: str) -> AlertChangeKind:
    is_escalation = Severity(after).rank > Severity(before).rank
    return AlertChangeKind.ESCALATED if is_escalation else AlertChangeKind.DEESCALATED


def closing_kind(resolved_by: str | None) -> AlertChangeKind:
    """Return the kind of the change that ends an alert.

    RETRACTED: a revised result removed the violation.
    """
    return AlertChangeKind.RETRACTED if resolved_by == ResolvedBy.REVISION else AlertChangeKind.RESOLVED


def record_change(
    session: Session,
    alert: Alert,
    kind: AlertChangeKind,
    context: ChangeContext,
    window_end: datetime | None,
    window: WindowResult | None = None,
) -> None:
    """Add a line to the alert's history.

    `window`: the line has the value in this window; None: the line has the alert's value now.
    """
    session.add(
        AlertChange(
            alert_id=alert.id,
            kind=kind,
            by=context.by,
            window_end=window_end,
            result_revision=None if context.result is None else context.result.revision,
            severity=alert.severity,
            value=alert.current_value if window is None else value_in(window, alert.metric),
            note=context.note,
        )
    )
    session.flush()


def was_notified(session: Session, alert: Alert) -> bool:
    """Return True if a notification was ever written about an alert."""
    return session.scalar(select(Notification.id).where(Notification.alert_id == alert.id).limit(1)) is not None


def notify_change(
    session: Session,
    context: ChangeContext,
    alert: Alert,
    rule: AlertRule,
    judged_until: datetime | None,
    *,
    is_reopened: bool,
) -> int:
    """Notify receivers if an alert differs from what they were last notified of.

    Returns the number of notifications written. `judged_until`: the end of the newest judged window.
    """
    if context.public_url is None:
        return 0
    known = alert.told_severity
    if alert.state != AlertState.FIRING:
        kind = AlertChangeKind.RETRACTED if alert.state == AlertState.PENDING else AlertChangeKind.RESOLVED
        return write_notifications(session, context, alert, kind) if known is not None else 0
    if known is None:
        kind = AlertChangeKind.REOPENED if is_reopened else AlertChangeKind.FIRING
        is_recent = _is_recent(session, context, rule, alert.version_id, judged_until)
        return write_notifications(session, context, alert, kind) if is_recent else 0
    if known != alert.severity:
        return write_notifications(session, context, alert, _severity_change(known, alert.severity))
    return 0


def _is_recent(
    session: Session, context: ChangeContext, rule: AlertRule, version_id: int, judged_until: datetime | None
) -> bool:
    """Return True if the alert is current.

    An alert is not current when a window that is due now ends much later than the newest judged window.
    """
    if context.recent is None or judged_until is None:
        return True
    length = FREQUENCY_LENGTH[session.get_one(Monitor, rule.monitor_id).frequency]
    boundary = judged_until + max(context.recent, RECENT_WINDOWS * length)
    later = select(DueWindow.window_end).where(
        DueWindow.version_id == version_id, DueWindow.window_end > boundary, DueWindow.due_at <= func.now()
    )
    return session.scalar(later.limit(1)) is None


def notify_overdue_endings(session: Session, context: ChangeContext, rule: AlertRule, version_id: int) -> int:
    """Notify receivers of the end of alerts that ended without a notification.

    This happens when alerts are judged without a public URL. Returns the number of notifications written.
    """
    if context.public_url is None:
        return 0
    overdue = select(Alert).where(
        Alert.rule_id == rule.id,
        Alert.version_id == version_id,
        Alert.state == AlertState.RESOLVED,
        Alert.told_severity != "",
    )
    return sum(
        write_notifications(session, context, alert, closing_kind(alert.resolved_by))
        for alert in session.scalars(overdue.order_by(Alert.id)).all()
    )


def notify_pending(session: Session, context: ChangeContext, version_id: int, *, monitor_id: int | None = None) -> int:
    """Notify of changes to a version's alerts that an earlier run did not notify of.

    Returns the number of notifications written. `monitor_id`: only alerts of this monitor; None: of all monitors.
    Locks the rules. Rules that another worker has locked are skipped, because that worker notifies.
    """
    if context.public_url is None:
        return 0
    known = func.coalesce(Alert.told_severity, "")
    is_overdue = case((Alert.state == AlertState.FIRING, known != Alert.severity), else_=known != "")
    rules = select(AlertRule).where(
        AlertRule.is_active,
        true() if monitor_id is None else AlertRule.monitor_id == monitor_id,
        AlertRule.id.in_(select(Alert.rule_id).where(Alert.version_id == version_id, is_overdue)),
    )
    written = 0
    # A rule that is locked is being judged, and who judges it also notifies.
    for rule in session.scalars(rules.order_by(AlertRule.id).with_for_update(skip_locked=True)).all():
        overdue = select(Alert).where(
            Alert.rule_id == rule.id, Alert.version_id == version_id, Alert.state != AlertState.RESOLVED, is_overdue
        )
        with rule_failures.isolated(session, rule):
            judged_until = _newest_value_end(session, rule, version_id)
            open_alerts = session.scalars(overdue.order_by(Alert.id)).all()
            written += sum(
                notify_change(session, context, alert, rule, judged_until, is_reopened=False) for alert in open_alerts
            ) + notify_overdue_endings(session, context, rule, version_id)
    return written


def _newest_value_end(session: Session, rule: AlertRule, version_id: int) -> datetime | None:
    """Return the end of the newest window that has a value."""
    return session.scalar(
        select(Result.window_end)
        .where(Result.monitor_id == rule.monitor_id, Result.version_id == version_id, Result.state == ResultState.OK)
        .order_by(Result.window_end.desc())
        .limit(1)
    )


def write_notifications(session: Session, context: ChangeContext, alert: Alert, kind: AlertChangeKind) -> int:
    """Write notifications of a kind, unless the context has no public URL; return how many."""
    if context.public_url is None:
        return 0
    alert.told_severity = alert.severity if alert.state == AlertState.FIRING else None
    session.flush()
    renderer = AlertRenderer(context.org, context.public_url, alert_payload.describe)
    return notification_writer.write(session, renderer, alert, NotificationKind(kind))
