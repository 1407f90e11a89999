"""What marks in numbers prove: 1,5 has a decimal comma, 1,234.5 a comma between thousands, and 1,234 proves neither.

The functions read many texts at once, one in each line: that costs a fraction of a look at each text.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from dcmon.ingestion.values.rules import ProofText

COMMA, POINT, APOSTROPHE, SPACE = ",", ".", "'", " "
# All marks of a family are one mark: programs write a no-break space, a narrow one, a thin one, or a plain space.
SPACES = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
FAMILIES: Mapping[str, str] = {mark: family for family in (SPACES, APOSTROPHES) for mark in family}
_BLANK, _SIGN, _PERCENT = rf"[\t{SPACES}]*", "[-+]?", "%?"


class MarkPattern(NamedTuple):
    """A mark, and the pattern of the lines that prove it."""

    mark: str
    pattern: "re.Pattern[str]"


def _line(*alternatives: str) -> "re.Pattern[str]":
    number = "|".join(alternatives)
    return re.compile(rf"^{_BLANK}{_SIGN}(?:{number}){_BLANK}{_PERCENT}{_BLANK}$", re.ASCII | re.MULTILINE)


def _decimal(mark: str, other: str) -> MarkPattern:
    """Return the proof of a decimal mark: it can't stand between thousands, because another mark does, for example."""
    m, o = re.escape(mark), re.escape(other)
    between = f"[{o}{SPACES}{APOSTROPHES}]"
    not_three_digits = rf"\d*{m}(?:\d\d?|\d{{4,}})"
    not_after_thousands = rf"(?:0\d*|\d{{4,}})?{m}\d+"
    with_exponent = rf"\d*{m}\d+[eE]{_SIGN}\d+"
    after_thousands = rf"\d{{1,3}}(?:{between}\d{{3}})+{m}\d+"
    others_between_thousands = rf"\d{{1,3}}(?:{o}\d{{3}}){{2,}}"
    return MarkPattern(
        mark, _line(not_three_digits, not_after_thousands, with_exponent, after_thousands, others_between_thousands)
    )


def _thousands(mark: str, decimal: str) -> MarkPattern:
    """Return the proof that a decimal mark stands between thousands: it occurs twice, or before the other one."""
    m, d = re.escape(mark), re.escape(decimal)
    return MarkPattern(mark, _line(rf"\d{{1,3}}(?:{m}\d{{3}})+{d}\d*", rf"\d{{1,3}}(?:{m}\d{{3}}){{2,}}"))


def _always_thousands(mark: str, family: str) -> MarkPattern:
    return MarkPattern(mark, _line(rf"\d{{1,3}}(?:[{family}]\d{{3}})+(?:[.,]\d*)?"))


DECIMALS = (_decimal(POINT, COMMA), _decimal(COMMA, POINT))
THOUSANDS = (
    _thousands(COMMA, POINT), _thousands(POINT, COMMA),
    _always_thousands(APOSTROPHE, APOSTROPHES), _always_thousands(SPACE, SPACES),
)  # fmt: skip
DOUBTFUL = tuple(MarkPattern(mark, _line(rf"[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}")) for mark in (COMMA, POINT))
_TWO_POINTS = re.compile(r"\d\.\d{3}\.\d{3}", re.ASCII)


def may_have_other_marks(lines: str) -> bool:
    """True if lines of numbers may have other marks than a decimal point. False costs next to nothing."""
    if any(mark in lines for mark in (COMMA, *APOSTROPHES, *SPACES)):
        return True
    return _TWO_POINTS.search(lines) is not None


def first_proof(pattern: MarkPattern, lines: str) -> ProofText | None:
    """Return the first line that matches the pattern."""
    match = pattern.pattern.search(lines)
    return None if match is None else _proof_text(match)


def _proof_text(match: "re.Match[str]") -> ProofText:
    return ProofText(match[0].strip(), match.string.count("\n", 0, match.start()))
