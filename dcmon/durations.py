"""Durations as people write them: 500ms, 90s, 30m, 12h, 1h30m, 3d, 2w, 1y, and as ISO 8601 writes them: PT2H."""

import re
from datetime import timedelta

from dcmon.errors import InvalidInput

UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
UNITS = {  # longer names of units
    "msec": "ms", "millisecond": "ms",
    "sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "day": "d", "week": "w", "year": "y",
}  # fmt: skip
MAX_DURATION = timedelta(days=36_500)  # a time plus this is still a valid time
PART = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]+)\s*", re.IGNORECASE)
MONTHS = re.compile(r"\d\s*(M|[Mm]o|[Mm]ons?|[Mm]onths?)\b")
ISO = re.compile(r"P(?=.)((?:\d{1,9}[YWD])*)(?:T((?:\d{1,9}(?:\.\d{1,9})?[HMS])+))?", re.IGNORECASE)


def parse(text: str, examples: str = "90s, 30m, 12h, 3d, 2w or 1y") -> timedelta:
    """Parse a duration. `examples` are shown in the error message. Raises InvalidInput.

    It has one or more parts with a unit each, as in 1h30m; a year is 365 days. There are no months, because they differ
    in length: 1M is refused, though units may be in upper case. In ISO 8601, M after T is minutes.
    """
    iso = ISO.fullmatch(text.strip())
    seconds = _seconds("".join(part or "" for part in iso.groups()).lower() if iso else text)
    if seconds is None and MONTHS.search(text):
        raise InvalidInput(
            f"{text!r} is not a duration: months differ in length. Type 30d, or 1m for a minute. A duration looks like"
            f" {examples}."
        )
    if seconds is None:
        raise InvalidInput(f"{text!r} is not a duration. A duration looks like {examples}.")
    if seconds > MAX_DURATION.total_seconds():
        raise InvalidInput(f"{text!r} is too long: a duration is at most 36500d.")
    return timedelta(seconds=seconds)


def _seconds(text: str) -> float | None:
    """Add the parts of a duration; None if it has none, one with an unknown unit, or one unit twice."""
    total, place, units = 0.0, 0, set[str]()
    while place < len(text):
        part = PART.match(text, place)
        unit = None if part is None else _unit(part[2])
        if part is None or unit is None or unit in units:
            return None
        total, place = total + float(part[1]) * UNIT_SECONDS[unit], part.end()
        units.add(unit)
    return total if units else None


def _unit(name: str) -> str | None:
    """Return the short name of a unit: that of "min" and "minutes" is m. M alone may mean months."""
    if name == "M":
        return None
    word = name.lower()
    unit = UNITS.get(word.removesuffix("s") if len(word) > 1 else word, word)
    return unit if unit in UNIT_SECONDS else None


def to_text(duration: timedelta) -> str:
    """Return a duration as people write it, in the longest exact unit, at most days; with parts of a second: 0.25s."""
    exact = duration.total_seconds()
    if not exact.is_integer():
        return f"{exact:.6f}".rstrip("0") + "s"
    seconds = int(exact)
    unit = next(unit for unit in "dhms" if seconds % UNIT_SECONDS[unit] == 0)
    return f"{seconds // UNIT_SECONDS[unit]}{unit}"
