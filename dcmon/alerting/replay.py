"""Replay a rule's state machine over stored results.

A replay begins at a late window, but at one that gives the same final state as a replay from the first window. Each
span in which a rule is pending or firing is stored as an alert, so a replay may begin at one. Violated windows that
were too few to fire are not stored: for a rule that waits for several windows, the replay begins after the ok window
before them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.alerting import baselines, rules
from dcmon.alerting.rule_conditions import Outcome, Verdict
from dcmon.alerting.state_machine import StateMachine
from dcmon.db.tables.org import Alert, AlertRule, Monitor, Result
from dcmon.states import AlertState, ResolvedBy, ResultState

SPARE_WINDOWS = 8  # read beyond the ones that a rule needs: some have no value


class AffectedAlerts(NamedTuple):
    """The alerts that a result may change.

    `settled_until`: windows up to this end are not judged again; None: all windows are judged.
    """

    alerts: list[Alert]
    settled_until: datetime | None


class _Marks(NamedTuple):
    settled_until: datetime | None
    alert_begin: datetime | None


class _Lead(NamedTuple):
    """Results before the anchor of a replay.

    `first`: the index of the result from which the state machine advances; it only observes the results before.
    """

    results: Sequence[Result]
    first: int


def settled_until(session: Session, rule: AlertRule, version_id: int) -> datetime | None:
    """Return the end of the last window that is not judged again.

    Windows are settled when an operator resolved their alert, or when the rule was changed after it.
    """
    return _marks(session, rule, version_id, datetime.max.replace(tzinfo=UTC)).settled_until


def _marks(session: Session, rule: AlertRule, version_id: int, window_end: datetime) -> _Marks:
    """Return the two window ends where a replay for `window_end` may begin.

    `settled_until`: the end of the settled windows. `alert_begin`: the first window end of the alert that began last
    until `window_end`.
    """
    is_before = and_(_is_changeable(rule), Alert.first_window_end <= window_end)
    row = session.execute(
        select(
            func.max(Alert.last_window_end).filter(_is_settled(rule)),
            func.max(Alert.first_window_end).filter(is_before),
        ).where(Alert.rule_id == rule.id, Alert.version_id == version_id)
    ).one()
    return _Marks(row[0], row[1])


def _is_settled(rule: AlertRule) -> ColumnElement[bool]:
    return or_(
        Alert.resolved_by.in_([ResolvedBy.OPERATOR, ResolvedBy.RULE]),
        and_(Alert.resolved_by == ResolvedBy.RECOVERY, Alert.rule_revision < rule.revision),
    )


def ended_by_change(session: Session, rule: AlertRule, version_id: int) -> Alert | None:
    """Return the alert on the newest window, if a change of the rule ended it.

    The newest window is the newest one with a value. A deactivation of the rule is a change too.
    """
    newest = _newest_results(rule, version_id).where(Result.state == ResultState.OK, Result.n >= rule.min_n)
    last = session.scalars(newest.order_by(Result.window_end.desc(), Result.revision.desc()).limit(1)).first()
    if last is None:
        return None
    is_old_recovery = and_(Alert.resolved_by == ResolvedBy.RECOVERY, _is_settled(rule))
    is_ended_by_change = or_(Alert.resolved_by == ResolvedBy.RULE, is_old_recovery)
    return session.scalars(
        select(Alert)
        .where(
            Alert.rule_id == rule.id, Alert.version_id == version_id, Alert.state == AlertState.RESOLVED,
            is_ended_by_change, Alert.last_window_end >= last.window_end,
        )
        .order_by(Alert.first_window_end.desc())
        .limit(1)
    ).first()  # fmt: skip


def _is_changeable(rule: AlertRule) -> ColumnElement[bool]:
    """Match alerts that later results may change: those that are neither settled nor retracted."""
    is_retracted = func.coalesce(Alert.resolved_by, "") == ResolvedBy.REVISION
    return ~or_(func.coalesce(_is_settled(rule), False), is_retracted)


def affected_alerts(session: Session, rule: AlertRule, version_id: int, window_end: datetime) -> AffectedAlerts:
    """Return the alerts that a result at `window_end` may change.

    These are the last alert that began until then, and later alerts.
    """
    marks = _marks(session, rule, version_id, window_end)
    alerts = session.scalars(
        select(Alert)
        .where(
            Alert.rule_id == rule.id, Alert.version_id == version_id, _is_changeable(rule),
            Alert.first_window_end >= (marks.alert_begin or window_end),
        )
        .order_by(Alert.first_window_end)
    )  # fmt: skip
    settled = marks.settled_until
    return AffectedAlerts([alert for alert in alerts if settled is None or alert.last_window_end > settled], settled)


def replay(
    session: Session, rule: AlertRule, version_id: int, anchor: datetime, settled: datetime | None
) -> StateMachine:
    """Return the rule's state machine after all windows from `anchor` on.

    It also sees as many windows before `anchor` as it needs. Before `anchor` the rule must be inactive or pending.
    Windows until `settled` only give values to compare with.
    """
    machine = new_machine(session, rule, version_id)
    lead = _lead(session, rule, version_id, anchor, settled, machine)
    for result in lead.results[: lead.first]:
        machine.observe(result)
    for result in [*lead.results[lead.first :], *_results_from(session, rule, version_id, anchor)]:
        if settled is None or result.window_end > settled:
            machine.advance(result)
        else:
            machine.observe(result)
    return machine


def new_machine(session: Session, rule: AlertRule, version_id: int) -> StateMachine:
    """Return the state machine of a rule on a version, before its first window."""
    return StateMachine(rules.policy(rule), baselines.for_rule(session, rule, version_id))


def _results_from(session: Session, rule: AlertRule, version_id: int, anchor: datetime) -> Sequence[Result]:
    statement = _newest_results(rule, version_id).where(Result.window_end >= anchor)
    return session.scalars(statement.order_by(Result.window_end, Result.revision.desc())).all()


def _lead(
    session: Session,
    rule: AlertRule,
    version_id: int,
    anchor: datetime,
    settled: datetime | None,
    machine: StateMachine,
) -> _Lead:
    """Read as many windows before the anchor as the state at the anchor depends on."""
    policy = machine.policy
    if policy.condition.lookback == 0 and policy.for_windows == 1:
        return _Lead([], 0)
    limit = policy.condition.lookback + policy.for_windows + SPARE_WINDOWS
    while True:
        results = results_before(session, rule, version_id, anchor, limit)
        is_complete = len(results) < limit
        first = _first_to_advance(results, machine.restarted(), settled, is_complete=is_complete)
        if first is not None or is_complete:
            return _Lead(results, first or 0)
        limit *= 4


def last_ok_window(session: Session, rule: AlertRule, version_id: int, window_end: datetime) -> Result | None:
    """Return the last ok window before a window, among the few newest before it."""
    machine = new_machine(session, rule, version_id)
    limit = machine.policy.condition.lookback + SPARE_WINDOWS
    results = results_before(session, rule, version_id, window_end, limit)
    ok_windows = [result for result in results if machine.observe(result).outcome == Outcome.OK]
    return ok_windows[-1] if ok_windows else None


def results_before(
    session: Session, rule: AlertRule, version_id: int, window_end: datetime, limit: int
) -> Sequence[Result]:
    """Return the newest result of each of the last windows before `window_end`, oldest first."""
    statement = _newest_results(rule, version_id).where(Result.window_end < window_end)
    results = session.scalars(statement.order_by(Result.window_end.desc(), Result.revision.desc()).limit(limit))
    return results.all()[::-1]


def _newest_results(rule: AlertRule, version_id: int) -> Select[Result]:
    is_of_rule = (Result.monitor_id == rule.monitor_id, Result.version_id == version_id)
    return select(Result).join(Monitor).where(*is_of_rule, is_current_revision()).ext(distinct_on(Result.window_end))


def is_current_revision() -> ColumnElement[bool]:
    """Match results of the monitor's current revision.

    Results of earlier revisions have other windows or values, and are not judged.
    """
    return Result.monitor_revision == Monitor.revision


def _first_to_advance(
    results: Sequence[Result], machine: StateMachine, settled: datetime | None, *, is_complete: bool
) -> int | None:
    """Return the index of the window to advance from; None: a window before these."""
    policy = machine.policy
    with_value, verdicts = 0, list[tuple[int, Verdict]]()
    for result in results:
        verdicts.append((with_value, machine.observe(result)))
        with_value += result.state == ResultState.OK and result.n >= policy.min_n
    lookback = policy.condition.lookback
    if policy.for_windows == 1:
        return len(results) if with_value >= lookback or is_complete else None
    for index in range(len(results) - 1, -1, -1):
        values_before, verdict = verdicts[index]
        is_reliable = values_before >= lookback or is_complete  # the verdict is the same as with all earlier windows
        is_settled = settled is not None and results[index].window_end <= settled
        if is_reliable and (verdict.outcome == Outcome.OK or is_settled):
            return index + 1
    return None
