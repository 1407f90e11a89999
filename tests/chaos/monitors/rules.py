"""Rules in dcmon's grammar, each with an independent implementation, and the expected alerts.

`spans` computes the alerts of a rule over a series of windows as docs/alerts.md defines them.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any


@dataclass(frozen=True)
class WindowResult:
    """The newest stored result of a window."""

    end: datetime
    state: str
    metrics: Mapping[str, float]
    entries: Mapping[str, float]
    n: int


@dataclass(frozen=True)
class Judgement:
    """A rule's judgement of a window: level (bad, warning, good), value and excess."""

    level: str
    value: float | None
    excess: float | None


Criterion = Callable[[WindowResult, Sequence[WindowResult]], Judgement | None]


@dataclass(frozen=True)
class Rule:
    """A rule: `text` for dcmon, `criterion` for the examiner."""

    text: str
    criterion: Criterion
    severity: str = "medium"
    warn_severity: str | None = None
    for_windows: int = 1
    keep_firing: int = 0
    min_n: int = 0
    no_data: str = "keep"

    def judge(self, window: WindowResult, before: Sequence[WindowResult]) -> Judgement | None:
        """Judge a window; None means no verdict."""
        if window.state == "NO_DATA":
            return {"keep": None, "alert": Judgement("bad", None, None), "ok": Judgement("good", None, None)}[
                self.no_data
            ]
        return self.criterion(window, before) if self.counts(window) else None

    def counts(self, window: WindowResult) -> bool:
        """True if a window has a value for the rule."""
        return window.state == "OK" and window.n >= self.min_n


def beyond(threshold: float, warn: float | None = None, *, of: str = "metrics", below: bool = False) -> Criterion:
    """Violated if any number of a window is above (or below) a threshold."""

    def criterion(window: WindowResult, _: Sequence[WindowResult]) -> Judgement | None:
        numbers = getattr(window, of).values()
        if not numbers:
            return None
        worst = min(numbers) if below else max(numbers)
        past = threshold - worst if below else worst - threshold
        is_warned = warn is not None and (worst < warn if below else worst > warn)
        return Judgement("bad" if past > 0 else "warning" if is_warned else "good", worst, past)

    return criterion


def falls(by: float) -> Criterion:
    """Violated if the value falls by more than `by` from the previous value."""

    def criterion(window: WindowResult, before: Sequence[WindowResult]) -> Judgement | None:
        names = [name for name in window.metrics if before and name in before[-1].metrics]
        if not names:
            return None
        value = window.metrics[names[0]]
        drop = float(f"{before[-1].metrics[names[0]] - value:.12g}")  # as the docs say
        return Judgement("bad" if drop > by else "good", value, drop - by)

    return criterion


@cache
def students_t(outside: float, degrees: int) -> float:
    """Return t with this probability outside of +-t, by Simpson's rule on the density."""
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))

    def probability_outside(t: float, steps: int = 400) -> float:
        density = [scale * (1 + (t * i / steps) ** 2 / degrees) ** (-(degrees + 1) / 2) for i in range(steps + 1)]
        inner = 4 * sum(density[1:-1:2]) + 2 * sum(density[2:-1:2])
        return 1 - 2 * t / steps / 3 * (density[0] + inner + density[-1])

    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if probability_outside(middle) > outside else (low, middle)
    return low


def deviates(by: float, over: int) -> Criterion:
    """Violated if the value is further from the mean before than normal noise is beyond `by` deviations."""

    least = max(3, (over + 1) // 2)

    def excess_of(value: float, past: Sequence[float]) -> float:
        mean = statistics.fmean(past)
        spread = max(statistics.stdev(past), 0.001, abs(mean) / 100)
        limit = students_t(math.erfc(by / math.sqrt(2)), len(past) - 1) * math.sqrt(1 + 1 / len(past))
        roots = [past_value ** (1 / 3) for past_value in past]  # rows are never negative
        highest = (statistics.fmean(roots) + limit * statistics.stdev(roots)) ** 3
        if value >= mean:
            limit = max(limit, (highest - mean) / spread)
        return abs(value - mean) / spread - limit

    def criterion(window: WindowResult, before: Sequence[WindowResult]) -> Judgement | None:
        (value,) = window.metrics.values()
        past = [next(iter(result.metrics.values())) for result in before[-over:]]
        if len(past) < least:
            return None
        for count in range(least, len(past)):  # leave out the longest span of outliers right before
            older, last = past[:count], past[count:]
            if all((x < min(older) or x > max(older)) and excess_of(x, older) > 0 for x in last):
                past = older
                break
        excess = excess_of(value, past)
        return Judgement("bad" if excess > 0 else "good", value, excess)

    return criterion


@dataclass
class Span:
    """An expected alert."""

    first: datetime
    last: datetime
    windows: int = 0
    fired: datetime | None = None
    state: str = "pending"
    severity: str = ""
    worst: float | None = None
    worst_excess: float | None = field(default=None, compare=False)
    current: float | None = None

    def put(self, end: datetime, judgement: Judgement) -> None:
        """Add a violating window."""
        self.last, self.windows = end, self.windows + 1
        if judgement.excess is not None and (self.worst_excess is None or judgement.excess > self.worst_excess):
            self.worst, self.worst_excess = judgement.value, judgement.excess


def spans(rule: Rule, series: Sequence[WindowResult]) -> list[Span]:
    """Return the alerts of a rule over ordered windows, without ended alerts that never fired."""
    expected: list[Span] = []
    levels: list[str] = []
    known: list[WindowResult] = []
    now: Span | None = None
    for window in series:
        judgement = rule.judge(window, known)
        if rule.counts(window):
            known.append(window)
        if judgement is None:
            continue
        levels.append(judgement.level)
        if judgement.level != "good":
            if now is None:
                now = Span(window.end, window.end)
                expected.append(now)
            now.put(window.end, judgement)
        if now is not None:
            now.current = judgement.value
            _move(rule, now, levels, window.end)
            if now.state == "over":
                expected.remove(now)
            if now.state in ("over", "resolved"):
                now = None
    return expected


def _move(rule: Rule, span: Span, levels: list[str], end: datetime) -> None:
    """Update the state of the span after the last level."""
    bad, good = _count_last(levels, "bad", "warning"), _count_last(levels, "good")
    if span.state == "pending":
        if good:
            span.state = "over"
        elif bad >= rule.for_windows:
            span.state, span.fired = "firing", end
    elif good > rule.keep_firing:
        span.state = "resolved"
        return
    span.severity = _severity(rule, span, levels)


def _severity(rule: Rule, span: Span, levels: list[str]) -> str:
    if rule.warn_severity is None:
        return rule.severity
    was_main = span.severity == rule.severity and span.fired is not None
    is_main = _count_last(levels, "bad") >= rule.for_windows
    stays = was_main and _count_last(levels, "good", "warning") <= rule.keep_firing
    return rule.severity if is_main or stays else rule.warn_severity


def _count_last(levels: Sequence[str], *of: str) -> int:
    """Count the last consecutive levels that are in `of`."""
    count = 0
    for level in reversed(levels):
        if level not in of:
            break
        count += 1
    return count


def as_stored(span: Span) -> tuple[Any, ...]:
    """Return a span as a tuple that can be compared with a stored alert."""
    return (
        span.first, span.last, span.fired, span.state, span.severity, span.windows, span.worst, span.current,
    )  # fmt: skip
