"""From where a rule's results are folded again, so that the end is the same as from the very beginning.

Every span that is not inactive is kept as an alert, so a fold may begin with one. Bad windows that were not enough to
fire are not kept: where a rule waits for several, it begins after the good window before them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.alerting import baselines, rules
from dcmon.alerting.rule_conditions import Verdict
from dcmon.alerting.state_machine import Machine
from dcmon.db.tables.org import Alert, AlertRule, Monitor, Result
from dcmon.states import AlertState, ResolvedBy, ResultState

ROOM = 8


def settled(session: Session, rule: AlertRule, version_id: int) -> datetime | None:
    """The end of the last window that is not judged again: an operator said it is over, or the rule was another."""
    return _marks(session, rule, version_id, datetime.max.replace(tzinfo=UTC))[0]


def _marks(session: Session, rule: AlertRule, version_id: int, at: datetime) -> tuple[datetime | None, datetime | None]:
    """The end of what is settled, and where the alert before or around `at` begins."""
    is_before = and_(_is_ours(rule), Alert.first_window_end <= at)
    row = session.execute(
        select(
            func.max(Alert.last_window_end).filter(_is_settled(rule)),
            func.max(Alert.first_window_end).filter(is_before),
        ).where(Alert.rule_id == rule.id, Alert.version_id == version_id)
    ).one()
    return row[0], row[1]


def _is_settled(rule: AlertRule) -> ColumnElement[bool]:
    return or_(
        Alert.resolved_by.in_([ResolvedBy.OPERATOR, ResolvedBy.RULE]),
        and_(Alert.resolved_by == ResolvedBy.RECOVERY, Alert.rule_revision < rule.revision),
    )


def ended_by_change(session: Session, rule: AlertRule, version_id: int) -> Alert | None:
    """The alert that ended when the rule was another, or inactive, and whose last window is the newest with a value."""
    newest = _newest(rule, version_id).where(Result.state == ResultState.OK, Result.n >= rule.min_n)
    last = session.scalars(newest.order_by(Result.window_end.desc(), Result.revision.desc()).limit(1)).first()
    if last is None:
        return None
    by_change = or_(
        Alert.resolved_by == ResolvedBy.RULE, and_(Alert.resolved_by == ResolvedBy.RECOVERY, _is_settled(rule))
    )
    return session.scalars(
        select(Alert)
        .where(
            Alert.rule_id == rule.id, Alert.version_id == version_id, Alert.state == AlertState.RESOLVED, by_change,
            Alert.last_window_end >= last.window_end,
        )
        .order_by(Alert.first_window_end.desc())
        .limit(1)
    ).first()  # fmt: skip


def _is_ours(rule: AlertRule) -> ColumnElement[bool]:
    """What is settled, or what a revision took back, is over: no later result touches it."""
    is_taken_back = func.coalesce(Alert.resolved_by, "") == ResolvedBy.REVISION
    return ~or_(func.coalesce(_is_settled(rule), False), is_taken_back)


def stored(session: Session, rule: AlertRule, version_id: int, at: datetime) -> tuple[list[Alert], datetime | None]:
    """Alerts that a result at `at` may change, the one before or around it and those after; and what is settled."""
    after, start = _marks(session, rule, version_id, at)
    found = session.scalars(
        select(Alert)
        .where(
            Alert.rule_id == rule.id, Alert.version_id == version_id, _is_ours(rule),
            Alert.first_window_end >= (start or at),
        )
        .order_by(Alert.first_window_end)
    )  # fmt: skip
    return [alert for alert in found if after is None or alert.last_window_end > after], after


def replay(session: Session, rule: AlertRule, version_id: int, anchor: datetime, after: datetime | None) -> Machine:
    """The rule's machine over all windows from `anchor` on, and from before it as far as they matter to it.

    Windows until `after` give values to compare with, and no verdict.
    `anchor`: before it the rule is inactive, or pending.
    """
    machine = machine_of(session, rule, version_id)
    earlier, begins = _earlier(session, rule, version_id, anchor, after, machine)
    for result in earlier[:begins]:
        machine.see(result)
    for result in [*earlier[begins:], *_from(session, rule, version_id, anchor)]:
        if after is None or result.window_end > after:
            machine.step(result)
        else:
            machine.see(result)
    return machine


def machine_of(session: Session, rule: AlertRule, version_id: int) -> Machine:
    """A machine of a rule, at its beginning."""
    return Machine(rules.policy(rule), baselines.of(session, rule, version_id))


def _from(session: Session, rule: AlertRule, version_id: int, anchor: datetime) -> Sequence[Result]:
    statement = _newest(rule, version_id).where(Result.window_end >= anchor)
    return session.scalars(statement.order_by(Result.window_end, Result.revision.desc())).all()


def _earlier(
    session: Session, rule: AlertRule, version_id: int, anchor: datetime, after: datetime | None, machine: Machine
) -> tuple[Sequence[Result], int]:
    """Windows before the anchor, and which of them the machine steps from."""
    policy = machine.policy
    if policy.condition.lookback == 0 and policy.for_windows == 1:
        return [], 0
    take = policy.condition.lookback + policy.for_windows + ROOM
    while True:
        found = before(session, rule, version_id, anchor, take)
        is_all = len(found) < take
        begins = _begins(found, machine.anew(), after, is_all=is_all)
        if begins is not None or is_all:
            return found, begins or 0
        take *= 4


def last_good(session: Session, rule: AlertRule, version_id: int, anchor: datetime) -> Result | None:
    """The last window before a moment that was good, not looking far."""
    machine = machine_of(session, rule, version_id)
    found = before(session, rule, version_id, anchor, machine.policy.condition.lookback + ROOM)
    good = [result for result in found if machine.see(result).is_bad is False]
    return good[-1] if good else None


def before(session: Session, rule: AlertRule, version_id: int, anchor: datetime, most: int) -> Sequence[Result]:
    """The newest results of the last windows before a moment, in order of windows."""
    statement = _newest(rule, version_id).where(Result.window_end < anchor)
    found = session.scalars(statement.order_by(Result.window_end.desc(), Result.revision.desc()).limit(most))
    return found.all()[::-1]


def _newest(rule: AlertRule, version_id: int) -> Select[Result]:
    mine = (Result.monitor_id == rule.monitor_id, Result.version_id == version_id)
    return select(Result).join(Monitor).where(*mine, of_this_revision()).ext(distinct_on(Result.window_end))


def of_this_revision() -> ColumnElement[bool]:
    """What a monitor found before it was changed is of other windows or values: it is not judged with these."""
    return Result.monitor_revision == Monitor.revision


def _begins(found: Sequence[Result], machine: Machine, after: datetime | None, *, is_all: bool) -> int | None:
    """Where to step from; None when it lies further back than these windows reach."""
    policy = machine.policy
    known, verdicts = 0, list[tuple[int, Verdict]]()
    for result in found:
        verdicts.append((known, machine.see(result)))
        known += result.state == ResultState.OK and result.n >= policy.min_n
    lookback = policy.condition.lookback
    if policy.for_windows == 1:
        return len(found) if known >= lookback or is_all else None
    for place in range(len(found) - 1, -1, -1):
        seen, verdict = verdicts[place]
        is_known = seen >= lookback or is_all
        if is_known and (verdict.is_bad is False or (after is not None and found[place].window_end <= after)):
            return place + 1
    return None
