"""The state machine of a rule.

Its state is a pure function of the results in the order of their windows. docs/alerts.md has the table of states. A
window violates the rule, is ok, or has no verdict. Violated windows in a row make a rule pending, and `for_windows` of
them make it fire; more than `keep_firing` ok windows in a row end that. Windows without a verdict change nothing. One
span of violated windows is one alert, not one alert per window.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from dcmon.alerting.condition_judge import judge
from dcmon.alerting.rule_conditions import Condition, Finding, Outcome, Verdict
from dcmon.severity import Severity
from dcmon.states import AlertState, ResultState


class MissingValuePolicy(StrEnum):
    """What a window without a value means to a rule.

    KEEP: it changes nothing. ALERT: it is a violation. OK: it is an ok window.
    """

    KEEP = "keep"
    ALERT = "alert"
    OK = "ok"


class RuleState(StrEnum):
    """The state of a rule on a version after a window: that of its open alert, or INACTIVE without one."""

    INACTIVE = "inactive"
    PENDING = AlertState.PENDING
    FIRING = AlertState.FIRING


_OUTCOMES = {
    MissingValuePolicy.KEEP: Outcome.NO_VERDICT,
    MissingValuePolicy.ALERT: Outcome.VIOLATED,
    MissingValuePolicy.OK: Outcome.OK,
}


class WindowResult(Protocol):
    """What the state machine reads of a result."""

    @property
    def window_start(self) -> datetime: ...
    @property
    def window_end(self) -> datetime: ...
    @property
    def state(self) -> str: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def entries(self) -> Mapping[str, float]: ...
    @property
    def n(self) -> int: ...


@dataclass(frozen=True)
class Policy:
    """How a rule judges windows. `no_data`, `on_error`: a MissingValuePolicy, for windows in these states."""

    condition: Condition
    severity: str = Severity.MEDIUM
    warn_severity: str = Severity.LOW
    for_windows: int = 1
    keep_firing: int = 0
    min_n: int = 0
    no_data: str = MissingValuePolicy.KEEP
    on_error: str = MissingValuePolicy.KEEP


@dataclass
class ViolationSpan:
    """A span of violated windows: one alert.

    `first`, `last`, `worst`: violated windows. `fired`: the window that made the rule fire; None while it is pending.
    `closed_at`: the end of the ok window that ended the span. `judged_until`: the end of the newest window with a
    verdict. `ok_window_before`: the last ok window before the span. `first_finding`, `last_finding`: what violated the
    rule in the first and in the last window, which may be other metrics than the worst one.
    """

    first: WindowResult
    last: WindowResult
    worst: WindowResult
    metric: str
    worst_value: float | None
    current_value: float | None
    severity: str
    finding: Finding | None
    windows: int = 0
    fired: WindowResult | None = None
    is_open: bool = True
    closed_at: datetime | None = None
    judged_until: datetime | None = None
    ok_window_before: WindowResult | None = field(default=None, compare=False)
    first_finding: Finding | None = field(default=None, compare=False)
    last_finding: Finding | None = field(default=None, compare=False)

    @property
    def is_violated_now(self) -> bool:
        """True if the newest window with a verdict violates the rule."""
        return self.is_open and self.judged_until == self.last.window_end

    def value_in(self, window: WindowResult) -> float | None:
        """Return the value of the span's worst metric in a window."""
        return value_in(window, self.metric)

    @property
    def state(self) -> AlertState:
        """The state of the span's alert."""
        if self.fired is None:
            return AlertState.PENDING
        return AlertState.FIRING if self.is_open else AlertState.RESOLVED


@dataclass(frozen=True)
class JudgedWindow:
    """A window, its verdict, and the rule's state after it. `severity`: None unless the rule fires."""

    window: WindowResult
    verdict: Verdict
    state: RuleState
    severity: str | None = None


@dataclass
class _Level:
    """The state of one of a rule's two levels.

    `violated`, `ok`: how many windows in a row, up to the newest one.
    """

    violated: int = 0
    ok: int = 0
    is_firing: bool = False

    def advance(self, is_violated: bool, policy: Policy) -> None:
        if is_violated:
            self.violated, self.ok = self.violated + 1, 0
            self.is_firing = self.is_firing or self.violated >= policy.for_windows
        else:
            self.violated, self.ok = 0, self.ok + 1
            self.is_firing = self.is_firing and self.ok <= policy.keep_firing


