"""Times as people write them: 2026-03-10, 2026-03-10T14:30+01:00, 7d, yesterday, now."""

import re
from datetime import UTC, datetime, timedelta

from dcmon import durations
from dcmon.errors import InvalidInput

EXAMPLES = "2026-03-10, 2026-03-10T14:30, 7d (ago), +2h, yesterday or now"
DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}  # their beginnings, in UTC
SPAN = re.compile(r"(?P<sign>[+-]?)(?P<span>\S.*?)(?P<ago>\s+ago)?")


def parse(text: str, now: datetime | None = None) -> datetime:
    """Parse a time; the result is in UTC. `now`: the time that others are relative to, with a zone.

    A date is its beginning, and a time without an offset is in UTC. `7d`, `-7d` and `7d ago` are the same; `+2h` is in
    two hours. Raises InvalidInput.
    """
    now, typed = (now or datetime.now(UTC)).astimezone(UTC), text.strip()
    word = typed.lower()
    if word == "now":
        return now
    if word in DAYS:
        return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=DAYS[word])
    try:
        return _of_iso(typed)
    except (ValueError, OverflowError):
        return _relative(typed, now)


def _of_iso(typed: str) -> datetime:
    """Parse ISO 8601. Raises ValueError, or OverflowError where the time in UTC is out of the calendar."""
    time = datetime.fromisoformat(typed)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _relative(typed: str, now: datetime) -> datetime:
    match = SPAN.fullmatch(typed)
    try:
        if match is None or (match["sign"] and match["ago"]):
            raise InvalidInput
        span = durations.parse(match["span"])
        return now + span if match["sign"] == "+" else now - span
    except (InvalidInput, OverflowError):
        raise InvalidInput(f"{typed!r} is not a time. A time looks like {EXAMPLES}.") from None
