"""Read and write conditions as text. docs/alerts.md and commands.shared.condition_help have the grammar:

> 0.2                                   any metric
Drift Score > 0.2 warn 0.1              one metric, on two levels
any feature > 0.3                       entries: features; also any class, any score, any output
feature age > 0.3
outside 0.1..0.4
drop > 20%                              against the previous window; also change, rise
deviation > 3 over 14                   in standard deviations of the previous 14 windows
any feature > 1 unless usual            not if earlier windows had it again and again
any feature > 1 unless usual steps 8    nor if it is at most 8 times a usual step from window to window
rows drop > 60% against weekly          against the same hours of the four weeks before
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from typing import NamedTuple

from dcmon import errors
from dcmon.alerting.earlier_windows import USUAL_OVER
from dcmon.alerting.rule_conditions import (
    CHANGES,
    DEFAULT_FLOOR,
    DEFAULT_OVER,
    DEVIATIONS,
    ChangeBase,
    Condition,
    Measure,
    Quantifier,
    Source,
    Target,
)
from dcmon.nearest import listed
from dcmon.operators import OPERATOR_OF_SIGN, RANGES, SIGN_OF_OPERATOR, UPPER_BOUNDS, Operator

ENTRY_WORDS = ("feature", "entry", "class", "features", "entries", "classes")
# What the entries of a check may be called after "any" and "all"; a condition is written with the same word again.
ENTRY_NOUNS = {
    "feature": "features", "entry": "entries", "class": "classes", "score": "scores", "output": "outputs",
}  # fmt: skip
METRIC_WORDS = ("metric", "metrics")
MAX_CHARACTERS = 1000
# What messages call a token, by its kind.
EXPECTED = {"sign": "a comparison (>, >=, <, <=, == or !=)", "number": "a number"}
WEEKLY_OVER = 28  # windows before, by default: four weeks of days


def parse(text: str) -> Condition:
    """Read a condition from text, like "> 0.2". Raises InvalidInput."""
    if len(text) > MAX_CHARACTERS:
        raise errors.InvalidInput(f"A condition has at most {MAX_CHARACTERS} characters.")
    try:
        condition = _parse(text)
    except ValueError as error:
        fault = f": {error}" if isinstance(error, _Misplaced) else ""
        raise errors.InvalidInput(
            f"{text!r} is not a condition{fault}. A condition looks like '> 0.2', 'any feature > 0.3' or 'drop > 20%',"
            ' in quotes; "dcmon rule create --help" lists all forms.'
        ) from None
    _require_consistent(condition)
    return condition


TOKEN = re.compile(
    r"""\s*(?: (?P<quoted>"(?:[^"\\]|\\.|"")*")
             | (?P<sign>>=|<=|==|!=|>|<|=)
             | (?P<number>[-+]?(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?=\s|%|\.\.|,|$)
             | (?P<dots>\.\.)
             | (?P<percent>%)
             | (?P<word>(?:(?!\.\.)[^\s<>=!"%])+|!) )""",
    re.VERBOSE | re.ASCII,
)


class _Token(NamedTuple):
    """A token of a condition. `kind`: the name of its group in TOKEN. `start`: its first character."""

    kind: str
    text: str
    start: int


class _Misplaced(ValueError):
    """A part of a condition can't be where it is. The text of the error says where, and what is expected."""


class _Tokens:
    """The tokens after a condition's target, read one by one."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._remaining = tokens

    def take(self, kind: str) -> str:
        """Return the text of the next token. Raises _Misplaced when it has another kind."""
        if not self._remaining or self._remaining[0].kind != kind:
            raise self.misplaced(EXPECTED[kind])
        return self._remaining.pop(0).text

    def misplaced(self, expected: str) -> _Misplaced:
        """Return the error that something else is expected than the next token, or than the end."""
        if not self._remaining:
            return _Misplaced(f"{expected} is missing at its end")
        token = self._remaining[0]
        return _Misplaced(f"{expected} is expected in place of {token.text!r} (character {token.start + 1})")

    def not_understood(self, words: Sequence[str]) -> _Misplaced:
        """Return the error that the next token is none of the words that may follow."""
        token = self._remaining[0]
        after = f"; what may follow is {listed(words)}" if words else ""
        return _Misplaced(f"{token.text!r} (character {token.start + 1}) can't follow{after}")

    def take_word(self, *words: str) -> str | None:
        """Take the next token if it is one of these words; otherwise return None."""
        if self._remaining and self._remaining[0].text.lower() in words:
            return self._remaining.pop(0).text.lower()
        return None

    def number(self) -> float:
        text = self.take("number")
        value = float(text)
        if not isfinite(value):
            raise _Misplaced(f"{text} is too large")
        if not value and re.search("[1-9]", re.split("[eE]", text)[0]):
            raise errors.InvalidInput(f"{text} is so small that it is rounded to 0.")
        return value

    def number_or_percent(self) -> tuple[float, bool]:
        """Return a number, and whether a percent sign follows it."""
        value = self.number()
        return value, self.take_word("%") is not None

    def range(self) -> tuple[float, float]:
        """Return the two ends of a range. 10%..20% and 10..20% are both 0.1 to 0.2."""
        first, is_first_percent = self.number_or_percent()
        if self.take_word("..", "to", "and", ",") is None:
            raise self.misplaced("the other end of the range, as in 0.1..0.4,")
        last, is_percent = self.number_or_percent()
        if is_first_percent and not is_percent:
            raise _Misplaced("a range is from 10% to 20% or from 0.1 to 0.2, not from a percentage to a number")
        return (first / 100, last / 100) if is_percent else (first, last)

    @property
    def has_more(self) -> bool:
        return bool(self._remaining)

    def baseline(self) -> ChangeBase:
        """Return what a change is measured from."""
        word = self.take_word(*ChangeBase)
        if word is None:
            raise self.misplaced("previous, reference or weekly")
        return ChangeBase(word)


def _scan(text: str) -> Iterator[_Token]:
    position, text = 0, text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _Misplaced(f"{text[position:].strip()!r} (character {position + 1}) can't be read")
        yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
        position = match.end()


def _parse(text: str) -> Condition:
    scanned = list(_scan(text))
    first = next((index for index, token in enumerate(scanned) if _begins_comparison(token)), None)
    if first is None:
        raise _Misplaced("it compares nothing, as > 0.2, drop > 20% or outside 0.1..0.4 do")
    target = _target(text[: scanned[first].start].strip())
    tokens = _Tokens(scanned[first:])
    condition = replace(_comparison(tokens), target=target)
    while tokens.has_more:
        if tokens.take_word("warn", "warning") and condition.warn is None:
            condition = _with_warning(condition, tokens)
        elif condition.measure in CHANGES and tokens.take_word("against", "vs", "from"):
            condition = _against(condition, tokens)
        elif condition.measure == Measure.VALUE and tokens.take_word("unless"):
            condition = _unless_usual(condition, tokens)
        else:
            raise tokens.not_understood(_following(condition))
    return condition


def _begins_comparison(token: _Token) -> bool:
    is_word = token.kind == "word" and token.text.lower() in (*RANGES, *CHANGES, Measure.DEVIATION)
    return token.kind == "sign" or is_word


def _following(condition: Condition) -> list[str]:
    """Return the words that may follow a condition."""
    return [
        *(["warn"] if condition.warn is None else []),
        *(["against"] if condition.measure in CHANGES else []),
        *(["unless usual"] if condition.measure == Measure.VALUE else []),
    ]


def _against(condition: Condition, tokens: _Tokens) -> Condition:
    base = tokens.baseline()
    if base != ChangeBase.WEEKLY:
        return replace(condition, against=base)
    over = int(tokens.take("number")) if tokens.take_word("over") else WEEKLY_OVER
    floor = tokens.number() if tokens.take_word("floor") else DEFAULT_FLOOR
    return replace(condition, against=base, over=over, floor=floor)


def _unless_usual(condition: Condition, tokens: _Tokens) -> Condition:
    if tokens.take_word("usual") is None:
        raise tokens.misplaced('the word "usual"')
    over = int(tokens.take("number")) if tokens.take_word("over") else USUAL_OVER
    return replace(condition, usual_over=over, usual_steps=tokens.number() if tokens.take_word("steps") else 0)


def _target(text: str) -> Target:
    first, _, name = text.partition(" ")
    word, name = first.lower(), name.strip()
    if not text:
        return Target()
    if word in (Quantifier.ANY, Quantifier.ALL):
        if name.lower() in ("", "value", "values", *METRIC_WORDS):
            return Target(Source.METRIC, Quantifier(word))
        for noun, plural in ENTRY_NOUNS.items():
            if name.lower() in (noun, plural):
                return Target(Source.ENTRY, Quantifier(word), noun=noun)
    if word in ENTRY_WORDS and name:
        return Target(Source.ENTRY, Quantifier.ONE, _name(name))
    if word in METRIC_WORDS and name:
        return Target(Source.METRIC, Quantifier.ONE, _name(name))
    if re.fullmatch(r"[-+.\d]+", text, re.ASCII):
        raise _Misplaced(f"{text!r} is no name; a class called {text} is 'class {text}'")
    return Target(Source.EITHER, Quantifier.ONE, _name(text))


def _name(text: str) -> str:
    tokens = list(_scan(text))
    if len(tokens) == 1 and tokens[0].kind == "quoted":
        text = _unquote(text)
    elif any(token.kind == "quoted" for token in tokens):
        raise ValueError(text)
    if not text:
        raise ValueError(text)
    return text


def _unquote(text: str) -> str:
    """Return the name in quotes: a backslash escapes the next character, and a doubled quote is one, as in filters."""
    return re.sub(r'\\(.)|"(")', r"\1\2", text[1:-1], flags=re.DOTALL)


def _comparison(tokens: _Tokens) -> Condition:
    if word := tokens.take_word(*RANGES):
        low, high = tokens.range()
        return Condition(Operator(word), low, upper=high)
    if word := tokens.take_word(*CHANGES):
        operator = OPERATOR_OF_SIGN[tokens.take("sign")]
        threshold, is_percent = tokens.number_or_percent()
        return Condition(operator, threshold, measure=Measure(word), is_percent=is_percent)
    if tokens.take_word(Measure.DEVIATION):
        return _deviation(tokens)
    operator = OPERATOR_OF_SIGN[tokens.take("sign")]
    threshold, is_percent = tokens.number_or_percent()
    return Condition(operator, threshold / 100 if is_percent else threshold)


def _deviation(tokens: _Tokens) -> Condition:
    direction = tokens.take_word("up", "down")
    operator, threshold = OPERATOR_OF_SIGN[tokens.take("sign")], tokens.number()
    over = int(tokens.take("number")) if tokens.take_word("over") else DEFAULT_OVER
    min_windows = int(tokens.take("number")) if tokens.take_word("min") else default_min_windows(over)
    floor = tokens.number() if tokens.take_word("floor") else DEFAULT_FLOOR
    measure = Measure(f"{Measure.DEVIATION} {direction}") if direction else Measure.DEVIATION
    return Condition(operator, threshold, measure=measure, over=over, min_windows=min_windows, floor=floor)


def default_min_windows(over: int) -> int:
    """Return how many previous windows must have a value: half, but at least three."""
    return max(3, (over + 1) // 2)


def _with_warning(condition: Condition, tokens: _Tokens) -> Condition:
    tokens.take_word(SIGN_OF_OPERATOR.get(condition.operator, condition.operator))
    if condition.operator in RANGES:
        low, high = tokens.range()
        return replace(condition, warn=low, warn_upper=high)
    warn, is_percent = tokens.number_or_percent()
    return replace(condition, warn=warn / 100 if is_percent and not condition.is_percent else warn)


def _require_consistent(condition: Condition) -> None:
    """Refuse a condition that can be written but makes no sense. Raises InvalidInput."""
    low, high = condition.threshold, condition.upper
    if high is not None and low >= high:
        raise errors.InvalidInput(f"A range goes from a smaller number to a larger one, not from {low:g} to {high:g}.")
    if condition.measure in DEVIATIONS:
        if not 3 <= condition.over <= 1000 or not 2 <= condition.min_windows <= condition.over:
            raise errors.InvalidInput("A deviation is taken over 3 to 1000 windows, of which at least 2 have a value.")
        if condition.floor < 0:
            raise errors.InvalidInput("The floor of a deviation can't be negative.")
    if condition.against == ChangeBase.WEEKLY and not (2 <= condition.over <= 1000 and condition.floor >= 0):
        raise errors.InvalidInput("A change against earlier weeks reads 2 to 1000 windows, from a floor of at least 0.")
    _require_consistent_usual(condition)
    warn, upper = condition.warn, condition.warn_upper
    if warn is None:
        return
    is_earlier: dict[str, bool] = {
        Operator.GREATER_THAN: warn < low,
        Operator.GREATER_THAN_EQUALS: warn < low,
        Operator.LESS_THAN: warn > low,
        Operator.LESS_THAN_EQUALS: warn > low,
        Operator.OUTSIDE: high is not None and upper is not None and low <= warn < upper <= high,
        Operator.INSIDE: high is not None and upper is not None and warn <= low < high <= upper,
    }
    if not is_earlier.get(condition.operator, False):
        raise errors.InvalidInput(
            f"A value must reach the warning level before the rule's own level: {_level_text(condition, warn=True)} is"
            f" not reached before {_level_text(condition, warn=False)}."
        )


def _require_consistent_usual(condition: Condition) -> None:
    if condition.usual_over and (condition.operator not in UPPER_BOUNDS or condition.threshold < 0):
        raise errors.InvalidInput("Only what is above a limit of at least 0 can be usual: write '> 1 unless usual'.")
    if condition.usual_over and not 5 <= condition.usual_over <= 1000:
        raise errors.InvalidInput("What is usual is read from 5 to 1000 windows.")
    if condition.usual_steps < 0:
        raise errors.InvalidInput("The number of usual steps can't be negative.")


def to_text(condition: Condition) -> str:
    """Write a condition as text; `parse` gives the same condition."""
    target = _target_text(condition.target)
    parts = [target] if target else []
    if condition.measure != Measure.VALUE:
        parts.append(condition.measure)
    parts.append(f"{SIGN_OF_OPERATOR.get(condition.operator, condition.operator)} {_level_text(condition, warn=False)}")
    if condition.measure in DEVIATIONS:
        parts.append(f"over {condition.over}")
        parts += (
            [f"min {condition.min_windows}"] if condition.min_windows != default_min_windows(condition.over) else []
        )
        parts += [f"floor {number_text(condition.floor)}"] if condition.floor != DEFAULT_FLOOR else []
    if condition.warn is not None:
        parts.append(f"warn {_level_text(condition, warn=True)}")
    if condition.against != ChangeBase.PREVIOUS:
        parts.append(f"against {condition.against}")
    if condition.against == ChangeBase.WEEKLY:
        parts += [f"over {condition.over}"] if condition.over != WEEKLY_OVER else []
        parts += [f"floor {number_text(condition.floor)}"] if condition.floor != DEFAULT_FLOOR else []
    if condition.usual_over:
        parts.append("unless usual" + (f" over {condition.usual_over}" if condition.usual_over != USUAL_OVER else ""))
        parts += [f"steps {number_text(condition.usual_steps)}"] if condition.usual_steps else []
    return " ".join(parts)


def _level_text(condition: Condition, *, warn: bool) -> str:
    low, high = (condition.warn, condition.warn_upper) if warn else (condition.threshold, condition.upper)
    assert low is not None
    end = f"..{number_text(high)}" if high is not None else "%" if condition.is_percent else ""
    return number_text(low) + end


def _target_text(target: Target) -> str:
    source, quantifier, name = target.source, target.quantifier, target.name
    if name is None:
        if (source, quantifier) == (Source.METRIC, Quantifier.ANY):
            return ""
        if quantifier == Quantifier.ANY:
            return f"any {target.noun}"
        return "all metrics" if source == Source.METRIC else f"all {ENTRY_NOUNS[target.noun]}"
    prefix = {Source.METRIC: "metric ", Source.ENTRY: "feature ", Source.EITHER: ""}[source]
    plain = f"{prefix}{name}"
    try:
        is_same = _parse(f"{plain} > 0").target == target
    except ValueError:
        is_same = False
    return plain if is_same else f"{prefix}{_quote(name)}"


def _quote(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def number_text(value: float) -> str:
    """Write a number as short as possible without losing a digit."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
