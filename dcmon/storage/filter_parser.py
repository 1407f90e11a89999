"""Data filters as a person writes them: age >= 30 and city in ('Oslo', 'Rome') and job != null."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dcmon import errors
from dcmon.storage.filters import Filters, conditions

SIGNS = {
    ">=": "greater_than_equals",
    "<=": "less_than_equals",
    "==": "equals",
    "=": "equals",
    "!=": "not_equals",
    "<>": "not_equals",
    ">": "greater_than",
    "<": "less_than",
}
WRITTEN = {operator: sign for sign, operator in SIGNS.items() if sign not in ("=", "<>")}
TOKEN = re.compile(
    r"""\s*(?: (?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`) | (?P<sign>>=|<=|==|!=|<>|=|>|<)
      | (?P<mark>[(),\[\]]) | (?P<word>[^\s'"`<>=!(),\[\]]+) | (?P<wrong>.) )""",
    re.VERBOSE,
)
EXAMPLE = "Write it like age >= 30, city in ('Oslo', 'Rome') or job != null."


class Token(NamedTuple):
    """A part of what was written: its kind, its text, and where it begins and ends."""

    kind: str
    text: str
    start: int
    end: int

    def says(self, *words: str) -> bool:
        """Whether it is one of these words, in any case."""
        return self.kind == "word" and self.text.lower() in words


def parse(written: Iterable[str]) -> dict[str, Any] | None:
    """Data filters of one or more texts, which all must hold; None without any. Raises InvalidInput.

    A name or a text may be in quotes, 'single', "double" or `back`; doubled, a quote stands for itself. What looks
    like a number is one, null is null, and any other word is a text.
    """
    found = [each for text in written for each in _conditions(text)]
    return {"filters": found} if found else None


def write(filters: Filters) -> str:
    """Data filters as `parse` reads them; empty without any."""
    return " and ".join(_written(each["column"], each["operator"], each.get("value")) for each in conditions(filters))


def _written(column: str, operator: str, value: Any) -> str:
    name = column if re.fullmatch(r"[^\W\d]\w*", column) and column.lower() not in _RESERVED else _quoted(column, '"')
    if operator != "in":
        return f"{name} {WRITTEN.get(operator, operator)} {_literal(value)}"
    values = value if isinstance(value, list | tuple) else [value]
    return f"{name} in ({', '.join(map(_literal, values))})"


_RESERVED = ("in", "is", "not", "and", "null", "none")


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _quoted(value, "'") if isinstance(value, str) else json.dumps(value)


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, 2 * quote) + quote


def _conditions(text: str) -> list[dict[str, Any]]:
    parts: list[list[Token]] = [[]]
    for token in _tokens(text):
        if token.says("and"):
            parts.append([])
        else:
            parts[-1].append(token)
    return [_condition(text, part) for part in parts]


def _tokens(text: str) -> list[Token]:
    found = []
    for match in TOKEN.finditer(text.rstrip()):
        kind = match.lastgroup or ""
        if kind == "wrong":
            raise _refused(text, f"What does {match[kind]!r} at character {match.start(kind) + 1} mean?")
        found.append(Token(kind, match[kind], match.start(kind), match.end(kind)))
    return found


def _condition(text: str, tokens: Sequence[Token]) -> dict[str, Any]:
    at = next((at for at, token in enumerate(tokens) if at and (token.kind == "sign" or token.says("in", "is"))), None)
    if at is None:
        raise _refused(text, "It has no column, operator and value.")
    if tokens[at - 1].says("not"):
        raise _refused(text, "There is no 'not in': say != of each value.")
    column, rest = _plain(text, tokens[:at]), tokens[at + 1 :]
    if tokens[at].says("in"):
        return {"column": column, "operator": "in", "value": _values(text, rest)}
    if tokens[at].says("is"):
        is_not, rest = bool(rest) and rest[0].says("not"), rest[1:] if rest and rest[0].says("not") else rest
        return {"column": column, "operator": "not_equals" if is_not else "equals", "value": _value(text, rest)}
    return {"column": column, "operator": SIGNS[tokens[at].text], "value": _value(text, rest)}


def _values(text: str, tokens: Sequence[Token]) -> list[Any]:
    if not tokens or tokens[0].text not in ("(", "["):
        return [_value(text, tokens)]
    if tokens[-1].text not in (")", "]"):
        raise _refused(text, "The list has no end.")
    values: list[list[Token]] = [[]]
    for token in tokens[1:-1]:
        if token.text == "," and token.kind == "mark":
            values.append([])
        else:
            values[-1].append(token)
    return [_value(text, value) for value in values]


def _value(text: str, tokens: Sequence[Token]) -> Any:
    if not tokens:
        raise _refused(text, "A value is missing.")
    if any(token.kind in ("sign", "mark") for token in tokens):
        if any(token.says("or") for token in tokens):
            raise _refused(text, "There is no 'or': use in (…), or a monitor of each.")
        raise _refused(text, "A value with signs in it belongs in quotes.")
    said = _plain(text, tokens)
    return said if tokens[0].kind == "quoted" else _meant(said)


def _meant(word: str) -> Any:
    """A number only where it is written as JSON writes it: 007 and 1.50 may be names."""
    if word.lower() in ("null", "none"):
        return None
    try:
        number = json.loads(word)
    except ValueError:
        return word
    is_exact = json.dumps(number) == word
    if isinstance(number, float):
        return number if is_exact and math.isfinite(number) and not number.is_integer() else word
    return number if is_exact and isinstance(number, int) and not isinstance(number, bool) else word


def _plain(text: str, tokens: Sequence[Token]) -> str:
    """One text in quotes without them, or some words as they were written."""
    if any(token.kind == "quoted" for token in tokens):
        if len(tokens) > 1:
            raise _refused(text, f"What belongs to {tokens[0].text}?")
        quote = tokens[0].text[0]
        return tokens[0].text[1:-1].replace(2 * quote, quote)
    return text[tokens[0].start : tokens[-1].end]


def _refused(text: str, why: str) -> errors.InvalidInput:
    return errors.InvalidInput(f"{text!r} is no filter. {why} {EXAMPLE}")
