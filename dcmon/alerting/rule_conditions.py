"""Criteria of rules: when a window is bad, and how bad.

`alerting.condition_parser` reads and writes them as people do.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, hypot, inf, isfinite, isnan, sqrt
from typing import Protocol

SIGNS = {
    ">": "greater_than",
    ">=": "greater_than_equals",
    "<": "less_than",
    "<=": "less_than_equals",
    "==": "equals",
    "=": "equals",
    "!=": "not_equals",
}
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "greater_than": operator.gt,
    "greater_than_equals": operator.ge,
    "less_than": operator.lt,
    "less_than_equals": operator.le,
    "equals": operator.eq,
    "not_equals": operator.ne,
}
RANGES = ("outside", "inside")
CHANGES = ("change", "rise", "drop")
PREVIOUS, REFERENCE = "previous", "reference"
OVER, FLOOR = 14, 0.001
DIGITS = 12  # of a change that count
REACH = 14  # windows with a value back to which "the window before" is looked for, number by number


@dataclass(frozen=True)
class Subject:
    """Which numbers of a window are compared: `of` metrics or entries or either, `which` any, all or the one named."""

    of: str = "metric"
    which: str = "any"
    name: str | None = None


@dataclass(frozen=True)
class Condition:
    """A comparison with a threshold, or with a range from `threshold` to `upper`.

    `operator` is a value of SIGNS, or outside or inside. `measure` is what is compared: the value, its change (rise,
    drop) from what it is `against`, or its deviation (up, down) from the mean of the windows before.
    """

    operator: str
    threshold: float
    subject: Subject = Subject()
    upper: float | None = None
    measure: str = "value"
    is_percent: bool = False
    against: str = PREVIOUS
    over: int = 0
    least: int = 0
    floor: float = FLOOR
    warn: float | None = None
    warn_upper: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether operator and threshold say it all."""
        return self == Condition(self.operator, self.threshold) and self.operator in COMPARE

    @property
    def lookback(self) -> int:
        """How many windows before one it needs to judge it."""
        if self.measure in CHANGES:
            return REACH if self.against == PREVIOUS else 0
        return self.over


