"""Changes of alerts that are collected first, and then written together: those of all rules of a window."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from dcmon.alerting import alert_payload, alert_views
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.state_machine import WindowResult, value_in
from dcmon.db import bulk
from dcmon.db.bulk_changes import TableChanges
from dcmon.db.tables.org import Alert, AlertChange
from dcmon.notifications import notification_writer
from dcmon.notifications.notification_writer import AlertUpdate
from dcmon.states import AlertChangeKind, AlertState, NotificationKind

ALERT_COLUMNS = tuple(column.key for column in Alert.__table__.columns)


class _HistoryLine(NamedTuple):
    alert: Alert
    columns: Mapping[str, Any]


class _Notification(NamedTuple):
    """A notification to write. `as_then`: a copy of the alert as it was when the notification was decided."""

    alert: Alert
    as_then: Alert
    kind: NotificationKind


@dataclass
class AlertChanges:
    """Changes of alerts in the order in which they happened; nothing is in the database yet."""

    saved: list[Alert] = field(default_factory=list)
    deleted: list[Alert] = field(default_factory=list)
    lines: list[_HistoryLine] = field(default_factory=list)
    notifications: list[_Notification] = field(default_factory=list)

    def __bool__(self) -> bool:
        is_saved = any(alert.id is None or bulk.changed_attributes(alert) for alert in self.saved)
        return bool(is_saved or self.deleted or self.lines or self.notifications)

    @property
    def leaves_pending(self) -> bool:
        """True if one of the changed alerts will differ from what receivers were last notified of."""
        return any(_is_overdue(alert) for alert in self.saved if alert not in self.deleted)

    @property
    def stored_alerts(self) -> list[Alert]:
        """The changed alerts that have a row."""
        return [alert for alert in self.saved if alert.id is not None]

    def save(self, alert: Alert) -> None:
        """Remember to insert or update an alert."""
        if alert not in self.saved:
            self.saved.append(alert)

    def delete(self, alert: Alert) -> None:
        """Remember to delete a stored alert."""
        self.deleted.append(alert)

    def record(
        self,
        alert: Alert,
        kind: AlertChangeKind,
        context: ChangeContext,
        window_end: datetime | None,
        window: WindowResult | None = None,
    ) -> None:
        """Add a line to the alert's history; `history_line` describes it."""
        self.lines.append(_HistoryLine(alert, history_line(alert, kind, context, window_end, window)))

    def notify(self, alert: Alert, kind: AlertChangeKind) -> None:
        """Remember to notify receivers of the alert as it is now."""
        alert.told_severity = alert.severity if alert.state == AlertState.FIRING else None
        as_then = Alert(**{name: getattr(alert, name) for name in ALERT_COLUMNS})
        self.notifications.append(_Notification(alert, as_then, NotificationKind(kind)))
        self.save(alert)

    def add(self, later: "AlertChanges") -> None:
        """Append changes that happened later."""
        self.saved += later.saved
        self.deleted += later.deleted
        self.lines += later.lines
        self.notifications += later.notifications

    def write(self, session: Session, context: ChangeContext) -> int:
        """Write the changes in a fixed number of statements; return the number of notifications."""
        TableChanges(
            Alert, AlertChange, "alert_id",
            stored=self.stored_alerts,
            new=[alert for alert in self.saved if alert.id is None],
            deleted=[alert.id for alert in self.deleted],
            lines=[(line.alert, line.columns) for line in self.lines],
        ).write(session)  # fmt: skip
        written = self._write_notifications(session, context)
        for alert in self.deleted:
            session.expunge(alert)
        return written

    def _write_notifications(self, session: Session, context: ChangeContext) -> int:
        if not self.notifications or context.public_url is None:
            return 0
        for alert, as_then, _ in self.notifications:
            as_then.id = alert.id
        copies = [notification.as_then for notification in self.notifications]
        views = alert_views.lock_views_of(session, copies, notification_writer.write_lock(context.org))
        updates = [
            AlertUpdate(view.alert, view.model.id, notification.kind)
            for view, notification in zip(views, self.notifications, strict=True)
        ]
        by_alert = {id(view.alert): view for view in views}
        public_url = context.public_url
        new_lines = [AlertChange(alert_id=line.alert.id, **line.columns) for line in self.lines]

        def payloads(chosen: Iterable[AlertUpdate]) -> list[dict[str, Any]]:
            described = [(by_alert[id(update.alert)], update.kind) for update in chosen]
            return alert_payload.describe_all(session, context.org, described, public_url, new_lines)

        return notification_writer.write_all(session, context.org, updates, payloads)


def _is_overdue(alert: Alert) -> bool:
    """Return True if an alert differs from what receivers were last notified of, as stored_alerts.is_overdue does."""
    if alert.state == AlertState.FIRING:
        return alert.told_severity != alert.severity
    return bool(alert.told_severity)


def history_line(
    alert: Alert,
    kind: AlertChangeKind,
    context: ChangeContext,
    window_end: datetime | None,
    window: WindowResult | None = None,
) -> dict[str, Any]:
    """Return the columns of a line of the alert's history, without the alert's id.

    `window`: the line has the value in this window; None: the line has the alert's value now.
    """
    return {
        "kind": kind,
        "by": context.by,
        "window_end": window_end,
        "result_revision": None if context.result is None else context.result.revision,
        "severity": alert.severity,
        "value": alert.current_value if window is None else value_in(window, alert.metric),
        "note": context.note,
    }
