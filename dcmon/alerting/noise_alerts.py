"""What a rule does when nothing changes: count its alerts on series of windows without a change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, isfinite, log10, sqrt
from statistics import NormalDist, fmean, median, variance
from typing import Any, NamedTuple

from dcmon.alerting import condition_parser
from dcmon.alerting.rule_conditions import DEVIATIONS, Condition, Measure, Outcome, Quantifier, Source
from dcmon.alerting.state_machine import JudgedWindow, Policy, RuleState, StateMachine, WindowResult
from dcmon.operators import LOWER_BOUNDS, UPPER_BOUNDS

DAYS, DAYS_PER_YEAR = 30, 365
TOO_MANY_ALERTS, TOO_MUCH_FIRING = 1.0, 0.1  # in 30 days; of the windows
WAITS = (2, 3)  # windows that a proposed rule waits for
PROPOSED_DIGITS = 2
_Z = NormalDist().inv_cdf(0.975)  # of an interval of 95 %


@dataclass(frozen=True)
class QuietSeries:
    """Windows without a change, in their order.

    `before`: windows that only give values to compare with. `baseline`: the value on the reference.
    """

    before: Sequence[WindowResult]
    windows: Sequence[WindowResult]
    baseline: Mapping[str, float]


class Interval(NamedTuple):
    """The limits of a number of alerts in 30 days."""

    low: float
    high: float


class Proposal(NamedTuple):
    """A rule that alerts less: another condition, or more windows to wait for."""

    alerts_per_30_days: float
    condition: str | None
    for_windows: int | None


@dataclass(frozen=True)
class SeriesCounts:
    """What a rule did on one series: numbers of windows, and of alerts."""

    windows: int
    without_verdict: int
    violated: int
    firing: int
    alerts: int


@dataclass(frozen=True)
class NoiseAlerts:
    """What a rule does on windows in which nothing changes.

    `windows_per_day`: of the monitor. `looks_at`: how many values the condition looks at in a window. `limit`: the
    median limit of a deviation.
    """

    windows_per_day: float
    counts: Sequence[SeriesCounts]
    looks_at: int
    limit: float | None = None
    proposals: Sequence[Proposal] = ()

    def total(self, count: Callable[[SeriesCounts], int]) -> int:
        """Return a count of all series."""
        return sum(map(count, self.counts))

    @property
    def windows(self) -> int:
        """How many windows were judged."""
        return self.total(lambda counts: counts.windows)

    @property
    def firing_share(self) -> float:
        """The share of windows after which the rule fires."""
        return self.total(lambda counts: counts.firing) / self.windows

    @property
    def alerts_per_30_days(self) -> float:
        """How many alerts 30 days without a change give."""
        return self.total(lambda counts: counts.alerts) * self._windows_in(DAYS) / self.windows

    @property
    def violated_per_year(self) -> float:
        """How many violated windows 365 days without a change give."""
        return self.total(lambda counts: counts.violated) * self._windows_in(DAYS_PER_YEAR) / self.windows

    @property
    def interval(self) -> Interval:
        """The confidence interval of the alerts in 30 days, of 95 %.

        Byar's limits of a Poisson mean (Breslow and Day 1987, equation 2.13). Where series differ more than Poisson
        numbers do, alerts count as fewer (quasi-Poisson; McCullagh and Nelder 1989, section 6.2.3).
        """
        alerts = [counts.alerts for counts in self.counts]
        dispersion = max(1.0, variance(alerts) / fmean(alerts)) if len(alerts) > 2 and any(alerts) else 1.0
        low, high = _poisson_limits(sum(alerts) / dispersion)
        scale = dispersion * self._windows_in(DAYS) / self.windows
        return Interval(low * scale, high * scale)

    @property
    def is_too_much(self) -> bool:
        """True if the rule alerts more than once a month, or fires most of the time, without a change."""
        return self.alerts_per_30_days > TOO_MANY_ALERTS or self.firing_share > TOO_MUCH_FIRING

    def _windows_in(self, days: float) -> float:
        return self.windows_per_day * days

    def row(self) -> dict[str, Any]:
        """Return the numbers as a row for an output."""
        return {
            "alerts_per_30_days": _rounded(self.alerts_per_30_days),
            "interval": [_rounded(limit) for limit in self.interval],
            "violated_windows_per_year": _rounded(self.violated_per_year),
            "firing_share": _rounded(self.firing_share),
            "windows": self.windows,
            "without_verdict": self.total(lambda counts: counts.without_verdict),
            "looks_at": self.looks_at,
            "limit": None if self.limit is None else _rounded(self.limit),
            "is_too_much": self.is_too_much,
            "proposals": [
                {**proposal._asdict(), "alerts_per_30_days": _rounded(proposal.alerts_per_30_days)}
                for proposal in self.proposals
            ],
        }


def count(policy: Policy, series: Sequence[QuietSeries], windows_per_day: float) -> NoiseAlerts:
    """Judge series by a rule; with proposals of rules that alert less if this one alerts too much."""
    machines = [_judge(policy, one) for one in series]
    judged = [window for machine in machines for window in machine.judged]
    looks_at = max((_looks_at(policy.condition, window) for window in judged), default=0)
    limits = [finding.limit for window in judged if (finding := window.verdict.finding) and finding.limit is not None]
    noise = NoiseAlerts(
        windows_per_day, list(map(_count, machines)), looks_at, median(limits) if limits else None
    )  # fmt: skip
    if not noise.is_too_much:
        return noise
    proposals = []
    for other in _others(policy, judged, windows_per_day):
        alerts = replace(noise, counts=[_count(_judge(other, one)) for one in series])
        if not alerts.is_too_much:
            is_longer = other.for_windows != policy.for_windows
            condition = None if is_longer else condition_parser.to_text(other.condition)
            proposals.append(Proposal(alerts.alerts_per_30_days, condition, other.for_windows if is_longer else None))
    return replace(noise, proposals=_least_changes(proposals))


def _least_changes(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Return the proposals without those that wait for more windows than another one."""
    waits = [proposal for proposal in proposals if proposal.for_windows is not None]
    return [*(proposal for proposal in proposals if proposal.condition is not None), *waits[:1]]


