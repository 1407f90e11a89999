"""Judge one result by the active rules of its monitor, without changing alerts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.alerting import replay, rule_failures
from dcmon.alerting.rule_conditions import Condition, Outcome, Verdict
from dcmon.alerting.state_machine import Policy
from dcmon.db.tables.org import AlertRule, Result
from dcmon.states import ResultState


class RuleVerdict(NamedTuple):
    """A rule's policy and its verdict on a result. `failed`: the rule could not judge it."""

    policy: Policy
    verdict: Verdict
    failed: bool = False


@dataclass(frozen=True)
class RuleVerdicts:
    """The verdict of each active rule on a result."""

    result: Result
    verdicts: Sequence[RuleVerdict]

    @property
    def violations(self) -> list[str]:
        """The violated rules, each as "severity: metric"."""
        return [_violation(judged, self.result) for judged in self.verdicts if judged.verdict.is_violated]

    @property
    def no_verdict_reason(self) -> str | None:
        """Why the first rule without a verdict has none; None when each rule has one."""
        without = (judged.verdict for judged in self.verdicts if judged.verdict.outcome == Outcome.NO_VERDICT)
        reasons = (verdict.reason or self.result.state for verdict in without)
        return next(reasons, None)

    @property
    def failed(self) -> bool:
        """True if the check or a rule could not do its work, so that more rows would not help."""
        return self.result.state == ResultState.ERROR or any(judged.failed for judged in self.verdicts)


def for_result(session: Session, result: Result) -> RuleVerdicts:
    """Judge a result by the active rules of its monitor."""
    statement = select(AlertRule).where(AlertRule.monitor_id == result.monitor_id, AlertRule.is_active)
    failures = rule_failures.of_result(result)
    return RuleVerdicts(
        result,
        [
            _failed(rule, reason) if (reason := failures.get(str(rule.id))) else _judge(session, rule, result)
            for rule in session.scalars(statement.order_by(AlertRule.id)).all()
        ],
    )


def _failed(rule: AlertRule, reason: str) -> RuleVerdict:
    """Return the verdict of a rule that could not judge the result.

    The stored condition of the rule may be unreadable, so it is not read.
    """
    policy = Policy(Condition(rule.operator, rule.threshold), rule.severity)
    verdict = Verdict(Outcome.NO_VERDICT, reason=f"Rule {rule.id} could not judge it: {reason}")
    return RuleVerdict(policy, verdict, failed=True)


def _judge(session: Session, rule: AlertRule, result: Result) -> RuleVerdict:
    machine = replay.new_machine(session, rule, result.version_id)
    limit = 4 * machine.policy.condition.lookback + 1
    for earlier in replay.results_before(session, rule, result.version_id, result.window_end, limit):
        machine.observe(earlier)
    return RuleVerdict(machine.policy, machine.observe(result))


def _violation(judged: RuleVerdict, result: Result) -> str:
    policy, verdict, _ = judged
    severity = policy.warn_severity if verdict.outcome == Outcome.WARNING else policy.severity
    return f"{severity}: {result.state if verdict.finding is None else verdict.finding.name}"
