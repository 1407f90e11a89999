"""The spelling of a category: one for each value, for all programs (docs/values.md).

pandas writes 1.0 for 1 if a value of the column is missing, and Spark 1.0E7 for 10000000: a reference and the rows of
production would have different categories. Spellings are normalized when rows are stored, and when rows are read that
earlier releases stored.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from functools import lru_cache
from typing import Any

TRUE, FALSE = "True", "False"  # as Python, pandas and earlier releases write them
_BOOLEANS = {"true": TRUE, "True": TRUE, "TRUE": TRUE, "false": FALSE, "False": FALSE, "FALSE": FALSE}
_INTEGRAL = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")
# Scientific notation as programs write it: 1e+16 (Python, R, Go), 1.0E7 (Java), 1.5e16 and 1e16 (Rust). A text like 5e3
# may be a code.
_SCIENTIFIC = re.compile(r"-?(?:[1-9](?:\.\d+)?[eE][+-]\d{1,3}|[1-9]\.\d+[eE]\d{1,3}|[1-9]e(?:1[6-9]|[2-9]\d))")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?: ?([Zz]|UTC|[+-]\d\d(?::?\d\d)?))?"
)  # fmt: skip
MAX_LENGTH = 40  # characters of a text that may be a number or a time
_MAX_SHORT = 5  # characters of "false", "-9e99" and "-1e-5", which have none of these marks
_MARKS = (".", "+", ":")


@lru_cache(maxsize=8192)
def normalize(text: str) -> str:
    """Return the spelling of a category that is text. Most texts are returned unchanged."""
    if text.isalpha():
        return _BOOLEANS.get(text, text)
    if len(text) > MAX_LENGTH or not text or text[-1] not in "0123456789ZzC":
        return text
    if integral := _INTEGRAL.fullmatch(text):
        return "0" if integral[1] == "-0" else integral[1]
    if _SCIENTIFIC.fullmatch(text) and math.isfinite(number := float(text)):
        return _of_float(number)
    if time := _TIME.fullmatch(text):
        return _of_time_text(time)
    return text


def normalize_all(texts: Sequence[str | None]) -> Sequence[str | None]:
    """Return the spellings of many categories. Texts that can't have another spelling cost next to nothing."""
    present = [text for text in texts if text is not None]
    joined = "\0".join(present)
    if not any(mark in joined for mark in _MARKS) and min(map(len, present), default=_MAX_SHORT + 1) > _MAX_SHORT:
        return texts
    return [None if text is None else normalize(text) for text in texts]


def spelling(value: Any) -> Any:
    """Return a value that is not text as a category; None for NaN.

    Numbers, booleans, times, and bytes that are UTF-8 become text. Other values are returned unchanged.
    """
    if isinstance(value, str):
        return normalize(value)
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, float):
        return None if math.isnan(value) else _of_float(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return None if value.is_nan() else normalize(str(value))
    if isinstance(value, datetime | date | time_of_day):
        return normalize(value.isoformat())
    return _of_bytes(value) if isinstance(value, bytes) else value


def earlier_spellings(category: str) -> list[str]:
    """Return the spellings that stored rows may have of a category, its normal one first.

    Earlier releases stored categories as they were sent.
    """
    normal = normalize(category)
    if normal in (TRUE, FALSE):
        return [normal, normal.lower(), normal.upper()]
    is_integer = normal.removeprefix("-").isdecimal()
    return list(dict.fromkeys([normal, category, *([f"{normal}.0"] if is_integer else [])]))


def class_names(classes: Iterable[str]) -> Mapping[str, str]:
    """Return the name of each class of a version by the normal spelling of its name, and by the name itself.

    Of a binary model whose classes are 0 and 1, True means 1; if they are False and True, 1 means True.
    """
    names = {normalize(name): name for name in classes} | {name: name for name in classes}
    if set(map(normalize, classes)) == {"0", "1"}:
        names |= {FALSE: names["0"], TRUE: names["1"]}
    elif set(map(normalize, classes)) == {FALSE, TRUE}:
        names |= {"0": names[FALSE], "1": names[TRUE]}
    return names


def _of_float(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


def _of_time_text(match: "re.Match[str]") -> str:
    day, clock, seconds, fraction, offset = match.groups()
    text = f"{day}T{clock}:{seconds or '00'}"
    try:
        time = datetime.fromisoformat(text + _offset(offset))
        time += timedelta(microseconds=_microseconds(fraction or ""))
        time = time if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return match[0]
    if time.tzinfo is None and time.time() == time_of_day.min:
        return time.date().isoformat()
    spelled = time.replace(tzinfo=None).isoformat()
    return (spelled.rstrip("0") if time.microsecond else spelled) + ("" if time.tzinfo is None else "Z")


def _offset(text: str | None) -> str:
    if text is None:
        return ""
    return "+00:00" if text in ("Z", "z", "UTC") else text if len(text) > 3 else f"{text}:00"


def _microseconds(fraction: str) -> int:
    """Round a fraction of a second to microseconds, half up, as the decoder of JSON does."""
    return (int(fraction.ljust(9, "0")) + 500) // 1000


def _of_bytes(value: bytes) -> Any:
    """Decode text that some Parquet writers declare as bytes. Other bytes become a list, which no column accepts."""
    try:
        return normalize(value.decode())
    except UnicodeDecodeError:
        return [value]
