"""Judge results by the alert rules, and bring the stored alerts up to date.

One alert covers one span of violated windows of a version under a rule. Violated windows after an alert that an
operator resolved open the next alert. alerting.alert_sync writes only what differs.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon.alerting import alert_sync, replay, rule_failures, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rule_failures import RuleChanges, RuleFailure
from dcmon.alerting.stored_alerts import JudgeRequest
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertRule, Result
from dcmon.states import AlertState, ResolvedBy


class JudgedResults(NamedTuple):
    """How many notifications judging has written.

    `may_have_pending`: False if no alert of the results' versions is left of which receivers must be notified.
    """

    notifications: int
    may_have_pending: bool = True


def judge_result(session: Session, result: Result, context: ChangeContext) -> int:
    """Judge one new result, as `judge_results` does; return the number of notifications written."""
    return judge_results(session, [result], context).notifications


def judge_results(session: Session, results: Sequence[Result], context: ChangeContext) -> JudgedResults:
    """Judge new results, of different monitors, by every active rule of their monitors.

    `context`: without a result. The number of statements does not depend on the number of results and rules. A failure
    of a rule affects neither other rules nor the stored results.
    Locks each rule's row until the end of the transaction, so that results of several workers are judged one by one.
    """
    by_monitor = {result.monitor_id: result for result in results}
    # Locked in the order of ids, so that two workers with results of the same monitors do not deadlock.
    rules_of_monitors = session.scalars(
        select(AlertRule)
        .where(AlertRule.monitor_id.in_(by_monitor), AlertRule.is_active)
        .order_by(AlertRule.monitor_id, AlertRule.id)
        .with_for_update()
    )
    requests = [
        JudgeRequest(rule, result.version_id, result.window_end, replace(context, result=result))
        for rule in rules_of_monitors.all()
        for result in (by_monitor[rule.monitor_id],)
    ]
    if not requests:
        return JudgedResults(0)
    synced = alert_sync.compare(session, requests)
    rule_failures.record(
        session,
        [
            RuleFailure(sync.request.rule.id, sync.request.context.result, sync.error)
            for sync in synced.syncs
            if sync.error is not None
        ],
    )
    requests_by_rule = {request.rule.id: request for request in requests}
    changes = [
        RuleChanges(sync.request.rule, sync.changes, sync.request.context.result)
        for sync in synced.syncs
        if sync.error is None
    ]
    written = rule_failures.write_isolated(
        session, context, changes,
        lambda failed: alert_sync.sync_alerts(session, [requests_by_rule[failed.rule.id]]),
    )  # fmt: skip
    return JudgedResults(written, synced.has_pending or any(rule_changes.changes for rule_changes in changes))


def rejudge_rule(session: Session, rule: AlertRule, context: ChangeContext) -> int:
    """Judge all stored results by a new or changed rule.

    Returns the number of notifications written. Alerts that were resolved before the change stay as they are, and the
    windows up to their end are not judged again. Locks the rule's row.
    """
    rules.lock(session, rule.id)
    rule_failures.clear(session, rule)
    context = replace(context, resolved_by=ResolvedBy.RULE)
    if not rule.is_active:
        return alert_sync.end_open_alerts(session, context, rule)
    first_ends = session.execute(
        select(Result.version_id, func.min(Result.window_end))
        .where(Result.monitor_id == rule.monitor_id)
        .group_by(Result.version_id)
    )
    return sum(_rejudge_version(session, context, rule, version_id, end) for version_id, end in first_ends.all())


def _rejudge_version(
    session: Session, context: ChangeContext, rule: AlertRule, version_id: int, first_window_end: datetime
) -> int:
    """Judge a version's windows by a new or changed rule.

    When an earlier change of the rule ended the alert on the newest window, the windows of that alert are judged again
    too. So the alert fires again when a mistaken change is undone, or when its newest window violates the new rule.
    """
    ended = replay.ended_by_change(session, rule, version_id)
    previous = None if ended is None else (ended.resolved_by, ended.rule_revision)
    if ended is not None:
        ended.resolved_by, ended.rule_revision = ResolvedBy.RECOVERY, rule.revision
        session.flush()
    request = JudgeRequest(rule, version_id, first_window_end, replace(context, ended_alert=ended))
    written = alert_sync.sync_alerts(session, [request])
    if ended is not None and previous is not None and _is_recovered(ended):  # it did not fire again
        ended.resolved_by, ended.rule_revision = previous
    return written


def _is_recovered(alert: Alert) -> bool:
    return alert.state == AlertState.RESOLVED and alert.resolved_by == ResolvedBy.RECOVERY


def restart_rule(session: Session, org: Organization, rule: AlertRule, public_url: str | None, note: str) -> int:
    """End the open alerts of a rule after its monitor was changed.

    From then on, only later windows are judged. Returns the number of notifications written. Later results do not
    retract earlier alerts. Locks the rule's row.
    """
    rules.lock(session, rule.id)
    rule.revision, rule.start_time = rule.revision + 1, None
    context = ChangeContext(org, public_url, note=note, resolved_by=ResolvedBy.RULE)
    return alert_sync.end_open_alerts(session, context, rule)
