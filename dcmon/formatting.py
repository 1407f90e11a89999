"""Values as text for people: numbers, times, the beginning of commands, and texts from outside for a terminal."""

import json
import re
import shlex
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

# A terminal needs joiners between the letters of some scripts and the parts of an emoji, but not elsewhere.
_JOINER = re.compile("(?<=[^\x00-\u02ff\u2000-\u206f])[\u200c\u200d](?=[^\x00-\u02ff\u2000-\u206f])")


def format_number(value: float | None) -> str:
    """Format a number with four significant digits; None as a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, whose plural ends with s: "1 alert", "1,024 alerts"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """Join words, or parts of a sentence: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def some_of(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and how many more there are: "a, b, c and 1,997 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def format_bytes(size: int) -> str:
    """Return a number of bytes in the largest unit that it fills: "512 B", "4.2 GB"."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def format_time(time: datetime) -> str:
    """Format a time as a date, with hours and minutes unless it is midnight."""
    return f"{time:%Y-%m-%d}" if (time.hour, time.minute) == (0, 0) else f"{time:%Y-%m-%d %H:%M}"


def format_moment(time: datetime) -> str:
    """Format a time to the minute, in UTC: "2026-03-10 14:05 UTC"."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def printable(text: str, *, keeps_lines: bool = True) -> str:
    """Return a text from outside in which a terminal obeys nothing: an escape character is shown as \\x1b.

    Everything that Python's repr escapes is shown so: control and direction characters, invisible ones, half of a
    surrogate pair, separators of lines. Wide and narrow spaces stay. `keeps_lines`: line feeds stay, too.
    """
    if text.isprintable():
        return text
    joiners = {match.start() for match in _JOINER.finditer(text)}
    return "".join(
        sign if index in joiners or _is_shown(sign, keeps_lines) else ascii(sign)[1:-1]
        for index, sign in enumerate(text)
    )


def printable_json(encoded: str) -> str:
    """Return JSON with the same meaning, in which a terminal obeys nothing.

    The json module escapes only the first 32 control characters. Line feeds between values stay.
    """
    if encoded.isprintable():
        return encoded
    return "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in encoded)


def _is_shown(sign: str, keeps_lines: bool) -> bool:
    return sign.isprintable() or unicodedata.category(sign) == "Zs" or (keeps_lines and sign == "\n")


def without_password(url: str) -> str:
    """Return a URL without the user and the password that may be in it."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@", r"\1", url)


def command_prefix(org: str) -> str:
    """Return the beginning of a command about an organization, quoted for a shell."""
    return f"dcmon --org {shell_argument(org)}"


def shell_argument(name: str) -> str:
    """Quote a name for bash and zsh. Control characters, which a terminal shows as \\x1b, are written as $'\\x1b'."""
    if name.isprintable():
        return shlex.quote(name)
    plain = name.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(sign if sign.isprintable() else _ansi_c(sign) for sign in plain) + "'"


def _ansi_c(sign: str) -> str:
    return f"\\U{ord(sign):08x}" if ord(sign) > 0x7F else f"\\{ord(sign):03o}"
