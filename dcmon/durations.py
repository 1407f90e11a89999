"""Durations as a person writes them: 90s, 30m, 12h, 3d, 2w, 1y."""

import re
from datetime import timedelta

from dcmon.errors import InvalidInput

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
MAX_DURATION = timedelta(days=36_500)  # so that a time plus a duration is a time


def parse(text: str, examples: str = "90s, 30m, 12h, 3d, 2w or 1y") -> timedelta:
    """A duration. `examples`: what the message names. Raises InvalidInput."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhdwy])", text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is no duration. It looks like {examples}.")
    try:
        found = timedelta(seconds=float(match[1]) * UNIT_SECONDS[match[2]])
    except OverflowError:
        found = timedelta.max
    if found > MAX_DURATION:
        raise InvalidInput(f"{text!r} is too long a duration: at most 36500d.")
    return found


def to_text(duration: timedelta) -> str:
    """A duration as a person writes it, in the longest unit of days or shorter that says it exactly."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % UNIT_SECONDS[unit] == 0)
    return f"{seconds // UNIT_SECONDS[unit]}{unit}"
