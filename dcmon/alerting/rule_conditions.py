"""Conditions of rules: decide whether a window violates a rule, and by how much.

alerting.condition_parser reads and writes conditions as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import fsum, hypot, inf, isfinite, isnan, sqrt
from typing import Protocol

from dcmon.alerting import earlier_windows
from dcmon.operators import COMPARISONS, LOWER_BOUNDS, UPPER_BOUNDS, Operator

DEFAULT_OVER, DEFAULT_FLOOR = 14, 0.001
SIGNIFICANT_DIGITS = 12  # of a change: more are rounding errors of floats
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


@dataclass(frozen=True)
class Condition:
    """A comparison with a threshold, or with a range from `threshold` to `upper`.

    `operator`: an Operator. `against`: what a change is measured from. A deviation is measured from the mean of the
    `over` windows before, of which at least `min_windows` must have a value; `floor`: the smallest standard deviation.
    A change against earlier weeks reads `over` windows; `floor`: the smallest value to measure it from. `warn`,
    `warn_upper`: the threshold, or the range, of the warning level. `usual_over`: values that are usual in so many
    windows before do not violate the condition (alerting.earlier_windows); 0: all values may.
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

    @property
    def is_plain(self) -> bool:
        """True if operator and threshold are the whole condition."""
        return self == Condition(self.operator, self.threshold) and self.operator in COMPARISONS

    @property
    def is_on_metric_values(self) -> bool:
        """True if the condition compares values of metrics, not entries, changes or deviations."""
        return self.measure == Measure.VALUE and self.target.source != Source.ENTRY

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
    measured against.
    """

    name: str
    value: float
    measured: float
    excess: float
    compared_with: float | None = None


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


def judge(
    condition: Condition,
    window: WindowValues,
    before: Sequence[WindowValues],
    reference: Mapping[str, float] | None = None,
) -> Verdict:
    """Judge a window. `before`: the windows before it that have a value, the newest last.

    `reference`: the values of the same metrics on the reference, where they are known.
    """
    targeted = _target_values(condition.target, window)
    finite = {name: value for name, value in targeted.items() if isfinite(value)}
    if not finite:
        return Verdict(Outcome.NO_VERDICT, reason=_missing_value_reason(condition.target, targeted))
    findings = [
        finding
        for name, value in finite.items()
        if (finding := _measure(condition, name, value, window, before, reference or {}))
    ]
    if not findings:
        return Verdict(Outcome.NO_VERDICT, reason=_missing_comparison_reason(condition))
    unusual = [finding for finding in findings if not _is_usual(condition, finding, before)]
    main = [finding for finding in unusual if _violates(condition, finding.measured, warn=False)]
    lower = [finding for finding in unusual if finding in main or _violates(condition, finding.measured, warn=True)]
    enough = len(findings) if condition.target.quantifier == Quantifier.ALL else 1
    if len(main) >= enough:
        return Verdict(Outcome.VIOLATED, max(main, key=_excess))
    if len(lower) >= enough:
        return Verdict(Outcome.WARNING, max(lower, key=_excess))
    return Verdict(Outcome.OK, max(findings, key=_excess))


def _excess(finding: Finding) -> float:
    return finding.excess


def _is_usual(condition: Condition, finding: Finding, before: Sequence[WindowValues]) -> bool:
    """Return True if earlier windows had a value that would violate the condition again and again."""
    if not condition.usual_over or finding.value <= 0 or not _violates(condition, finding.measured, warn=False):
        return False
    read = before[-condition.usual_over :]
    earlier = [_value_in(condition.target, window, finding.name) for window in read]
    missing = [None] * (condition.usual_over - len(read))
    return earlier_windows.is_usual(finding.value, condition.threshold, [*missing, *earlier])


def _missing_value_reason(target: Target, values: Mapping[str, float]) -> str:
    """Return why there is no value to judge: no value, or no finite one."""
    if not values:
        wanted = target.name or ("feature" if target.source == Source.ENTRY else "metric")
        return f"The result has no {wanted}."
    name, value = next(iter(values.items()))
    return f"{name} is {'not a number' if isnan(value) else 'infinite'}."


def _missing_comparison_reason(condition: Condition) -> str:
    if condition.measure in CHANGES:
        if condition.against == ChangeBase.WEEKLY:
            return f"Fewer than {earlier_windows.MIN_WEEKS} earlier weeks have a value of at least {condition.floor:g}."
        missing = "earlier window" if condition.against == ChangeBase.PREVIOUS else "value of the reference"
        return f"There is no {missing} to compare with."
    return f"Fewer than {condition.min_windows} of the windows before have a value."


def _target_values(target: Target, window: WindowValues) -> Mapping[str, float]:
    """Return the values of a window that a condition is about. A name matches exactly, else in any case."""
    values = window.entries if target.source == Source.ENTRY else window.metrics
    if target.source == Source.ENTRY and target.quantifier == Quantifier.ONE:
        values = {**window.metrics, **window.entries}
    elif target.source == Source.EITHER:
        values = {**window.entries, **window.metrics}
    if target.name is not None:
        exact = target.name if target.name in values else None
        named = exact or next((name for name in values if name.lower() == target.name.lower()), None)
        values = {} if named is None else {named: values[named]}
    return values


def _value_in(target: Target, window: WindowValues, name: str) -> float | None:
    """Return a metric's or entry's value in a window; None without a finite value."""
    is_entry_first = target.source == Source.ENTRY
    first, second = (window.entries, window.metrics) if is_entry_first else (window.metrics, window.entries)
    value = first.get(name, second.get(name))
    return value if value is not None and isfinite(value) else None


def _measure(
    condition: Condition,
    name: str,
    value: float,
    window: WindowValues,
    before: Sequence[WindowValues],
    reference: Mapping[str, float],
) -> Finding | None:
    """Measure one value as the condition asks; None when nothing can be compared."""
    if condition.measure == Measure.VALUE:
        return Finding(name, value, value, _excess_of(condition, value))
    if condition.measure in CHANGES:
        base = (
            reference.get(name) if condition.against == ChangeBase.REFERENCE else _base(condition, name, window, before)
        )
        measured = None if base is None else _change(condition, value, base)
    else:
        earlier = _earlier_values(condition, name, before)
        base = _mean_before(condition, earlier)
        measured = None if base is None else _deviation(condition, value, earlier, base)
    if measured is None:
        return None
    return Finding(name, value, measured, _excess_of(condition, measured), compared_with=base)


def _base(condition: Condition, name: str, window: WindowValues, before: Sequence[WindowValues]) -> float | None:
    """Return the value of earlier windows that a change is measured from."""
    if condition.against == ChangeBase.WEEKLY:
        values = [(item.window_end, _value_in(condition.target, item, name)) for item in before[-condition.over :]]
        base = earlier_windows.weekly_base(window.window_end, values)
        return None if base is None or base < condition.floor else base
    previous = (_value_in(condition.target, item, name) for item in reversed(before[-PREVIOUS_SEARCH_WINDOWS:]))
    return next((value for value in previous if value is not None), None)


def _change(condition: Condition, value: float, base: float) -> float:
    """Return the change from `base` to `value`: a difference, or a percentage of |base|.

    From 0, any change is infinitely many percent. The change is rounded to SIGNIFICANT_DIGITS: in floats, the drop
    from 0.5 to 0.4 would not be exactly 0.1 or 20 %.
    """
    difference = value - base
    if condition.is_percent and difference:
        difference = 100 * difference / abs(base) if base else inf if difference > 0 else -inf
    difference = float(f"{difference:.{SIGNIFICANT_DIGITS}g}")
    return {Measure.CHANGE: abs(difference), Measure.RISE: difference, Measure.DROP: -difference}[condition.measure]


def _earlier_values(condition: Condition, name: str, before: Sequence[WindowValues]) -> list[float]:
    """Return the values of the windows that a deviation is measured from."""
    values = [_value_in(condition.target, window, name) for window in before[-condition.over :]]
    return [value for value in values if value is not None]


def _mean_before(condition: Condition, earlier: Sequence[float]) -> float | None:
    """Return the mean of the windows before; None when too few have a value."""
    if len(earlier) < condition.min_windows:
        return None
    # Divide first: the sum of large values may overflow a float.
    return fsum(value / len(earlier) for value in earlier)


def _deviation(condition: Condition, value: float, earlier: Sequence[float], mean: float) -> float:
    """Return how many standard deviations a value is from the mean of the earlier values.

    The standard deviation is the sample's (n - 1), but at least `floor`, and at least 1 % of the mean: otherwise each
    value after nearly equal windows would be an outlier.
    """
    # hypot, because the sum of the squares of large values may overflow a float.
    distance = hypot(*(earlier_value - mean for earlier_value in earlier))
    spread = max(distance / sqrt(len(earlier) - 1), condition.floor, 0.01 * abs(mean))
    difference = value - mean
    deviation = difference / spread if spread else inf if difference > 0 else -inf if difference else 0.0
    return {
        Measure.DEVIATION: abs(deviation),
        Measure.DEVIATION_UP: deviation,
        Measure.DEVIATION_DOWN: -deviation,
    }[condition.measure]


def _violates(condition: Condition, measured: float, *, warn: bool) -> bool:
    low, high = (condition.warn, condition.warn_upper) if warn else (condition.threshold, condition.upper)
    if low is None:
        return False
    if high is None:
        return COMPARISONS[condition.operator](measured, low)
    is_inside = low <= measured <= high
    return is_inside if condition.operator == Operator.INSIDE else not is_inside


def _excess_of(condition: Condition, measured: float) -> float:
    """Return how far a number is beyond the threshold: the larger, the worse."""
    low, high = condition.threshold, condition.upper
    if high is not None:
        beyond = max(low - measured, measured - high)
        return beyond if condition.operator == Operator.OUTSIDE else -beyond
    if condition.operator in UPPER_BOUNDS:
        return measured - low
    if condition.operator in LOWER_BOUNDS:
        return low - measured
    return abs(measured - low)
