"""Compare the spans of violated windows of one rule on one version with its stored alerts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from dcmon.alerting import drivers, notify_policy, rule_failures, rules
from dcmon.alerting.alert_changes import AlertChanges
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.drivers import VersionTime
from dcmon.alerting.notify_policy import StoredState, change_kinds, closing_kind
from dcmon.alerting.replay import OkWindowRequest, Replay
from dcmon.alerting.rule_conditions import ChangeBase
from dcmon.alerting.state_machine import ViolationSpan, WindowResult, value_in
from dcmon.alerting.stored_alerts import JudgeRequest, StoredAlerts
from dcmon.alerting.window_series import Series
from dcmon.db.tables.org import Alert
from dcmon.states import AlertChangeKind, AlertState, ResolvedBy


@dataclass(frozen=True)
class SyncInputs:
    """What the changes of all rules of a window need.

    `retracted`: retracted alerts by rule and version. `drift`: the drifting features of windows without entries.
    `newest_due`: by version, the end of the newest window that is due now.
    """

    retracted: Mapping[tuple[int, int], Sequence[Alert]] = field(default_factory=dict)
    drift: Mapping[VersionTime, Mapping[str, float]] = field(default_factory=dict)
    newest_due: Mapping[int, datetime] = field(default_factory=dict)


class RuleSync:
    """A rule on a version: its replay, and the changes that make its stored alerts match.

    `error`: why the rule failed; then its changes do not count. The methods are called in the order `prepare`, `run`
    until the replay has a state machine, `apply`.
    """

    replay: Replay

    def __init__(self, session: Session, request: JudgeRequest, stored: StoredAlerts) -> None:
        self.request, self.stored = request, stored
        self.key = (request.rule.id, request.version_id)
        self.changes = AlertChanges()
        self.error: Exception | None = None
        self.spans: Sequence[ViolationSpan] = ()
        self._session, self._context = session, request.context
        self._alerts: list[list[Alert]] = []  # by span
        self._unmatched: list[Alert] = []

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep an exception as the rule's error, and forget what it has changed in memory."""
        try:
            yield
        except Exception as error:
            if rule_failures.is_outage(error):
                raise
            self.error = error
            for alert in [*self.stored.affected, *self.stored.unnotified_ends]:
                self._session.expire(alert)

    def prepare(self) -> None:
        """Decide from which window the rule is replayed."""
        rule, version_id, window_end = self.request.rule, self.request.version_id, self.request.window_end
        anchor = min([window_end, *(alert.first_window_end for alert in self.stored.affected)])
        self.replay = Replay(rules.policy(rule), rule.monitor_id, version_id, anchor, self.stored.settled_until)

    @property
    def known_series(self) -> Series | None:
        """The series to replay, if it is only the judged result; None if it must be read.

        That is so for most windows: of a rule that reads no earlier windows, the newest window without an alert.
        """
        result, stored, replay = self._context.result, self.stored, self.replay
        is_only_result = stored.is_newest_window and not stored.affected and not replay.lead
        if not is_only_result or result is None or replay.policy.condition.against == ChangeBase.REFERENCE:
            return None
        is_current = result.monitor_revision == stored.monitor_revision
        return Series([], [result] if is_current else [], {})

    def run(self, series: Series) -> None:
        """Replay a series, and match the spans with the stored alerts."""
        self.replay.run(series)
        if self.replay.machine is None:
            return
        self.spans = self.replay.machine.spans
        matches = [(alert, _matching_span(alert, self.spans)) for alert in self.stored.affected]
        for index in range(len(self.spans)):
            alerts = [alert for alert, match in matches if match == index]
            # The alert that receivers were notified of stays; the others are merged.
            self._alerts.append(sorted(alerts, key=lambda alert: not self._was_notified(alert)))
        self._unmatched = [alert for alert, match in matches if match is None]

    @property
    def has_new_span(self) -> bool:
        """True if a span has no stored alert."""
        return any(not alerts for alerts in self._alerts)

    @property
    def may_fire(self) -> bool:
        """True if receivers may be notified for the first time of an alert that must be recent."""
        is_limited = self._context.public_url is not None and self._context.recent is not None
        return is_limited and any(span.state == AlertState.FIRING for span in self.spans)

    def spans_to_explain(self) -> list[ViolationSpan]:
        """Return the spans whose worst window may differ from that of the stored alert."""
        return [
            span
            for span, alerts in zip(self.spans, self._alerts, strict=True)
            if not alerts or _worst(alerts[0]) != (span.worst.window_end, span.worst_value)
        ]

    def ok_window_request(self, span: ViolationSpan) -> OkWindowRequest:
        """Return the search for the ok window before a span."""
        policy, monitor_id = self.replay.policy, self.request.rule.monitor_id
        return OkWindowRequest(policy, monitor_id, self.request.version_id, span.first.window_end)

    def apply(self, inputs: SyncInputs) -> None:
        """Make the alerts match the spans, end those without a span, and notify of ends that were not notified."""
        for span, alerts in zip(self.spans, self._alerts, strict=True):
            self._apply_span(inputs, alerts, span)
        for alert in self._unmatched:
            if alert is not self._context.ended_alert:
                self.end(alert)
        if self._context.public_url is None:
            return
        known = [*self.stored.affected, *self.stored.unnotified_ends]
        for alert in sorted(known, key=lambda alert: alert.id):
            if alert.state == AlertState.RESOLVED and alert.told_severity and alert not in self.changes.deleted:
                self.changes.notify(alert, closing_kind(alert.resolved_by))

    def _apply_span(self, inputs: SyncInputs, alerts: Sequence[Alert], span: ViolationSpan) -> None:
        """Make one alert match a span, and merge the others into it."""
        alert, merged = (alerts[0], alerts[1:]) if alerts else (self._new_alert(inputs, span), [])
        before = StoredState.of_alert(alert)
        worst_before = _worst(alert) if alert.id is not None else None
        self._copy_span(alert, span)
        if worst_before != _worst(alert):
            explanation = drivers.explain(self.request.version_id, span, inputs.drift)
            alert.drivers, alert.details = explanation.drivers, explanation.details
        alert.details = {**(alert.details or {}), **_edges(span)}
        self._set_state(alert, span)
        self.changes.save(alert)
        kinds = change_kinds(before, alert)
        self._record_changes(alert, kinds, span)
        self._notify_change(inputs, alert, span, is_reopened=AlertChangeKind.REOPENED in kinds)
        for merged_alert in merged:
            self._merge(merged_alert, alert)

    def _new_alert(self, inputs: SyncInputs, span: ViolationSpan) -> Alert:
        """Return the retracted alert of a span's windows, or a new alert."""
        known = [*inputs.retracted.get(self.key, ()), *self.stored.affected, *self.stored.unnotified_ends]
        retracted = [alert for alert in known if alert.resolved_by == ResolvedBy.REVISION and _overlaps(alert, span)]
        if retracted:
            return min(retracted, key=lambda alert: alert.id)
        return Alert(
            rule_id=self.request.rule.id,
            version_id=self.request.version_id,
            opened_at=self.stored.now,
            severity=span.severity,
        )

    def _copy_span(self, alert: Alert, span: ViolationSpan) -> None:
        alert.rule_revision, alert.severity = self.request.rule.revision, span.severity
        alert.first_window_start, alert.first_window_end = span.first.window_start, span.first.window_end
        alert.last_window_end, alert.windows, alert.n = span.last.window_end, span.windows, span.last.n
        alert.fired_window_end = None if span.fired is None else span.fired.window_end
        alert.metric, alert.worst_value = span.metric, span.worst_value
        alert.worst_window_end, alert.current_value = span.worst.window_end, span.current_value

    def _set_state(self, alert: Alert, span: ViolationSpan) -> None:
        before, alert.state = alert.state, span.state
        if alert.state != AlertState.RESOLVED:
            alert.resolved_at = alert.resolved_by = None
        elif before != AlertState.RESOLVED or alert.resolved_by == ResolvedBy.REVISION:
            alert.resolved_at, alert.resolved_by = self.stored.now, ResolvedBy.RECOVERY
        if before == AlertState.RESOLVED and alert.state == AlertState.FIRING:  # it is reopened
            alert.acknowledged_at = alert.acknowledged_by = alert.acknowledgement = None

    def _record_changes(self, alert: Alert, kinds: Sequence[AlertChangeKind], span: ViolationSpan) -> None:
        """Add the lines of history of a change.

        Without a change, add that a revised result confirmed the alert.
        """
        for kind in kinds or self._confirmation(alert):
            window = _recorded_window(kind, span, self._context)
            window_end = span.judged_until if window is None else window.window_end
            if kind == AlertChangeKind.RESOLVED:
                window_end = span.closed_at
            self.changes.record(alert, kind, self._context, window_end, window)

    def _confirmation(self, alert: Alert) -> list[AlertChangeKind]:
        """Return CONFIRMED once for each revised result of the alert's windows that changes nothing."""
        result = self._context.result
        if result is None or result.revision == 1 or alert.state == AlertState.PENDING:
            return []
        if not alert.first_window_end <= result.window_end <= alert.last_window_end:
            return []
        return [] if alert.id in self.stored.confirmed_ids else [AlertChangeKind.CONFIRMED]

    def _notify_change(self, inputs: SyncInputs, alert: Alert, span: ViolationSpan, *, is_reopened: bool) -> None:
        newest_due = inputs.newest_due.get(self.request.version_id)
        is_recent = notify_policy.is_recent(self._context, self.stored.frequency, span.judged_until, newest_due)
        kind = notify_policy.notified_kind(alert, is_recent=is_recent, is_reopened=is_reopened)
        if kind is not None and self._context.public_url is not None:
            self.changes.notify(alert, kind)

    def _was_notified(self, alert: Alert) -> bool:
        return alert.id in self.stored.notified_ids

    def _merge(self, alert: Alert, into: Alert) -> None:
        """End an alert whose windows are now part of another alert.

        It is deleted when no receiver was notified of it.
        """
        if self._was_notified(alert):
            self._close(alert, f"it was merged into alert {into.id}")
        else:
            self.changes.delete(alert)

    def end(self, alert: Alert) -> None:
        """End an alert whose windows are no longer violated.

        A pending alert is deleted when no receiver was notified of it.
        """
        if alert.state == AlertState.PENDING and not self._was_notified(alert):
            self.changes.delete(alert)
        else:
            self._close(alert, self._context.note)

    def _close(self, alert: Alert, note: str | None) -> None:
        """Retract an alert, or end it because its rule changed. Receivers that know of its end are not notified."""
        context, result = self._context, self._context.result
        was_resolved = alert.state == AlertState.RESOLVED
        alert.state, alert.resolved_by = AlertState.RESOLVED, context.resolved_by
        if not was_resolved:  # an alert that was resolved before keeps that time
            alert.resolved_at = self.stored.now
            if result is not None:  # the judged window shows the value that is no longer a violation
                alert.current_value = value_in(result, alert.metric)
        kind = closing_kind(context.resolved_by)
        window_end = None if result is None else result.window_end
        self.changes.save(alert)
        self.changes.record(alert, kind, replace(context, note=note), window_end, result)
        if alert.told_severity is not None and context.public_url is not None:
            self.changes.notify(alert, kind)


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


def _worst(alert: Alert) -> tuple[datetime, float | None]:
    return alert.worst_window_end, alert.worst_value


def _recorded_window(kind: AlertChangeKind, span: ViolationSpan, context: ChangeContext) -> WindowResult | None:
    """Return the window that a line of history is about; None: the newest one."""
    return {AlertChangeKind.FIRING: span.fired, AlertChangeKind.CONFIRMED: context.result}.get(kind)


def _edges(span: ViolationSpan) -> dict[str, Any]:
    """Return what violated the rule in the first and in the last window of a span, and whether the newest one does."""
    first, last = span.first_finding, span.last_finding
    return {
        "first_metric": span.metric if first is None else first.name,
        "first_value": span.value_in(span.first) if first is None else first.value,
        "last_metric": span.metric if last is None else last.name,
        "last_value": span.value_in(span.last) if last is None else last.value,
        "violated_now": span.is_violated_now,
    }
