"""Make stored alerts match the state machine of their rule, and notify of the difference.

The state machine is replayed over the stored results (alerting.replay). Each span of violated windows that it finds is
one alert; what differs from the stored alert is written, recorded in its history, and notified.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon.alerting import drivers, replay
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.notify_policy import (
    StoredState,
    change_kinds,
    closing_kind,
    notify_change,
    notify_overdue_endings,
    record_change,
    was_notified,
    write_notifications,
)
from dcmon.alerting.state_machine import ViolationSpan, WindowResult, value_in
from dcmon.db.tables.org import Alert, AlertChange, AlertRule
from dcmon.states import AlertChangeKind, AlertState, ResolvedBy


def sync_alerts(
    session: Session, context: ChangeContext, rule: AlertRule, version_id: int, window_end: datetime
) -> int:
    """Update a version's alerts after a change in the window that ends at `window_end`.

    Returns the number of notifications written. The caller holds the rule's row lock.
    """
    if rule.start_time is None:
        rule.start_time = window_end
    affected = replay.affected_alerts(session, rule, version_id, window_end)
    anchor = min([window_end, *(alert.first_window_end for alert in affected.alerts)])
    spans = replay.replay(session, rule, version_id, anchor, affected.settled_until).spans
    matches = [(alert, _matching_span(alert, spans)) for alert in affected.alerts]
    written = 0
    for index, span in enumerate(spans):
        alerts_of_span = [alert for alert, match in matches if match == index]
        if len(alerts_of_span) > 1:  # the alert that receivers were notified of stays; the others are merged
            alerts_of_span.sort(key=lambda alert: not was_notified(session, alert))
        written += _apply_span(session, context, rule, version_id, alerts_of_span, span)
    unmatched = [alert for alert, match in matches if match is None and alert is not context.ended_alert]
    written += sum(_end(session, context, alert) for alert in unmatched)
    return written + notify_overdue_endings(session, context, rule, version_id)


def end_open_alerts(session: Session, context: ChangeContext, rule: AlertRule) -> int:
    """End all open alerts of a rule; `context` has the reason. Returns the number of notifications written."""
    open_alerts = session.scalars(select(Alert).where(Alert.rule_id == rule.id, Alert.state != AlertState.RESOLVED))
    return sum(_end(session, context, alert) for alert in open_alerts.all())


def _matching_span(alert: Alert, spans: Sequence[ViolationSpan]) -> int | None:
    """Return the index of the span that an alert covers.

    None: the alert's windows are no longer violated. Late windows may split an alert's windows into several spans. An
    open alert then stays with the open span, so that receivers are not notified that it ended and that another alert
    fires.
    """
    indexes = [index for index, span in enumerate(spans) if _overlaps(alert, span)]
    if not indexes:
        return None
    return indexes[-1] if alert.state != AlertState.RESOLVED and spans[indexes[-1]].is_open else indexes[0]


def _overlaps(alert: Alert, span: ViolationSpan) -> bool:
    return alert.first_window_end <= span.last.window_end and span.first.window_end <= alert.last_window_end


def _apply_span(
    session: Session,
    context: ChangeContext,
    rule: AlertRule,
    version_id: int,
    alerts: Sequence[Alert],
    span: ViolationSpan,
) -> int:
    """Make one stored alert match a span, and merge the others into it.

    Returns the number of notifications written.
    """
    alert, merged = (alerts[0], alerts[1:]) if alerts else (_new_alert(session, rule, version_id, span), [])
    before = StoredState.of_alert(alert)
    worst_before = (alert.worst_window_end, alert.worst_value) if alert.id is not None else None
    _copy_span(alert, span, rule)
    if worst_before != (alert.worst_window_end, alert.worst_value):
        span.ok_window_before = span.ok_window_before or replay.last_ok_window(
            session, rule, version_id, span.first.window_end
        )
        alert.drivers, alert.details = drivers.explain(session, version_id, span)
    edge_values = {"first_value": span.value_in(span.first), "last_value": span.value_in(span.last)}
    alert.details = {**(alert.details or {}), **edge_values}
    _set_state(alert, span)
    session.add(alert)
    session.flush()
    kinds = change_kinds(before, alert)
    _record_changes(session, context, alert, kinds, span)
    is_reopened = AlertChangeKind.REOPENED in kinds
    written = notify_change(session, context, alert, rule, span.judged_until, is_reopened=is_reopened)
    return written + sum(_merge(session, context, merged_alert, alert) for merged_alert in merged)


def _new_alert(session: Session, rule: AlertRule, version_id: int, span: ViolationSpan) -> Alert:
    """Return the retracted alert of a span's windows, or a new alert."""
    retracted = session.scalar(
        select(Alert)
        .where(
            Alert.rule_id == rule.id, Alert.version_id == version_id, Alert.resolved_by == ResolvedBy.REVISION,
            Alert.first_window_end <= span.last.window_end, Alert.last_window_end >= span.first.window_end,
        )
        .order_by(Alert.id)
        .limit(1)
    )  # fmt: skip
    if retracted is not None:
        return retracted
    return Alert(rule_id=rule.id, version_id=version_id, opened_at=func.now(), severity=span.severity)


