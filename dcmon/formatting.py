"""Values as text for people: numbers, times, and the beginning of commands."""

import shlex
from datetime import datetime


def format_number(value: float | None) -> str:
    """Format a number with four significant digits; None as a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def format_time(time: datetime) -> str:
    """Format a time as a date, with hours and minutes unless it is midnight."""
    return f"{time:%Y-%m-%d}" if (time.hour, time.minute) == (0, 0) else f"{time:%Y-%m-%d %H:%M}"


def command_prefix(org: str) -> str:
    """Return the beginning of a command about an organization, quoted for a shell."""
    return f"dcmon --org {shlex.quote(org)}"
