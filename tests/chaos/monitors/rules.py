"""Rules, each said twice: in dcmon's grammar, and as a function of a window that shares nothing with it.

And what a rule makes of a series of windows, by the words of docs/alerts.md.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Seen:
    """A window's newest result, as it is stored."""

    end: datetime
    state: str
    metrics: Mapping[str, float]
    entries: Mapping[str, float]
    n: int


@dataclass(frozen=True)
class Look:
    """What a rule sees in a window: bad, warning or good; the number that says so; and how bad that is."""

    sign: str
    value: float | None
    excess: float | None


Eye = Callable[[Seen, Sequence[Seen]], Look | None]


@dataclass(frozen=True)
class Rule:
    """`text` for dcmon, `eye` for the examiner."""

    text: str
    eye: Eye
    severity: str = "medium"
    warn_severity: str | None = None
    for_windows: int = 1
    keep_firing: int = 0
    min_n: int = 0
    no_data: str = "keep"

    def look(self, window: Seen, before: Sequence[Seen]) -> Look | None:
        """None: no verdict."""
        if window.state == "NO_DATA":
            return {"keep": None, "alert": Look("bad", None, None), "ok": Look("good", None, None)}[self.no_data]
        return self.eye(window, before) if self.counts(window) else None

    def counts(self, window: Seen) -> bool:
        """Whether a window has a value for the rule."""
        return window.state == "OK" and window.n >= self.min_n


def beyond(threshold: float, warn: float | None = None, *, of: str = "metrics", below: bool = False) -> Eye:
    """Any number of a window is above (or below) a threshold."""

    def eye(window: Seen, _: Sequence[Seen]) -> Look | None:
        numbers = getattr(window, of).values()
        if not numbers:
            return None
        worst = min(numbers) if below else max(numbers)
        past = threshold - worst if below else worst - threshold
        is_warned = warn is not None and (worst < warn if below else worst > warn)
        return Look("bad" if past > 0 else "warning" if is_warned else "good", worst, past)

    return eye


def fell(by: float) -> Eye:
    """The one number of a window fell by more than so much, from the window before it that has a value."""

    def eye(window: Seen, before: Sequence[Seen]) -> Look | None:
        names = [name for name in window.metrics if before and name in before[-1].metrics]
        if not names:
            return None
        value = window.metrics[names[0]]
        drop = float(f"{before[-1].metrics[names[0]] - value:.12g}")  # as the docs say
        return Look("bad" if drop > by else "good", value, drop - by)

    return eye


def strays(by: float, over: int) -> Eye:
    """The one number of a window is more than so many deviations from the mean of the windows before."""

    def eye(window: Seen, before: Sequence[Seen]) -> Look | None:
        (value,) = window.metrics.values()
        past = [next(iter(each.metrics.values())) for each in before[-over:]]
        if len(past) < max(3, over / 2):
            return None
        mean = statistics.fmean(past)
        spread = max(statistics.stdev(past), 0.001, abs(mean) / 100)
        far = abs(value - mean) / spread
        return Look("bad" if far > by else "good", value, far - by)

    return eye


@dataclass
class Span:
    """An alert as it must be."""

    first: datetime
    last: datetime
    windows: int = 0
    fired: datetime | None = None
    state: str = "pending"
    severity: str = ""
    worst: float | None = None
    worst_excess: float | None = field(default=None, compare=False)
    current: float | None = None

    def put(self, end: datetime, look: Look) -> None:
        """One more bad window."""
        self.last, self.windows = end, self.windows + 1
        if look.excess is not None and (self.worst_excess is None or look.excess > self.worst_excess):
            self.worst, self.worst_excess = look.value, look.excess


def spans(rule: Rule, series: Sequence[Seen]) -> list[Span]:
    """The alerts of a rule over windows in order of time, those that never fired and are over left out."""
    found: list[Span] = []
    signs: list[str] = []
    known: list[Seen] = []
    now: Span | None = None
    for window in series:
        look = rule.look(window, known)
        if rule.counts(window):
            known.append(window)
        if look is None:
            continue
        signs.append(look.sign)
        if look.sign != "good":
            if now is None:
                now = Span(window.end, window.end)
                found.append(now)
            now.put(window.end, look)
        if now is not None:
            now.current = look.value
            _move(rule, now, signs, window.end)
            if now.state == "over":
                found.remove(now)
            if now.state in ("over", "resolved"):
                now = None
    return found


def _move(rule: Rule, span: Span, signs: list[str], end: datetime) -> None:
    """Where the span is after the last sign."""
    bad, good = _run(signs, "bad", "warning"), _run(signs, "good")
    if span.state == "pending":
        if good:
            span.state = "over"
        elif bad >= rule.for_windows:
            span.state, span.fired = "firing", end
    elif good > rule.keep_firing:
        span.state = "resolved"
        return
    span.severity = _severity(rule, span, signs)


def _severity(rule: Rule, span: Span, signs: list[str]) -> str:
    if rule.warn_severity is None:
        return rule.severity
    was_main = span.severity == rule.severity and span.fired is not None
    is_main = _run(signs, "bad") >= rule.for_windows
    stays = was_main and _run(signs, "good", "warning") <= rule.keep_firing
    return rule.severity if is_main or stays else rule.warn_severity


def _run(signs: Sequence[str], *of: str) -> int:
    """How many of the last signs are of these."""
    count = 0
    for sign in reversed(signs):
        if sign not in of:
            break
        count += 1
    return count


def as_stored(span: Span) -> tuple[Any, ...]:
    """A span as a line that can be compared with an alert's."""
    return (
        span.first, span.last, span.fired, span.state, span.severity, span.windows, span.worst, span.current,
    )  # fmt: skip
