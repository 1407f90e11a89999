"""Judge results by the alert rules, and bring the stored alerts up to date.

One alert covers one span of violated windows of a version under a rule. Violated windows after an alert that an
operator resolved open the next alert. alerting.alert_sync writes only what differs.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon.alerting import alert_sync, replay, rule_failures, rules
from dcmon.alerting.change_context import ChangeContext
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertRule, Result
from dcmon.states import AlertState, ResolvedBy


def judge_result(session: Session, result: Result, context: ChangeContext) -> int:
    """Judge a new result by every active rule of its monitor.

    Returns the number of notifications written. `context`: without the result.
    Locks each rule's row until the end of the transaction, so that results of several workers are judged one by one.
    """
    # Locked in the order of ids, so that two workers with results of the same monitor do not deadlock.
    rules_of_monitor = session.scalars(
        select(AlertRule)
        .where(AlertRule.monitor_id == result.monitor_id, AlertRule.is_active)
        .order_by(AlertRule.id)
        .with_for_update()
    )
    context = replace(context, result=result)
    return sum(_judge_isolated(session, context, rule, result) for rule in rules_of_monitor.all())


def _judge_isolated(session: Session, context: ChangeContext, rule: AlertRule, result: Result) -> int:
    """Judge by one rule; its failure affects neither other rules nor the stored result."""
    with rule_failures.isolated(session, rule, result):
        return alert_sync.sync_alerts(session, context, rule, result.version_id, result.window_end)
    return 0


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
    written = alert_sync.sync_alerts(session, replace(context, ended_alert=ended), rule, version_id, first_window_end)
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
