"""The grammar of conditions, as a person writes them (docs/alerts.md):

> 0.2                                   any metric
Drift Score > 0.2 warn 0.1              one metric, on two levels
any feature > 0.3                       entries: features, classes, labels
feature age > 0.3
outside 0.1..0.4
drop > 20%                              against the window before; change, rise
deviation > 3 over 14                   in standard deviations of the 14 windows before
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from math import isfinite

from dcmon import errors
from dcmon.alerting.rule_conditions import CHANGES, FLOOR, OVER, PREVIOUS, RANGES, REFERENCE, SIGNS, Condition, Subject

WRITTEN = {name: sign for sign, name in SIGNS.items() if sign != "="}
ENTRY_WORDS = ("feature", "entry", "class", "features", "entries", "classes")
METRIC_WORDS = ("metric", "metrics")
LONGEST = 1000


def parse(text: str) -> Condition:
    """A condition as a person writes it. Raises InvalidInput."""
    if len(text) > LONGEST:
        raise errors.InvalidInput(f"A condition has at most {LONGEST} characters.")
    try:
        found = _parse(text)
    except (ValueError, IndexError, StopIteration):
        raise errors.InvalidInput(
            f"{text!r} is no condition. It looks like '> 0.2', '<= 0.9', 'any feature > 0.3', 'drop > 20%', "
            f"'outside 0.1..0.4' or 'deviation > 3 over 14', in quotes."
        ) from None
    _require_levels(found)
    return found


TOKEN = re.compile(
    r"""\s*(?: (?P<quoted>"(?:[^"\\]|\\.)*")
             | (?P<sign>>=|<=|==|!=|>|<|=)
             | (?P<number>[-+]?(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?=\s|%|\.\.|,|$)
             | (?P<dots>\.\.)
             | (?P<percent>%)
             | (?P<word>(?:(?!\.\.)[^\s<>=!"%])+|!) )""",
    re.VERBOSE | re.ASCII,
)


class _Tokens:
    """The tokens after a condition's subject, read one by one."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._left = tokens

    def take(self, kind: str) -> str:
        """The next token, which is of that kind. Raises ValueError."""
        found, text = self._left.pop(0)
        if found != kind:
            raise ValueError(text)
        return text

    def takes(self, *words: str) -> str | None:
        """The next token when it is one of these; otherwise it stays."""
        if self._left and self._left[0][1].lower() in words:
            return self._left.pop(0)[1].lower()
        return None

    def number(self) -> float:
        text = self.take("number")
        found = float(text)
        if not isfinite(found):
            raise ValueError("not finite")
        if not found and re.search("[1-9]", re.split("[eE]", text)[0]):
            raise errors.InvalidInput(f"{text} is too small to be told from 0.")
        return found

    def share(self) -> tuple[float, bool]:
        """A number, and whether a percent sign follows."""
        found = self.number()
        return found, self.takes("%") is not None

    def span(self) -> tuple[float, float]:
        """A range; with percent signs, or with one after it, a range of shares: 10%..20% and 10..20% are 0.1 to 0.2."""
        first, is_first = self.share()
        if self.takes("..", "to", "and", ",") is None:
            raise ValueError("no range")
        last, is_percent = self.share()
        if is_first and not is_percent:
            raise ValueError("a share to a number")
        return (first / 100, last / 100) if is_percent else (first, last)

    @property
    def are_left(self) -> bool:
        return bool(self._left)

    def baseline(self) -> str:
        """What a change is against."""
        found = self.takes(PREVIOUS, REFERENCE)
        if found is None:
            raise ValueError("against what")
        return found


def _scan(text: str) -> Iterator[tuple[str, str, int]]:
    at, text = 0, text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise ValueError(text[at:])
        yield found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)
        at = found.end()


def _parse(text: str) -> Condition:
    tokens = list(_scan(text))
    first = next(
        place
        for place, (kind, word, _) in enumerate(tokens)
        if kind == "sign" or (kind == "word" and word.lower() in (*RANGES, *CHANGES, "deviation"))
    )
    subject = _subject(text[: tokens[first][2]].strip())
    left = _Tokens([(kind, word) for kind, word, _ in tokens[first:]])
    found = replace(_test(left), subject=subject)
    while left.are_left:
        if left.takes("warn", "warning") and found.warn is None:
            found = _with_warning(found, left)
        elif found.measure in CHANGES and left.takes("against", "vs", "from"):
            found = replace(found, against=left.baseline())
        else:
            raise ValueError(text)
    return found


def _subject(text: str) -> Subject:
    first, _, rest = text.partition(" ")
    word, rest = first.lower(), rest.strip()
    if not text:
        return Subject()
    if word in ("any", "all"):
        if rest.lower() in ("", "value", "values", *METRIC_WORDS):
            return Subject("metric", word)
        if rest.lower() in ENTRY_WORDS:
            return Subject("entry", word)
    if word in ENTRY_WORDS and rest:
        return Subject("entry", "one", _name(rest))
    if word in METRIC_WORDS and rest:
        return Subject("metric", "one", _name(rest))
    if re.fullmatch(r"[-+.\d]+", text, re.ASCII):
        raise ValueError(text)  # "1 > 0": a class called 1 is "class 1" or in quotes
    return Subject("either", "one", _name(text))


def _name(text: str) -> str:
    tokens = list(_scan(text))
    if len(tokens) == 1 and tokens[0][0] == "quoted":
        text = _unquoted(text)
    elif any(kind == "quoted" for kind, _, _ in tokens):
        raise ValueError(text)
    if not text:
        raise ValueError(text)
    return text


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _test(left: _Tokens) -> Condition:
    if word := left.takes(*RANGES):
        low, high = left.span()
        return Condition(word, low, upper=high)
    if word := left.takes(*CHANGES):
        comparison = SIGNS[left.take("sign")]
        threshold, is_percent = left.share()
        return Condition(comparison, threshold, measure=word, is_percent=is_percent)
    if left.takes("deviation"):
        return _deviation(left)
    comparison = SIGNS[left.take("sign")]
    threshold, is_percent = left.share()
    return Condition(comparison, threshold / 100 if is_percent else threshold)


def _deviation(left: _Tokens) -> Condition:
    direction = left.takes("up", "down")
    comparison, threshold = SIGNS[left.take("sign")], left.number()
    over = int(left.take("number")) if left.takes("over") else OVER
    least = int(left.take("number")) if left.takes("min") else default_least(over)
    floor = left.number() if left.takes("floor") else FLOOR
    measure = f"deviation {direction}" if direction else "deviation"
    return Condition(comparison, threshold, measure=measure, over=over, least=least, floor=floor)


def default_least(over: int) -> int:
    """How many of the windows before must have a value before a deviation is judged: half of them, at least three."""
    return max(3, (over + 1) // 2)


def _with_warning(found: Condition, left: _Tokens) -> Condition:
    left.takes(WRITTEN.get(found.operator, found.operator))
    if found.operator in RANGES:
        low, high = left.span()
        return replace(found, warn=low, warn_upper=high)
    warn, is_percent = left.share()
    return replace(found, warn=warn / 100 if is_percent and not found.is_percent else warn)


def _require_levels(found: Condition) -> None:
    """Refuse what can be written but makes no sense. Raises InvalidInput."""
    low, high = found.threshold, found.upper
    if high is not None and low >= high:
        raise errors.InvalidInput(f"A range goes from a smaller number to a larger one, not from {low:g} to {high:g}.")
    if found.measure.startswith("deviation"):
        if not 3 <= found.over <= 1000 or not 2 <= found.least <= found.over:
            raise errors.InvalidInput("A deviation is taken over 3 to 1000 windows, of which at least 2 have a value.")
        if found.floor < 0:
            raise errors.InvalidInput("The floor of a deviation is not negative.")
    if found.warn is None:
        return
    below = {
        "greater_than": found.warn < low,
        "greater_than_equals": found.warn < low,
        "less_than": found.warn > low,
        "less_than_equals": found.warn > low,
        "outside": high is not None and found.warn_upper is not None and low <= found.warn < found.warn_upper <= high,
        "inside": high is not None and found.warn_upper is not None and found.warn <= low < high <= found.warn_upper,
    }
    if not below.get(found.operator, False):
        raise errors.InvalidInput(
            f"A warning comes before the rule itself: {_written_level(found, warn=True)} does not come before "
            f"{_written_level(found, warn=False)}."
        )


def written(condition: Condition) -> str:
    """A condition as a person writes it; parsed again, it is the same."""
    subject = _written_subject(condition)
    parts = [subject] if subject else []
    if condition.measure != "value":
        parts.append(condition.measure)
    parts.append(f"{WRITTEN.get(condition.operator, condition.operator)} {_written_level(condition, warn=False)}")
    if condition.measure.startswith("deviation"):
        parts.append(f"over {condition.over}")
        parts += [f"min {condition.least}"] if condition.least != default_least(condition.over) else []
        parts += [f"floor {number(condition.floor)}"] if condition.floor != FLOOR else []
    if condition.warn is not None:
        parts.append(f"warn {_written_level(condition, warn=True)}")
    if condition.against != PREVIOUS:
        parts.append(f"against {condition.against}")
    return " ".join(parts)


def _written_level(condition: Condition, *, warn: bool) -> str:
    low, high = (condition.warn, condition.warn_upper) if warn else (condition.threshold, condition.upper)
    assert low is not None
    end = f"..{number(high)}" if high is not None else "%" if condition.is_percent else ""
    return number(low) + end


def _written_subject(condition: Condition) -> str:
    of, which, name = condition.subject.of, condition.subject.which, condition.subject.name
    if name is None:
        plural = {"metric": "metrics", "entry": "features"}[of] if which == "all" else "feature"
        return "" if (of, which) == ("metric", "any") else f"{which} {plural}"
    prefix = {"metric": "metric ", "entry": "feature ", "either": ""}[of]
    plain = f"{prefix}{name}"
    try:
        is_same = _parse(f"{plain} > 0").subject == condition.subject
    except (ValueError, IndexError, StopIteration):
        is_same = False
    return plain if is_same else f"{prefix}{_quoted(name)}"


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def number(value: float) -> str:
    """A number, as short as it can be without losing a digit."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
