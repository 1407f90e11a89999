"""Durations as people write them: 90s, 30m, 12h, 3d, 2w, 1y."""

import re
from datetime import timedelta

from dcmon.errors import InvalidInput

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
MAX_DURATION = timedelta(days=36_500)  # a time plus this is still a valid time


def parse(text: str, examples: str = "90s, 30m, 12h, 3d, 2w or 1y") -> timedelta:
    """Parse a duration. `examples` are shown in the error message. Raises InvalidInput."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhdwy])", text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is not a duration. A duration looks like {examples}.")
    try:
        duration = timedelta(seconds=float(match[1]) * UNIT_SECONDS[match[2]])
    except OverflowError:
        duration = timedelta.max
    if duration > MAX_DURATION:
        raise InvalidInput(f"{text!r} is too long: a duration is at most 36500d.")
    return duration


def to_text(duration: timedelta) -> str:
    """Return a duration as people write it, in the longest exact unit, at most days."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % UNIT_SECONDS[unit] == 0)
    return f"{seconds // UNIT_SECONDS[unit]}{unit}"
