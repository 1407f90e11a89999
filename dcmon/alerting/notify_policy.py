"""Record each change of an alert in its history, and decide whether receivers are notified.

`Alert.told_severity` is the severity that receivers were last notified of. It is compared with the alert as it is now:
so receivers are also notified of changes that were stored earlier without notifying, and of the end of each alert that
they were notified of.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon.alerting import alert_payload
from dcmon.alerting.alert_changes import history_line
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.state_machine import WindowResult
from dcmon.db.tables.org import Alert, AlertChange, DueWindow
from dcmon.notifications import notification_writer
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.severity import Severity
from dcmon.states import AlertChangeKind, AlertState, NotificationKind, ResolvedBy
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
    session.add(AlertChange(alert_id=alert.id, **history_line(alert, kind, context, window_end, window)))
    session.flush()


def notified_kind(alert: Alert, *, is_recent: bool, is_reopened: bool) -> AlertChangeKind | None:
    """Return the kind of the notification if an alert differs from what receivers were last notified of; else None."""
    known = alert.told_severity
    if alert.state != AlertState.FIRING:
        kind = AlertChangeKind.RETRACTED if alert.state == AlertState.PENDING else AlertChangeKind.RESOLVED
        return None if known is None else kind
    if known is None:
        kind = AlertChangeKind.REOPENED if is_reopened else AlertChangeKind.FIRING
        return kind if is_recent else None
    return _severity_change(known, alert.severity) if known != alert.severity else None


def is_recent(
    context: ChangeContext, frequency: str, judged_until: datetime | None, newest_due: datetime | None
) -> bool:
    """Return True if an alert is current.

    An alert is not current when a window that is due now ends much later than the newest judged window.
    `judged_until`, `newest_due`: the ends of these windows. `frequency`: the monitor's.
    """
    if context.recent is None or judged_until is None or newest_due is None:
        return True
    return newest_due <= judged_until + max(context.recent, RECENT_WINDOWS * FREQUENCY_LENGTH[frequency])


def newest_due_ends(session: Session, version_ids: Collection[int]) -> dict[int, datetime]:
    """Return the end of the newest window that is due now and has ended, of each version that has one.

    Windows that contain the newest rows of a live version are due, too, but end only in hours, days or weeks.
    """
    if not version_ids:
        return {}
    # Monitors on the flow of rows count in the time of arrival, which is now, however old the rows are.
    is_due = (DueWindow.due_at <= func.now()) & (DueWindow.window_end <= func.now()) & ~DueWindow.is_flow
    ends = (
        select(DueWindow.version_id, func.max(DueWindow.window_end))
        .where(DueWindow.version_id.in_(version_ids), is_due)
        .group_by(DueWindow.version_id)
    )
    return {row[0]: row[1] for row in session.execute(ends)}


def write_notifications(session: Session, context: ChangeContext, alert: Alert, kind: AlertChangeKind) -> int:
    """Write notifications of a kind, unless the context has no public URL; return how many."""
    if context.public_url is None:
        return 0
    alert.told_severity = alert.severity if alert.state == AlertState.FIRING else None
    session.flush()
    renderer = AlertRenderer(context.org, context.public_url, alert_payload.describe)
    return notification_writer.write(session, renderer, alert, NotificationKind(kind))
