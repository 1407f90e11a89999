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


def shell_argument(name: str) -> str:
    """Quote a name for bash and zsh. Control characters, which a terminal shows as \\x1b, are written as $'\\x1b'."""
    if name.isprintable():
        return shlex.quote(name)
    plain = name.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(sign if sign.isprintable() else _ansi_c(sign) for sign in plain) + "'"


def _ansi_c(sign: str) -> str:
    return f"\\U{ord(sign):08x}" if ord(sign) > 0x7F else f"\\{ord(sign):03o}"
