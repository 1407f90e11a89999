"""Test rules on series of values, without a database, against expected states. A file of tests looks like this:

tests:
  - name: two bad days
    rule: "> 0.2 warn 0.1"
    severity: high
    for: 2
    series: 0.05 0.3 0.3 NO_DATA 0.1x3
    expect: inactive pending firing:high firing inactivex3
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dcmon import errors
from dcmon.alerting import condition_parser, rules
from dcmon.alerting.rules import Change
from dcmon.alerting.state_machine import JudgedWindow, MissingValuePolicy, Policy, RuleState, StateMachine
from dcmon.severity import Severity
from dcmon.states import ResultState

WITHOUT_VALUE = (ResultState.NO_DATA, ResultState.ERROR, ResultState.INSUFFICIENT)
NO_WINDOW = "_"
START = datetime(2026, 1, 1, tzinfo=UTC)
ENOUGH_ROWS = 1_000_000_000
MAX_WINDOWS = 100_000


class WindowSpec(msgspec.Struct, forbid_unknown_fields=True):
    """A window of a test with more than one number: n, metrics by name, entries."""

    value: float | None = None
    metrics: dict[str, float] = {}
    entries: dict[str, float] = {}
    n: int = ENOUGH_ROWS
    state: str = ResultState.OK
    reference: float | None = None


class RuleTest(msgspec.Struct, forbid_unknown_fields=True, rename={"for_": "for"}):
    """A rule, a series, and the expected states. Settings default to those of a new rule."""

    rule: str
    series: str | list[float | str | WindowSpec | None]
    expect: str | list[str]
    name: str = ""
    severity: str = Severity.MEDIUM
    warn_severity: str | None = None
    for_: int = 1
    keep_firing: int = 0
    min_n: int = 0
    no_data: str = MissingValuePolicy.KEEP
    error: str = MissingValuePolicy.KEEP


class Suite(msgspec.Struct, forbid_unknown_fields=True):
    """A file of tests."""

    tests: list[RuleTest]


@dataclass(frozen=True)
class Window:
    """A window of a series; each is a day long."""

    window_start: datetime
    window_end: datetime
    state: str = ResultState.OK
    metrics: Mapping[str, float] = field(default_factory=dict)
    entries: Mapping[str, float] = field(default_factory=dict)
    n: int = ENOUGH_ROWS
    reference: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowCheck:
    """A window of a test: its expected state, its actual state, and the reason."""

    number: int
    window: str
    expected: str
    actual: str
    reason: str

    @property
    def is_right(self) -> bool:
        """True if the state, and the severity where one is expected, are right."""
        state, _, severity = self.expected.partition(":")
        actual, _, actual_severity = self.actual.partition(":")
        return state == actual and severity in ("", actual_severity)


@dataclass(frozen=True)
class RuleTestResult:
    """The outcome of a test."""

    name: str
    rule: str
    lines: Sequence[WindowCheck]

    @property
    def is_passed(self) -> bool:
        """True if each window is as expected."""
        return all(line.is_right for line in self.lines)


def read(content: bytes) -> list[RuleTest]:
    """Read the tests of a file: {tests: [...]}, a list, or one test. Raises InvalidInput."""
    try:
        document = msgspec.yaml.decode(content)
        if isinstance(document, dict) and "tests" in document:
            tests = msgspec.convert(document, Suite).tests
        else:
            tests = msgspec.convert(document if isinstance(document, list) else [document], list[RuleTest])
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise errors.InvalidInput(
            f"The file is not a file of rule tests: {reason}. Write conditions in quotes, like rule: '> 0.2';"
            ' "dcmon docs alerts#testing-rules" shows a file.'
        ) from None
    if not tests:
        raise errors.InvalidInput("The file has no test.")
    return tests


def run_all(content: bytes, name: str) -> list[RuleTestResult]:
    """Run the tests of a file. Raises InvalidInput, which names the file and the invalid test."""
    try:
        return [run(test) for test in read(content)]
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"{name}: {error}") from None


def run(test: RuleTest) -> RuleTestResult:
    """Run a test. Raises InvalidInput for an invalid rule, series or expectation."""
    name = test.name or test.rule
    try:
        return _run(test, name)
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"Test {name!r}: {error}") from None


def _run(test: RuleTest, name: str) -> RuleTestResult:
    series = _expand(test.series)
    expected_states = [str(state).strip().lower() for state in _expand(test.expect)]
    for state in expected_states:
        _require_state(state)
    if len(series) != len(expected_states):
        raise errors.InvalidInput(f"The series has {len(series)} windows, but {len(expected_states)} states are given.")
    machine, lines = StateMachine(_policy(test), _reference), []
    judged: JudgedWindow | None = None
    for number, (item, expected) in enumerate(zip(series, expected_states, strict=True), 1):
        window = _window(item, number)
        judged = machine.advance(window) if window is not None else judged
        reason = "no window" if window is None else _reason(judged)
        lines.append(WindowCheck(number, _item_text(item), expected, _state(judged), reason))
    return RuleTestResult(name, test.rule, lines)


def _require_state(expected: str) -> None:
    state, colon, severity = expected.partition(":")
    if state not in list(RuleState):
        raise errors.UnknownChoice("state", expected, RuleState)
    if colon and severity not in list(Severity):
        raise errors.UnknownChoice("severity", severity, Severity)
    if colon and state != RuleState.FIRING:
        raise errors.InvalidInput(f"{expected!r} is not a state: only firing has a severity.")


def _policy(test: RuleTest) -> Policy:
    """Return the rule's policy, as "dcmon rule create" would create or refuse it."""
    change = Change(
        condition_parser.parse(test.rule), test.severity, test.warn_severity, for_windows=test.for_,
        keep_firing=test.keep_firing, min_n=test.min_n, no_data=test.no_data, on_error=test.error,
    )  # fmt: skip
    return rules.preview(None, change)