def _copy_span(alert: Alert, span: ViolationSpan, rule: AlertRule) -> None:
    alert.rule_revision, alert.severity = rule.revision, span.severity
    alert.first_window_start, alert.first_window_end = span.first.window_start, span.first.window_end
    alert.last_window_end, alert.windows, alert.n = span.last.window_end, span.windows, span.last.n
    alert.fired_window_end = None if span.fired is None else span.fired.window_end
    alert.metric, alert.worst_value = span.metric, span.worst_value
    alert.worst_window_end, alert.current_value = span.worst.window_end, span.current_value


def _set_state(alert: Alert, span: ViolationSpan) -> None:
    before, alert.state = alert.state, span.state
    if alert.state != AlertState.RESOLVED:
        alert.resolved_at = alert.resolved_by = None
    elif before != AlertState.RESOLVED or alert.resolved_by == ResolvedBy.REVISION:
        alert.resolved_at, alert.resolved_by = func.now(), ResolvedBy.RECOVERY
    if before == AlertState.RESOLVED and alert.state == AlertState.FIRING:  # it is reopened
        alert.acknowledged_at = alert.acknowledged_by = alert.acknowledgement = None


def _record_changes(
    session: Session, context: ChangeContext, alert: Alert, kinds: Sequence[AlertChangeKind], span: ViolationSpan
) -> None:
    """Write the lines of history of a change.

    Without a change, write that a revised result confirmed the alert.
    """
    for kind in kinds or _confirmation(session, context, alert):
        window = _recorded_window(kind, span, context)
        window_end = span.judged_until if window is None else window.window_end
        if kind == AlertChangeKind.RESOLVED:
            window_end = span.closed_at
        record_change(session, alert, kind, context, window_end, window)


def _recorded_window(kind: AlertChangeKind, span: ViolationSpan, context: ChangeContext) -> WindowResult | None:
    """Return the window that a line of history is about; None: the newest one."""
    return {AlertChangeKind.FIRING: span.fired, AlertChangeKind.CONFIRMED: context.result}.get(kind)


def _confirmation(session: Session, context: ChangeContext, alert: Alert) -> list[AlertChangeKind]:
    """Return CONFIRMED once for each revised result of the alert's windows that changes nothing."""
    result = context.result
    if result is None or result.revision == 1 or alert.state == AlertState.PENDING:
        return []
    if not alert.first_window_end <= result.window_end <= alert.last_window_end:
        return []
    recorded = session.scalar(
        select(AlertChange.id).where(
            AlertChange.alert_id == alert.id,
            AlertChange.window_end == result.window_end,
            AlertChange.result_revision == result.revision,
        )
    )
    return [] if recorded else [AlertChangeKind.CONFIRMED]


def _merge(session: Session, context: ChangeContext, alert: Alert, into: Alert) -> int:
    """End an alert whose windows are now part of another alert.

    It is deleted when no receiver was notified of it.
    """
    if not was_notified(session, alert):
        session.delete(alert)
        session.flush()
        return 0
    return _close(session, context, alert, f"it was merged into alert {into.id}")


def _end(session: Session, context: ChangeContext, alert: Alert) -> int:
    """End an alert whose windows are no longer violated.

    A pending alert is deleted when no receiver was notified of it.
    """
    if alert.state == AlertState.PENDING and not was_notified(session, alert):
        session.delete(alert)
        session.flush()
        return 0
    return _close(session, context, alert, context.note)


def _close(session: Session, context: ChangeContext, alert: Alert, note: str | None) -> int:
    """Retract an alert, or end it because its rule changed.

    Returns the number of notifications written: none when receivers were already notified of the end.
    """
    was_resolved, result = alert.state == AlertState.RESOLVED, context.result
    alert.state, alert.resolved_by = AlertState.RESOLVED, context.resolved_by
    if not was_resolved:  # an alert that was resolved before keeps that time
        alert.resolved_at = func.now()
        if result is not None:  # the judged window shows the value that is no longer a violation
            alert.current_value = value_in(result, alert.metric)
    kind = closing_kind(context.resolved_by)
    window_end = None if result is None else result.window_end
    record_change(session, alert, kind, replace(context, note=note), window_end, result)
    return write_notifications(session, context, alert, kind) if alert.told_severity is not None else 0
