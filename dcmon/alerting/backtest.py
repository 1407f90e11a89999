"""Simulate a rule on stored results: how often and how long it would have fired."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.alerting import baselines, condition_parser, replay, rules
from dcmon.alerting.rule_conditions import Outcome
from dcmon.alerting.state_machine import Policy, StateMachine, ViolationSpan
from dcmon.db.tables.org import AlertRule, Result, Version


@dataclass(frozen=True)
class SimulatedAlert:
    """An alert that the rule would have opened."""

    version: str
    span: ViolationSpan

    @property
    def duration(self) -> timedelta:
        """How long the rule fires.

        It fires from the window that made it fire to the window that ended the alert. An alert that is still open
        lasts to the newest judged window.
        """
        assert self.span.fired is not None
        until = self.span.closed_at or self.span.judged_until or self.span.last.window_end
        return until - self.span.fired.window_end


@dataclass(frozen=True)
class Backtest:
    """The simulated alerts of a rule, and the windows they come from."""

    policy: Policy
    since: datetime | None
    until: datetime | None
    windows: int
    without_verdict: int
    violated: int
    alerts: Sequence[SimulatedAlert]

    @property
    def total_duration(self) -> timedelta:
        """How long alerts would have fired, in total."""
        return sum((alert.duration for alert in self.alerts), timedelta())

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the simulated alerts as a row for an output."""
        days = (self.until - self.since) / timedelta(days=1) if self.since and self.until else 0.0
        return {
            "since": self.since,
            "until": self.until,
            "windows": self.windows,
            "without_verdict": self.without_verdict,
            "violated_windows": self.violated,
            "alerts": len(self.alerts),
            "alerts_of_one_window": sum(alert.span.windows == 1 for alert in self.alerts),
            "alerts_per_30_days": round(30 * len(self.alerts) / days, 1) if days else None,
            "firing_days": round(self.total_duration / timedelta(days=1), 2),
            "longest_days": round(
                max((alert.duration for alert in self.alerts), default=timedelta()) / timedelta(days=1), 2
            ),
            "fires_at_the_end": any(alert.span.is_open for alert in self.alerts),
        }


def run(session: Session, monitor_id: int, policy: Policy, results: Sequence[Result]) -> Backtest:
    """Judge a monitor's results by a rule, without writing anything.

    `results`: the newest result of each window. Raises InvalidInput for a condition on values that this monitor does
    not have.
    """
    rules.require_judged(session, monitor_id, policy.condition)
    newest = max((result.window_end for result in results), default=None)
    names = {row.id: row.name for row in session.execute(select(Version.id, Version.name))}
    machines = {
        version_id: _machine(session, monitor_id, version_id, policy, results)
        for version_id in dict.fromkeys(result.version_id for result in results)
    }
    outcomes = [judged.verdict.outcome for machine in machines.values() for judged in machine.judged]
    alerts = [
        SimulatedAlert(names.get(version_id, str(version_id)), span)
        for version_id, machine in machines.items()
        for span in machine.spans
        if span.fired is not None
    ]
    return Backtest(
        policy,
        min((result.window_start for result in results), default=None),
        newest,
        len(outcomes),
        outcomes.count(Outcome.NO_VERDICT),
        outcomes.count(Outcome.VIOLATED) + outcomes.count(Outcome.WARNING),
        sorted(alerts, key=lambda alert: alert.span.first.window_end),
    )


def _machine(
    session: Session, monitor_id: int, version_id: int, policy: Policy, results: Sequence[Result]
) -> StateMachine:
    of_version = [result for result in results if result.version_id == version_id]
    rule = AlertRule(monitor_id=monitor_id, condition=condition_parser.to_text(policy.condition))
    machine = StateMachine(policy, baselines.for_rule(session, rule, version_id))
    if lookback := policy.condition.lookback:
        for result in replay.results_before(session, rule, version_id, of_version[0].window_end, 4 * lookback):
            machine.observe(result)
    for result in of_version:
        machine.advance(result)
    return machine
