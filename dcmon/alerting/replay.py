"""Replay a rule's state machine over stored results.

A replay begins at a late window, but at one that gives the same final state as a replay from the first window. Each
span in which a rule is pending or firing is stored as an alert, so a replay may begin at one. Violated windows that
were too few to fire are not stored: for a rule that waits for several windows, the replay begins after the ok window
before them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Integer, Select, and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.alerting import baselines, rules, stored_alerts, window_series
from dcmon.alerting.rule_conditions import ChangeBase, Outcome, Verdict
from dcmon.alerting.state_machine import Policy, StateMachine
from dcmon.alerting.window_series import Series, SeriesRequest, is_current_revision
from dcmon.db import bulk
from dcmon.db.tables.org import Alert, AlertRule, Monitor, Result
from dcmon.states import AlertState, ResolvedBy, ResultState

SPARE_WINDOWS = 8  # read beyond the ones that a rule needs: some have no value


@dataclass
class Replay:
    """A replay of a rule on a version from `anchor` on.

    Before `anchor` the rule must be inactive or pending. Windows until `settled_until` only give values to compare
    with. `lead`: how many windows before the anchor are read. `machine`: the state machine after all windows; None
    until enough windows were read.
    """

    policy: Policy
    monitor_id: int
    version_id: int
    anchor: datetime
    settled_until: datetime | None
    lead: int = field(init=False)
    machine: StateMachine | None = None
    _applied: Policy = field(init=False)

    def __post_init__(self) -> None:
        condition = self.policy.condition
        # Most windows violate nothing. Then no earlier window is read to find out which values are usual.
        self._apply(
            replace(self.policy, condition=replace(condition, usual_over=0)) if condition.usual_over else self.policy
        )

    def _apply(self, policy: Policy) -> None:
        """Judge by this policy, after reading as many windows as it needs."""
        lookback, for_windows = policy.condition.lookback, policy.for_windows
        needs_lead = lookback > 0 or for_windows > 1
        self.lead = lookback + for_windows + SPARE_WINDOWS if needs_lead else 0
        self._applied = policy

    @property
    def series_request(self) -> SeriesRequest:
        """The results to read."""
        return _series_request(self._applied, self.monitor_id, self.version_id, self.anchor, self.lead)

    def run(self, series: Series) -> None:
        """Replay a series; if the state at the anchor depends on windows before it, ask for more of them."""
        first = 0
        if self.lead:
            is_complete = len(series.before) < self.lead
            machine = StateMachine(self._applied, series.reference)
            index = _first_to_advance(series.before, machine, self.settled_until, is_complete=is_complete)
            if index is None and not is_complete:
                self.lead *= 4
                return
            first = index or 0
        machine = self._machine(series, first)
        if self._applied is not self.policy and any(judged.verdict.is_violated for judged in machine.judged):
            self._apply(self.policy)
            return
        self.machine = machine

    def _machine(self, series: Series, first: int) -> StateMachine:
        """Return the machine after the series; it only observes the results before the index `first`."""
        machine = StateMachine(self._applied, series.reference)
        for result in series.before[:first]:
            machine.observe(result)
        for result in [*series.before[first:], *series.following]:
            if self.settled_until is None or result.window_end > self.settled_until:
                machine.advance(result)
            else:
                machine.observe(result)
        return machine


def _series_request(policy: Policy, monitor_id: int, version_id: int, anchor: datetime, lead: int) -> SeriesRequest:
    compares_with_reference = policy.condition.against == ChangeBase.REFERENCE
    return SeriesRequest(monitor_id, version_id, anchor, lead, with_baselines=compares_with_reference)


@dataclass(frozen=True)
class OkWindowRequest:
    """The search for the last ok window before a window, among the few newest before it."""

    policy: Policy
    monitor_id: int
    version_id: int
    window_end: datetime


def last_ok_windows(session: Session, requests: Iterable[OkWindowRequest]) -> dict[OkWindowRequest, Result | None]:
    """Return the last ok window of each request, read in one statement; None where there is none."""
    distinct = list(dict.fromkeys(requests))
    all_series = window_series.read(session, [_ok_window_series(request) for request in distinct])
    return {
        request: _last_ok_window(request.policy, series) for request, series in zip(distinct, all_series, strict=True)
    }


def _ok_window_series(request: OkWindowRequest) -> SeriesRequest:
    lead = request.policy.condition.lookback + SPARE_WINDOWS
    series = _series_request(request.policy, request.monitor_id, request.version_id, request.window_end, lead)
    return replace(series, reads_on=False)


def _last_ok_window(policy: Policy, series: Series) -> Result | None:
    machine = StateMachine(policy, series.reference)
    ok_windows = [result for result in series.before if machine.observe(result).outcome == Outcome.OK]
    return ok_windows[-1] if ok_windows else None


def settled_until(session: Session, rule: AlertRule, version_id: int) -> datetime | None:
    """Return the end of the last window that is not judged again.

    Windows are settled when an operator resolved their alert, or when the rule was changed after it.
    """
    ends = select(func.max(Alert.last_window_end)).where(
        Alert.rule_id == rule.id, Alert.version_id == version_id, stored_alerts.is_settled(rule.revision)
    )
    return session.scalar(ends)


def ended_by_change(session: Session, versions: Sequence[tuple[AlertRule, int]]) -> dict[tuple[int, int], Alert]:
    """Return the alerts on the newest windows that changes of their rules ended, by rule and version id.

    The newest window is the newest one with a value. A deactivation of the rule is a change too.
    """
    if not versions:
        return {}
    given = bulk.given_rows({"rule_id": Integer(), "version_id": Integer()})
    newest_end = (
        select(Result.window_end)
        .join(Monitor, Monitor.id == Result.monitor_id)
        .where(
            Result.monitor_id == AlertRule.monitor_id, Result.version_id == given.c.version_id, is_current_revision(),
            Result.state == ResultState.OK, Result.n >= AlertRule.min_n,
        )
        .order_by(Result.window_end.desc())
        .limit(1)
        .correlate(AlertRule, given)
        .scalar_subquery()
    )  # fmt: skip
    is_old_recovery = and_(Alert.resolved_by == ResolvedBy.RECOVERY, stored_alerts.is_settled(AlertRule.revision))
    statement = (
        select(Alert)
        .select_from(given)
        .join(AlertRule, AlertRule.id == given.c.rule_id)
        .join(Alert, and_(Alert.rule_id == AlertRule.id, Alert.version_id == given.c.version_id))
        .where(
            Alert.state == AlertState.RESOLVED, or_(Alert.resolved_by == ResolvedBy.RULE, is_old_recovery),
            Alert.last_window_end >= newest_end,
        )
        .ext(distinct_on(Alert.rule_id, Alert.version_id))
        .order_by(Alert.rule_id, Alert.version_id, Alert.first_window_end.desc())
    )  # fmt: skip
    rows = [{"rule_id": rule.id, "version_id": version_id} for rule, version_id in versions]
    alerts = session.scalars(statement, bulk.parameters(rows))
    return {(alert.rule_id, alert.version_id): alert for alert in alerts}


def new_machine(session: Session, rule: AlertRule, version_id: int) -> StateMachine:
    """Return the state machine of a rule on a version, before its first window."""
    return StateMachine(rules.policy(rule), baselines.for_rule(session, rule, version_id))


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
