"""The state machine is held to its table, docs/alerts.md, written down here a second time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dcmon.alerting.condition_parser import parse
from dcmon.alerting.state_machine import Policy, StateMachine, find_spans
from tests.helpers.examples import examples

START = datetime(2026, 1, 1, tzinfo=UTC)
LOOK = {"good": 0.0, "warning": 0.15, "bad": 0.25}


@dataclass(frozen=True)
class Found:
    window_start: datetime
    window_end: datetime
    state: str
    metrics: dict[str, float]
    entries: dict[str, float] = field(default_factory=dict)
    n: int = 100


def window(number: int, outcome: str) -> Found:
    start, end = START + timedelta(days=number), START + timedelta(days=number + 1)
    if outcome == "few":
        return Found(start, end, "OK", {"m": 9.0}, n=3)
    if outcome in LOOK:
        return Found(start, end, "OK", {"m": LOOK[outcome]})
    return Found(start, end, outcome, {})


def states(policy: Policy, outcomes: Sequence[str]) -> str:
    """The state after each window, as letters: inactive, pending, warning, firing."""
    machine = StateMachine(policy)
    changes = [machine.advance(window(number, outcome)) for number, outcome in enumerate(outcomes)]
    return "".join("w" if step.state == "firing" and step.severity == "low" else step.state[0] for step in changes)


PLAIN = parse("> 0.2")
LEVELS = parse("> 0.2 warn 0.1")
SHORT = {"g": "good", "w": "warning", "b": "bad", "n": "NO_DATA", "e": "ERROR", "i": "INSUFFICIENT", "f": "few"}


@pytest.mark.parametrize(
    ("policy", "windows", "expected"),
    [
        (Policy(PLAIN), "gbbg", "iffi"),
        (Policy(PLAIN, for_windows=3), "bbgbbbg", "ppippfi"),
        (Policy(PLAIN, keep_firing=2), "bggbgggg", "ffffffii"),
        (Policy(PLAIN, for_windows=2, keep_firing=1), "bbgbgg", "pffffi"),
        (Policy(PLAIN), "bnneig", "fffffi"),
        (Policy(PLAIN, for_windows=2), "bnb", "ppf"),
        (Policy(PLAIN, no_data="alert"), "gnng", "iffi"),
        (Policy(PLAIN, no_data="ok"), "bng", "fii"),
        (Policy(PLAIN, on_error="alert", for_windows=2), "eebg", "pffi"),
        (Policy(PLAIN, on_error="ok"), "bee", "fii"),
        (Policy(PLAIN, no_data="alert", on_error="alert"), "ii", "ii"),
        (Policy(PLAIN, min_n=10), "ffbfg", "iiffi"),
        (Policy(LEVELS), "gwbwg", "iwfwi"),
        (Policy(LEVELS, for_windows=2), "wbbwwg", "pwfwwi"),
        (Policy(LEVELS, keep_firing=1), "bwwgwgg", "ffwwwwi"),
    ],
)
def test_the_table(policy: Policy, windows: str, expected: str) -> None:
    assert states(policy, [SHORT[letter] for letter in windows]) == expected


def test_no_data_fires_with_the_rules_own_severity() -> None:
    """No data with a warning level fires with the rules own severity."""
    machine = StateMachine(Policy(LEVELS, severity="critical", no_data="alert"))
    assert machine.advance(window(0, "NO_DATA")).severity == "critical"
    (span,) = machine.spans
    assert (span.metric, span.worst_value, span.windows) == ("NO_DATA", None, 1)


def test_episode_has_its_first_last_worst_and_current_windows() -> None:
    """An episode knows first fired last worst current and the good window before."""
    windows = [window(number, SHORT[letter]) for number, letter in enumerate("gwbwg")]
    (span,) = find_spans(windows, Policy(LEVELS, for_windows=2, keep_firing=2))
    assert (span.first, span.fired, span.last, span.worst) == (windows[1], windows[2], windows[3], windows[2])
    assert (span.worst_value, span.current_value, span.windows) == (0.25, 0.0, 3)
    assert span.ok_window_before == windows[0]
    assert span.is_open
    assert span.state == "firing"


def test_bad_windows_that_were_not_enough_are_no_episode() -> None:
    assert find_spans([window(0, "bad"), window(1, "good")], Policy(PLAIN, for_windows=2)) == []
    (pending,) = find_spans([window(0, "bad")], Policy(PLAIN, for_windows=2))
    assert pending.state == "pending"


policies = st.builds(
    Policy,
    st.sampled_from([PLAIN, LEVELS]),
    for_windows=st.integers(1, 4),
    keep_firing=st.integers(0, 3),
    min_n=st.sampled_from([0, 10]),
    no_data=st.sampled_from(["keep", "alert", "ok"]),
    on_error=st.sampled_from(["keep", "alert", "ok"]),
)
outcomes = st.sampled_from(list(SHORT.values()))


class Table(RuleBasedStateMachine):
    """A second machine, by the words of the table, beside the one under test."""

    @initialize(policy=policies)
    def begin(self, policy: Policy) -> None:
        self.policy, self.machine = policy, StateMachine(policy)
        self.seen: list[Found] = []
        self.signs: list[str] = []
        self.state, self.level = "inactive", "none"

    @rule(outcome=outcomes)
    def a_window_comes(self, outcome: str) -> None:
        self.seen.append(window(len(self.seen), outcome))
        step = self.machine.advance(self.seen[-1])
        sign = self._sign(outcome)
        if sign != "none":
            self.signs.append(sign)
            self._follow()
        assert (step.state, step.severity) == (self.state, {"main": "medium", "warning": "low"}.get(self.level))

    def _sign(self, outcome: str) -> str:
        if outcome in ("NO_DATA", "ERROR"):
            chosen = self.policy.no_data if outcome == "NO_DATA" else self.policy.on_error
            return {"keep": "none", "alert": "bad", "ok": "good"}[chosen]
        if outcome == "INSUFFICIENT":
            return "none"
        if outcome == "few":
            return "bad" if self.policy.min_n == 0 else "none"
        if outcome == "warning" and self.policy.condition.warn is None:
            return "good"
        return outcome

    def _ends_in(self, count: int, signs: tuple[str, ...]) -> bool:
        return len(self.signs) >= count and all(sign in signs for sign in self.signs[-count:])

    def _follow(self) -> None:
        was_main = self.level == "main"
        fires = self.state == "firing"
        if not fires and self._ends_in(self.policy.for_windows, ("bad", "warning")):
            self.state = "firing"
        elif fires and self._ends_in(self.policy.keep_firing + 1, ("good",)):
            self.state = "inactive"
        elif not fires:
            self.state = "pending" if self.signs[-1] in ("bad", "warning") else "inactive"
        if self.state != "firing":
            self.level = "none"
            return
        is_main = self._ends_in(self.policy.for_windows, ("bad",))
        stays = was_main and not self._ends_in(self.policy.keep_firing + 1, ("good", "warning"))
        has_levels = self.policy.condition.warn is not None
        self.level = "main" if is_main or stays or not has_levels else "warning"

    @invariant()
    def episodes_are_in_order_apart_and_only_the_last_is_open(self) -> None:
        if not hasattr(self, "machine"):
            return
        spans = self.machine.spans
        for before, after in pairwise(spans):
            assert before.state == "resolved"
            assert before.closed_at is not None
            assert before.last.window_end < before.closed_at < after.first.window_end
        state = spans[-1].state if spans and spans[-1].is_open else "inactive"
        assert state == self.state

    @invariant()
    def folding_again_gives_the_same(self) -> None:
        if hasattr(self, "machine"):
            assert find_spans(self.seen, self.policy) == self.machine.spans


Table.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=30)
TestTable = Table.TestCase


@given(policies, st.lists(outcomes, max_size=25), st.integers(0, 30))
def test_replay_from_an_episodes_first_window_is_the_same(policy: Policy, seen: list[str], number: int) -> None:
    """Folding from an episodes first window gives the same as from the beginning."""
    windows = [window(place, outcome) for place, outcome in enumerate(seen)]
    all_spans = find_spans(windows, policy)
    if all_spans:
        chosen = number % len(all_spans)
        tail = [
            later_window for later_window in windows if later_window.window_end >= all_spans[chosen].first.window_end
        ]
        assert find_spans(tail, policy) == all_spans[chosen:]


def with_value(number: int, value: float, n: int = 100) -> Found:
    start, end = START + timedelta(days=number), START + timedelta(days=number + 1)
    return Found(start, end, "OK", {"m": value}, n=n)


def test_lookback_skips_windows_without_a_value() -> None:
    """docs/alerts.md: they are no "window before", and not counted among those of a deviation."""
    gap = [window(3 + number, ("NO_DATA", "ERROR", "INSUFFICIENT", "few")[number % 4]) for number in range(40)]
    last = with_value(50, 0.5)
    for condition in ("drop > 0.4", "deviation > 3 over 3"):
        machine = StateMachine(Policy(parse(condition), min_n=10))
        for observed_window in [with_value(number, 1.0 + number / 100) for number in range(3)] + gap:
            machine.observe(observed_window)
        verdict = machine.observe(last)
        assert verdict.is_violated
        assert verdict.finding is not None
        assert verdict.finding.compared_with == pytest.approx(1.02 if condition.startswith("drop") else 1.01)
