"""Times as people write them: 2026-03-10, 2026-03-10T14:30+01:00, 7d, yesterday, now."""

import re
from datetime import UTC, datetime, timedelta

from dcmon import durations
from dcmon.errors import InvalidInput
from dcmon.nearest import meant

EXAMPLES = "2026-03-10, 2026-03-10T14:30, 7d (ago), +2h, yesterday or now"
END_EXAMPLES = "90d (from now), 2026-12-31, 2026-12-31T18:00 or tomorrow"
DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}  # their beginnings, in UTC
WORDS = ("now", *DAYS)
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


def parse_lifetime(text: str, now: datetime | None = None) -> timedelta:
    """Parse how long something lasts from now: a duration such as 90d, or the time at which it ends.

    Raises InvalidInput, also for a time that is over.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    typed = text.strip()
    try:
        return durations.parse(typed.removeprefix("+"))
    except InvalidInput as error:
        if durations.MONTHS.search(typed) is not None:
            raise error
        if typed.startswith("+") or not _is_time(typed):
            raise InvalidInput(
                f"{text!r} is neither a duration nor a time.{meant(typed, WORDS)} Give one like {END_EXAMPLES}."
            ) from None
    lifetime = parse(typed, now) - now
    if lifetime <= timedelta():
        raise InvalidInput(f"{text!r} is over. Give a time to come, or a duration: {END_EXAMPLES}.")
    return lifetime


def _is_time(typed: str) -> bool:
    """Return True for a word or ISO 8601, which is not relative."""
    try:
        return typed.lower() in WORDS or _of_iso(typed) is not None
    except (ValueError, OverflowError):
        return False


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
        reason = ", because months differ in length: type 30d" if durations.MONTHS.search(typed) else ""
        raise InvalidInput(
            f"{typed!r} is not a time{reason}.{meant(typed, WORDS)} A time looks like {EXAMPLES}."
        ) from None
