"""Conditions of rules: what they look at, what they compare, and the verdicts on windows.

alerting.condition_parser reads and writes conditions as text, alerting.condition_judge judges windows by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from dcmon.operators import COMPARISONS

DEFAULT_OVER, DEFAULT_FLOOR = 14, 0.001
PREVIOUS_SEARCH_WINDOWS = 14  # how many windows with a value are searched back for a metric's previous value


class Source(StrEnum):
    """The numbers of a result among which a condition looks for its values."""

    METRIC = "metric"
    ENTRY = "entry"
    EITHER = "either"


class Quantifier(StrEnum):
    """How many of the values must violate the condition. ONE: only the value with the target's name is judged."""

    ANY = "any"
    ALL = "all"
    ONE = "one"


class Measure(StrEnum):
    """What a condition compares with its threshold."""

    VALUE = "value"
    CHANGE = "change"
    RISE = "rise"
    DROP = "drop"
    DEVIATION = "deviation"
    DEVIATION_UP = "deviation up"
    DEVIATION_DOWN = "deviation down"


class ChangeBase(StrEnum):
    """What a change is measured from: the value of the previous window, of the reference, or of earlier weeks.

    WEEKLY: the median of the same hours in the four weeks before.
    """

    PREVIOUS = "previous"
    REFERENCE = "reference"
    WEEKLY = "weekly"


CHANGES = (Measure.CHANGE, Measure.RISE, Measure.DROP)
DEVIATIONS = (Measure.DEVIATION, Measure.DEVIATION_UP, Measure.DEVIATION_DOWN)


@dataclass(frozen=True)
class Target:
    """Which numbers of a result a condition is about. `name`: of the one value, for Quantifier.ONE.

    `noun`: the word for an entry in the condition's text, which changes nothing.
    """

    source: Source = Source.METRIC
    quantifier: Quantifier = Quantifier.ANY
    name: str | None = None
    noun: str = field(default="feature", compare=False)


class Levels(NamedTuple):
    """The thresholds of a condition, or the ends of its ranges: its own, and those of its warning level."""

    threshold: float
    upper: float | None
    warn: float | None
    warn_upper: float | None


@dataclass(frozen=True)
class Condition:
    """A comparison with a threshold, or with a range from `threshold` to `upper`.

    `operator`: an Operator. `against`: what a change is measured from. A deviation is measured from the mean of the
    `over` windows before, of which at least `min_windows` must have a value; `floor`: the smallest standard deviation.
    The threshold of a deviation is that of one value with a known mean: alerting.deviations has the limits that it
    stands for.
    A change against earlier weeks reads `over` windows; `floor`: the smallest value to measure it from. `warn`,
    `warn_upper`: the threshold, or the range, of the warning level. `usual_over`: values that are usual in so many
    windows before do not violate the condition (alerting.earlier_windows); 0: all values may. `usual_steps`: nor do
    values up to so many times the usual step between these windows; 0: no matter how far they vary.
    """

    operator: str
    threshold: float
    target: Target = Target()
    upper: float | None = None
    measure: Measure = Measure.VALUE
    is_percent: bool = False
    against: ChangeBase = ChangeBase.PREVIOUS
    over: int = 0
    min_windows: int = 0
    floor: float = DEFAULT_FLOOR
    warn: float | None = None
    warn_upper: float | None = None
    usual_over: int = 0
    usual_steps: float = 0

    @property
    def is_plain(self) -> bool:
        """True if operator and threshold are the whole condition."""
        return self == Condition(self.operator, self.threshold) and self.operator in COMPARISONS

    @property
    def is_on_metric_values(self) -> bool:
        """True if the condition compares values of metrics, not entries, changes or deviations."""
        return self.measure == Measure.VALUE and self.target.source != Source.ENTRY

    @property
    def levels(self) -> Levels:
        """The thresholds, as they are written."""
        return Levels(self.threshold, self.upper, self.warn, self.warn_upper)

    @property
    def lookback(self) -> int:
        """How many windows before a window are needed to judge it."""
        if self.measure in CHANGES and self.against != ChangeBase.WEEKLY:
            return PREVIOUS_SEARCH_WINDOWS if self.against == ChangeBase.PREVIOUS else 0
        return max(self.over, self.usual_over)


class WindowValues(Protocol):
    """What a condition reads of a window's result."""

    @property
    def window_end(self) -> datetime: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def entries(self) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class Finding:
    """The value that violates a condition most, or comes closest to a violation.

    `measured`: the value, its change, or its deviation. `excess`: how far `measured` is beyond the threshold; negative
    when it does not violate it. `compared_with`: the previous value, the reference's value, or the mean that it was
    measured against. `levels`: what a deviation is compared with, in standard deviations of the windows before;
    `looks_at`: among how many values it was looked for.
    """

    name: str
    value: float
    measured: float
    excess: float
    compared_with: float | None = None
    levels: Levels | None = None
    looks_at: int = 1

    @property
    def limit(self) -> float | None:
        """The limit of a deviation that the value is beyond, or closest to; None for other conditions."""
        if self.levels is None:
            return None
        low, high = self.levels.threshold, self.levels.upper
        return low if high is None or abs(self.measured - low) < abs(self.measured - high) else high


class Outcome(StrEnum):
    """The outcome of judging a window. WARNING: the window violates only the warning level of the rule."""

    OK = "ok"
    WARNING = "warning"
    VIOLATED = "violated"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True)
class Verdict:
    """How a rule judges a window. `reason`: why there is no verdict, or no finding."""

    outcome: Outcome
    finding: Finding | None = None
    reason: str | None = None

    @property
    def is_violated(self) -> bool:
        """True if the window violates the rule on either level."""
        return self.outcome in (Outcome.VIOLATED, Outcome.WARNING)