class StateMachine:
    """The states of one rule on one version, and the spans of violated windows.

    `reference`: returns the values of the reference that belong to a result, for conditions that compare with them.
    """

    def __init__(self, policy: Policy, reference: Callable[[WindowResult], Mapping[str, float]] = lambda _: {}) -> None:
        self.policy = policy
        self._reference = reference
        self.spans: list[ViolationSpan] = []
        self.judged: list[JudgedWindow] = []
        self._history: list[WindowResult] = []
        self._warning, self._main = _Level(), _Level()
        self._last_ok: WindowResult | None = None

    def observe(self, window: WindowResult) -> Verdict:
        """Judge a window and remember its value for later windows; the state does not change."""
        verdict = verdict_on(self.policy, window, self._history, self._reference(window))
        if _has_value(self.policy, window):
            self._history.append(window)
            del self._history[: -max(1, self.policy.condition.lookback)]
        if verdict.outcome == Outcome.OK:
            self._last_ok = window
        return verdict

    def advance(self, window: WindowResult) -> JudgedWindow:
        """Judge the next window and change the state."""
        ok_window_before = self._last_ok
        verdict = self.observe(window)
        if verdict.outcome != Outcome.NO_VERDICT:
            self._warning.advance(verdict.is_violated, self.policy)
            self._main.advance(verdict.outcome == Outcome.VIOLATED, self.policy)
            self._update_span(window, verdict, ok_window_before)
        span = self._open_span
        state = RuleState(span.state) if span else RuleState.INACTIVE
        self.judged.append(JudgedWindow(window, verdict, state, span.severity if span and span.fired else None))
        return self.judged[-1]

    @property
    def _open_span(self) -> ViolationSpan | None:
        return self.spans[-1] if self.spans and self.spans[-1].is_open else None

    def _update_span(self, window: WindowResult, verdict: Verdict, ok_window_before: WindowResult | None) -> None:
        span = self._open_span
        if verdict.is_violated and span is None:
            span = _new_span(window, verdict, ok_window_before, self._severity)
            self.spans.append(span)
        if span is None:
            return
        span.judged_until = window.window_end
        if verdict.is_violated:
            _extend(span, window, verdict)
        span.current_value = _current_value(span, window, verdict)
        if self._warning.is_firing:
            span.fired = span.fired or window
        elif not verdict.is_violated:
            span.is_open, span.closed_at = False, window.window_end
            if span.fired is None:
                self.spans.pop()
            return
        span.severity = self._severity

    @property
    def _severity(self) -> str:
        return self.policy.severity if self._main.is_firing else self._lower_severity

    @property
    def _lower_severity(self) -> str:
        return self.policy.severity if self.policy.condition.warn is None else self.policy.warn_severity


def _new_span(
    window: WindowResult, verdict: Verdict, ok_window_before: WindowResult | None, severity: str
) -> ViolationSpan:
    finding = verdict.finding
    value = None if finding is None else finding.value
    metric = window.state if finding is None else finding.name
    return ViolationSpan(
        window, window, window, metric, value, value, severity, finding,
        ok_window_before=ok_window_before, first_finding=finding,
    )  # fmt: skip


def _extend(span: ViolationSpan, window: WindowResult, verdict: Verdict) -> None:
    span.last, span.windows = window, span.windows + 1
    finding = span.last_finding = verdict.finding
    if finding is not None and (span.finding is None or finding.excess > span.finding.excess):
        span.worst, span.finding = window, finding
        span.metric, span.worst_value = finding.name, finding.value


def _current_value(span: ViolationSpan, window: WindowResult, verdict: Verdict) -> float | None:
    """Return the value of the span's metric in a window.

    Another metric may be the worst one in this window.
    """
    finding = verdict.finding
    if finding is None or finding.name == span.metric or span.finding is None:
        return None if finding is None else finding.value
    return span.value_in(window)


def value_in(window: WindowResult, metric: str) -> float | None:
    """Return a metric's or entry's value in a window; None if it is missing."""
    return {**window.entries, **window.metrics}.get(metric)


def _has_value(policy: Policy, window: WindowResult) -> bool:
    return window.state == ResultState.OK and window.n >= policy.min_n


def verdict_on(
    policy: Policy, window: WindowResult, before: Sequence[WindowResult], reference: Mapping[str, float] | None = None
) -> Verdict:
    """Judge a window. `before`: the windows before it that have a value, the newest last."""
    if window.state in (ResultState.NO_DATA, ResultState.ERROR):
        chosen = policy.no_data if window.state == ResultState.NO_DATA else policy.on_error
        return Verdict(_OUTCOMES[MissingValuePolicy(chosen)], reason=window.state)
    if window.state != ResultState.OK:
        return Verdict(Outcome.NO_VERDICT, reason=window.state)
    if window.n < policy.min_n:
        return Verdict(Outcome.NO_VERDICT, reason=f"INSUFFICIENT: {window.n} of {policy.min_n} rows.")
    return judge(policy.condition, window, before, reference)


def find_spans(results: Iterable[WindowResult], policy: Policy) -> list[ViolationSpan]:
    """Return a rule's spans of violated windows; the last span may be open, or pending.

    `results`: one per window, in the order of the windows.
    """
    machine = StateMachine(policy)
    for result in results:
        machine.advance(result)
    return machine.spans
