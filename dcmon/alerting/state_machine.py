"""A rule's state machine: a pure fold over results in the order of their windows. docs/alerts.md has its table.

A window is bad, good, or has no verdict. Bad windows in a row make a rule pending, and after `for_windows` of them
firing; good ones end it, after `keep_firing` of them. Windows without a verdict change nothing. One episode covers all
windows of such a span: one alert, not one per window.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dcmon.alerting.rule_conditions import Condition, Finding, Verdict, judge
from dcmon.states import AlertState, ResultState

POLICIES = ("keep", "alert", "ok")
WITHOUT_VALUE: Mapping[str, str] = {ResultState.NO_DATA: "no_data", ResultState.ERROR: "on_error"}


class Result(Protocol):
    """What the fold needs of a result."""

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
    """What a rule makes of its windows. `no_data`, `on_error`: keep the state as it is, alert, or ok."""

    condition: Condition
    severity: str = "medium"
    warn_severity: str = "low"
    for_windows: int = 1
    keep_firing: int = 0
    min_n: int = 0
    no_data: str = "keep"
    on_error: str = "keep"


@dataclass
class Episode:
    """A span of bad windows: its first and last, its worst and current value, and whether it goes on.

    `fired` is the window with which it began to fire; None while it is pending. `before` is the good window before it.
    """

    first: Result
    last: Result
    worst: Result
    metric: str
    worst_value: float | None
    current_value: float | None
    severity: str
    finding: Finding | None
    windows: int = 0
    fired: Result | None = None
    is_open: bool = True
    closed_by: datetime | None = None
    reached: datetime | None = None
    before: Result | None = field(default=None, compare=False)

    def value_in(self, window: Result) -> float | None:
        """What its own number, the one that is worst, is in a window."""
        return value_in(window, self.metric)

    @property
    def state(self) -> AlertState:
        """Its state, as an alert has it."""
        if self.fired is None:
            return AlertState.PENDING
        return AlertState.FIRING if self.is_open else AlertState.RESOLVED


@dataclass(frozen=True)
class Step:
    """A rule after a window: its state (inactive, pending, firing), and what the window itself was."""

    window: Result
    verdict: Verdict
    state: str
    severity: str | None = None

    @property
    def says(self) -> str:
        """What the window itself was: bad, warning, good, or none."""
        if self.verdict.is_bad is None:
            return "none"
        if not self.verdict.is_bad:
            return "good"
        return "warning" if self.verdict.finding is not None and self.verdict.finding.is_warning else "bad"


@dataclass
class _Level:
    """One level of a rule: consecutive bad windows, consecutive good ones, and whether it fires."""

    bad: int = 0
    good: int = 0
    is_firing: bool = False

    def step(self, is_bad: bool, policy: Policy) -> None:
        if is_bad:
            self.bad, self.good = self.bad + 1, 0
            self.is_firing = self.is_firing or self.bad >= policy.for_windows
        else:
            self.bad, self.good = 0, self.good + 1
            self.is_firing = self.is_firing and self.good <= policy.keep_firing


class Machine:
    """The states of one rule on one version, window by window, and the episodes that they make."""

    def __init__(self, policy: Policy, reference: Callable[[Result], Mapping[str, float]] = lambda _: {}) -> None:
        self.policy = policy
        self._reference = reference
        self.episodes: list[Episode] = []
        self.steps: list[Step] = []
        self._history: list[Result] = []
        self._warning, self._main = _Level(), _Level()
        self._good: Result | None = None

    def anew(self) -> "Machine":
        """The same machine at its beginning."""
        return Machine(self.policy, self._reference)

    def see(self, window: Result) -> Verdict:
        """Judge a window and remember its value for those after it, without a step of the machine."""
        verdict = verdict_on(self.policy, window, self._history, self._reference(window))
        if _has_value(self.policy, window):
            self._history.append(window)
            del self._history[: -max(1, self.policy.condition.lookback)]
        if verdict.is_bad is False:
            self._good = window
        return verdict

    def step(self, window: Result) -> Step:
        """The state after the next window."""
        before = self._good
        verdict = self.see(window)
        if verdict.is_bad is not None:
            is_main = verdict.is_bad and not (verdict.finding is not None and verdict.finding.is_warning)
            self._warning.step(verdict.is_bad, self.policy)
            self._main.step(is_main, self.policy)
            self._follow(window, verdict, before)
        open_one = self._open
        state = open_one.state if open_one else "inactive"
        self.steps.append(Step(window, verdict, state, open_one.severity if open_one and open_one.fired else None))
        return self.steps[-1]

    @property
    def _open(self) -> Episode | None:
        return self.episodes[-1] if self.episodes and self.episodes[-1].is_open else None

    def _follow(self, window: Result, verdict: Verdict, before: Result | None) -> None:
        episode = self._open
        if verdict.is_bad and episode is None:
            episode = _begin(window, verdict, before, self._severity)
            self.episodes.append(episode)
        if episode is None:
            return
        episode.reached = window.window_end
        if verdict.is_bad:
            _extend(episode, window, verdict)
        episode.current_value = _current(episode, window, verdict)
        if self._warning.is_firing:
            episode.fired = episode.fired or window
        elif not verdict.is_bad:
            episode.is_open, episode.closed_by = False, window.window_end
            if episode.fired is None:
                self.episodes.pop()
            return
        episode.severity = self._severity

    @property
    def _severity(self) -> str:
        return self.policy.severity if self._main.is_firing else self._lower

    @property
    def _lower(self) -> str:
        return self.policy.severity if self.policy.condition.warn is None else self.policy.warn_severity


def _begin(window: Result, verdict: Verdict, before: Result | None, severity: str) -> Episode:
    found = verdict.finding
    value = None if found is None else found.value
    return Episode(
        window, window, window, window.state if found is None else found.name, value, value, severity, found,
        before=before,
    )  # fmt: skip


def _extend(episode: Episode, window: Result, verdict: Verdict) -> None:
    episode.last, episode.windows = window, episode.windows + 1
    found = verdict.finding
    if found is not None and (episode.finding is None or found.excess > episode.finding.excess):
        episode.worst, episode.finding = window, found
        episode.metric, episode.worst_value = found.name, found.value


def _current(episode: Episode, window: Result, verdict: Verdict) -> float | None:
    """What the alert's own number is in this window, also where another one is the worst of the window."""
    found = verdict.finding
    if found is None or found.name == episode.metric or episode.finding is None:
        return None if found is None else found.value
    return episode.value_in(window)


def value_in(window: Result, metric: str) -> float | None:
    """What a metric or an entry is in a window; None where it has none."""
    return {**window.entries, **window.metrics}.get(metric)


def _has_value(policy: Policy, window: Result) -> bool:
    return window.state == ResultState.OK and window.n >= policy.min_n


def verdict_on(
    policy: Policy, window: Result, before: Sequence[Result], reference: Mapping[str, float] | None = None
) -> Verdict:
    """What a window is to a rule. `before`: the windows before it that have a value, the newest last."""
    if window.state in WITHOUT_VALUE:
        chosen = getattr(policy, WITHOUT_VALUE[window.state])
        return Verdict({"keep": None, "alert": True, "ok": False}[chosen], reason=window.state)
    if window.state != ResultState.OK:
        return Verdict(None, reason=window.state)
    if window.n < policy.min_n:
        return Verdict(None, reason=f"INSUFFICIENT: {window.n} of {policy.min_n} rows.")
    return judge(policy.condition, window, before, reference)


def fold(results: Iterable[Result], policy: Policy) -> list[Episode]:
    """The episodes of a rule, from results in order of their windows; the last may be open, or pending."""
    machine = Machine(policy)
    for result in results:
        machine.step(result)
    return machine.episodes