def _judge(policy: Policy, series: QuietSeries) -> StateMachine:
    machine = StateMachine(policy, lambda _: series.baseline)
    for window in series.before:
        machine.observe(window)
    for window in series.windows:
        machine.advance(window)
    return machine


def _count(machine: StateMachine) -> SeriesCounts:
    judged = machine.judged
    return SeriesCounts(
        windows=len(judged),
        without_verdict=sum(window.verdict.outcome == Outcome.NO_VERDICT for window in judged),
        violated=sum(window.verdict.is_violated for window in judged),
        firing=sum(window.state == RuleState.FIRING for window in judged),
        alerts=sum(span.fired is not None for span in machine.spans),
    )


def _looks_at(condition: Condition, judged: JudgedWindow) -> int:
    """Return how many values a condition looks at in a window."""
    if condition.target.quantifier == Quantifier.ONE:
        return 1
    window = judged.window
    return len(window.entries if condition.target.source == Source.ENTRY else window.metrics)


def _others(policy: Policy, judged: Sequence[JudgedWindow], windows_per_day: float) -> list[Policy]:
    """Return rules that may alert less."""
    others = [replace(policy, for_windows=count) for count in WAITS if count > policy.for_windows]
    threshold = _higher_threshold(policy.condition, judged, windows_per_day)
    if threshold is None:
        return others
    condition = replace(policy.condition, threshold=threshold, warn=None, warn_upper=None)
    return [replace(policy, condition=condition), *others]


def _higher_threshold(condition: Condition, judged: Sequence[JudgedWindow], windows_per_day: float) -> float | None:
    """Return a threshold that is violated half as often as alerts may come; None if it can't be computed."""
    if condition.measure in DEVIATIONS or condition.operator not in (*UPPER_BOUNDS, *LOWER_BOUNDS):
        return None
    is_upper = condition.operator in UPPER_BOUNDS
    measured = [finding.measured for window in judged if (finding := window.verdict.finding)]
    if not measured or (condition.target.quantifier == Quantifier.ALL and len(measured) < len(judged)):
        return None
    ordered = sorted(measured, reverse=is_upper)
    n_allowed = int(TOO_MANY_ALERTS / 2 * len(judged) / (DAYS * windows_per_day))
    allowed = ordered[min(n_allowed, len(ordered) - 1)]
    if not isfinite(allowed):  # a change from 0, in percent
        return None
    threshold = _rounded_outwards(allowed, is_upper=is_upper)
    is_beyond = threshold > condition.threshold if is_upper else threshold < condition.threshold
    return threshold if is_beyond and (condition.measure == Measure.VALUE or threshold > 0) else None


def _rounded_outwards(number: float, *, is_upper: bool) -> float:
    if not number:
        return number
    unit = 10.0 ** (floor(log10(abs(number))) - PROPOSED_DIGITS + 1)
    return float(f"{(ceil if is_upper else floor)(number / unit) * unit:.{PROPOSED_DIGITS + 1}g}")


def _poisson_limits(count: float) -> Interval:
    """Return the limits of the mean of a Poisson number, of 95 %."""
    above = count + 1
    high = above * (1 - 1 / (9 * above) + _Z / (3 * sqrt(above))) ** 3
    low = count * max(0.0, 1 - 1 / (9 * count) - _Z / (3 * sqrt(count))) ** 3 if count else 0.0
    return Interval(low, high)


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")
