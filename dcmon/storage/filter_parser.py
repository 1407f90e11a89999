"""Parse and write data filters as text.

An example: age >= 30 and city in ('Oslo', 'Rome') and job != null.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dcmon import errors
from dcmon.operators import OPERATOR_OF_SIGN, SIGN_OF_OPERATOR, Operator
from dcmon.storage.filters import IN, Filters, conditions

OPERATOR_OF_FILTER_SIGN = {**OPERATOR_OF_SIGN, "<>": Operator.NOT_EQUALS}
TOKEN = re.compile(
    r"""\s*(?: (?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`) | (?P<sign>>=|<=|==|!=|<>|=|>|<)
      | (?P<mark>[(),\[\]]) | (?P<word>[^\s'"`<>=!(),\[\]]+) | (?P<wrong>.) )""",
    re.VERBOSE,
)
EXAMPLE = "Write it like age >= 30, city in ('Oslo', 'Rome') or job != null."


class Token(NamedTuple):
    """A token of a filter, from `start` to `end` in the filter's text.

    `kind` is the name of its group in TOKEN.
    """

    kind: str
    text: str
    start: int
    end: int

    def is_word(self, *keywords: str) -> bool:
        """Return True if the token is one of these keywords, in upper or lower case."""
        return self.kind == "word" and self.text.lower() in keywords


def parse(texts: Iterable[str]) -> dict[str, Any] | None:
    """Parse texts into data filters, joined by AND; None without texts. Raises InvalidInput.

    A name or a text may be in quotes: 'single', "double" or `back`. Between quotes, a doubled quote is one quote. A
    word that looks like a number is a number, null is null, and all other words are texts.
    """
    items = [item for text in texts for item in _conditions(text)]
    return {"filters": items} if items else None


def write(filters: Filters) -> str:
    """Return data filters as a text that `parse` reads; empty without filters."""
    items = conditions(filters)
    return " and ".join(_text(item["column"], item["operator"], item.get("value")) for item in items)


def _text(column: str, operator: str, value: Any) -> str:
    name = column if re.fullmatch(r"[^\W\d]\w*", column) and column.lower() not in _RESERVED else _quoted(column, '"')
    if operator != IN:
        return f"{name} {SIGN_OF_OPERATOR.get(operator, operator)} {_literal(value)}"
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
        if token.is_word("and"):
            parts.append([])
        else:
            parts[-1].append(token)
    return [_condition(text, part) for part in parts]


def _tokens(text: str) -> list[Token]:
    tokens = []
    for match in TOKEN.finditer(text.rstrip()):
        kind = match.lastgroup or ""
        if kind == "wrong":
            raise _invalid_filter(text, f"It can't have {match[kind]!r} at character {match.start(kind) + 1}.")
        tokens.append(Token(kind, match[kind], match.start(kind), match.end(kind)))
    return tokens


def _condition(text: str, tokens: Sequence[Token]) -> dict[str, Any]:
    at = next(
        (at for at, token in enumerate(tokens) if at and (token.kind == "sign" or token.is_word("in", "is"))), None
    )
    if at is None:
        raise _invalid_filter(text, "It has no column, operator and value.")
    if tokens[at - 1].is_word("not"):
        raise _invalid_filter(text, "There is no 'not in': use != for each value.")
    column, after = _plain(text, tokens[:at]), tokens[at + 1 :]
    if tokens[at].is_word("in"):
        return {"column": column, "operator": IN, "value": _values(text, after)}
    if tokens[at].is_word("is"):
        is_not = bool(after) and after[0].is_word("not")
        after = after[1:] if is_not else after
        operator = Operator.NOT_EQUALS if is_not else Operator.EQUALS
    else:
        operator = OPERATOR_OF_FILTER_SIGN[tokens[at].text]
    return {"column": column, "operator": operator, "value": _value(text, after)}


def _values(text: str, tokens: Sequence[Token]) -> list[Any]:
    if not tokens or tokens[0].text not in ("(", "["):
        return [_value(text, tokens)]
    if tokens[-1].text not in (")", "]"):
        raise _invalid_filter(text, "The list has no closing bracket.")
    values: list[list[Token]] = [[]]
    for token in tokens[1:-1]:
        if token.text == "," and token.kind == "mark":
            values.append([])
        else:
            values[-1].append(token)
    return [_value(text, value) for value in values]


def _value(text: str, tokens: Sequence[Token]) -> Any:
    if not tokens:
        raise _invalid_filter(text, "A value is missing.")
    if any(token.kind in ("sign", "mark") for token in tokens):
        if any(token.is_word("or") for token in tokens):
            raise _invalid_filter(text, "There is no 'or': use in (…), or one monitor for each condition.")
        raise _invalid_filter(text, "A value with one of the signs = < > ! ( ) [ ] or a comma must be in quotes.")
    plain = _plain(text, tokens)
    return plain if tokens[0].kind == "quoted" else _value_of_word(plain)


def _value_of_word(word: str) -> Any:
    """Return the value of a word: null, a number or a text.

    A word is a number only if JSON writes the number like the word, because 007 and 1.50 may be names.
    """
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
    """Return a quoted text without its quotes, or words as they are written."""
    if any(token.kind == "quoted" for token in tokens):
        if len(tokens) > 1:
            other = next((token for token in tokens if token.kind != "quoted"), tokens[1])
            hint = " Write a quote between quotes twice." if re.search(r"\\['\"`]", text) else ""
            raise _invalid_filter(text, f"A text in quotes must stand alone, without {other.text}.{hint}")
        quote = tokens[0].text[0]
        return tokens[0].text[1:-1].replace(2 * quote, quote)
    return text[tokens[0].start : tokens[-1].end]


def _invalid_filter(text: str, reason: str) -> errors.InvalidInput:
    return errors.InvalidInput(f"{text!r} is not a filter. {reason} {EXAMPLE}")
