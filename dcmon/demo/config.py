"""The demo's model, version, monitors and rules, each figure with its reason.

Figures named here were measured with deepchecks on the flights themselves: January to March (10,000 of its 80,789 rows)
against each UTC day and each week, Monday to Sunday, of April to December.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dcmon.checks.defaults import LOOKBACK, DefaultCheck, for_task
from dcmon.operators import Operator
from dcmon.severity import Severity
from dcmon.states import TaskType
from dcmon.windows import Frequency

MODEL = "flights-late"
VERSION = "winter-2013"
TASK_TYPE = TaskType.BINARY
DESCRIPTION = "Will a flight that leaves New York arrive more than 15 minutes late? Trained on January to March 2013."

# A day's labels come together, 12 to 36 hours after its flights. Cancelled and diverted flights never get one: on the
# worst day of April to December (storms of 23 May) 78 % of the flights were labelled, on the worst week 92 %.
LABEL_RATIO = 0.75
# No day of that year needs this delay. A worse day would be judged after two days, on the labels that are known then.
LABEL_DELAY = timedelta(days=2)

# The monitors that are weekly, each with the reason.
WEEKLY: Mapping[str, str] = {
    "Aggregated Feature Drift": (
        "a day has one weekday (drift of weekday is certain, 0.79 at the median day) and one weather: 266 of 275 "
        "days exceed 0.15. Weeks say when the season left winter and came back: mid-April to mid-November"
    ),
    "Prediction Drift": "the share of late flights swings with the weather: 90 of 275 days exceed 0.2, 3 of 39 weeks",
    "Label Drift": "the share of late flights swings with the weather: 54 of 275 days exceed 0.2, 1 of 39 weeks",
    "Late Flights F1": "a day has some 200 late flights, too few: F1 is 0.39 to 0.91 by day and 0.63 to 0.84 by week",
}


@dataclass(frozen=True)
class RulePlan:
    """A threshold of an alert rule. `operator`: an Operator."""

    operator: str
    value: float
    severity: Severity


@dataclass(frozen=True)
class MonitorPlan:
    """A monitor to create on check `check`. `reason`: why the monitor is not daily."""

    name: str
    check: str
    frequency: Frequency
    lookback: timedelta
    additional_kwargs: Mapping[str, Any] | None = None
    description: str = ""
    rules: tuple[RulePlan, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class DemoPlan:
    """Checks (configs by name) and the monitors on them, in the SDK's order."""

    checks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    monitors: tuple[MonitorPlan, ...] = ()


def demo_plan() -> DemoPlan:
    """Return the defaults of a binary model, and a monitor of F1.

    Monitors whose daily values vary too much are weekly.
    """
    defaults = for_task(TASK_TYPE)
    monitors = [_monitor(check) for check in defaults if check.monitor]
    return DemoPlan({check.name: check.config for check in defaults}, (*monitors, _f1()))


def _monitor(check: DefaultCheck) -> MonitorPlan:
    assert check.monitor is not None
    reason = WEEKLY.get(check.monitor.name)
    frequency = Frequency.WEEK if reason else Frequency.DAY
    rules = (RulePlan(check.rule.operator, check.rule.threshold, check.rule.severity),) if check.rule else ()
    return MonitorPlan(
        check.monitor.name,
        check.name,
        frequency,
        LOOKBACK[frequency],
        check.monitor.additional_kwargs,
        rules=rules,
        reason=reason,
    )


def _f1() -> MonitorPlan:
    """Return the monitor of F1.

    Accuracy hides late flights that are missed, because three of four flights are on time. On flights of January to
    March that the classifier had not seen, F1 was 0.76, in the worst week 0.688. The rule says when a week is worse
    than any of these: mid-October to mid-November, when it misses half of the late flights.
    """
    name = "Late Flights F1"
    return MonitorPlan(
        name,
        "Performance",
        Frequency.WEEK,
        LOOKBACK[Frequency.WEEK],
        {"check_conf": {"scorer": ["f1"]}, "res_conf": None},
        "How well late flights are found; the worst week of the reference had 0.69.",
        (RulePlan(Operator.LESS_THAN, 0.67, Severity.HIGH),),
        WEEKLY[name],
    )
