"""Numbers, integers and booleans: as values of JSON and Parquet, and as text."""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.ingestion.values.number_marks import APOSTROPHES, FAMILIES, SPACES
from dcmon.ingestion.values.refusal import ValueRefused
from dcmon.ingestion.values.rules import ValueRules

INTEGERS: Mapping[str, tuple[int, int]] = {"integer": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1)}
# Also as Excel writes them in German, French, Spanish, Italian and Portuguese.
TRUE = frozenset(
    {"true", "t", "yes", "y", "1", "1.0", "wahr", "ja", "vrai", "oui", "verdadero", "vero", "verdadeiro", "sim"}
)
FALSE = frozenset({"false", "f", "no", "n", "0", "0.0", "falsch", "nein", "faux", "non", "falso"})
MAX_DIGITS = 30  # more than an integer of any type has
BOOLEAN_WORDS = {"true": 1.0, "True": 1.0, "TRUE": 1.0, "false": 0.0, "False": 0.0, "FALSE": 0.0}
_HAS_OTHER_MARKS = re.compile(rf"[-+]?[\d.,{SPACES}{APOSTROPHES}]+%?", re.ASCII)
_MARKS_OF_FILES = "If the numbers of the file have other marks than -1234.5, give --decimal or --thousands."
_CURRENCIES = "$€£¥₹"
# Numbers as programs write them, also in other digits, as Python reads them. No thousands: 1,234 may be a number with a
# decimal comma.
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def number(value: Any, rules: ValueRules) -> Any:
    """Return a finite number, or None for NaN. Raises ValueRefused."""
    if isinstance(value, str):
        return number_of_text(value, rules)
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float | Decimal):
        is_text_of_file = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)
        raise ValueRefused("a number", file_hint=_MARKS_OF_FILES if is_text_of_file else None)
    if _is_nan(value):
        return None
    if isinstance(value, int) or math.isfinite(value):
        return value
    raise ValueRefused("a number", "Infinity can't be stored.")


def number_of_text(text: str, rules: ValueRules) -> float:
    """Return the number that a text is. Booleans are 1 and 0. Raises ValueRefused."""
    if rules.decimal_mark == "." and "_" not in text:  # most numbers, at a third of the cost
        try:
            if math.isfinite(result := float(text)):
                return result
        except ValueError:
            pass
    plain = text.strip()
    if (boolean := BOOLEAN_WORDS.get(plain)) is not None:
        return boolean
    is_percent = plain.endswith("%")
    usual = _with_usual_marks(plain[:-1].rstrip() if is_percent else plain, rules) or ""
    if not NUMBER.fullmatch(usual):
        raise _refused("a number", plain)
    result = float(usual) / 100 if is_percent else float(usual)  # Excel writes 0.8 as 80%
    if not math.isfinite(result):
        raise ValueRefused("a number up to 1.7e308", reason=RejectionReason.OUT_OF_RANGE)
    return result


def integer(value: Any, rules: ValueRules, kind: str) -> int | None:
    """Return an integer that fits in the type, or None for NaN. Raises ValueRefused."""
    first, last = INTEGERS[kind]
    if isinstance(value, str) and value.isdecimal() and len(value) < MAX_DIGITS:  # most texts, at a third of the cost
        value = int(value)
    if type(value) is not int:
        exact = _exact(value, rules)
        if exact is None:
            return None
        is_huge = exact.adjusted() >= MAX_DIGITS  # the exponent may be a million: such an integer is not computed
        if not is_huge and exact != exact.to_integral_value():
            raise ValueRefused("an integer")
        value = 10**MAX_DIGITS if is_huge else int(exact)
    if not first <= value <= last:
        raise ValueRefused(f"an integer from {first} to {last}", reason=RejectionReason.OUT_OF_RANGE)
    return int(value)


def _exact(value: Any, rules: ValueRules) -> Decimal | None:
    """Return a number exactly, because a float can't hold each bigint; None for NaN."""
    if isinstance(value, str):
        plain = value.strip()
        if plain in BOOLEAN_WORDS:
            return Decimal(BOOLEAN_WORDS[plain])
        usual = _with_usual_marks(plain, rules) or ""
        if not NUMBER.fullmatch(usual):
            raise _refused("an integer", plain)
        return Decimal(usual)
    try:
        checked = number(value, rules)
    except ValueRefused as refused:
        raise ValueRefused("an integer", refused.hint, file_hint=refused.file_hint) from refused
    return None if checked is None else Decimal(checked)


def boolean(value: Any) -> bool | None:
    """Return a boolean: true or false, 1 or 0, or a word for it; None for NaN. Raises ValueRefused."""
    if isinstance(value, bool):
        return value
    if _is_nan(value):
        return None
    if isinstance(value, int | float | Decimal) and value in (0, 1):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise ValueRefused("a boolean")


def _refused(expected: str, text: str) -> ValueRefused:
    """Return the refusal of a text that is no number, with a hint if it has digits."""
    if not any(digit in text for digit in "0123456789"):
        return ValueRefused(expected)
    hint = "A number is written like -1234.5."
    if any(sign in text for sign in _CURRENCIES):
        return ValueRefused(expected, f"{hint} Leave out the sign of the currency.")
    if _HAS_OTHER_MARKS.fullmatch(text):
        return ValueRefused(expected, hint, file_hint=_MARKS_OF_FILES)
    return ValueRefused(expected, hint)


def _is_nan(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()  # also a signaling NaN, which math refuses
    return isinstance(value, float) and math.isnan(value)


def _with_usual_marks(text: str, rules: ValueRules) -> str | None:
    """Return a number's text with a decimal point and without marks of thousands; None if its marks are wrong."""
    decimal_mark, thousands_mark = rules.decimal_mark, rules.thousands_mark
    if decimal_mark == "." and not thousands_mark:
        return text
    for mark in FAMILIES.get(thousands_mark, ""):
        text = text.replace(mark, thousands_mark)
    integral, mark, fraction = text.partition(decimal_mark)
    if thousands_mark and thousands_mark in integral:
        sign = integral[:1] if integral[:1] in ("-", "+") else ""
        first, *groups = integral.removeprefix(sign).split(thousands_mark)
        if not 1 <= len(first) <= 3 or any(len(group) != 3 for group in groups):
            return None  # 1.5 with "." as the mark of thousands
        integral = sign + first + "".join(groups)
    if "." in integral or (mark and "." in fraction):
        return None
    return integral + (f".{fraction}" if mark else "")
