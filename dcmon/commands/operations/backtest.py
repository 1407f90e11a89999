"""Judge stored results by a changed rule, without writing anything."""

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from dcmon import errors
from dcmon.alerting import backtest, rules
from dcmon.commands.operations import rule_noise
from dcmon.monitoring import monitors, results

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.alerting.backtest import Backtest
    from dcmon.alerting.rules import Change
    from dcmon.alerting.state_machine import Policy
    from dcmon.app import App
    from dcmon.db.tables.org import Result
    from dcmon.monitoring.results import Span
    from dcmon.monitoring.rule_noise import RuleNoise

LOOKBACK = timedelta(days=90)


class TestedPolicy(NamedTuple):
    """The policy that a backtest applies, and the monitor whose results it judges."""

    monitor_id: int
    policy: "Policy"


class TestedRule(NamedTuple):
    """What a rule would have done on stored results, and what it does if nothing changes, or why that is unknown."""

    backtest: "Backtest"
    noise: "RuleNoise | str | None" = None


def run(app: "App", name: str, wanted: "Change", span: "Span", *, shows_noise: bool) -> TestedRule:
    """Judge stored results, and windows without a change, by a changed rule.

    `span`: of the windows; without a start, the last 90 days of those that there are.
    `name` may be a monitor if `wanted` has a condition.
    """
    with app.org() as session:
        monitor_id, policy = _policy(session, name, wanted)
        tested = backtest.run(session, monitor_id, policy, _results(session, monitor_id, span))
    return TestedRule(tested, rule_noise.estimate(app, monitor_id, policy) if shows_noise else None)


def _results(session: "Session", monitor_id: int, span: "Span") -> "list[Result]":
    if span.since is None:
        return results.recent_series(session, monitor_id, LOOKBACK, span.until)
    return results.series(session, monitor_id, span)


def _policy(session: "Session", name: str, wanted: "Change") -> TestedPolicy:
    """Return the monitor and the policy to test.

    For a monitor without a rule, `wanted` must have a condition.
    """
    try:
        rule = rules.find(session, name)
    except (errors.RuleNotFound, errors.InvalidInput):
        if wanted.condition is None:
            raise
        return TestedPolicy(monitors.find(session, name).id, rules.preview(None, wanted))
    return TestedPolicy(rule.monitor_id, rules.preview(rule, wanted))
