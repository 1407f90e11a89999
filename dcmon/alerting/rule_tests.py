"""Trying rules out on series of values, without a database: a series in, the states that are expected of it out.

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
from dcmon.alerting.state_machine import Machine, Policy, Step
from dcmon.severity import Severity
from dcmon.states import AlertState

STATES = ("inactive", "pending", "firing")
WITHOUT_VALUE = ("NO_DATA", "ERROR", "INSUFFICIENT")
NOTHING = "_"
START = datetime(2026, 1, 1, tzinfo=UTC)
MANY = 1_000_000_000
LONGEST = 100_000


class Value(msgspec.Struct, forbid_unknown_fields=True):
    """A window with more than one number: n, metrics by name, entries."""

    value: float | None = None
    metrics: dict[str, float] = {}
    entries: dict[str, float] = {}
    n: int = MANY
    state: str = "OK"
    reference: float | None = None


class Trial(msgspec.Struct, forbid_unknown_fields=True, rename={"for_": "for"}):
    """One series and what is expected of it; settings that are not given are those of a new rule."""

    rule: str
    series: str | list[float | str | Value | None]
    expect: str | list[str]
    name: str = ""
    severity: str = "medium"
    warn_severity: str | None = None
    for_: int = 1
    keep_firing: int = 0
    min_n: int = 0
    no_data: str = "keep"
    error: str = "keep"


class Suite(msgspec.Struct, forbid_unknown_fields=True):
    """A file of tests."""

    tests: list[Trial]


@dataclass(frozen=True)
class Window:
    """A window of a series, a day each."""

    window_start: datetime
    window_end: datetime
    state: str = "OK"
    metrics: Mapping[str, float] = field(default_factory=dict)
    entries: Mapping[str, float] = field(default_factory=dict)
    n: int = MANY
    reference: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A window of a test: what was expected, and what the rule made of it."""

    number: int
    window: str
    expected: str
    found: str
    why: str

    @property
    def is_right(self) -> bool:
        """Whether the state is the expected one, and the severity too where one was expected."""
        state, _, severity = self.expected.partition(":")
        found, _, found_severity = self.found.partition(":")
        return state == found and severity in ("", found_severity)


@dataclass(frozen=True)
class Outcome:
    """How a test went."""

    name: str
    rule: str
    lines: Sequence[Line]

    @property
    def is_passed(self) -> bool:
        """Whether every window was as expected."""
        return all(line.is_right for line in self.lines)


def read(content: bytes) -> list[Trial]:
    """The tests of a file: {tests: [...]}, a list, or one test. Raises InvalidInput."""
    try:
        given = msgspec.yaml.decode(content)
        if isinstance(given, dict) and "tests" in given:
            found = msgspec.convert(given, Suite).tests
        else:
            found = msgspec.convert(given if isinstance(given, list) else [given], list[Trial])
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise errors.InvalidInput(
            f"This is no file of tests: {said}. Conditions stand in quotes, rule: '> 0.2'; docs/alerts.md shows a file."
        ) from None
    if not found:
        raise errors.InvalidInput("There is no test in it.")
    return found


def run_all(content: bytes, name: str) -> list[Outcome]:
    """How the tests of a file went. Raises InvalidInput, which names the file and, where one is wrong, the test."""
    try:
        return [run(each) for each in read(content)]
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"{name}: {error}") from None


def run(test: Trial) -> Outcome:
    """Try a rule out. Raises InvalidInput for what can't be tried, and what a rule can't be."""
    name = test.name or test.rule
    try:
        return _run(test, name)
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"Test {name!r}: {error}") from None


def _run(test: Trial, name: str) -> Outcome:
    given = _items(test.series)
    expected = [str(each).strip().lower() for each in _items(test.expect)]
    for each in expected:
        _require_state(each)
    if len(given) != len(expected):
        raise errors.InvalidInput(f"It has {len(given)} windows and expects {len(expected)} states.")
    machine, lines = Machine(_policy(test), _reference), []
    step: Step | None = None
    for number, (item, wanted) in enumerate(zip(given, expected, strict=True), 1):
        window = _window(item, number)
        step = machine.step(window) if window is not None else step
        lines.append(Line(number, _shown(item), wanted, _state(step), "no window" if window is None else _why(step)))
    return Outcome(name, test.rule, lines)


def _require_state(expected: str) -> None:
    state, colon, severity = expected.partition(":")
    if state not in STATES:
        raise errors.InvalidInput(f"It expects {expected!r}: a state is one of {', '.join(STATES)}.")
    if colon and severity not in list(Severity):
        raise errors.InvalidInput(f"It expects {expected!r}: a severity is one of {', '.join(Severity)}.")
    if colon and state != "firing":
        raise errors.InvalidInput(f"It expects {expected!r}: only what fires has a severity.")


def _policy(test: Trial) -> Policy:
    """What the rule would be, as "rule add" makes and refuses it."""
    wanted = Change(
        condition_parser.parse(test.rule), test.severity, test.warn_severity, for_windows=test.for_,
        keep_firing=test.keep_firing, min_n=test.min_n, no_data=test.no_data, on_error=test.error,
    )  # fmt: skip
    return rules.tried(None, wanted)


def _items(given: str | Sequence[Any]) -> list[Any]:
    """A series as a list; in text, "0.1x3" is three of a kind. Raises InvalidInput."""
    found: list[Any] = []
    for item in given.split() if isinstance(given, str) else given:
        many = re.fullmatch(r"(.+)x(\d{1,6})", item, re.ASCII) if isinstance(item, str) else None
        found += [many[1]] * int(many[2]) if many else [item]
        if len(found) > LONGEST:
            raise errors.InvalidInput(f"A series has at most {LONGEST:,} windows.")
    return found


def _window(item: Any, number: int) -> Window | None:
    """A window of a series; None where there is no result at all."""
    at = START + timedelta(days=number)
    span = (at - timedelta(days=1), at)
    if item == NOTHING:
        return None
    if item is None:
        return Window(*span, "NO_DATA")
    if isinstance(item, Value):
        if item.state not in ("OK", *WITHOUT_VALUE):
            raise errors.InvalidInput(f"{item.state!r} is no state: it is one of OK, {', '.join(WITHOUT_VALUE)}.")
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
            f"{item!r} is no window: a number, {', '.join(WITHOUT_VALUE)}, or {NOTHING} for none."
        ) from None


def _reference(window: Any) -> Mapping[str, float]:
    found: Mapping[str, float] = window.reference
    return found


def _shown(item: Any) -> str:
    if isinstance(item, Value):
        found = {key: value for key, value in msgspec.to_builtins(item).items() if value not in (None, {}, MANY, "OK")}
        return ", ".join(f"{key} {value}" for key, value in found.items())
    return "NO_DATA" if item is None else str(item)


def _state(step: Step | None) -> str:
    if step is None:
        return STATES[0]
    return step.state if step.severity is None or step.state != AlertState.FIRING else f"{step.state}:{step.severity}"


def _why(step: Step | None) -> str:
    if step is None:
        return ""
    reason, found = step.verdict.reason, step.verdict.finding
    if reason is not None or found is None:
        return f"{step.says}: {reason}" if reason else step.says
    measured = "" if found.measured == found.value else f", measured {found.measured:.4g}"
    return f"{step.says}: {found.name} {found.value:.4g}{measured}"
