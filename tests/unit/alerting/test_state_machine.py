"""Compare the state machine with a second implementation of its table in docs/alerts.md."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dcmon.alerting.condition_parser import parse
from dcmon.alerting.state_machine import Policy, StateMachine, find_spans
from tests.helpers.examples import examples
from tests.helpers.observed_window import ObservedWindow

START = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = {"good": 0.0, "warning": 0.15, "bad": 0.25}


def window(number: int, outcome: str) -> ObservedWindow:
    start, end = START + timedelta(days=number), START + timedelta(days=number + 1)
    if outcome == "few":
        return ObservedWindow(start, end, "OK", {"m": 9.0}, n=3)
    if outcome in VALUES:
        return ObservedWindow(start, end, "OK", {"m": VALUES[outcome]})
    return ObservedWindow(start, end, outcome, {})


def states(policy: Policy, outcomes: Sequence[str]) -> str:
    """Return the state after each window as letters: inactive, pending, warning, firing."""
    machine = StateMachine(policy)
    changes = [machine.advance(window(number, outcome)) for number, outcome in enumerate(outcomes)]
    return "".join("w" if step.state == "firing" and step.severity == "low" else step.state[0] for step in changes)


PLAIN = parse("> 0.2")
LEVELS = parse("> 0.2 warn 0.1")
OUTCOME_OF_LETTER = {
    "g": "good",
    "w": "warning",
    "b": "bad",
    "n": "NO_DATA",
    "e": "ERROR",
    "i": "INSUFFICIENT",
    "f": "few",
}


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
def test_state_after_each_window_follows_the_table(policy: Policy, windows: str, expected: str) -> None:
    assert states(policy, [OUTCOME_OF_LETTER[letter] for letter in windows]) == expected


def test_no_data_fires_with_the_rules_own_severity() -> None:
    """This is also so for a rule with a warning level."""
    machine = StateMachine(Policy(LEVELS, severity="critical", no_data="alert"))
    assert machine.advance(window(0, "NO_DATA")).severity == "critical"
    (span,) = machine.spans
    assert (span.metric, span.worst_value, span.windows) == ("NO_DATA", None, 1)


def test_alert_knows_its_first_last_and_worst_windows() -> None:
    """The alert also knows the last good window before it."""
    windows = [window(number, OUTCOME_OF_LETTER[letter]) for number, letter in enumerate("gwbwg")]
    (span,) = find_spans(windows, Policy(LEVELS, for_windows=2, keep_firing=2))
    assert (span.first, span.fired, span.last, span.worst) == (windows[1], windows[2], windows[3], windows[2])
    assert (span.worst_value, span.current_value, span.windows) == (0.25, 0.0, 3)
    assert span.ok_window_before == windows[0]
    assert span.is_open
    assert span.state == "firing"


def test_too_few_violating_windows_are_no_alert() -> None:
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
outcomes = st.sampled_from(list(OUTCOME_OF_LETTER.values()))


class Table(RuleBasedStateMachine):
    """A second state machine, written after the table, beside the one under test."""

    @initialize(policy=policies)
    def begin(self, policy: Policy) -> None:
        self.policy, self.machine = policy, StateMachine(policy)
        self.seen: list[ObservedWindow] = []
        self.signs: list[str] = []
        self.state, self.level = "inactive", "none"

    @rule(outcome=outcomes)
    def observe_next_window(self, outcome: str) -> None:
        self.seen.append(window(len(self.seen), outcome))
        step = self.machine.advance(self.seen[-1])
        sign = self._sign(outcome)
        if sign != "none":
            self.signs.append(sign)
            self._update_state()
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

    def _last_signs_are(self, count: int, accepted: tuple[str, ...]) -> bool:
        return len(self.signs) >= count and all(sign in accepted for sign in self.signs[-count:])

    def _update_state(self) -> None:
        was_main = self.level == "main"
        fires = self.state == "firing"
        if not fires and self._last_signs_are(self.policy.for_windows, ("bad", "warning")):
            self.state = "firing"
        elif fires and self._last_signs_are(self.policy.keep_firing + 1, ("good",)):
            self.state = "inactive"
        elif not fires:
            self.state = "pending" if self.signs[-1] in ("bad", "warning") else "inactive"
        if self.state != "firing":
            self.level = "none"
            return
        is_main = self._last_signs_are(self.policy.for_windows, ("bad",))
        stays = was_main and not self._last_signs_are(self.policy.keep_firing + 1, ("good", "warning"))
        has_levels = self.policy.condition.warn is not None
        self.level = "main" if is_main or stays or not has_levels else "warning"

    @invariant()
    def alerts_are_in_order_and_only_the_last_is_open(self) -> None:
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
    def replay_gives_the_same_alerts(self) -> None:
        if hasattr(self, "machine"):
            assert find_spans(self.seen, self.policy) == self.machine.spans


Table.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=30)
TestTable = Table.TestCase


@given(policies, st.lists(outcomes, max_size=25), st.integers(0, 30))
def test_replay_from_the_first_window_of_an_alert_is_equal(policy: Policy, seen: list[str], number: int) -> None:
    """A replay from any alert's first window gives that alert and all later ones."""
    windows = [window(place, outcome) for place, outcome in enumerate(seen)]
    all_spans = find_spans(windows, policy)
    if all_spans:
        chosen = number % len(all_spans)
        tail = [
            later_window for later_window in windows if later_window.window_end >= all_spans[chosen].first.window_end
        ]
        assert find_spans(tail, policy) == all_spans[chosen:]


def with_value(number: int, value: float, n: int = 100) -> ObservedWindow:
    start, end = START + timedelta(days=number), START + timedelta(days=number + 1)
    return ObservedWindow(start, end, "OK", {"m": value}, n=n)


def test_lookback_skips_windows_without_a_value() -> None:
    """docs/alerts.md: such windows are not the "window before", and a deviation does not count them."""
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
