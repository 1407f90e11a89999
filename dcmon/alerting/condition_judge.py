"""Decide whether a window violates a condition, and by how much."""

from collections.abc import Mapping, Sequence
from math import copysign, inf, isfinite, isnan

from dcmon.alerting import earlier_windows
from dcmon.alerting.deviations import KnownNoise, LooksAt, Spread, before_outliers
from dcmon.alerting.rule_conditions import (
    CHANGES,
    DEVIATIONS,
    PREVIOUS_SEARCH_WINDOWS,
    ChangeBase,
    Condition,
    Finding,
    Levels,
    Measure,
    Outcome,
    Quantifier,
    Source,
    Target,
    Verdict,
    WindowValues,
)
from dcmon.operators import COMPARISONS, LOWER_BOUNDS, UPPER_BOUNDS, Operator

SIGNIFICANT_DIGITS = 12  # of a change: more are rounding errors of floats


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
    findings = _findings(condition, finite, window, before, reference or {})
    if not findings:
        return Verdict(Outcome.NO_VERDICT, reason=_missing_comparison_reason(condition))
    unusual = [finding for finding in findings if not _is_usual(condition, finding, before)]
    main = [finding for finding in unusual if _violates(condition, finding, warn=False)]
    lower = [finding for finding in unusual if finding in main or _violates(condition, finding, warn=True)]
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
    if not condition.usual_over or finding.value <= 0 or not _violates(condition, finding, warn=False):
        return False
    read = before[-condition.usual_over :]
    earlier = [_value_in(condition.target, window, finding.name) for window in read]
    if condition.usual_steps and finding.value <= condition.usual_steps * earlier_windows.usual_step(earlier):
        return True
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


def _findings(
    condition: Condition,
    values: Mapping[str, float],
    window: WindowValues,
    before: Sequence[WindowValues],
    reference: Mapping[str, float],
) -> list[Finding]:
    """Measure values as the condition asks, without those that nothing can be compared with."""
    if condition.measure == Measure.VALUE:
        return [Finding(name, value, value, _excess_of(condition, value)) for name, value in values.items()]
    if condition.measure in DEVIATIONS:
        return _deviations(condition, values, window, before)
    findings = []
    for name, value in values.items():
        is_on_reference = condition.against == ChangeBase.REFERENCE
        base = reference.get(name) if is_on_reference else _base(condition, name, window, before)
        if base is not None:
            change = _change(condition, value, base)
            findings.append(Finding(name, value, change, _excess_of(condition, change), compared_with=base))
    return findings


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


def _deviations(
    condition: Condition, values: Mapping[str, float], window: WindowValues, before: Sequence[WindowValues]
) -> list[Finding]:
    """Measure how far values are from those of earlier windows, each with limits of its own."""
    earlier = {name: _earlier_values(condition, name, before) for name in values}
    known = {name: of_name for name, of_name in earlier.items() if len(of_name) >= condition.min_windows}
    n_values = len(known) if condition.target.quantifier == Quantifier.ANY else 1
    looks_at = LooksAt(n_values, is_two_sided=condition.measure == Measure.DEVIATION)

    def is_outlier(older: Sequence[float], value: float) -> bool:
        finding = _deviation(condition, "", value, Spread.of(older, condition.floor), looks_at)
        return finding.levels is not None and finding.measured > finding.levels.threshold > 0

    findings = []
    for name, of_name in known.items():
        compared = before_outliers(of_name, condition.min_windows, is_outlier)
        spread = Spread.of(compared, condition.floor, _known_noise(window, name))
        findings.append(_deviation(condition, name, values[name], spread, looks_at))
    return findings


def _known_noise(window: WindowValues, name: str) -> KnownNoise | None:
    """Return the noise of a value, which only stored results have, and only of drift."""
    usual = (getattr(window, "noise", None) or {}).get(name)
    return None if usual is None else KnownNoise(usual, getattr(window, "n", 0))


def _deviation(condition: Condition, name: str, value: float, spread: Spread, looks_at: LooksAt) -> Finding:
    deviations = spread.deviations(value)
    is_down = condition.measure == Measure.DEVIATION_DOWN
    measured = abs(deviations) if looks_at.is_two_sided else -deviations if is_down else deviations

    def limit(threshold: float) -> float:
        if not threshold or (looks_at.is_two_sided and threshold < 0):
            return threshold
        is_above = deviations >= 0 if looks_at.is_two_sided else (threshold > 0) != is_down
        of_side = spread.upper_limit if is_above else spread.lower_limit
        return copysign(of_side(abs(threshold), looks_at), threshold)

    threshold, *others = condition.levels
    levels = Levels(limit(threshold), *(None if other is None else limit(other) for other in others))
    excess = _excess_of(condition, measured, levels)
    return Finding(name, value, measured, excess, spread.mean, levels, looks_at.n_values)


def _violates(condition: Condition, finding: Finding, *, warn: bool) -> bool:
    levels, measured = finding.levels or condition.levels, finding.measured
    low, high = (levels.warn, levels.warn_upper) if warn else (levels.threshold, levels.upper)
    if low is None:
        return False
    if high is None:
        return COMPARISONS[condition.operator](measured, low)
    is_inside = low <= measured <= high
    return is_inside if condition.operator == Operator.INSIDE else not is_inside


def _excess_of(condition: Condition, measured: float, levels: Levels | None = None) -> float:
    """Return how far a number is beyond the threshold: the larger, the worse. `levels`: in place of the condition's."""
    low, high, _, _ = levels or condition.levels
    if high is not None:
        beyond = max(low - measured, measured - high)
        return beyond if condition.operator == Operator.OUTSIDE else -beyond
    if condition.operator in UPPER_BOUNDS:
        return measured - low
    if condition.operator in LOWER_BOUNDS:
        return low - measured
    return abs(measured - low)
