"""What the active rules say of one result, for who asks about one window: by itself, without an alert."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.alerting import replay, rule_failures
from dcmon.alerting.rule_conditions import Condition, Verdict
from dcmon.alerting.state_machine import Policy
from dcmon.db.tables.org import AlertRule, Result


@dataclass(frozen=True)
class Ruling:
    """What each active rule of its monitor says of a result."""

    result: Result
    verdicts: Sequence[tuple[Policy, Verdict]]

    @property
    def violations(self) -> list[str]:
        """The rules that it breaks, each as severity and metric."""
        return [_said(policy, verdict, self.result) for policy, verdict in self.verdicts if verdict.is_bad]

    @property
    def why_none(self) -> str | None:
        """Why a rule has no verdict on it; None when each has one."""
        whys = [verdict.reason or self.result.state for _, verdict in self.verdicts if verdict.is_bad is None]
        return whys[0] if whys else None


def on(session: Session, result: Result) -> Ruling:
    """What the rules say of a result."""
    found = select(AlertRule).where(AlertRule.monitor_id == result.monitor_id, AlertRule.is_active)
    failed = result.how.get(rule_failures.KEY, {})
    by = session.scalars(found.order_by(AlertRule.id)).all()
    return Ruling(result, [_failed(rule, why) if (why := failed.get(str(rule.id))) else _by(session, rule, result)
                           for rule in by])  # fmt: skip


def _failed(rule: AlertRule, why: str) -> tuple[Policy, Verdict]:
    """A rule that could not judge it: nothing else of the rule need be fit to be read."""
    nothing = Policy(Condition(rule.operator, rule.threshold), rule.severity)
    return nothing, Verdict(None, reason=f"Rule {rule.id} could not judge it: {why}")


def _by(session: Session, rule: AlertRule, result: Result) -> tuple[Policy, Verdict]:
    machine = replay.machine_of(session, rule, result.version_id)
    most = 4 * machine.policy.condition.lookback + 1
    for each in replay.before(session, rule, result.version_id, result.window_end, most):
        machine.see(each)
    return machine.policy, machine.see(result)


def _said(policy: Policy, verdict: Verdict, result: Result) -> str:
    finding = verdict.finding
    severity = policy.warn_severity if finding is not None and finding.is_warning else policy.severity
    return f"{severity}: {result.state if finding is None else finding.name}"
