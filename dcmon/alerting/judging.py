"""Judge results by the alert rules, and bring the stored alerts up to date.

One alert covers one span of violated windows of a version under a rule. Violated windows after an alert that an
operator resolved open the next alert. alerting.alert_sync writes only what differs.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import Integer, Select, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from dcmon.alerting import alert_sync, replay, rule_failures, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.alerting.rule_failures import RuleChanges
from dcmon.alerting.stored_alerts import JudgeRequest
from dcmon.db import Organization, bulk
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
    rules_of_monitors = session.scalars(_rules_statement(), {"monitor_ids": list(by_monitor)})
    requests = [
        JudgeRequest(rule, result.version_id, result.window_end, replace(context, result=result))
        for rule in rules_of_monitors.all()
        for result in (by_monitor[rule.monitor_id],)
    ]
    if not requests:
        return JudgedResults(0)
    synced = alert_sync.compare(session, requests)
    rule_failures.record(session, synced.failures)
    requests_by_rule = {request.rule.id: request for request in requests}
    changes = [
        RuleChanges(sync.request.rule, sync.changes, sync.request.context.result)
        for sync in synced.syncs
        if sync.error is None
    ]
    may_have_pending = synced.has_pending or any(rule_changes.changes.leaves_pending for rule_changes in changes)
    written = rule_failures.write_isolated(
        session, context, changes,
        lambda failed: alert_sync.sync_alerts(session, [requests_by_rule[failed.rule.id]]),
    )  # fmt: skip
    return JudgedResults(written.notifications, may_have_pending)


@cache
def _rules_statement() -> Select[AlertRule]:
    """Return the statement that locks the active rules of monitors; it is built once."""
    return (
        select(AlertRule)
        .where(AlertRule.monitor_id == any_(bindparam("monitor_ids", type_=ARRAY(Integer))), AlertRule.is_active)
        .order_by(AlertRule.monitor_id, AlertRule.id)
        .with_for_update()
    )


def rejudge_rule(session: Session, rule: AlertRule, context: ChangeContext) -> int:
    """Judge all stored results by a new or changed rule.

    Returns the number of notifications written. Alerts that were resolved before the change stay as they are, and the
    windows up to their end are not judged again. Locks the rule's row.
    """
    context = replace(context, resolved_by=ResolvedBy.RULE)
    rules.lock(session, rule.id)
    rule_failures.clear(session, rule)
    if not rule.is_active:
        return alert_sync.end_open_alerts(session, context, rule)
    rejudged = _start_rejudging(session, [rule], context)
    written = alert_sync.sync_alerts(session, [version.request for version in rejudged])
    _restore_ended(session, rejudged)
    return written


def rejudge_rules(session: Session, dependent_rules: Sequence[AlertRule], context: ChangeContext) -> int:
    """Judge all stored results by rules that compare with a new baseline, as `rejudge_rule` does.

    The number of statements does not depend on the number of rules. A failure of a rule does not affect the others.
    Locks the rules' rows.
    """
    if not dependent_rules:
        return 0
    locked = rules.lock_all(session, [rule.id for rule in dependent_rules])
    active = [rule for rule in locked if rule.is_active]
    rejudged = _start_rejudging(session, active, replace(context, resolved_by=ResolvedBy.RULE))
    if not rejudged:
        return 0
    synced = alert_sync.compare(session, [version.request for version in rejudged])
    rule_failures.record(session, synced.failures)
    failed_ids = {failure.rule_id for failure in synced.failures}
    changes = [RuleChanges(rule, synced.changes_of(rule)) for rule in active if rule.id not in failed_ids]
    written = rule_failures.write_isolated(
        session, context, changes,
        lambda failed: alert_sync.sync_alerts(
            session, [version.request for version in rejudged if version.request.rule is failed.rule]
        ),
    )  # fmt: skip
    failed_ids |= set(written.failed_rule_ids)
    rule_failures.clear_all(session, [rule for rule in active if rule.id not in failed_ids])
    _restore_ended(session, rejudged)
    return written.notifications


class _RejudgedVersion(NamedTuple):
    """A version that is judged again by a rule.

    `ended_by`, `ended_revision`: how the alert of the request's context had ended, and by which revision of the rule.
    """

    request: JudgeRequest
    ended_by: str | None = None
    ended_revision: int = 0


def _start_rejudging(session: Session, active: Sequence[AlertRule], context: ChangeContext) -> list[_RejudgedVersion]:
    """Prepare to judge all versions again by new or changed rules.

    When an earlier change of the rule ended the alert on the newest window, the windows of that alert are judged again
    too. So the alert fires again when a mistaken change is undone, or when its newest window violates the new rule.
    """
    by_monitor = _first_window_ends(session, {rule.monitor_id for rule in active})
    versions = [(rule, version_id, end) for rule in active for version_id, end in by_monitor.get(rule.monitor_id, ())]
    ended_alerts = replay.ended_by_change(session, [(rule, version_id) for rule, version_id, _ in versions])
    rejudged = []
    for rule, version_id, end in versions:
        ended = ended_alerts.get((rule.id, version_id))
        request = JudgeRequest(rule, version_id, end, replace(context, ended_alert=ended))
        if ended is None:
            rejudged.append(_RejudgedVersion(request))
            continue
        rejudged.append(_RejudgedVersion(request, ended.resolved_by, ended.rule_revision))
        ended.resolved_by, ended.rule_revision = ResolvedBy.RECOVERY, rule.revision
    bulk.update(session, list(ended_alerts.values()))
    return rejudged


def _first_window_ends(session: Session, monitor_ids: Collection[int]) -> dict[int, list[tuple[int, datetime]]]:
    """Return the end of the first window with a result of each version, by monitor, in order of versions."""
    rows = session.execute(
        select(Result.monitor_id, Result.version_id, func.min(Result.window_end))
        .where(Result.monitor_id.in_(monitor_ids))
        .group_by(Result.monitor_id, Result.version_id)
        .order_by(Result.monitor_id, Result.version_id)
    )
    by_monitor = defaultdict[int, list[tuple[int, datetime]]](list)
    for monitor_id, version_id, end in rows:
        by_monitor[monitor_id].append((version_id, end))
    return by_monitor


def _restore_ended(session: Session, rejudged: Sequence[_RejudgedVersion]) -> None:
    """Let alerts that did not fire again be ended as before."""
    restored = list[Alert]()
    for request, ended_by, ended_revision in rejudged:
        ended = request.context.ended_alert
        if ended is not None and _is_recovered(ended):
            ended.resolved_by, ended.rule_revision = ended_by, ended_revision
            restored.append(ended)
    bulk.update(session, restored)


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