class Judged(Protocol):
    """What a condition sees of a window's result."""

    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def entries(self) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class Finding:
    """The number that breaks a condition most, by `excess`. `is_warning`: only the lower level is broken."""

    name: str
    value: float
    measured: float
    excess: float
    is_warning: bool = False
    before: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a window is bad; None: there is nothing to say, for a reason. `nearest` is what came nearest."""

    is_bad: bool | None
    finding: Finding | None = None
    reason: str | None = None


def judge(
    condition: Condition, window: Judged, before: Sequence[Judged], reference: Mapping[str, float] | None = None
) -> Verdict:
    """Whether a window is bad. `before`: the windows before it that have a value, the newest last.

    `reference`: the same numbers of the reference, where they are known.
    """
    meant = _chosen(condition.subject, window)
    chosen = {name: value for name, value in meant.items() if isfinite(value)}
    if not chosen:
        return Verdict(None, reason=_why_none(condition.subject, meant))
    found = [
        finding
        for name, value in chosen.items()
        if (finding := _finding(condition, name, value, before, reference or {}))
    ]
    if not found:
        return Verdict(None, reason=_why_nothing(condition))
    main = [each for each in found if _breaks(condition, each.measured, warn=False)]
    warned = [each for each in found if each in main or _breaks(condition, each.measured, warn=True)]
    is_enough = (lambda broken: len(broken) == len(found)) if condition.subject.which == "all" else bool
    if is_enough(main):
        return Verdict(True, max(main, key=_excess))
    if is_enough(warned):
        return Verdict(True, replace(max(warned, key=_excess), is_warning=True))
    return Verdict(False, max(found, key=_excess))


def _excess(finding: Finding) -> float:
    return finding.excess


def _why_none(subject: Subject, meant: Mapping[str, float]) -> str:
    """Why there is no number to judge: none is there, or none of those that are is finite."""
    if not meant:
        wanted = subject.name or ("feature" if subject.of == "entry" else "metric")
        return f"The result has no {wanted}."
    name, value = next(iter(meant.items()))
    return f"{name} is {'not a number' if isnan(value) else 'infinite'}."


def _why_nothing(condition: Condition) -> str:
    if condition.measure in CHANGES:
        there = "window before it" if condition.against == PREVIOUS else "value of the reference"
        return f"There is no {there} to compare with."
    return f"Fewer than {condition.least} windows before it have a value."


def _chosen(subject: Subject, window: Judged) -> Mapping[str, float]:
    entries = {**window.metrics, **window.entries} if subject.of == "entry" and subject.which == "one" else None
    if subject.of == "entry":
        values = entries or window.entries
    else:
        values = {**window.entries, **window.metrics} if subject.of == "either" else window.metrics
    if subject.name is not None:
        exact = subject.name if subject.name in values else None
        named = exact or next((name for name in values if name.lower() == subject.name.lower()), None)
        values = {} if named is None else {named: values[named]}
    return values


def _value(subject: Subject, window: Judged, name: str) -> float | None:
    """The same number in another window."""
    first, second = (window.entries, window.metrics) if subject.of == "entry" else (window.metrics, window.entries)
    value = first.get(name, second.get(name))
    return value if value is not None and isfinite(value) else None


def _finding(
    condition: Condition, name: str, value: float, before: Sequence[Judged], reference: Mapping[str, float]
) -> Finding | None:
    base: float | None = None
    if condition.measure == "value":
        measured: float | None = value
    elif condition.measure in CHANGES:
        base = _base(condition, name, before, reference)
        measured = None if base is None else _change(condition, value, base)
    else:
        measured, base = _deviating(condition, name, value, before)
    if measured is None:
        return None
    return Finding(name, value, measured, _beyond(condition, measured), before=base)


def _base(condition: Condition, name: str, before: Sequence[Judged], reference: Mapping[str, float]) -> float | None:
    if condition.against == REFERENCE:
        return reference.get(name)
    found = (_value(condition.subject, window, name) for window in reversed(before[-REACH:]))
    return next((each for each in found if each is not None), None)


def _change(condition: Condition, value: float, base: float) -> float:
    """value - base, or as a percentage of |base|; from 0, any change is infinitely many percent.

    To so many digits that 0.5 to 0.4 is a drop by 0.1 and by 20 %, as it is written, though not as floats subtract.
    """
    difference = value - base
    if condition.is_percent and difference:
        difference = 100 * difference / abs(base) if base else inf if difference > 0 else -inf
    difference = float(f"{difference:.{DIGITS}g}")
    return {"change": abs(difference), "rise": difference, "drop": -difference}[condition.measure]


def _deviating(
    condition: Condition, name: str, value: float, before: Sequence[Judged]
) -> tuple[float | None, float | None]:
    """The standard score of a value among the windows before it, and their mean; none with too few of them.

    The standard deviation is the sample's (n - 1), but at least the floor, and at least 1 % of the mean: after windows
    that are all but equal every value would be an outlier.
    """
    found = [_value(condition.subject, window, name) for window in before[-condition.over :]]
    known = [each for each in found if each is not None]
    if len(known) < condition.least:
        return None, None
    mean = fsum(each / len(known) for each in known)  # a sum may be larger than any float, and so may a square
    distance = hypot(*(each - mean for each in known))
    spread = max(distance / sqrt(len(known) - 1), condition.floor, 0.01 * abs(mean))
    difference = value - mean
    deviation = difference / spread if spread else inf if difference > 0 else -inf if difference else 0.0
    sign = {"deviation": abs(deviation), "deviation up": deviation, "deviation down": -deviation}
    return sign[condition.measure], mean


def _breaks(condition: Condition, measured: float, *, warn: bool) -> bool:
    low, high = (condition.warn, condition.warn_upper) if warn else (condition.threshold, condition.upper)
    if low is None:
        return False
    if high is None:
        return COMPARE[condition.operator](measured, low)
    is_inside = low <= measured <= high
    return is_inside if condition.operator == "inside" else not is_inside


def _beyond(condition: Condition, measured: float) -> float:
    """How far a number is beyond the threshold: the larger, the worse."""
    low, high = condition.threshold, condition.upper
    if high is not None:
        beyond = max(low - measured, measured - high)
        return beyond if condition.operator == "outside" else -beyond
    if condition.operator.startswith("greater"):
        return measured - low
    if condition.operator.startswith("less"):
        return low - measured
    return abs(measured - low)