def _expand(series: str | Sequence[Any]) -> list[Any]:
    """Return a series as a list; in text, "0.1x3" stands for three windows. Raises InvalidInput."""
    items: list[Any] = []
    for item in series.split() if isinstance(series, str) else series:
        repeated = re.fullmatch(r"(.+)x(\d{1,6})", item, re.ASCII) if isinstance(item, str) else None
        items += [repeated[1]] * int(repeated[2]) if repeated else [item]
        if len(items) > MAX_WINDOWS:
            raise errors.InvalidInput(f"A series has at most {MAX_WINDOWS:,} windows.")
    return items


def _window(item: Any, number: int) -> Window | None:
    """Return a window of a series; None where no result is stored."""
    at = START + timedelta(days=number)
    span = (at - timedelta(days=1), at)
    if item == NO_WINDOW:
        return None
    if item is None:
        return Window(*span, ResultState.NO_DATA)
    if isinstance(item, WindowSpec):
        if item.state not in list(ResultState):
            raise errors.UnknownChoice("state of a window", item.state, ["OK", *WITHOUT_VALUE])
        if item.n < 0:
            raise errors.InvalidInput(f"A window has no {item.n} rows.")
        metrics = item.metrics if item.value is None else {"value": item.value, **item.metrics}
        reference = {} if item.reference is None else dict.fromkeys([*metrics, *item.entries], item.reference)
        return Window(*span, item.state, metrics, item.entries, item.n, reference)
    if str(item).upper() in WITHOUT_VALUE:
        return Window(*span, str(item).upper())
    try:
        return Window(*span, metrics={"value": float(item)})
    except ValueError:
        raise errors.InvalidInput(
            f"{item!r} is not a window: give a number, {', '.join(WITHOUT_VALUE)}, or {NO_WINDOW} for no result."
        ) from None


def _reference(window: Any) -> Mapping[str, float]:
    reference: Mapping[str, float] = window.reference
    return reference


def _item_text(item: Any) -> str:
    if isinstance(item, WindowSpec):
        defaults: tuple[Any, ...] = (None, {}, ENOUGH_ROWS, ResultState.OK)
        settings = {key: value for key, value in msgspec.to_builtins(item).items() if value not in defaults}
        return ", ".join(f"{key} {value}" for key, value in settings.items())
    return ResultState.NO_DATA if item is None else str(item)


def _state(judged: JudgedWindow | None) -> str:
    """Return the state as a test writes it: "pending", or "firing:high"."""
    if judged is None:
        return RuleState.INACTIVE
    if judged.severity is None or judged.state != RuleState.FIRING:
        return judged.state
    return f"{judged.state}:{judged.severity}"


def _reason(judged: JudgedWindow | None) -> str:
    if judged is None:
        return ""
    outcome, reason, finding = judged.verdict.outcome, judged.verdict.reason, judged.verdict.finding
    if reason is not None or finding is None:
        return f"{outcome}: {reason}" if reason else outcome
    measured = "" if finding.measured == finding.value else f", measured {finding.measured:.4g}"
    limit = "" if finding.limit is None else f", limit {finding.limit:.4g}"
    return f"{outcome}: {finding.name} {finding.value:.4g}{measured}{limit}"
