"""Make stored alerts match the state machine of their rule, and notify of the difference.

The state machine is replayed over the stored results (alerting.replay). Each span of violated windows that it finds is
one alert; what differs from the stored alert is written, recorded in its history, and notified. All rules of a window
are read, compared and written together, so that the number of statements does not grow with the number of rules.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from dcmon.alerting import drivers, notify_policy, replay, stored_alerts, window_series
from dcmon.alerting.alert_changes import AlertChanges
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rule_failures import RuleFailure
from dcmon.alerting.rule_sync import RuleSync, SyncInputs
from dcmon.alerting.stored_alerts import JudgeRequest, StoredAlerts
from dcmon.db import bulk
from dcmon.db.tables.org import Alert, AlertRule
from dcmon.states import AlertState, ResolvedBy


class SyncedRules(NamedTuple):
    """Rules with the changes to their alerts, which are not written yet.

    `has_pending`: True if receivers may have to be notified of other alerts of these versions.
    """

    syncs: Sequence[RuleSync]
    has_pending: bool

    @property
    def failures(self) -> list[RuleFailure]:
        """The rules that failed, each with its first error."""
        first = {sync.request.rule.id: sync for sync in reversed(self.syncs) if sync.error is not None}
        return [
            RuleFailure(rule_id, sync.request.context.result, sync.error)
            for rule_id, sync in sorted(first.items())
            if sync.error is not None
        ]

    def changes_of(self, rule: AlertRule) -> AlertChanges:
        """Return the changes of one rule on all versions."""
        changes = AlertChanges()
        for sync in self.syncs:
            if sync.request.rule is rule:
                changes.add(sync.changes)
        return changes

    @property
    def changes(self) -> AlertChanges:
        """The changes of all rules that did not fail, in the order of the requests."""
        changes = AlertChanges()
        for sync in self.syncs:
            if sync.error is None:
                changes.add(sync.changes)
        return changes


def sync_alerts(session: Session, requests: Sequence[JudgeRequest]) -> int:
    """Update the alerts of rules after changes in their windows.

    Returns the number of notifications written. The caller holds the locks of the rules' rows. The contexts differ only
    in what they say of results and alerts. Raises the error of the first rule that fails.
    """
    if not requests:
        return 0
    synced = compare(session, requests)
    for sync in synced.syncs:
        if sync.error is not None:
            raise sync.error
    return synced.changes.write(session, requests[0].context)


def compare(session: Session, requests: Sequence[JudgeRequest]) -> SyncedRules:
    """Replay rules and compare the spans of violated windows with the stored alerts; alerts are not written.

    A rule that fails has an error, and does not affect the others.
    """
    read = stored_alerts.read(session, requests)
    syncs = [RuleSync(session, request, stored) for request, stored in zip(requests, read.by_request, strict=True)]
    _replay(session, syncs)
    inputs = _read_inputs(session, syncs)
    for sync in _sound(syncs):
        with sync.guarded():
            sync.apply(inputs)
    _set_start_times(session, _sound(syncs))
    return SyncedRules(syncs, read.has_pending)


def _sound(syncs: Sequence[RuleSync]) -> list[RuleSync]:
    """Return the rules that have not failed."""
    return [sync for sync in syncs if sync.error is None]


def _replay(session: Session, syncs: Sequence[RuleSync]) -> None:
    """Replay all rules. Rules whose state depends on windows further back are read once more, together."""
    for sync in syncs:
        with sync.guarded():
            sync.prepare()
            if (known := sync.known_series) is not None:
                sync.run(known)
    while waiting := [sync for sync in _sound(syncs) if sync.replay.machine is None]:
        all_series = window_series.read(session, [sync.replay.series_request for sync in waiting])
        for sync, series in zip(waiting, all_series, strict=True):
            with sync.guarded():
                sync.run(series)


def _set_start_times(session: Session, syncs: Sequence[RuleSync]) -> None:
    """Store the first window that each rule judged."""
    starting = list[AlertRule]()
    for sync in syncs:
        if sync.request.rule.start_time is None:
            sync.request.rule.start_time = sync.request.window_end
            starting.append(sync.request.rule)
    bulk.update(session, starting)


def _read_inputs(session: Session, syncs: Sequence[RuleSync]) -> SyncInputs:
    """Read what the changes need besides spans and stored alerts, for all rules together."""
    sound = _sound(syncs)
    explained = [(sync, span) for sync in sound for span in sync.spans_to_explain()]
    without_ok = [(sync.ok_window_request(span), span) for sync, span in explained if span.ok_window_before is None]
    ok_windows = replay.last_ok_windows(session, [request for request, _ in without_ok])
    for request, span in without_ok:
        span.ok_window_before = ok_windows[request]
    times = [
        drivers.time_without_entries(sync.request.version_id, window)
        for sync, span in explained
        for window in drivers.compared_windows(span)
    ]
    return SyncInputs(
        _retracted_alerts(session, [sync for sync in sound if sync.has_new_span]),
        drivers.drifting_features_in(session, [time for time in times if time is not None]),
        notify_policy.newest_due_ends(session, {sync.request.version_id for sync in sound if sync.may_fire}),
    )


def _retracted_alerts(session: Session, syncs: Sequence[RuleSync]) -> dict[tuple[int, int], list[Alert]]:
    """Return the retracted alerts whose windows the new spans of these rules may have, by rule and version."""
    retracted: dict[tuple[int, int], list[Alert]] = {sync.key: [] for sync in syncs}
    if not retracted:
        return {}
    spans = [span for sync in syncs for span in sync.spans]
    alerts = session.scalars(
        select(Alert)
        .where(
            tuple_(Alert.rule_id, Alert.version_id).in_(retracted), Alert.resolved_by == ResolvedBy.REVISION,
            Alert.first_window_end <= max(span.last.window_end for span in spans),
            Alert.last_window_end >= min(span.first.window_end for span in spans),
        )
        .order_by(Alert.id)
    )  # fmt: skip
    for alert in alerts:
        retracted[alert.rule_id, alert.version_id].append(alert)
    return retracted


def end_open_alerts(session: Session, context: ChangeContext, rule: AlertRule) -> int:
    """End all open alerts of a rule; `context` has the reason. Returns the number of notifications written."""
    rows = session.execute(
        select(Alert, stored_alerts.was_notified(), func.now())
        .where(Alert.rule_id == rule.id, Alert.state != AlertState.RESOLVED)
        .order_by(Alert.id)
    ).all()
    changes = AlertChanges()
    for alert, was_notified, now in rows:
        stored = StoredAlerts("", now, notified_ids={alert.id} if was_notified else set())
        request = JudgeRequest(rule, alert.version_id, alert.last_window_end, context)
        sync = RuleSync(session, request, stored)
        sync.end(alert)
        changes.add(sync.changes)
    return changes.write(session, context)
