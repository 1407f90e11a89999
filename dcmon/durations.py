"""Durations as a person writes them: 90s, 30m, 12h, 3d, 2w."""

import re
from datetime import timedelta

from dcmon.errors import InvalidInput

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=36_500)  # so that a time plus a duration is a time


def parse(text: str) -> timedelta:
    """A duration. Raises InvalidInput."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhdw])", text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is no duration. It looks like 90s, 30m, 12h, 3d or 2w.")
    try:
        found = timedelta(**{UNITS[match[2]]: float(match[1])})
    except OverflowError:
        found = timedelta.max
    if found > LONGEST:
        raise InvalidInput(f"{text!r} is too long a duration: at most 36500d.")
    return found
