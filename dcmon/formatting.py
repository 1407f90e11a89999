"""Values as a person reads or types them."""

import shlex
from datetime import datetime


def format_number(value: float | None) -> str:
    """Four significant digits, as a person reads them."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def format_time(time: datetime) -> str:
    """The date; with hours and minutes when it is not midnight."""
    return f"{time:%Y-%m-%d}" if (time.hour, time.minute) == (0, 0) else f"{time:%Y-%m-%d %H:%M}"


def command_prefix(org: str) -> str:
    """How a command about an organization begins, as a shell reads it."""
    return f"dcmon --org {shlex.quote(org)}"
