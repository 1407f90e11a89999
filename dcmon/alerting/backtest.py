"""What a rule would have done on the results that are stored: how often it would have fired, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.alerting import baselines, condition_parser, replay, rules
from dcmon.alerting.state_machine import Episode, Machine, Policy
from dcmon.db.tables.org import AlertRule, Result, Version


@dataclass(frozen=True)
class Span:
    """An alert that there would have been."""

    version: str
    episode: Episode

    @property
    def lasted(self) -> timedelta:
        """From the window that made it fire to the one that ended it, or to the last one judged."""
        assert self.episode.fired is not None
        until = self.episode.closed_by or self.episode.reached or self.episode.last.window_end
        return until - self.episode.fired.window_end


@dataclass(frozen=True)
class Backtest:
    """What a rule would have done, in which windows."""

    policy: Policy
    since: datetime | None
    until: datetime | None
    windows: int
    without_verdict: int
    bad: int
    spans: Sequence[Span]

    @property
    def fired_for(self) -> timedelta:
        """How long alerts would have fired, together."""
        return sum((span.lasted for span in self.spans), timedelta())

    def summary(self) -> dict[str, Any]:
        """How often and how long, in numbers."""
        days = (self.until - self.since) / timedelta(days=1) if self.since and self.until else 0.0
        return {
            "since": self.since,
            "until": self.until,
            "windows": self.windows,
            "without_verdict": self.without_verdict,
            "bad_windows": self.bad,
            "alerts": len(self.spans),
            "alerts_of_one_window": sum(span.episode.windows == 1 for span in self.spans),
            "alerts_per_30_days": round(30 * len(self.spans) / days, 1) if days else None,
            "firing_days": round(self.fired_for / timedelta(days=1), 2),
            "longest_days": round(
                max((span.lasted for span in self.spans), default=timedelta()) / timedelta(days=1), 2
            ),
            "fires_at_the_end": any(span.episode.is_open for span in self.spans),
        }


def run(session: Session, monitor_id: int, policy: Policy, found: Sequence[Result]) -> Backtest:
    """Fold the newest stored results of a monitor's windows, as far back from its newest window; nothing is written.

    Raises InvalidInput for a condition that this monitor has nothing for.
    """
    rules.require_judged(session, monitor_id, policy.condition)
    newest = max((result.window_end for result in found), default=None)
    names = {row.id: row.name for row in session.execute(select(Version.id, Version.name))}
    machines = {
        version_id: _machine(session, monitor_id, version_id, policy, found)
        for version_id in dict.fromkeys(result.version_id for result in found)
    }
    steps = [step for machine in machines.values() for step in machine.steps]
    spans = [
        Span(names.get(version_id, str(version_id)), episode)
        for version_id, machine in machines.items()
        for episode in machine.episodes
        if episode.fired is not None
    ]
    return Backtest(
        policy,
        min((result.window_start for result in found), default=None),
        newest,
        len(steps),
        sum(step.verdict.is_bad is None for step in steps),
        sum(step.verdict.is_bad is True for step in steps),
        sorted(spans, key=lambda span: span.episode.first.window_end),
    )


def _machine(session: Session, monitor_id: int, version_id: int, policy: Policy, found: Sequence[Result]) -> Machine:
    mine = [result for result in found if result.version_id == version_id]
    rule = AlertRule(monitor_id=monitor_id, condition=condition_parser.written(policy.condition))
    machine = Machine(policy, baselines.of(session, rule, version_id))
    if lookback := policy.condition.lookback:
        for result in replay.before(session, rule, version_id, mine[0].window_end, 4 * lookback):
            machine.see(result)
    for result in mine:
        machine.step(result)
    return machine
